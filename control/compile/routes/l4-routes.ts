/**
 * VirtualService `tcp` and `tls` routes (networking.istio.io TCPRoute, TLSRoute) -> filter chains. What is known at
 * compile time (port, gateway, source labels) is evaluated here; SNI and destination subnets become filter-chain matches.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { FilterChain, FilterChainMatch, NetworkFilter } from '../../../shared/xds/listener.ts';
import { type Fields, fields, namespaceOf, numeric, objects, specOf, strings, text } from '../../mesh/fields.ts';
import type { MeshService, MeshSettings, ServicePort } from '../../mesh/view.ts';
import { dnsCache } from '../cluster/clusters.ts';
import { hostCovers, outboundCluster, resolveHost } from '../names.ts';
import { type TcpSettings, tcpProxy, weightedTcpProxy } from '../sidecar/http-manager.ts';
import { networkFilter } from '../wire.ts';
import { boundToMesh } from './routes.ts';
import { resolveGatewayName } from './virtual-service-match.ts';
import { destinationPortOf, type RouteCaller } from './virtual-service-routes.ts';

/** What connections are routed by. */
export interface L4Routes extends TcpSettings {
  readonly settings: MeshSettings;
  readonly virtualServices: readonly Resource[];
  readonly caller: RouteCaller;
}

/** What a service's chains are beside the VirtualServices. */
export interface ServiceTarget {
  service: MeshService;
  port: ServicePort;
  /** Addresses that the client must connect to, in chains that no other criterion has; absent: any. */
  addresses?: readonly string[];
}

export const isTlsPort = (port: ServicePort): boolean => port.protocol === 'TLS' || port.protocol === 'HTTPS';

/**
 * The chains of a service port that is not HTTP: what VirtualServices say, then the service itself.
 * @param bySni other services may come to the same address, so the service's own chain is found by its host name
 */
export function serviceChains(input: L4Routes, target: ServiceTarget, bySni: boolean): FilterChain[] {
  const { service, port } = target;
  const routed = isTlsPort(port) ? tlsChains(input, target) : tcpChains(input, target);
  if (routed.final) return routed.chains;
  // A wildcard SNI `*.example.com` is a legal server name; `*` alone is no name at all.
  if (bySni && service.hostname === '*') return routed.chains;
  const dynamic = service.resolution === 'DYNAMIC_DNS' && isTlsPort(port) && service.hostname !== '*';
  const match =
    bySni || dynamic ? { serverNames: [service.hostname] } : target.addresses && subnetMatch(target.addresses);
  const filters = [tcpProxy(input, outboundCluster(port.number, undefined, service.hostname))];
  if (dynamic) filters.unshift(sniForwardProxy(service, port));
  return [...routed.chains, chainOf(match, filters)];
}

/** Looks up the server name that the client asks for. */
function sniForwardProxy(service: MeshService, port: ServicePort): NetworkFilter {
  return networkFilter(
    'envoy.extensions.filters.network.sni_dynamic_forward_proxy',
    'envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig',
    { dnsCacheConfig: dnsCache(service), portValue: port.number },
  );
}

interface Routed {
  chains: FilterChain[];
  /** Nothing is left for the service's own chain. */
  final: boolean;
}

/** As istiod: any TLS route that applies takes the port over; other names are not served there. */
function tlsChains(input: L4Routes, { service, port }: ServiceTarget): Routed {
  const chains: FilterChain[] = [];
  for (const vs of meshServices(input, service.hostname))
    for (const rule of objects(specOf(vs)['tls']))
      for (const match of objects(rule['match'])) {
        if (!applies(input, vs, match, 'mesh', port.number)) continue;
        chains.push(
          chainOf({ ...sniMatch(match), ...subnetMatch(strings(match['destinationSubnets'])) }, [
            destinationFilter(input, vs, rule, port.number),
          ]),
        );
      }
  return { chains, final: chains.length > 0 };
}

function tcpChains(input: L4Routes, { service, port, addresses }: ServiceTarget): Routed {
  const chains: FilterChain[] = [];
  for (const vs of meshServices(input, service.hostname))
    for (const rule of objects(specOf(vs)['tcp'])) {
      const matches = objects(rule['match']);
      const applying = matches.filter((match) => applies(input, vs, match, 'mesh', port.number));
      if (matches.length > 0 && applying.length === 0) continue;
      const subnets = applying.map((match) => strings(match['destinationSubnets']));
      const filters = [destinationFilter(input, vs, rule, port.number)];
      // A match without subnets, or no match at all, takes every connection: nothing behind it is reached.
      const everything = applying.length === 0 || subnets.some((list) => list.length === 0);
      chains.push(chainOf(everything ? addresses && subnetMatch(addresses) : subnetMatch(subnets.flat()), filters));
      if (everything) return { chains, final: true };
    }
  return { chains, final: false };
}

