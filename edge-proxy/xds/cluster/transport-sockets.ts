/** Transport sockets of a cluster: plaintext, TLS, and the PROXY protocol ahead of either. */
import type { Cluster as ClusterConfig } from '../../../shared/xds/cluster.ts';
import type { Host } from '../../upstream/host.ts';
import type { ProxyProtocolVersion } from '../../upstream/proxy-header.ts';

/** How connections to an endpoint begin, by its metadata. */
export type ProxyProtocolChoice = (metadata: Host['metadata']) => ProxyProtocolVersion | undefined;

export type TransportSocket = NonNullable<ClusterConfig['transportSocket']>;

/** No connection of it is plaintext. */
export function isSecured({ transportSocket, transportSocketMatches = [] }: ClusterConfig): boolean {
  const sockets = [transportSocket, ...transportSocketMatches.map((entry) => entry.transportSocket)];
  return sockets.every((socket) => socket !== undefined && !isPlaintext(socket));
}

export function isPlaintext(socket: TransportSocket): boolean {
  const type = innerSocket(socket).typedConfig['@type'];
  return type === 'type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer';
}

function isProxyProtocol(typed: TransportSocket['typedConfig']): typed is ProxyProtocolSocket {
  return 'transportSocket' in typed;
}

type ProxyProtocolSocket = Extract<TransportSocket['typedConfig'], { readonly transportSocket: object }>;
type InnerSocket = ProxyProtocolSocket['transportSocket'];

/** What is below a PROXY protocol header: TLS, or nothing. */
export function innerSocket({ name, typedConfig }: TransportSocket): InnerSocket {
  return isProxyProtocol(typedConfig) ? typedConfig.transportSocket : ({ name, typedConfig } as InnerSocket);
}

/** @returns undefined: no connection begins with a PROXY protocol header */
export function proxyProtocolChoice({
  transportSocket,
  transportSocketMatches = [],
}: ClusterConfig): ProxyProtocolChoice | undefined {
  const versionOf = (socket: TransportSocket | undefined) =>
    socket && isProxyProtocol(socket.typedConfig) ? (socket.typedConfig.config?.version ?? 'V1') : undefined;
  const matches = transportSocketMatches.map(({ match = {}, transportSocket: socket }) => ({
    wanted: Object.entries(match),
    version: versionOf(socket),
  }));
  const otherwise = versionOf(transportSocket);
  if (otherwise === undefined && matches.every(({ version }) => version === undefined)) return undefined;
  return (metadata) => {
    const labels = metadata?.['envoy.transport_socket_match'] ?? {};
    const found = matches.find(({ wanted }) => wanted.every(([key, value]) => labels[key] === value));
    return found ? found.version : otherwise;
  };
}
