/**
 * The `tcp` and `tls` rules of route forms (networking.istio.io TCPRoute, TLSRoute) -> filter chains. What is known at
 * compile time (port, gateway, source labels) is evaluated here; SNI and destination subnets become filter-chain matches.
 */
import { ipText, parseCidr } from '../../../shared/match/cidr.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { L4MatchAttributes, TlsMatchAttributes } from '../../../shared/resources/schema/virtual-service.ts';
import type { FilterChain, FilterChainMatch, NetworkFilter } from '../../../shared/xds/listener.ts';
import type { RouteForm, TcpRule, TlsRule } from '../../mesh/routes/route-form.ts';
import type { MeshService, ServicePort } from '../../mesh/view.ts';
import { dnsCache } from '../cluster/clusters.ts';
import { hostCovers, outboundCluster } from '../names.ts';
import type { Finding } from '../output/finding.ts';
import { type ProxySettings, type TcpSettings, tcpProxy, weightedTcpProxy } from '../sidecar/http-manager.ts';
import { networkFilter } from '../wire.ts';
import { destinationPortOf, type RouteCaller } from './form-routes.ts';
import { aliasNames } from './host-names.ts';

/** What connections are routed by. */
export interface L4Routes extends TcpSettings {
  readonly settings: ProxySettings;
  readonly forms: readonly RouteForm[];
  readonly caller: RouteCaller;
  /** Takes what is not in force as written and belongs to no resource. */
  note(message: string): void;
  /** Takes what of a resource is not in force as written. */
  onError(finding: Finding): void;
}

/** A filter chain and the field of a resource that asks for it; undefined: it is that of a service itself. */
export interface OwnedChain {
  readonly chain: FilterChain;
  readonly owner: { readonly about: Resource; readonly path: string } | undefined;
}

/** The service port that chains are for. */
export interface ServiceTarget {
  service: MeshService;
  port: ServicePort;
  /** Addresses that the client must connect to, in chains that no other criterion has; absent: any. */
  addresses?: readonly string[];
}

export const isTlsPort = (port: ServicePort): boolean => port.protocol === 'TLS' || port.protocol === 'HTTPS';

/**
 * The chains of a service port that is not HTTP: what rules say, then the service itself.
 * @param bySni other services may come to the same address, so the service's own chain is found by its host name
 */
export function serviceChains(input: L4Routes, target: ServiceTarget, bySni: boolean): OwnedChain[] {
  const { service, port } = target;
  const routed = isTlsPort(port) ? tlsChains(input, target) : tcpChains(input, target);
  if (routed.final) return routed.chains;
  // A wildcard SNI `*.example.com` is a legal server name; `*` alone is no name at all.
  if (bySni && service.hostname === '*') return routed.chains;
  const dynamic = service.resolution === 'DYNAMIC_DNS' && isTlsPort(port) && service.hostname !== '*';
  const match: FilterChainMatch = {
    ...(target.addresses && subnetMatch(target.addresses)),
    ...((bySni || dynamic) && { serverNames: [service.hostname, ...aliasServerNames(input, service)] }),
  };
  const filters = [tcpProxy(input, outboundCluster(port.number, undefined, service.hostname))];
  if (dynamic) filters.unshift(sniForwardProxy(service, port));
  return [...routed.chains, { chain: chainOf(match, filters), owner: undefined }];
}

/** As istiod: of an alias also its short names. */
function aliasServerNames({ caller, settings }: L4Routes, service: MeshService): readonly string[] {
  const names = aliasNames(service, `${caller.namespace}.svc.${settings.domainSuffix}`);
  return names.filter((name) => !name.endsWith('.'));
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
  chains: OwnedChain[];
  /** Nothing is left for the service's own chain. */
  final: boolean;
}

/** As istiod: any TLS route that applies takes the port over; other names are not served there. */
function tlsChains(input: L4Routes, { service, port }: ServiceTarget): Routed {
  const chains: OwnedChain[] = [];
  for (const form of formsOf(input, service.hostname))
    for (const rule of form.tls)
      for (const match of rule.match) {
        if (!applies(input, match, 'mesh', port.number)) continue;
        const criteria = { ...sniMatch(match), ...subnetMatch(match.destinationSubnets ?? []) };
        const chain = chainOf(criteria, [destinationFilter(input, form, rule, port.number)]);
        chains.push({ chain, owner: { about: form.origin.resource, path: 'spec.tls' } });
      }
  return { chains, final: chains.length > 0 };
}

function tcpChains(input: L4Routes, { service, port, addresses }: ServiceTarget): Routed {
  const chains: OwnedChain[] = [];
  for (const form of formsOf(input, service.hostname))
    for (const rule of form.tcp) {
      const { match: matches = [], route = [] } = rule;
      if (route.length === 0) continue;
      const applying = matches.filter((match) => applies(input, match, 'mesh', port.number));
      if (matches.length > 0 && applying.length === 0) continue;
      const subnets = applying.map((match) => match.destinationSubnets ?? []);
      const filters = [destinationFilter(input, form, rule, port.number)];
      // A match without subnets, or no match at all, takes every connection: nothing behind it is reached.
      const everything = applying.length === 0 || subnets.some((list) => list.length === 0);
      const criteria = everything ? addresses && subnetMatch(addresses) : subnetMatch(subnets.flat());
      chains.push({
        chain: chainOf(criteria, filters),
        owner: { about: form.origin.resource, path: 'spec.tcp' },
      });
      if (everything) return { chains, final: true };
    }
  return { chains, final: false };
}

