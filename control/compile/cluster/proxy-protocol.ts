/** DestinationRule `trafficPolicy.proxyProtocol`: a PROXY header ahead of each connection, mTLS included. */
import type { ProxyProtocol } from '../../../shared/resources/schema/destination-rule.ts';
import type { Cluster } from '../../../shared/xds/cluster.ts';
import { RAW_BUFFER_SOCKET } from '../security/tls-context.ts';
import { type ClientSocket, clientSocket } from '../wire.ts';

const TYPE = 'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport';

/** Wraps every transport socket of the cluster. */
export function applyProxyProtocol(cluster: Cluster, proxyProtocol: ProxyProtocol | undefined): void {
  if (!proxyProtocol) return;
  const { version = 'V1' } = proxyProtocol;
  const wrap = (transportSocket: ClientSocket) =>
    clientSocket('envoy.transport_sockets.upstream_proxy_protocol', TYPE, { config: { version }, transportSocket });
  const { transportSocket, transportSocketMatches = [] } = cluster;
  if (transportSocketMatches.length > 0)
    cluster.transportSocketMatches = transportSocketMatches.map((match) => ({
      ...match,
      transportSocket: wrap(match.transportSocket),
    }));
  if (transportSocket || transportSocketMatches.length === 0)
    cluster.transportSocket = wrap(transportSocket ?? RAW_BUFFER_SOCKET);
}
