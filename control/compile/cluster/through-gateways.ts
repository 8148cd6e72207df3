/** Endpoints of other networks, replaced by the gateways to them. */
import type { LbEndpoint } from '../../../shared/xds/cluster.ts';
import { generator } from '../memo.ts';
import type { Assignment } from './endpoints.ts';
import type { PlacedEndpoint, PlacedLocality } from './locality-lb.ts';
import { gatewaysTo, type NetworkGateway, type NetworkView, networkOf, ONE_NETWORK } from './network-view.ts';

export interface ThroughGatewaysInput {
  readonly assignment: Assignment;
  readonly networks: NetworkView;
  readonly clusterId: string;
}

/** The assignment as a caller of a network reaches it; the same object in a mesh of one network. */
export function throughGateways(input: ThroughGatewaysInput): Assignment {
  return input.networks === ONE_NETWORK ? input.assignment : replaced(input);
}

const replaced = generator<ThroughGatewaysInput, Assignment>(
  { assignment: true, networks: true, clusterId: true },
  ({ assignment, networks, clusterId }) =>
    withLocalities(assignment, (endpoints) => reachable(endpoints, networks, clusterId)),
);

/** The assignment without the endpoints of other networks: a gateway sends nothing on to the next one. */
export const withinNetwork = generator<Omit<ThroughGatewaysInput, 'clusterId'>, Assignment>(
  { assignment: true, networks: true },
  ({ assignment, networks }) => {
    if (networks === ONE_NETWORK) return assignment;
    return withLocalities(assignment, (endpoints) =>
      endpoints.filter(({ source }) => !gatewaysTo(networkOf(source, networks), networks)),
    );
  },
);

/** A locality whose endpoints are all out of reach goes with them. */
function withLocalities(
  { localities, message }: Assignment,
  change: (endpoints: readonly PlacedEndpoint[]) => readonly PlacedEndpoint[],
): Assignment {
  const changed = localities.flatMap(({ name, message: before, endpoints }): PlacedLocality[] => {
    const after = change(endpoints);
    if (after.length === 0) return [];
    const lbEndpoints = after.map(({ endpoint }) => endpoint);
    const loadBalancingWeight = lbEndpoints.reduce((sum, one) => sum + (one.loadBalancingWeight ?? 1), 0);
    return [{ name, endpoints: after, message: { ...before, lbEndpoints, loadBalancingWeight } }];
  });
  return { localities: changed, message: { ...message, endpoints: changed.map((one) => one.message) } };
}

/** SNI routing at the gateway needs mTLS: endpoints of other networks without it cannot be called. */
function reachable(
  endpoints: readonly PlacedEndpoint[],
  networks: NetworkView,
  clusterId: string,
): readonly PlacedEndpoint[] {
  const direct: PlacedEndpoint[] = [];
  const weights = new Map<NetworkGateway, { weight: number; by: PlacedEndpoint }>();
  for (const item of endpoints) {
    const weight = (item.endpoint.loadBalancingWeight ?? 1) * networks.scale;
    const gateways = gatewaysTo(networkOf(item.source, networks), networks);
    if (!gateways) {
      direct.push({ ...item, endpoint: { ...item.endpoint, loadBalancingWeight: weight } });
    } else if (item.secured) {
      for (const gateway of gateways) {
        const share = weight / gateways.length;
        weights.set(gateway, { by: item, weight: (weights.get(gateway)?.weight ?? 0) + share });
      }
    }
  }
  const indirect = [...weights].map(([gateway, { weight, by }]) => ({
    ...by,
    endpoint: gatewayEndpoint(gateway, weight, clusterId),
  }));
  return [...direct, ...indirect];
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
