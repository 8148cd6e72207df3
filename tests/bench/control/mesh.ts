/**
 * The mesh that the control plane is measured with: services of one HTTP port, ten workload entries each over three
 * zones, every third service with a VirtualService and a DestinationRule (two subsets, outlier detection), fifty
 * AuthorizationPolicies.
 */
import { join } from 'node:path';
import { createInitialNamespaces } from '../../../control/api/app.ts';
import { openSqliteStore } from '../../../control/store/sqlite.ts';
import { kinds, validate } from '../../../shared/resources/index.ts';
import type { Resource } from '../../../shared/resources/resource.ts';

export const PORT = 9080;
export const ENTRIES_PER_SERVICE = 10;
const SERVICES_PER_NAMESPACE = 25;
const POLICIES = 50;
const ZONES = ['a', 'b', 'c'];

/** `spread`: 25 services a namespace. `one`: all in one namespace. */
export type Layout = 'spread' | 'one';

export const namespaceOf = (service: number, layout: Layout): string =>
  layout === 'one' ? 'ns-0' : `ns-${Math.floor(service / SERVICES_PER_NAMESPACE)}`;
export const hostOf = (service: number, layout: Layout): string =>
  `svc-${service}.${namespaceOf(service, layout)}.svc.cluster.local`;
export const entryName = (service: number, entry: number): string => `svc-${service}-${entry}`;

/** Addresses of 10.0.0.0/8, a different one for every entry and, from 10.200.0.0 on, every proxy. */
export const entryAddress = (service: number, entry: number): string =>
  address(service * ENTRIES_PER_SERVICE + entry + 1);
export const proxyAddress = (proxy: number): string => address(200 * 65_536 + proxy + 1);

function address(n: number): string {
  return `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
}

const networking = (kind: string, name: string, namespace: string, spec: object): Resource =>
  ({ apiVersion: 'networking.istio.io/v1', kind, metadata: { name, namespace }, spec }) as unknown as Resource;

/** @param weight endpoints differ in it after a change */
export function workloadEntry(service: number, entry: number, layout: Layout, weight?: number): Resource {
  return networking('WorkloadEntry', entryName(service, entry), namespaceOf(service, layout), {
    address: entryAddress(service, entry),
    serviceAccount: `sa-${service}`,
    labels: { app: `svc-${service}`, version: entry % 2 === 0 ? 'v1' : 'v2' },
    locality: `region/zone-${ZONES[entry % ZONES.length]}`,
    ...(weight === undefined ? {} : { weight }),
  });
}

/** @param percent of v1 */
export function virtualService(service: number, layout: Layout, percent = 90): Resource {
  const host = hostOf(service, layout);
  return networking('VirtualService', `svc-${service}`, namespaceOf(service, layout), {
    hosts: [host],
    http: [
      {
        route: [
          { destination: { host, subset: 'v1' }, weight: percent },
          { destination: { host, subset: 'v2' }, weight: 100 - percent },
        ],
        retries: { attempts: 2 },
      },
    ],
  });
}

function serviceEntry(service: number, layout: Layout): Resource {
  return networking('ServiceEntry', `svc-${service}`, namespaceOf(service, layout), {
    hosts: [hostOf(service, layout)],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number: PORT, name: 'http', protocol: 'HTTP' }],
    workloadSelector: { labels: { app: `svc-${service}` } },
  });
}

function destinationRule(service: number, layout: Layout): Resource {
  return networking('DestinationRule', `svc-${service}`, namespaceOf(service, layout), {
    host: hostOf(service, layout),
    trafficPolicy: { outlierDetection: { consecutive5xxErrors: 5, interval: '10s' } },
    subsets: ['v1', 'v2'].map((version) => ({ name: version, labels: { version } })),
  });
}

function authorizationPolicy(n: number, services: number, layout: Layout): Resource {
  const service = Math.floor((n * services) / POLICIES);
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: `allow-${n}`, namespace: namespaceOf(service, layout) },
    spec: {
      selector: { matchLabels: { app: `svc-${service}` } },
      rules: [{ from: [{ source: { namespaces: [namespaceOf(service, layout)] } }] }],
    },
  } as unknown as Resource;
}

/** Namespaces first, then the services with all that belongs to them. */
export function meshResources(services: number, layout: Layout): Resource[] {
  const namespaces = new Set<string>();
  const resources: Resource[] = [];
  for (let service = 0; service < services; service++) {
    namespaces.add(namespaceOf(service, layout));
    resources.push(serviceEntry(service, layout));
    for (let entry = 0; entry < ENTRIES_PER_SERVICE; entry++) resources.push(workloadEntry(service, entry, layout));
    if (service % 3 === 0) resources.push(virtualService(service, layout), destinationRule(service, layout));
  }
  for (let n = 0; n < POLICIES; n++) resources.push(authorizationPolicy(n, services, layout));
  const named = [...namespaces].map(
    (name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }) as unknown as Resource,
  );
  return [...named, ...resources];
}

/**
 * Fills the data folder of a control plane that does not run.
 * @throws Error naming a resource that is not valid
 */
export async function fillStore(data: string, resources: readonly Resource[]): Promise<void> {
  const store = await openSqliteStore(join(data, 'resources.sqlite'));
  try {
    await createInitialNamespaces(store);
    await Promise.all(
      resources.map((resource) => {
        const kind = kinds.find((one) => one.kind === resource.kind)!;
        const { name, namespace = '' } = resource.metadata;
        const { resource: valid, violations } = validate(resource);
        if (!valid || violations.length > 0) throw new Error(`${resource.kind} ${name}: ${JSON.stringify(violations)}`);
        return store.create({ group: kind.group, plural: kind.plural, namespace, name }, valid);
      }),
    );
  } finally {
    await store.close();
  }
}
