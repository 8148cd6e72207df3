/** What a workload behind NAT and its gateways run for the tunnels between them. */
import type { Cluster } from '../../../shared/xds/cluster.ts';
import {
  TUNNEL_ALPN,
  TUNNEL_CLUSTER,
  TUNNEL_FILTER_TYPE,
  TUNNEL_METADATA,
} from '../../../shared/xds/filters/tunnel.ts';
import type { Listener } from '../../../shared/xds/listener.ts';
import type { MeshSettings, MeshView } from '../../mesh/view.ts';
import { connectTimeout } from '../cluster/connect-timeout.ts';
import { networkOf, networkView } from '../cluster/network-view.ts';
import {
  BEHIND_NAT_LABEL,
  isBehindNat,
  TUNNEL_PORT_LABEL,
  type TunnelGateway,
  trustDomainsOf,
  tunnelGatewaysFor,
  tunnelGatewaysIn,
  tunnelIdentities,
  tunnelKey,
} from '../cluster/tunnel-view.ts';
import { generator } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { type Produced, produced } from '../output/produced.ts';
import type { ProxyView } from '../scope/proxy.ts';
import type { Instance } from '../scope/workloads.ts';
import { meshClientSocket, meshServerSocket } from '../security/tls-context.ts';
import { wildcard } from '../sidecar/inbound.ts';
import { type Parts, type Place, partsOf } from './place.ts';

/** Name of the listener that takes tunnels. */
const TUNNEL_LISTENER = 'tunnels';
/** What a workload asks for in its handshake with a gateway. */
const TUNNEL_SNI = 'tunnel.tulle.dev';

/** It keeps tunnels to gateways: by its flag, or by the label of its workload. */
export function isTunnelled({ behindNat, instances }: Pick<ProxyView, 'behindNat' | 'instances'>): boolean {
  return behindNat || instances.some(({ endpoint }) => isBehindNat(endpoint));
}

export function sameTunnelGateways(before: MeshView, view: MeshView): boolean {
  return JSON.stringify(tunnelGatewaysIn(before)) === JSON.stringify(tunnelGatewaysIn(view));
}

/** The gateways that a workload behind NAT keeps tunnels to. */
export function* sidecarTunnels(place: Place): Work<Parts> {
  const { view, proxy } = place;
  if (!isTunnelled(proxy)) return partsOf(place, {});
  yield;
  const own = proxy.instances.filter(({ endpoint }) => isBehindNat(endpoint));
  const [first] = own;
  if (!first) return partsOf(place, {}, { notes: [unlabelled(proxy)] });
  const networks = networkView(view, proxy.network);
  const gateways = tunnelGatewaysFor(
    { network: networkOf(first.endpoint, networks), namespace: first.endpoint.namespace },
    networks.tunnelGateways,
  );
  if (gateways.length === 0) return partsOf(place, {}, { notes: [NO_GATEWAY] });
  return partsOf(place, { clusters: gatewayCluster(place, own, gateways) });
}

const NO_GATEWAY = `workload behind NAT: no Service with the label ${TUNNEL_PORT_LABEL} in its namespace or the root namespace has a healthy gateway with a serviceAccount: no caller reaches it`;

function unlabelled({ ips, instances }: ProxyView): string {
  const names = [...new Set(instances.map(({ workload }) => workload.name))];
  const reason =
    names.length === 0
      ? 'no service selects it'
      : `${names.join(', ')} must have the label ${BEHIND_NAT_LABEL}: "true"`;
  return `${ips.join(', ')}: --behind-nat has no effect: ${reason}`;
}

function gatewayCluster(
  { settings }: Pick<Place, 'settings'>,
  own: readonly Instance[],
  gateways: readonly TunnelGateway[],
): readonly Produced<'clusters'>[] {
  return tunnelCluster({
    settings,
    workloads: [...new Set(own.map(({ endpoint }) => tunnelKey(endpoint)))].join(),
    ports: [...new Set(own.map(({ endpoint }) => endpoint.port))].sort((a, b) => a - b).join(),
    gateways: JSON.stringify(gateways),
  });
}

interface TunnelClusterInput {
  readonly settings: MeshSettings;
  /** Joined by commas, as the ports. */
  readonly workloads: string;
  readonly ports: string;
  readonly gateways: string;
}

const tunnelCluster = generator<TunnelClusterInput, readonly Produced<'clusters'>[]>(
  { settings: true, workloads: true, ports: true, gateways: true },
  ({ settings, workloads, ports, gateways }) => {
    const found = JSON.parse(gateways) as TunnelGateway[];
    const trustDomains = trustDomainsOf(settings);
    const identities = [...new Set(found.flatMap((gateway) => tunnelIdentities(gateway, trustDomains)))].sort();
    const cluster: Cluster = {
      name: TUNNEL_CLUSTER,
      type: 'STATIC',
      connectTimeout: connectTimeout(settings),
      loadAssignment: {
        clusterName: TUNNEL_CLUSTER,
        endpoints: [
          {
            lbEndpoints: found.map(({ address, tunnelPort: portValue }) => ({
              endpoint: { address: { socketAddress: { address, portValue } } },
            })),
          },
        ],
      },
      transportSocket: meshClientSocket(identities, trustDomains, TUNNEL_SNI, [TUNNEL_ALPN], settings.config),
      metadata: {
        filterMetadata: {
          [TUNNEL_METADATA]: { workloads: workloads.split(','), ports: ports.split(',').map(Number) },
        },
      },
    };
    return [produced('clusters', cluster, { side: 'outbound' })];
  },
);

/** Where a gateway takes tunnels. */
export function* gatewayTunnels(place: Place): Work<Parts> {
  const { proxy, settings, view } = place;
  const { tunnelPort } = proxy;
  if (tunnelPort === undefined) return partsOf(place, {});
  yield;
  const named = tunnelGatewaysIn(view).filter(({ address }) => proxy.ips.includes(address));
  const address = wildcard(proxy.ips[0] ?? '');
  const notes = named.some((gateway) => gateway.tunnelPort === tunnelPort) ? [] : [notNamed(proxy)];
  return partsOf(place, { listeners: tunnelListener({ settings, tunnelPort, address }) }, { notes });
}

function notNamed({ ips, tunnelPort }: ProxyView): string {
  return `${ips.join(', ')}: no workload is led to tunnel port ${tunnelPort}: a Service that selects the gateway needs the label ${TUNNEL_PORT_LABEL}: "${tunnelPort}"`;
}

const tunnelListener = generator<
  { settings: MeshSettings; tunnelPort: number; address: string },
  readonly Produced<'listeners'>[]
>({ settings: true, tunnelPort: true, address: true }, ({ settings, tunnelPort, address }) => {
  const listener: Listener = {
    name: TUNNEL_LISTENER,
    address: { socketAddress: { address, portValue: tunnelPort } },
    filterChains: [
      {
        transportSocket: meshServerSocket(trustDomainsOf(settings), [TUNNEL_ALPN], settings.config),
        filters: [
          {
            name: 'tulle.filters.network.tunnel_gateway',
            typedConfig: { '@type': `type.googleapis.com/${TUNNEL_FILTER_TYPE}` },
          },
        ],
      },
    ],
  };
  return [produced('listeners', listener, { side: 'gateway', port: tunnelPort })];
});
