/** Outbound listeners that captured connections are handed to by the address they were sent to. */
import type { FilterChain, Listener } from '../../../shared/xds/listener.ts';
import type { MeshSettings } from '../../mesh/view.ts';
import { BLACK_HOLE } from '../names.ts';
import type { Work } from '../output/compiled-node.ts';
import { distinctChains, type OwnedChain, type ServiceTarget, usesSni, withDefault } from '../routes/l4-routes.ts';
import { catchAll, httpPorts } from '../routes/routes.ts';
import { type EgressGroup, servesAllPorts } from '../scope/egress.ts';
import { looksUpHosts } from '../scope/outbound-policy.ts';
import { tcpTargets } from './bound-listeners.ts';
import {
  countsAttempts,
  detectionTimeout,
  HTTP_INSPECTOR,
  httpManager,
  NOT_LOGGED,
  plainTcpProxy,
  TLS_INSPECTOR,
} from './http-manager.ts';
import {
  allPorts,
  httpChain,
  inspectors,
  LOOKS_UP_ANY,
  type Outbound,
  passthroughChain,
  tcpChains,
} from './outbound-chains.ts';
import { HTTP_MATCH, isSniffed, ownAddresses } from './sniffed-ports.ts';

/**
 * The listeners of one group: HTTP services at the wildcard address, others at their own addresses.
 * @param any the wildcard address of the proxy's address family
 */
export function* capturedListeners(input: Outbound, group: EgressGroup, any: string): Work<Listener[]> {
  const { settings } = input;
  const listeners = new Map<string, Listener>();
  const { port: own } = group;
  if (own && servesAllPorts(group)) {
    const name = `${any}_${own.number}`;
    const chain = httpChain(input, name, String(own.number), allPorts(input.services));
    return [{ ...captured(settings, name, any, own.number), filterChains: [chain] }];
  }
  for (const port of httpPorts(input.services)) {
    const name = `${any}_${port}`;
    const chain = httpChain(input, name, String(port), [port]);
    chain.filterChainMatch = HTTP_MATCH;
    listeners.set(name, {
      ...captured(settings, name, any, port),
      filterChains: [chain],
      defaultFilterChain: passthroughChain(input),
      listenerFilters: [HTTP_INSPECTOR],
    });
    yield;
  }
  for (const target of tcpTargets(input)) yield* addTcp(input, listeners, target, any);
  return [...listeners.values()];
}

/** A listener at each virtual IP; address ranges, and what has none, are at the wildcard address. */
function* addTcp(input: Outbound, listeners: Map<string, Listener>, target: ServiceTarget, any: string): Work<void> {
  const own = ownAddresses(target.service, true);
  const ranges = target.service.addresses.filter((address) => address.includes('/'));
  for (const address of own) yield* addTcpAt(input, listeners, target, address, any);
  if (ranges.length > 0) yield* addTcpAt(input, listeners, { ...target, addresses: ranges }, any, any);
  else if (own.length === 0) yield* addTcpAt(input, listeners, target, any, any);
}

function* addTcpAt(
  input: Outbound,
  listeners: Map<string, Listener>,
  target: ServiceTarget,
  address: string,
  any: string,
): Work<void> {
  const { service, port } = target;
  const name = `${address}_${port.number}`;
  const existing = listeners.get(name);
  // Its HTTP is routed with that of the services that declare it.
  if (existing && isSniffed(port)) return;
  const own = yield* tcpChains(input, name, [target], { shared: address === any, captured: true });
  const matched = own.every(({ filterChainMatch }) => filterChainMatch !== undefined);
  if (!existing) {
    const { filterChains, defaultFilterChain } = withDefault(own);
    const listener = { ...captured(input.settings, name, address, port.number), filterChains, ...inspectors(own) };
    if (defaultFilterChain) listener.defaultFilterChain = defaultFilterChain;
    else if (matched && address === any) listener.defaultFilterChain = passthroughChain(input);
    listeners.set(name, listener);
  } else if (matched && address === any) {
    existing.filterChains = distinctChains(name, [...(existing.filterChains ?? []), ...own].map(unowned), input);
    if (usesSni(own) && !existing.listenerFilters?.some((filter) => filter.name === TLS_INSPECTOR.name))
      existing.listenerFilters = [TLS_INSPECTOR, ...(existing.listenerFilters ?? [])];
  } else
    input.note(
      `${service.hostname}:${port.number} has no listener: ${name} is taken; ` +
        'give it an address of its own (spec.addresses), or another port',
    );
}

/** Two services that want the same connections: whose route it was is reported where each was made. */
const unowned = (chain: FilterChain): OwnedChain => ({ chain, owner: undefined });

function captured(settings: MeshSettings, name: string, address: string, port: number): Listener {
  return {
    name,
    address: { socketAddress: { address, portValue: port } },
    bindToPort: false,
    trafficDirection: 'OUTBOUND',
    listenerFiltersTimeout: detectionTimeout(settings),
    continueOnListenerFiltersTimeout: true,
  };
}

/** What all captured connections come to. */
export function virtualOutbound({ settings, policy }: Pick<Outbound, 'settings' | 'policy'>, any: string): Listener {
  const port = settings.config.proxyListenPort ?? 15001;
  const looksUp = looksUpHosts(policy);
  const others: FilterChain = {
    name: 'virtualOutbound-catchall-tcp',
    filters: [plainTcpProxy(settings.telemetry.client, policy.connections)],
  };
  return {
    name: 'virtualOutbound',
    address: { socketAddress: { address: any, portValue: port } },
    trafficDirection: 'OUTBOUND',
    useOriginalDst: true,
    filterChains: [
      {
        name: 'virtualOutbound-blackhole',
        filterChainMatch: { destinationPort: port },
        filters: [plainTcpProxy(NOT_LOGGED, BLACK_HOLE)],
      },
      looksUp ? unknownHttpChain(settings, policy) : others,
    ],
    ...(looksUp && {
      // Envoy does not return from chains for plain text, which are chosen first, to one without criteria.
      defaultFilterChain: others,
      listenerFilters: [HTTP_INSPECTOR],
      listenerFiltersTimeout: detectionTimeout(settings),
      continueOnListenerFiltersTimeout: true,
    }),
  };
}

/** Requests to addresses that no listener has, sent where their host is. */
function unknownHttpChain(settings: Outbound['settings'], { requests }: Outbound['policy']): FilterChain {
  const name = 'virtualOutbound-catchall-http';
  const manager = httpManager(settings, {
    side: 'outbound',
    statPrefix: name,
    routes: {
      inline: {
        name,
        validateClusters: false,
        virtualHosts: [catchAll({ requests, counts: countsAttempts(settings) })],
      },
    },
    last: [LOOKS_UP_ANY],
  });
  return { name, filterChainMatch: HTTP_MATCH, filters: [manager] };
}
