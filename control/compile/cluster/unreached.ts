/** Endpoints behind NAT that a caller does not reach, each with its reason: nothing is sent to them in plaintext. */
import { generator } from '../memo.ts';
import type { Assignment } from './endpoints.ts';
import { type NetworkView, networkOf } from './network-view.ts';
import { isBehindNat, tunnelGatewaysFor } from './tunnel-view.ts';

export interface UnreachedInput {
  readonly assignment: Assignment;
  readonly networks: NetworkView;
  /** See ThroughGatewaysInput. */
  readonly meshTls: boolean;
}

/** One sentence for each workload. */
export const unreachedBehindNat = generator<UnreachedInput, readonly string[]>(
  { assignment: true, networks: true, meshTls: true },
  ({ assignment, networks, meshTls }) => {
    const found = assignment.localities
      .flatMap(({ endpoints }) => endpoints)
      .flatMap(({ source, secured }) => {
        if (!isBehindNat(source)) return [];
        const reason = reasonFor(
          secured,
          meshTls,
          tunnelGatewaysFor(
            { network: networkOf(source, networks), namespace: source.namespace },
            networks.tunnelGateways,
          ),
        );
        if (reason === undefined) return [];
        const { workloadKind, namespace, workloadName, port } = source;
        return [
          `${workloadKind} ${namespace}/${workloadName} is behind NAT, and port ${port} is not called: ${reason}`,
        ];
      });
    return [...new Set(found)];
  },
);

function reasonFor(secured: boolean, meshTls: boolean, gateways: readonly unknown[]): string | undefined {
  if (!meshTls)
    return 'a tunnel carries mTLS of the mesh alone: set tls.mode of its DestinationRule to ISTIO_MUTUAL, or remove it';
  if (!secured)
    return 'a tunnel carries mTLS of the mesh alone: it needs a serviceAccount, and no PeerAuthentication with mode DISABLE';
  if (gateways.length === 0)
    return 'no Service of its namespace or of the root namespace with the label tulle.dev/tunnel-port has a gateway with a serviceAccount';
  return undefined;
}