/** The forms for a host, in Istio's order. */
function formsOf({ forms }: L4Routes, hostname: string): readonly RouteForm[] {
  return forms.filter(({ hosts }) => hosts.some((host) => hostCovers(host, hostname)));
}

/** Judges what is known before any connection. At a gateway there is no source but the gateway itself. */
export function applies(
  { caller }: L4Routes,
  match: L4MatchAttributes | TlsMatchAttributes,
  gateway: string,
  port: number,
): boolean {
  const { port: wanted = 0, gateways = [], sourceLabels = {}, sourceNamespace = '' } = match;
  if (wanted !== 0 && wanted !== port) return false;
  if (gateways.length > 0 && !gateways.includes(gateway)) return false;
  if (gateway !== 'mesh') return true;
  for (const [key, value] of Object.entries(sourceLabels)) if (caller.labels[key] !== value) return false;
  return sourceNamespace === '' || sourceNamespace === caller.namespace;
}

/** The tcp_proxy of a rule: one destination, or several by weight. */
export function destinationFilter(
  input: L4Routes,
  { origin, tcp }: RouteForm,
  rule: TcpRule | TlsRule,
  port: number,
): NetworkFilter {
  const { route = [] } = rule;
  const clusterOf = ({ destination: { host, subset, port: named } }: NonNullable<TcpRule['route']>[number]) =>
    outboundCluster(named?.number ?? destinationPortOf(input.destinations, host, port), subset, host);
  const [first, ...others] = route;
  if (first && others.length === 0) return tcpProxy(input, clusterOf(first));
  const clusters = route
    .map((to) => ({ name: clusterOf(to), weight: to.weight ?? 0 }))
    .filter(({ weight }) => weight > 0);
  const name = `${origin.resource.metadata.name}.${origin.namespace}`;
  return weightedTcpProxy(input, name, clusters, () =>
    input.onError({
      about: origin.resource,
      reason: 'RuleNotTranslated',
      message:
        `spec.${tcp.includes(rule) ? 'tcp' : 'tls'}: the destinations ${clusters.map(({ name }) => name).join(', ')} of one ` +
        'route have different tunnels: its connections are refused',
    }),
  );
}

/** `sniHosts` as Envoy's server names; `*` is every name, so no criterion. */
export function sniMatch({ sniHosts: serverNames }: TlsMatchAttributes): FilterChainMatch {
  return serverNames.length === 0 || serverNames.includes('*') ? {} : { serverNames };
}

/** Connections to these addresses, host bits cleared: two spellings of one range are one criterion. */
export function subnetMatch(subnets: readonly string[]): FilterChainMatch {
  if (subnets.length === 0) return {};
  return { prefixRanges: subnets.map(rangeOf) };
}

function rangeOf(subnet: string): NonNullable<FilterChainMatch['prefixRanges']>[number] {
  const cidr = parseCidr(subnet);
  const [addressPrefix = ''] = subnet.split('/');
  return { addressPrefix: cidr.hostBits ? ipText(cidr) : addressPrefix, prefixLen: cidr.prefixLength };
}

export function chainOf(match: FilterChainMatch | undefined, filters: NetworkFilter[]): FilterChain {
  return {
    ...(match && Object.keys(match).length > 0 && { filterChainMatch: match }),
    filters,
    transportSocketConnectTimeout: '15s',
  };
}

/**
 * Two chains for the same connections would make Envoy refuse the whole listener: the first one has them. Each address range and
 * each server name is a criterion of its own.
 */
export function distinctChains(
  listener: string,
  chains: readonly OwnedChain[],
  { note, onError }: Pick<L4Routes, 'note' | 'onError'>,
): FilterChain[] {
  const taken = new Set<string>();
  const report = (owner: OwnedChain['owner'], name: string) => {
    const message = `listener ${listener}: ${name === '' ? 'its connections belong' : `${name} belongs`} to an earlier route or server`;
    if (owner) onError({ about: owner.about, reason: 'RuleWithoutEffect', message: `${owner.path}: ${message}` });
    else note(message);
  };
  return chains.flatMap(({ chain, owner }) => {
    const { serverNames = [], prefixRanges = [], ...rest } = chain.filterChainMatch ?? {};
    const criteria = JSON.stringify(rest);
    const ranges = prefixRanges.length > 0 ? prefixRanges : [undefined];
    const key = (name: string, range: (typeof ranges)[number]) =>
      `${criteria} ${range ? `${range.addressPrefix}/${range.prefixLen}` : ''} ${name.toLowerCase()}`;
    const names = [...new Set(serverNames.length > 0 ? serverNames : [''])];
    const freeNames = names.filter((name) => ranges.some((range) => !taken.has(key(name, range))));
    const freeRanges = ranges.filter((range) => freeNames.every((name) => !taken.has(key(name, range))));
    for (const name of names) if (!freeNames.includes(name) || freeRanges.length === 0) report(owner, name);
    for (const name of freeNames) for (const range of freeRanges) taken.add(key(name, range));
    if (freeNames.length === 0 || freeRanges.length === 0) return [];
    if (freeNames.length === serverNames.length && freeRanges.length === ranges.length) return [chain];
    if (serverNames.length === 0 && freeRanges.length === ranges.length) return [chain];
    return [
      {
        ...chain,
        filterChainMatch: {
          ...rest,
          ...(prefixRanges.length > 0 && { prefixRanges: freeRanges.flatMap((range) => range ?? []) }),
          ...(serverNames.length > 0 && { serverNames: freeNames }),
        },
      },
    ];
  });
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
