/**
 * Resources as tests of meshes need them: a builder takes what a test is about, and sets the rest as all of them have it.
 * All are of the namespace `default`.
 */
import type { AuthorizationPolicy } from '../../shared/resources/kinds/authorization-policy.ts';
import type { DestinationRule } from '../../shared/resources/kinds/destination-rule.ts';
import type { Gateway } from '../../shared/resources/kinds/gateway.ts';
import type { VirtualService } from '../../shared/resources/kinds/virtual-service.ts';

type SpecOf<Resource extends { readonly spec?: object | undefined }> = NonNullable<Resource['spec']>;

export interface Made<Spec extends object = object> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: Spec;
}

function made<Spec extends object>(group: string, kind: string, name: string, spec: Spec): Made<Spec> {
  return { apiVersion: `${group}.istio.io/v1`, kind, metadata: { name, namespace: 'default' }, spec };
}

/** The resources as one text, for `LoopbackMesh.apply` and `tulle apply`: JSON is YAML. */
export function yaml(...resources: readonly object[]): string {
  return resources.map((resource) => `${JSON.stringify(resource, null, 1)}\n`).join('---\n');
}

interface Port {
  readonly number: number;
  readonly name: string;
  readonly protocol: string;
  /** Of the workloads; default: `number`. */
  readonly targetPort?: number;
}

/** A port that is named as its protocol. */
export function port(number: number, protocol = 'HTTP', name = protocol.toLowerCase()): Port {
  return { number, name, protocol };
}

/**
 * `<name>.default.svc.cluster.local` in the mesh, served by the workloads with the label `app`.
 * @param ports default: HTTP on 9080, which is the port of a mesh's applications
 */
export function meshService(name: string, ports: readonly Port[] = [port(9080)], app = name): Made {
  return made('networking', 'ServiceEntry', name, {
    hosts: [`${name}.default.svc.cluster.local`],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports,
    workloadSelector: { labels: { app } },
  });
}

export interface WorkloadFields {
  /** Default: the name. */
  readonly app?: string;
  /** Default: `app`. */
  readonly serviceAccount?: string;
  /** Besides `app`. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Name of a service port -> where the application listens for it. */
  readonly ports?: Readonly<Record<string, number>>;
}

export function workloadEntry(name: string, address: string, fields: WorkloadFields = {}): Made {
  const { app = name, serviceAccount = app, labels = {}, ports } = fields;
  return made('networking', 'WorkloadEntry', name, { address, serviceAccount, labels: { app, ...labels }, ports });
}

export function virtualService(name: string, spec: SpecOf<VirtualService>): Made<SpecOf<VirtualService>> {
  return made('networking', 'VirtualService', name, spec);
}

/** Subsets of a host by the label `version`, each named as its version. */
export function versions(host: string, ...names: readonly string[]): Made<SpecOf<DestinationRule>> {
  const subsets = names.map((name) => ({ name, labels: { version: name } }));
  return made('networking', 'DestinationRule', host, { host, subsets });
}

type Server = NonNullable<SpecOf<Gateway>['servers']>[number];

/** A gateway that the proxies with the label `app` serve. */
export function gateway(name: string, app: string, ...servers: Server[]): Made<SpecOf<Gateway>> {
  return made('networking', 'Gateway', name, { selector: { app }, servers });
}

/** @param app the workloads that it is of */
export function authorizationPolicy(
  name: string,
  app: string,
  spec: Omit<SpecOf<AuthorizationPolicy>, 'selector'>,
): Made<SpecOf<AuthorizationPolicy>> {
  return made('security', 'AuthorizationPolicy', name, { selector: { matchLabels: { app } }, ...spec });
}

/** A PeerAuthentication: `default` for the namespace, else named as the `app` whose workloads it is of. */
export function peerAuthentication(mode: 'STRICT' | 'PERMISSIVE' | 'DISABLE', app?: string): Made {
  const selector = app === undefined ? undefined : { matchLabels: { app } };
  return made('security', 'PeerAuthentication', app ?? 'default', { selector, mtls: { mode } });
}

/** Has all proxies write their access log to standard output, as JSON. */
export const ACCESS_LOGS = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'istio', namespace: 'istio-system' },
  data: { mesh: '{ accessLogFile: /dev/stdout, accessLogEncoding: JSON }' },
};
