/**
 * Tunnels of workloads behind NAT, as both planes name them: a workload keeps connections to tunnel gateways, and is reached by
 * streams of them. Tulle's own: in the metadata of clusters and endpoints, and a network filter.
 */
import type { z } from 'zod';
import { list, message, messageRequiring, nonEmpty, uint32 } from '../message.ts';

/** Key of filterMetadata: of the cluster of gateways `TunnelGateways`, of an endpoint behind NAT `TunnelEndpoint`. */
export const TUNNEL_METADATA = 'tulle.tunnel';
/** ALPN protocol of a tunnel: HTTP/2 on which the side that accepted the connection is the client. */
export const TUNNEL_ALPN = 'tulle-tunnel';
export const TUNNEL_FILTER_TYPE = 'tulle.tunnel.v1.Gateway';
/** The cluster of the gateways that a workload behind NAT keeps connections to. */
export const TUNNEL_CLUSTER = 'tunnel-gateways';

/** On the cluster of gateways: what they may reach here. */
export const TunnelGateways = messageRequiring(
  {
    /** Keys of the workloads behind this proxy. */
    workloads: list(nonEmpty()),
    /** Ports that gateways may open connections to. */
    ports: list(uint32()),
    /** Connections kept to each gateway. Default: 2. */
    connections: uint32(),
  },
  ['workloads', 'ports'],
);
export type TunnelGateways = z.infer<typeof TunnelGateways>;

/** On an endpoint, for a gateway: whose tunnels lead to it. */
export const TunnelEndpoint = messageRequiring(
  {
    /** Key of the workload. */
    workload: nonEmpty(),
    /** SPIFFE ids that it may have. */
    identities: list(nonEmpty()),
  },
  ['workload', 'identities'],
);
export type TunnelEndpoint = z.infer<typeof TunnelEndpoint>;

/** The network filter that takes the connections of workloads. */
export const TunnelGateway = message({
  /** Default: 10000. */
  maxTunnels: uint32(),
  /** Above it the oldest one is given up. Default: 16. */
  maxTunnelsPerWorkload: uint32(),
  /** Connections that one tunnel carries at once. Default: 1000. */
  maxStreamsPerTunnel: uint32(),
});
export type TunnelGateway = z.infer<typeof TunnelGateway>;
