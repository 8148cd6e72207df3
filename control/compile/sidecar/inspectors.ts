/** Which listener filters look at the first bytes of connections, and at which ports they do not. */
import type { FilterChain, ListenerFilter, ListenerPredicate } from '../../../shared/xds/listener.ts';
import { HTTP_INSPECTOR, TLS_INSPECTOR } from './http-manager.ts';

/**
 * The inspectors that the chains of a listener need. At ports none of whose chains asks for what an inspector finds it is off: a
 * server-first protocol would wait for its client, and TLS there is the application's.
 */
export function inspectorsOf(chains: readonly FilterChain[]): ListenerFilter[] {
  return [
    ...inspector(TLS_INSPECTOR, chains, asksForTls),
    ...inspector(HTTP_INSPECTOR, chains, ({ filterChainMatch }) =>
      Boolean(filterChainMatch?.applicationProtocols?.includes('h2c')),
    ),
  ];
}

function asksForTls({ filterChainMatch, transportSocket }: FilterChain): boolean {
  return transportSocket !== undefined || filterChainMatch?.transportProtocol === 'tls';
}

const portOf = ({ filterChainMatch }: FilterChain): number | undefined => filterChainMatch?.destinationPort;

function inspector(
  filter: ListenerFilter,
  chains: readonly FilterChain[],
  asks: (chain: FilterChain) => boolean,
): ListenerFilter[] {
  const asking = new Set(chains.filter(asks).map(portOf));
  if (asking.size === 0) return [];
  // Chains without a port are for every port that has no chain of its own.
  if (!asking.has(undefined)) return [{ ...filter, filterDisabled: { notMatch: atPorts([...asking]) } }];
  const others = [...new Set(chains.map(portOf))].filter((port) => !asking.has(port));
  return [others.length === 0 ? filter : { ...filter, filterDisabled: atPorts(others) }];
}

function atPorts(ports: readonly (number | undefined)[]): ListenerPredicate {
  const sorted = ports.filter((port) => port !== undefined).sort((a, b) => a - b);
  const rules = sorted.map((start) => ({ destinationPortRange: { start, end: start + 1 } }));
  return rules.length === 1 ? rules[0]! : { orMatch: { rules } };
}
