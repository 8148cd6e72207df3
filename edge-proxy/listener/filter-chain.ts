/**
 * Filter-chain match as Envoy does it (config.listener.v3.FilterChainMatch): criteria are evaluated one after another in
 * a fixed order, each time the most specific value that is configured wins, and there is no way back to a less
 * specific one.
 */

import { type Cidr, cidrContains, cidrOf, parseIp } from '../../shared/match/cidr.ts';
import type { FilterChainMatch } from '../../shared/xds/listener.ts';

/** What is known of a connection when its chain is chosen. */
export interface ConnectionFacts {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Lower-case SNI, '' without one. */
  readonly serverName: string;
  readonly transportProtocol: 'tls' | 'raw_buffer';
  /** ALPN offered, or what the HTTP inspector saw (`http/1.1`, `h2c`). */
  readonly applicationProtocols: readonly string[];
  /** False: nothing was read before its chain was chosen, so that a server name or protocol is not known. */
  readonly inspected?: boolean;
}

/** One criterion: which values of it a connection takes, most specific first. '' means "not restricted". */
interface Level<Key> {
  keys(match: FilterChainMatch): readonly Key[];
  id(key: Key): string;
  /** Ordered values of which the first configured one is followed. */
  candidates(configured: ReadonlyMap<string, Key>, facts: ConnectionFacts): Iterable<string>;
}

interface Tree<Chain> {
  readonly keys: Map<string, unknown>;
  readonly next: Map<string, Tree<Chain>>;
  chain: Chain | undefined;
}

const ANY = '';

/** Criteria by exact value. */
function exact(
  values: (match: FilterChainMatch) => readonly string[],
  of: (facts: ConnectionFacts) => readonly string[],
) {
  return {
    keys: (match: FilterChainMatch) => values(match),
    id: (key: string) => key,
    *candidates(_: unknown, facts: ConnectionFacts) {
      yield* of(facts);
      yield ANY;
    },
  } satisfies Level<string>;
}

/** Criteria by address range; the longest prefix that holds the address wins. */
function ranges(
  values: (match: FilterChainMatch) => FilterChainMatch['prefixRanges'],
  of: (facts: ConnectionFacts) => string,
): Level<Cidr> {
  return {
    keys: (match) =>
      (values(match) ?? []).map((range) => {
        const ip = parseIp(range.addressPrefix);
        if (!ip) throw new Error(`"${range.addressPrefix}" is not an IP address`);
        return cidrOf(ip, range.prefixLen ?? 0);
      }),
    id: (cidr) => `${cidr.words.join('.')}/${cidr.prefixLength}`,
    *candidates(configured, facts) {
      const address = of(facts);
      const held = [...configured].filter(([id, cidr]) => id !== ANY && cidrContains(cidr, address));
      held.sort(([, a], [, b]) => b.prefixLength - a.prefixLength);
      for (const [id] of held) yield id;
      yield ANY;
    },
  };
}

const serverNames: Level<string> = {
  keys: (match) =>
    (match.serverNames ?? []).map((name) => {
      if (name.includes('*', 1) || (name.startsWith('*') && (!name.startsWith('*.') || name.length < 3)))
        throw new Error(`server name "${name}": only a leading "*." may replace labels`);
      return name.toLowerCase();
    }),
  id: (name) => name,
  *candidates(_, { serverName }) {
    if (serverName) {
      yield serverName;
      // As Envoy: the star means at least one character, and a final dot is no domain.
      const last = serverName.length - 1;
      for (let dot = serverName.indexOf('.', 1); dot >= 0 && dot < last; dot = serverName.indexOf('.', dot + 1))
        yield `*${serverName.slice(dot)}`;
    }
    yield ANY;
  },
};

const sourceType: Level<string> = {
  keys: ({ sourceType }) => (sourceType && sourceType !== 'ANY' ? [sourceType] : []),
  id: (type) => type,
  *candidates(_, { remoteAddress, localAddress }) {
    // Envoy's isSameIpOrLoopback: of 127.0.0.0/8 only the canonical address is loopback.
    const local = remoteAddress === localAddress || remoteAddress === '::1' || remoteAddress === '127.0.0.1';
    yield local ? 'SAME_IP_OR_LOOPBACK' : 'EXTERNAL';
    yield ANY;
  },
};

const portsOf = (ports: readonly (number | undefined)[] | undefined) =>
  (ports ?? []).filter((port) => port !== undefined && port !== 0).map(String);

/** In Envoy's order. */
const LEVELS: readonly Level<never>[] = [
  exact(
    ({ destinationPort }) => portsOf([destinationPort]),
    (facts) => [String(facts.localPort)],
  ),
  ranges(
    (match) => match.prefixRanges,
    (facts) => facts.localAddress,
  ),
  serverNames,
  exact(
    ({ transportProtocol }) => (transportProtocol ? [transportProtocol] : []),
    (facts) => [facts.transportProtocol],
  ),
  exact(
    (match) => match.applicationProtocols ?? [],
    (facts) => facts.applicationProtocols,
  ),
  ranges(
    (match) => match.directSourcePrefixRanges,
    (facts) => facts.remoteAddress,
  ),
  sourceType,
  ranges(
    (match) => match.sourcePrefixRanges,
    (facts) => facts.remoteAddress,
  ),
  exact(
    (match) => portsOf(match.sourcePorts),
    (facts) => [String(facts.remotePort)],
  ),
] as unknown as readonly Level<never>[];

/** @returns the chain of a connection; undefined: none matches, the connection is closed */
export type ChainFinder<Chain> = (facts: ConnectionFacts) => Chain | undefined;

/**
 * Compiles the chains of one listener.
 * @param fallback Envoy's defaultFilterChain
 * @throws Error when two chains match the same connections, or a criterion is malformed
 */
export function compileChains<Chain>(
  chains: readonly { name: string; match: FilterChainMatch; chain: Chain }[],
  fallback: Chain | undefined,
): ChainFinder<Chain> {
  const root = tree<Chain>();
  for (const { name, match, chain } of chains) insert(root, 0, name, match, chain);
  return (facts) => {
    let at = root;
    for (const level of LEVELS) {
      const next = follow(at, level, facts);
      if (!next) return fallback;
      at = next;
    }
    return at.chain ?? fallback;
  };
}

function follow<Chain>(at: Tree<Chain>, level: Level<never>, facts: ConnectionFacts): Tree<Chain> | undefined {
  for (const id of level.candidates(at.keys as unknown as ReadonlyMap<string, never>, facts)) {
    const next = at.next.get(id);
    if (next) return next;
  }
  return undefined;
}

function insert<Chain>(at: Tree<Chain>, depth: number, name: string, match: FilterChainMatch, chain: Chain): void {
  const level = LEVELS[depth];
  if (!level) {
    if (at.chain !== undefined) throw new Error(`filter chain "${name}" matches the same connections as another`);
    at.chain = chain;
    return;
  }
  const keys = level.keys(match) as readonly never[];
  const ids = keys.length === 0 ? [[ANY, undefined] as const] : keys.map((key) => [level.id(key), key] as const);
  for (const [id, key] of new Map(ids)) {
    let next = at.next.get(id);
    if (!next) {
      next = tree<Chain>();
      at.next.set(id, next);
      at.keys.set(id, key);
    }
    insert(next, depth + 1, name, match, chain);
  }
}

function tree<Chain>(): Tree<Chain> {
  return { keys: new Map(), next: new Map(), chain: undefined };
}
