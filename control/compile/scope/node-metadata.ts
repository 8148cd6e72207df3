/** The part of a node's metadata that is read, and short texts: what else a proxy sends is not kept. */

import type { Node } from '../../../shared/xds/core.ts';
import { knownFeatures } from '../../../shared/xds/discovery.ts';

const READ = [
  'APP_PORTS',
  'AUTO_REGISTER_GROUP',
  'CLUSTER_ID',
  'DNS_CAPTURE',
  'ENVOY_PROMETHEUS_PORT',
  'HTTP10',
  'HTTP_PROXY_PORT',
  'INSTANCE_IPS',
  'INTERCEPTION_MODE',
  'ISTIO_VERSION',
  'LABELS',
  'MESH_ID',
  'NAMESPACE',
  'NETWORK',
  'OUTBOUND_BIND',
  'PROXY_CONFIG',
  'SDS_FILES',
  'SERVICE_ACCOUNT',
  'STATIC_LABELS',
  'TULLE_BEHIND_NAT',
  'TULLE_TUNNEL_PORT',
] as const;

/** Metadata by the names that may be read; each value is of any type. */
export type NodeMetadata = Readonly<Partial<Record<(typeof READ)[number], unknown>>>;

/** Further metadata is kept for EnvoyFilters, which may match any text: so many entries, each of so many characters. */
const MAX_TEXTS = 16;
const MAX_LENGTH = 128;

const isRead = (name: string): boolean => (READ as readonly string[]).includes(name);
const isShort = (name: string, value: unknown): boolean =>
  typeof value === 'string' && name.length + value.length <= MAX_LENGTH;

/** A node with what is read of it: sessions keep nodes, and a node's digest is made for each poll. */
export function keptNode(node: Node): Node {
  const { metadata = {}, clientFeatures } = node;
  const kept = READ.flatMap((name) => {
    const value = metadata[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const texts = Object.entries(metadata).filter(([name, value]) => !isRead(name) && isShort(name, value));
  return {
    ...node,
    ...(node.metadata && { metadata: Object.fromEntries([...kept, ...texts.slice(0, MAX_TEXTS)]) }),
    ...(clientFeatures && { clientFeatures: [...knownFeatures(clientFeatures)] }),
  };
}
