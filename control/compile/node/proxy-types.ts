/** The types of proxies, by the first word of their node id: the only list of them. A type is one row. */
import type { Work } from '../output/compiled-node.ts';
import type { ProxyTraits } from '../scope/proxy.ts';
import { gatewayServers } from './gateway-proxy.ts';
import type { Parts, Place } from './place.ts';
import { sidecarInbound, sidecarOutbound, sidecarPeers } from './sidecar-proxy.ts';
import { gatewayTunnels, sidecarTunnels } from './tunnels.ts';

export interface ProxyType extends ProxyTraits {
  /** What it runs besides the clusters of the services that it may call, in this order. */
  readonly generators: readonly ((place: Place) => Work<Parts>)[];
}

const SIDECAR: ProxyType = {
  followsSidecars: true,
  passesThrough: true,
  readsCredentials: 'selected',
  detectsProtocols: true,
  readsEndpoints: false,
  fetchesOnDemand: true,
  generators: [sidecarInbound, sidecarOutbound, sidecarPeers, sidecarTunnels],
};

export const PROXY_TYPES: ReadonlyMap<string, ProxyType> = new Map([
  ['sidecar', SIDECAR],
  [
    'router',
    {
      followsSidecars: false,
      passesThrough: false,
      readsCredentials: 'always',
      detectsProtocols: false,
      readsEndpoints: true,
      fetchesOnDemand: false,
      generators: [gatewayServers, gatewayTunnels],
    },
  ],
  ['worker', { ...SIDECAR, readsCredentials: 'never', fetchesOnDemand: false }],
]);
