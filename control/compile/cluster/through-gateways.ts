/** Endpoints of other networks, and those behind NAT, replaced by the gateways to them. */
import type { LbEndpoint } from '../../../shared/xds/cluster.ts';
import { TUNNEL_METADATA, type TunnelEndpoint } from '../../../shared/xds/filters/tunnel.ts';
import { generator } from '../memo.ts';
import type { Assignment } from './endpoints.ts';
import type { PlacedEndpoint, PlacedLocality } from './locality-lb.ts';
import { gatewaysTo, type NetworkGateway, type NetworkView, networkOf, ONE_NETWORK } from './network-view.ts';
import { isBehindNat, tunnelGatewaysFor, tunnelIdentities, tunnelKey } from './tunnel-view.ts';

export interface ThroughGatewaysInput {
  readonly assignment: Assignment;
  readonly networks: NetworkView;
  readonly clusterId: string;
  /** The cluster speaks mTLS of the mesh where an endpoint takes it: without it no endpoint behind NAT is reached. */
  readonly meshTls: boolean;
}

/** The assignment as a caller of a network reaches it; the same object in a mesh of one network without NAT. */
export function throughGateways(input: ThroughGatewaysInput): Assignment {
  const { assignment, networks } = input;
  return isDirect(assignment, networks) ? assignment : replaced(input);
}

function isDirect({ behindNat }: Assignment, networks: NetworkView): boolean {
  return !behindNat && (networks === ONE_NETWORK || networks.gateways.size === 0);
}

const replaced = generator<ThroughGatewaysInput, Assignment>(
  { assignment: true, networks: true, clusterId: true, meshTls: true },
  ({ assignment, networks, clusterId, meshTls }) =>
    withLocalities(assignment, (endpoints) => reachable(endpoints, { networks, clusterId, meshTls })),
);

/**
 * The assignment without the endpoints of other networks: a gateway sends nothing on to the next one. Those behind NAT are
 * there where it has their tunnels.
 */
export const withinNetwork = generator<Pick<ThroughGatewaysInput, 'assignment' | 'networks'>, Assignment>(
  { assignment: true, networks: true },
  ({ assignment, networks }) => {
    if (isDirect(assignment, networks)) return assignment;
    return withLocalities(assignment, (endpoints) =>
      endpoints.flatMap((item) => {
        if (isBehindNat(item.source)) return hasTunnel(item, networks) ? [tunnelled(item, networks)] : [];
        return gatewaysTo(networkOf(item.source, networks), networks) ? [] : [item];
      }),
    );
  },
);

/** A locality whose endpoints are all out of reach goes with them. */
function withLocalities(
  { localities, message, behindNat }: Assignment,
  change: (endpoints: readonly PlacedEndpoint[]) => readonly PlacedEndpoint[],
): Assignment {
  const changed = localities.flatMap(({ name, message: before, endpoints }): PlacedLocality[] => {
    const after = change(endpoints);
    if (after.length === 0) return [];
    const lbEndpoints = after.map(({ endpoint }) => endpoint);
    const loadBalancingWeight = lbEndpoints.reduce((sum, one) => sum + (one.loadBalancingWeight ?? 1), 0);
    return [{ name, endpoints: after, message: { ...before, lbEndpoints, loadBalancingWeight } }];
  });
  return {
    localities: changed,
    message: { ...message, endpoints: changed.map((one) => one.message) },
    ...(behindNat && { behindNat }),
  };
}

/** SNI routing at the gateway needs mTLS: endpoints of other networks, or behind NAT, without it cannot be called. */
function reachable(
  endpoints: readonly PlacedEndpoint[],
  { networks, clusterId, meshTls }: Omit<ThroughGatewaysInput, 'assignment'>,
): readonly PlacedEndpoint[] {
  const direct: PlacedEndpoint[] = [];
  const weights = new Map<string, { gateway: NetworkGateway; weight: number; by: PlacedEndpoint }>();
  for (const item of endpoints) {
    const weight = (item.endpoint.loadBalancingWeight ?? 1) * networks.scale;
    const weighed = { ...item, endpoint: { ...item.endpoint, loadBalancingWeight: weight } };
    const nat = isBehindNat(item.source);
    const gateways = nat ? tunnelGatewaysOf(item, networks) : gatewaysTo(networkOf(item.source, networks), networks);
    if (!gateways) direct.push(weighed);
    else if (!item.secured || (nat && !meshTls)) continue;
    else if (nat && hasTunnel(item, networks)) direct.push(tunnelled(weighed, networks));
    else
      for (const gateway of gateways) {
        const key = `${gateway.address} ${gateway.port}`;
        const share = weight / gateways.length;
        weights.set(key, { gateway, by: item, weight: (weights.get(key)?.weight ?? 0) + share });
      }
  }
  const indirect = [...weights.values()].map(({ gateway, weight, by }) => ({
    ...by,
    endpoint: gatewayEndpoint(gateway, weight, clusterId),
  }));
  return [...direct, ...indirect];
}

function tunnelGatewaysOf({ source }: PlacedEndpoint, networks: NetworkView): readonly NetworkGateway[] {
  return tunnelGatewaysFor(
    { network: networkOf(source, networks), namespace: source.namespace },
    networks.tunnelGateways,
  );
}

/** The proxy itself is a gateway to which the workload keeps tunnels. */
function hasTunnel({ source }: PlacedEndpoint, networks: NetworkView): boolean {
  if (!networks.takesTunnels) return false;
  const network = networkOf(source, networks);
  return network === networks.own || !networks.tunnelGateways.some((gateway) => gateway.network === network);
}

/** The endpoint as its gateway reaches it. */
function tunnelled(item: PlacedEndpoint, { trustDomains }: NetworkView): PlacedEndpoint {
  const { endpoint, source } = item;
  const tunnel: TunnelEndpoint = {
    workload: tunnelKey(source),
    identities: tunnelIdentities(source, trustDomains),
  };
  const filterMetadata = { ...endpoint.metadata?.filterMetadata, [TUNNEL_METADATA]: tunnel };
  return { ...item, endpoint: { ...endpoint, metadata: { filterMetadata } } };
}

function gatewayEndpoint(
  { address, port }: NetworkGateway,
  loadBalancingWeight: number,
  clusterId: string,
): LbEndpoint {
  return {
    endpoint: { address: { socketAddress: { address, portValue: port } } },
    loadBalancingWeight,
    metadata: {
      filterMetadata: {
        'envoy.transport_socket_match': { tlsMode: 'istio' },
        istio: { workload: `;;;;${clusterId}` },
      },
    },
  };
}
