/**
 * The real configurations of shared/reference: Istio's samples and the configurations of its tests. Each file is a mesh of its
 * own; one of samples has the Services and Deployments of its sample around it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { isIpAddress } from '../../../../shared/match/cidr.ts';
import { kindOf } from '../../../../shared/resources/index.ts';
import type { Resource } from '../../../../shared/resources/resource.ts';
import type { Node } from '../../../../shared/xds/core.ts';
import { isKind, specOf } from '../../../mesh/fields.ts';
import { documentsOf, REFERENCE } from '../reference.ts';

type Labels = Readonly<Record<string, string>>;

interface Deployment extends Resource {
  readonly spec: {
    readonly template: { metadata?: { labels?: Labels }; spec?: { serviceAccountName?: string } };
  };
}

export interface Collection {
  /** Path of the file. */
  readonly label: string;
  /** As written, of kinds that are served, with their namespaces. */
  readonly resources: readonly Resource[];
  /** Kinds in the file that are not served. */
  readonly others: readonly string[];
  /** Every workload and gateway of the mesh, and a client in each namespace; each with and without capture. */
  readonly nodes: readonly Node[];
}

export function collections(): Collection[] {
  return ['samples', 'corpus'].flatMap((folder) =>
    yamlFiles(folder).map((path) => {
      const own = documentsIn(path);
      const around = folder === 'samples' ? surroundings(path) : [];
      return collectionOf(path, own, [...around, ...own]);
    }),
  );
}

function yamlFiles(folder: string): string[] {
  return readdirSync(new URL(`${folder}/`, REFERENCE), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((name) => `${folder}/${name}`);
}

const read = new Map<string, Resource[]>();

/** The documents of a file; names that an API server refuses for their upper-case letters are in lower case. */
function documentsIn(path: string): Resource[] {
  let known = read.get(path);
  if (!known) {
    const documents = documentsOf(readFileSync(new URL(path, REFERENCE), 'utf8')) as Resource[];
    known = documents.map((one) => ({
      ...one,
      metadata: { namespace: 'default', ...one.metadata, name: one.metadata.name.toLowerCase() },
    }));
    read.set(path, known);
  }
  return known;
}

const SURROUNDING: ReadonlySet<string> = new Set(['Service', 'ServiceAccount', 'Deployment']);

/** Services, accounts and Deployments of the sample that a file belongs to. */
function surroundings(path: string): Resource[] {
  const sample = path.split('/').slice(0, 2).join('/');
  return yamlFiles(sample)
    .flatMap(documentsIn)
    .filter(({ kind }) => SURROUNDING.has(kind));
}

const keyOf = ({ kind, metadata }: Resource) => `${kind} ${metadata.namespace}/${metadata.name}`;

function collectionOf(label: string, own: readonly Resource[], all: readonly Resource[]): Collection {
  const latest = [...new Map(all.map((resource) => [keyOf(resource), resource])).values()];
  const isServed = ({ apiVersion, kind }: Resource) => kindOf(apiVersion, kind) !== undefined;
  const entries = latest.flatMap((one, i) => (one.kind === 'Deployment' ? workloadOf(one as Deployment, i) : []));
  const resources = [...latest.filter(isServed), ...entries];
  return {
    label,
    resources,
    others: [...new Set(own.filter((one) => !isServed(one)).map(({ kind }) => kind))],
    nodes: nodesOf(resources),
  };
}

/** The workload of a Deployment as a WorkloadEntry, which Services select. */
function workloadOf({ metadata, spec }: Deployment, index: number): Resource {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata: { name: metadata.name, namespace: metadata.namespace ?? 'default' },
    spec: {
      address: `10.50.${index >> 8}.${index & 255}`,
      labels: spec.template.metadata?.labels ?? {},
      serviceAccount: spec.template.spec?.serviceAccountName ?? 'default',
    },
  };
}

function nodesOf(resources: readonly Resource[]): Node[] {
  const namespaces = [...new Set(resources.map(({ metadata }) => metadata.namespace ?? 'default'))];
  const sidecars = [
    ...namespaces.map((namespace) => ({ namespace, ip: '10.60.0.1', labels: { app: 'client' } })),
    ...resources.flatMap(placesOf),
  ];
  return [
    ...sidecars.flatMap((place) => ['REDIRECT', 'NONE'].map((mode) => nodeOf('sidecar', place, mode))),
    ...resources.flatMap((one) => {
      if (!isKind(one, 'Gateway')) return [];
      const labels = specOf(one).selector ?? {};
      return nodeOf('router', { namespace: one.metadata.namespace ?? 'default', ip: '10.70.0.1', labels }, 'REDIRECT');
    }),
  ];
}

interface Place {
  readonly namespace: string;
  readonly ip: string;
  readonly labels: Labels;
}

function placesOf(resource: Resource): Place[] {
  const { namespace = 'default' } = resource.metadata;
  const bodies = isKind(resource, 'WorkloadEntry')
    ? [specOf(resource)]
    : isKind(resource, 'ServiceEntry')
      ? (specOf(resource).endpoints ?? [])
      : [];
  return bodies.flatMap(({ address = '', labels = {} }) =>
    isIpAddress(address) ? [{ namespace, ip: address, labels }] : [],
  );
}

function nodeOf(type: string, { namespace, ip, labels }: Place, interception: string): Node {
  return {
    id: `${type}~${ip}~one.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { NAMESPACE: namespace, LABELS: labels, INTERCEPTION_MODE: interception },
  };
}
