/** An xDS Node -> who this proxy is in the mesh. Node ids are Istio's: `type~ip~name.namespace~dns domain`. */
import type { MeshProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-proxy.ts';
import { readProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-read.ts';
import type { Node } from '../../../shared/xds/core.ts';
import { isFields, labelsOf, numeric, text } from '../../mesh/fields.ts';
import type { MeshView } from '../../mesh/view.ts';
import type { NodeMetadata } from './node-metadata.ts';
import { callerLabels, type Instance, type LocalWorkload, localWorkloads } from './workloads.ts';

/** `selected`: Secrets that DestinationRules name whose workloadSelector picks the proxy, and no others. */
export type CredentialAccess = 'always' | 'selected' | 'never';

/** What distinguishes a type of proxies for what it sees and is given. */
export interface ProxyTraits {
  /** Sidecar resources say what it sees. */
  readonly followsSidecars: boolean;
  /** Connections to unknown destinations pass through it: it has the passthrough clusters. */
  readonly passesThrough: boolean;
  /** Whether it is sent the Secrets that its resources name. */
  readonly readsCredentials: CredentialAccess;
  /** It finds out the protocol of ports that declare none. */
  readonly detectsProtocols: boolean;
  /** Its own resources are made of endpoints too, so that a change of these is a change of all it runs. */
  readonly readsEndpoints: boolean;
  /** With the feature `tulle.on-demand` it fetches hosts on demand. */
  readonly fetchesOnDemand: boolean;
}

export interface ProxyView {
  id: string;
  /** The first word of the id: a name of `PROXY_TYPES`. */
  type: string;
  traits: ProxyTraits;
  /** The addresses of the workload, the first the main one. */
  ips: string[];
  namespace: string;
  /** Of the proxy as a caller (`callerLabels`); what governs an inbound port is with `workloads`. */
  labels: Readonly<Record<string, string>>;
  /** What runs at the addresses: at least one. */
  workloads: readonly LocalWorkload[];
  serviceAccount: string;
  /** The WorkloadGroup that it says it is of; '' none. */
  group: string;
  interception: 'REDIRECT' | 'TPROXY' | 'NONE';
  /** `default.svc.cluster.local` */
  dnsDomain: string;
  /** `region/zone/subzone`, '' unknown. */
  locality: string;
  clusterId: string;
  /** NETWORK, '' unknown: it reaches every endpoint directly. */
  network: string;
  /** MESH_ID, '' unknown. */
  meshId: string;
  /** It says that no peer can dial it. */
  behindNat: boolean;
  /** Where a gateway takes tunnels of workloads behind NAT; undefined: it takes none. */
  tunnelPort: number | undefined;
  /** Oldest service first. */
  instances: readonly Instance[];
  /** Where outbound listeners bind without capture. */
  outboundBind: string;
  /** Port of the HTTP proxy listener; absent: none. */
  httpProxyPort: number | undefined;
  /** Service port name or workload port number -> the application's port on 127.0.0.1. */
  appPorts: Record<string, number>;
  /** Of the ALPN protocols of a context it offers those that a connection speaks: Tulle's own proxies. */
  choosesAlpn: boolean;
  /** It answers DNS look-ups of the workload, so that services without addresses have automatic ones. */
  capturesDns: boolean;
  /** HTTP10 of the node's metadata: it serves HTTP/1.0, whatever its ProxyConfig says. */
  acceptsHttp10: boolean;
  /** ISTIO_VERSION of the node's metadata; '' unknown. */
  istioVersion: string;
  /** The node's metadata as far as it is kept, for EnvoyFilters that ask for some. */
  metadata: NodeMetadata;
  /** PROXY_CONFIG of the node's metadata; undefined: it has none, or one that cannot be read. */
  ownConfig: MeshProxyConfig | undefined;
}

/** The node cannot be distinguished from others: nothing can be compiled for it. */
export class NodeError extends Error {
  override name = 'NodeError';
}

/**
 * @param types the traits of each type of proxy
 * @throws NodeError when the id is not in Istio's form, or metadata that decides what is bound is malformed
 */
export function proxyOf(view: MeshView, node: Node, types: ReadonlyMap<string, ProxyTraits>): ProxyView {
  const [type = '', ip, name, dnsDomain] = node.id.split('~');
  const traits = types.get(type);
  if (!traits) {
    const known = [...types.keys()].map((each) => `${each}~`);
    throw new NodeError(`node id "${node.id}": must begin with one of ${known.join(', ')}`);
  }
  if (!name || dnsDomain === undefined)
    throw new NodeError(`node id "${node.id}": must be type~ip~name.namespace~dns domain`);
  const metadata: NodeMetadata = node.metadata ?? {};
  const isTulle = (node.userAgentName ?? '').startsWith('tulle');
  const namespace = text(metadata['NAMESPACE']) ?? name.slice(name.lastIndexOf('.') + 1);
  const ips = addresses(text(metadata['INSTANCE_IPS']), ip);
  const claims = {
    ips,
    namespace,
    labels: labelsOf(metadata['LABELS']),
    staticLabels: labelsOf(metadata['STATIC_LABELS']),
    serviceAccount: text(metadata['SERVICE_ACCOUNT']) ?? '',
  };
  const { workloads, instances } = localWorkloads(view, claims);
  return {
    id: node.id,
    type,
    traits,
    ips,
    namespace,
    labels: callerLabels(workloads, claims),
    workloads,
    serviceAccount: claims.serviceAccount || instances[0]?.endpoint.serviceAccount || '',
    group: text(metadata['AUTO_REGISTER_GROUP']) ?? '',
    interception: interceptionOf(metadata['INTERCEPTION_MODE']),
    dnsDomain: dnsDomain || `${namespace}.svc.${view.settings.domainSuffix}`,
    locality: localityOf(node) || instances[0]?.endpoint.locality || '',
    clusterId: text(metadata['CLUSTER_ID']) ?? 'Kubernetes',
    network: text(metadata['NETWORK']) ?? claims.labels['topology.istio.io/network'] ?? '',
    meshId: text(metadata['MESH_ID']) ?? '',
    behindNat: isSwitchedOn(text(metadata['TULLE_BEHIND_NAT'])),
    tunnelPort: portOf('TULLE_TUNNEL_PORT', metadata['TULLE_TUNNEL_PORT']),
    instances,
    outboundBind: text(metadata['OUTBOUND_BIND']) ?? '127.0.0.1',
    httpProxyPort: portOf('HTTP_PROXY_PORT', metadata['HTTP_PROXY_PORT']),
    appPorts: appPortsOf(metadata['APP_PORTS']),
    choosesAlpn: isTulle,
    capturesDns: isSwitchedOn(text(metadata['DNS_CAPTURE'])),
    acceptsHttp10: isSwitchedOn(text(metadata['HTTP10'])),
    istioVersion: text(metadata['ISTIO_VERSION']) ?? '',
    metadata,
    ownConfig: ownConfigOf(metadata['PROXY_CONFIG']),
  };
}

/** As text it is JSON. Read strictly: of a config that is wrong in one field, none is in force. */
function ownConfigOf(value: unknown): MeshProxyConfig | undefined {
  if (value === undefined || value === '') return undefined;
  return readProxyConfig(typeof value === 'string' ? value : JSON.stringify(value)).value;
}

/** A switch among proxy metadata, as istiod reads it. */
export function isSwitchedOn(value: string | undefined): boolean {
  return value === '1' || value === 'true';
}

function addresses(list: string | undefined, ip: string | undefined): string[] {
  const all = (list ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
  if (all.length === 0 && ip) all.push(ip);
  if (all.length === 0) throw new NodeError('the node has no address: neither in its id nor in INSTANCE_IPS');
  return all;
}

function interceptionOf(mode: unknown): ProxyView['interception'] {
  if (mode === undefined || mode === '' || mode === 'REDIRECT') return 'REDIRECT';
  if (mode === 'NONE' || mode === 'TPROXY') return mode;
  throw new NodeError('INTERCEPTION_MODE must be NONE, REDIRECT or TPROXY');
}

function portOf(name: string, value: unknown): number | undefined {
  if (value === undefined || value === '') return undefined;
  const port = numeric(value);
  if (port === undefined || !Number.isInteger(port) || port < 1 || port > 65535)
    throw new NodeError(`node metadata ${name} must hold port numbers between 1 and 65535`);
  return port;
}

function appPortsOf(value: unknown): Record<string, number> {
  if (value === undefined || value === '') return {};
  let parsed: unknown = value;
  try {
    if (typeof value === 'string') parsed = JSON.parse(value);
  } catch {
    parsed = undefined;
  }
  if (!isFields(parsed))
    throw new NodeError('node metadata APP_PORTS must be an object of port name or number to port');
  const ports: Record<string, number> = {};
  for (const [key, item] of Object.entries(parsed)) {
    const port = portOf('APP_PORTS', item);
    if (port !== undefined) ports[key] = port;
  }
  return ports;
}

function localityOf(node: Node): string {
  const { region = '', zone = '', subZone = '' } = node.locality ?? {};
  return [region, zone, subZone].join('/').replace(/\/+$/, '');
}
