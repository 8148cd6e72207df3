/** Which filter chain of a listener a connection takes: Envoy's order (envoy.config.listener.v3.FilterChainMatch). */
import { type Cidr, cidrContainsIp, cidrOf, parseIp } from '../../../../shared/match/cidr.ts';
import type { FilterChain, FilterChainMatch, Listener, ListenerPredicate } from '../../../../shared/xds/listener.ts';
import type { Connection } from './call.ts';

/** How well a match fits a connection: undefined not at all, 0 it does not ask, more is more specific. */
type Fit = (match: FilterChainMatch) => number | undefined;

export type ChosenChain = { chain: FilterChain } | { error: string };

/** The chain of `listener` for `call`; Envoy never goes back to a criterion that it has decided. */
export function chainOf(listener: Listener, call: Connection): ChosenChain {
  let left = listener.filterChains ?? [];
  for (const fit of criteria(listener, call)) left = best(left, fit);
  if (left.length > 1) return { error: 'multiple filter chains matched' };
  const chain = left[0] ?? listener.defaultFilterChain;
  return chain ? { chain } : { error: 'no filter chains matched' };
}

function best(chains: readonly FilterChain[], fit: Fit): FilterChain[] {
  const fits = chains.map((chain) => fit(chain.filterChainMatch ?? {}));
  const most = Math.max(...fits.map((one) => one ?? -1));
  return chains.filter((_, i) => fits[i] === most && most >= 0);
}

function criteria(listener: Listener, call: Connection): Fit[] {
  const inspects = (name: string) =>
    (listener.listenerFilters ?? []).some(
      (filter) => filter.name.endsWith(name) && !(filter.filterDisabled && holds(filter.filterDisabled, call.port)),
    );
  const readsTls = inspects('tls_inspector');
  const transport = readsTls && call.tls !== 'plaintext' ? 'tls' : 'raw_buffer';
  const alpn = alpnSeen(call, readsTls, inspects('http_inspector'));
  return [
    ({ destinationPort }) => (destinationPort === undefined ? 0 : destinationPort === call.port ? 1 : undefined),
    ({ prefixRanges = [] }) => (prefixRanges.length === 0 ? 0 : longestPrefix(prefixRanges, call.address)),
    ({ serverNames = [] }) => (serverNames.length === 0 ? 0 : serverNameFit(serverNames, readsTls ? call.sni : '')),
    ({ transportProtocol }) => (!transportProtocol ? 0 : transportProtocol === transport ? 1 : undefined),
    ({ applicationProtocols = [] }) =>
      applicationProtocols.length === 0 ? 0 : applicationProtocols.includes(alpn) ? 1 : undefined,
  ];
}

function holds({ anyMatch, notMatch, orMatch, destinationPortRange }: ListenerPredicate, port: number): boolean {
  if (notMatch) return !holds(notMatch, port);
  if (orMatch) return (orMatch.rules ?? []).some((rule) => holds(rule, port));
  if (!destinationPortRange) return anyMatch === true;
  return port >= (destinationPortRange.start ?? 0) && port < (destinationPortRange.end ?? 0);
}

/** What the listener knows of the application protocol when it chooses. */
function alpnSeen(call: Connection, readsTls: boolean, readsHttp: boolean): string {
  if (call.tls !== 'plaintext') return readsTls ? call.alpn : '';
  if (!readsHttp || call.protocol === 'tcp') return '';
  return call.protocol === 'http' ? 'http/1.1' : 'h2c';
}

function longestPrefix(ranges: NonNullable<FilterChainMatch['prefixRanges']>, address: string): number | undefined {
  const ip = parseIp(address)!;
  const lengths = ranges
    .map(({ addressPrefix, prefixLen = 0 }): Cidr => cidrOf(parseIp(addressPrefix)!, prefixLen))
    .filter((range) => cidrContainsIp(range, ip))
    .map((range) => range.prefixLength + 1);
  return lengths.length === 0 ? undefined : Math.max(...lengths);
}

function serverNameFit(names: readonly string[], sni: string): number | undefined {
  const fits = names.flatMap((name) => {
    if (name === sni) return [1000];
    return name.startsWith('*.') && sni.endsWith(name.slice(1)) ? [name.length] : [];
  });
  return fits.length === 0 ? undefined : Math.max(...fits);
}
