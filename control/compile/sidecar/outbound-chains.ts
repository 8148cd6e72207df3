/** The filter chains of outbound listeners. */
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { FilterChain, Listener } from '../../../shared/xds/listener.ts';
import { ANY_DNS_CACHE, dnsCache } from '../cluster/clusters.ts';
import type { Work } from '../output/compiled-node.ts';
import type { Plugin } from '../plugins/plugin.ts';
import { pluginFilters } from '../plugins/plugin-filters.ts';
import {
  distinctChains,
  isTlsPort,
  type L4Routes,
  type OwnedChain,
  type ServiceTarget,
  serviceChains,
  subnetMatch,
  usesSni,
} from '../routes/l4-routes.ts';
import { servesHttp } from '../routes/routes.ts';
import { looksUpHosts, type OutboundPolicy } from '../scope/outbound-policy.ts';
import type { Services } from '../scope/scope.ts';
import { httpFilter } from '../wire.ts';
import { HTTP_INSPECTOR, httpManager, type ProxySettings, plainTcpProxy, TLS_INSPECTOR } from './http-manager.ts';
import { HTTP_MATCH, isSniffed, sniffedRouteName } from './sniffed-ports.ts';

/** What one group of outbound listeners calls. */
export interface Outbound extends L4Routes {
  readonly settings: ProxySettings;
  readonly services: Services;
  readonly policy: OutboundPolicy;
  readonly plugins: readonly Plugin[];
}

const dynamicForwardProxy = (dnsCacheConfig: object): HttpFilter =>
  httpFilter(
    'envoy.filters.http.dynamic_forward_proxy',
    'envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig',
    { dnsCacheConfig },
  );

/** Looks up the host of a request that no service has. */
export const LOOKS_UP_ANY: HttpFilter = dynamicForwardProxy(ANY_DNS_CACHE);

/** Looks names up for services of resolution DYNAMIC_DNS at these ports. */
function dynamicDnsFilters(services: Services, ports: readonly number[]): HttpFilter[] {
  return services.list
    .filter((service) => service.resolution === 'DYNAMIC_DNS' && ports.some((port) => servesHttp(service, port)))
    .map((service) => dynamicForwardProxy(dnsCache(service)));
}

/**
 * @param ports of the services that its routes lead to
 * @param looksUp requests to unknown hosts are sent where their host is
 */
export function httpChain(
  { services, settings, policy, plugins }: Outbound,
  listener: string,
  rds: string,
  ports: readonly number[],
  looksUp: boolean = looksUpHosts(policy),
): FilterChain {
  const grpcWeb = services.list.some((service) =>
    service.ports.some(({ number, protocol }) => protocol === 'GRPC-WEB' && ports.includes(number)),
  );
  const manager = httpManager(settings, {
    side: 'outbound',
    statPrefix: `outbound_${listener};`,
    policies: pluginFilters(plugins, 'CLIENT', ports).http,
    routes: { rds },
    grpcWeb,
    last: [...dynamicDnsFilters(services, ports), ...(looksUp ? [LOOKS_UP_ANY] : [])],
  });
  return { filters: [manager], transportSocketConnectTimeout: '15s' };
}

export const allPorts = ({ list }: Services): number[] =>
  list.flatMap((service) => service.ports.map(({ number }) => number));

/** The chain of what is HTTP on a port that declares no protocol. */
function sniffedChain(input: Outbound, listener: string, target: ServiceTarget, captured: boolean): FilterChain {
  const { port, addresses = [] } = target;
  const rds = sniffedRouteName(input.services.list, target, captured);
  const filterChainMatch = { ...subnetMatch(addresses), ...HTTP_MATCH };
  return { ...httpChain(input, listener, rds, [port.number]), filterChainMatch };
}

/** What chains are chosen by has to be read first. */
export function inspectors(chains: readonly FilterChain[]): Pick<Listener, 'listenerFilters'> {
  const detects = chains.some(({ filterChainMatch }) => filterChainMatch?.applicationProtocols?.includes('h2c'));
  const listenerFilters = [...(usesSni(chains) ? [TLS_INSPECTOR] : []), ...(detects ? [HTTP_INSPECTOR] : [])];
  return listenerFilters.length > 0 ? { listenerFilters } : {};
}

/**
 * The chains of one address and port. `shared`: other services may come there, so TLS ones are distinguished by SNI; of
 * those that are not, the first has what no other chain takes.
 */
export function* tcpChains(
  input: Outbound,
  name: string,
  targets: readonly ServiceTarget[],
  { shared, captured }: { readonly shared: boolean; readonly captured: boolean },
): Work<FilterChain[]> {
  const chains: OwnedChain[] = [];
  for (const target of targets) {
    if (isSniffed(target.port)) chains.push({ chain: sniffedChain(input, name, target, captured), owner: undefined });
    const { beforeAuthorization: first, afterAuthorization: second } = pluginFilters(input.plugins, 'CLIENT', [
      target.port.number,
    ]);
    const own = serviceChains(input, target, shared && isTlsPort(target.port));
    for (const { chain, owner } of own)
      chains.push({ chain: { ...chain, filters: [...first, ...second, ...(chain.filters ?? [])] }, owner });
    yield;
  }
  const matched = chains.filter(({ chain }) => chain.filterChainMatch !== undefined);
  // What takes every connection goes last, so that no other target's chain is hidden behind it.
  return distinctChains(name, [...matched, ...chains.filter((one) => !matched.includes(one))], input);
}

/** What takes connections that no other chain of a listener takes. */
export function passthroughChain({ settings, policy }: Pick<Outbound, 'settings' | 'policy'>): FilterChain {
  return { name: 'PassthroughFilterChain', filters: [plainTcpProxy(settings.telemetry.client, policy.connections)] };
}
