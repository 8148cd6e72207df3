/**
 * Workloads behind NAT: no peer can dial them, so they keep tunnels to gateways, and every caller reaches them by these. The
 * gateways forward mTLS connections by SNI, as those between networks do.
 */
import { isIpAddress } from '../../../shared/match/cidr.ts';
import { compare } from '../../mesh/sorted-list.ts';
import type { MeshEndpoint, MeshService, MeshSettings, MeshView } from '../../mesh/view.ts';

/** Label of a workload: `true`. */
export const BEHIND_NAT_LABEL = 'tulle.dev/behind-nat';
/** Label of the Service of tunnel gateways: the port at which they take tunnels. */
export const TUNNEL_PORT_LABEL = 'tulle.dev/tunnel-port';
/** Labels of Istio's gateways between networks, whose port for mTLS is used here too. */
export const NETWORK_LABEL = 'topology.istio.io/network';
export const PORT_LABEL = 'networking.istio.io/gatewayPort';
/** Where Istio's gateways between networks take mTLS. */
export const GATEWAY_PORT = 15443;

/** One gateway: its Service, or the gateway itself, has no address of its own where it shares one with others. */
export interface TunnelGateway {
  /** Of its Service, '' where that names none. */
  readonly network: string;
  readonly address: string;
  /** Where it takes the mTLS connections of callers. */
  readonly port: number;
  /** Where it takes tunnels. */
  readonly tunnelPort: number;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** It is of the root namespace, and serves workloads of every namespace; others serve those of their own. */
  readonly servesAll: boolean;
}

export function isBehindNat({ labels }: Pick<MeshEndpoint, 'labels'>): boolean {
  return labels[BEHIND_NAT_LABEL] === 'true';
}

/** Names the workload of an endpoint to its gateways: an address may be another workload's in another network. */
export function tunnelKey({ network, namespace, address }: MeshEndpoint): string {
  return `${network}/${namespace}/${address}`;
}

/** SPIFFE ids that the workload of an endpoint may have; none: it has no service account. */
export function tunnelIdentities(
  { namespace, serviceAccount }: Pick<MeshEndpoint, 'namespace' | 'serviceAccount'>,
  trustDomains: readonly string[],
): string[] {
  if (serviceAccount === '') return [];
  return trustDomains.map((domain) => `spiffe://${domain}/ns/${namespace}/sa/${serviceAccount}`);
}

export function trustDomainsOf({
  trustDomain,
  trustDomainAliases = [],
}: Pick<MeshSettings, 'trustDomain' | 'trustDomainAliases'>): string[] {
  return [trustDomain, ...trustDomainAliases];
}

/** All of the mesh, sorted by address and port. A workload keeps tunnels to each: they need an address each. */
export function tunnelGatewaysIn(view: Pick<MeshView, 'settings' | 'services' | 'endpoints'>): TunnelGateway[] {
  const found = labelled(view.services).flatMap((service) => gatewaysOf(view, service));
  return found.sort((a, b) => compare(`${a.address} ${a.tunnelPort}`, `${b.address} ${b.tunnelPort}`));
}

function gatewaysOf(view: Pick<MeshView, 'settings' | 'endpoints'>, service: MeshService): TunnelGateway[] {
  const { labels } = service;
  const tunnelPort = portOf(labels[TUNNEL_PORT_LABEL]);
  const port = portOf(labels[PORT_LABEL] ?? `${GATEWAY_PORT}`);
  if (tunnelPort === undefined || port === undefined) return [];
  const network = labels[NETWORK_LABEL] ?? '';
  const byAddress = new Map<string, TunnelGateway>();
  for (const { address, healthy, namespace, serviceAccount } of view.endpoints(service))
    if (healthy && serviceAccount !== '' && isIpAddress(address))
      byAddress.set(address, {
        ...{ network, address, port, tunnelPort, namespace, serviceAccount },
        servesAll: namespace === view.settings.rootNamespace,
      });
  return [...byAddress.values()];
}

function portOf(value: string | undefined): number | undefined {
  const port = Number(value);
  return /^\d{1,5}$/.test(value ?? '') && port > 0 && port < 65536 ? port : undefined;
}

const labelledServices = new WeakMap<readonly MeshService[], readonly MeshService[]>();

function labelled(services: readonly MeshService[]): readonly MeshService[] {
  let found = labelledServices.get(services);
  if (!found) labelledServices.set(services, (found = services.filter(({ labels }) => labels[TUNNEL_PORT_LABEL])));
  return found;
}

/**
 * The gateways that serve workloads of a namespace in a network: those of the network itself, all where it has none. Gateways of
 * another namespace than the root namespace are not trusted with the workloads of others: they say who calls.
 */
export function tunnelGatewaysFor<Gateway extends Pick<TunnelGateway, 'network' | 'namespace' | 'servesAll'>>(
  { network, namespace }: { readonly network: string; readonly namespace: string },
  gateways: readonly Gateway[],
): readonly Gateway[] {
  const trusted = gateways.filter((gateway) => gateway.servesAll || gateway.namespace === namespace);
  const own = trusted.filter((gateway) => gateway.network === network);
  return own.length > 0 ? own : trusted;
}