/** VirtualServices of the mesh for a host, in Istio's order. */
function meshServices(input: L4Routes, hostname: string): Resource[] {
  return input.virtualServices.filter((vs) => {
    if (!boundToMesh(vs)) return false;
    const namespace = namespaceOf(vs);
    return strings(specOf(vs)['hosts']).some((host) =>
      hostCovers(resolveHost(host, namespace, input.settings.domainSuffix), hostname),
    );
  });
}

/** Judges what is known before any connection. At a gateway there is no source but the gateway itself. */
export function applies(input: L4Routes, vs: Resource, match: Fields, gateway: string, port: number): boolean {
  const wanted = numeric(match['port']) ?? 0;
  if (wanted !== 0 && wanted !== port) return false;
  const gateways = strings(match['gateways']).map((name) => resolveGatewayName(name, namespaceOf(vs)));
  if (gateways.length > 0 && !gateways.includes(gateway)) return false;
  if (gateway !== 'mesh') return true;
  for (const [key, value] of Object.entries(fields(match['sourceLabels'])))
    if (input.caller.labels[key] !== value) return false;
  const namespace = text(match['sourceNamespace']) ?? '';
  return namespace === '' || namespace === input.caller.namespace;
}

/** The tcp_proxy of a rule: one destination, or several by weight. */
export function destinationFilter(input: L4Routes, vs: Resource, rule: Fields, port: number): NetworkFilter {
  const routes = objects(rule['route']);
  const clusterOf = (route: Fields) => {
    const destination = fields(route['destination']);
    const host = resolveHost(text(destination['host']) ?? '', namespaceOf(vs), input.settings.domainSuffix);
    const number = numeric(fields(destination['port'])['number']) ?? destinationPortOf(input.destinations, host, port);
    return outboundCluster(number, text(destination['subset']), host);
  };
  const [first, ...others] = routes;
  if (first && others.length === 0) return tcpProxy(input, clusterOf(first));
  const clusters = routes
    .map((route) => ({ name: clusterOf(route), weight: numeric(route['weight']) ?? 0 }))
    .filter(({ weight }) => weight > 0);
  return weightedTcpProxy(input.settings, `${vs.metadata.name}.${namespaceOf(vs)}`, clusters);
}

/** `sniHosts` as Envoy's server names; `*` is every name, so no criterion. */
export function sniMatch(match: Fields): FilterChainMatch {
  const serverNames = strings(match['sniHosts']);
  return serverNames.length === 0 || serverNames.includes('*') ? {} : { serverNames };
}

function subnetMatch(subnets: readonly string[]): FilterChainMatch {
  if (subnets.length === 0) return {};
  return {
    prefixRanges: subnets.map((subnet) => {
      const [addressPrefix = '', length] = subnet.split('/');
      return { addressPrefix, prefixLen: length === undefined ? (addressPrefix.includes(':') ? 128 : 32) : +length };
    }),
  };
}

export function chainOf(match: FilterChainMatch | undefined, filters: NetworkFilter[]): FilterChain {
  return {
    ...(match && Object.keys(match).length > 0 && { filterChainMatch: match }),
    filters,
    transportSocketConnectTimeout: '15s',
  };
}

/** Two chains for the same connections would make Envoy refuse the whole listener: the first one has them. */
export function distinctChains(
  listener: string,
  chains: readonly FilterChain[],
  note: (message: string) => void,
): FilterChain[] {
  const taken = new Set<string>();
  const out: FilterChain[] = [];
  for (const chain of chains) {
    const { serverNames = [''], ...rest } = chain.filterChainMatch ?? {};
    const key = (name: string) => `${JSON.stringify(rest)} ${name.toLowerCase()}`;
    const free = [...new Set(serverNames)].filter((name) => !taken.has(key(name)));
    for (const name of serverNames)
      if (taken.has(key(name)))
        note(`listener ${listener}: ${name === '' ? 'connections' : name} of a later route belong to an earlier one`);
    for (const name of free) taken.add(key(name));
    if (free.length === 0) continue;
    out.push(
      free.length === serverNames.length ? chain : { ...chain, filterChainMatch: { ...rest, serverNames: free } },
    );
  }
  return out;
}

/** As istiod: of several chains the one without criteria is the listener's default. */
export function withDefault(chains: readonly FilterChain[]): {
  filterChains: FilterChain[];
  defaultFilterChain?: FilterChain;
} {
  const open = chains.find((chain) => chain.filterChainMatch === undefined);
  if (!open || chains.length === 1) return { filterChains: [...chains] };
  return { filterChains: chains.filter((chain) => chain !== open), defaultFilterChain: open };
}

export const usesSni = (chains: readonly FilterChain[]): boolean =>
  chains.some((chain) => (chain.filterChainMatch?.serverNames?.length ?? 0) > 0);
