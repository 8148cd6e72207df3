/** Filter-chain match against a plain reference: at each criterion keep the chains that fit best, nothing else. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { FilterChainMatch } from '../../shared/xds/listener.ts';
import { type ConnectionFacts, compileChains } from './filter-chain.ts';

interface Named {
  name: string;
  match: FilterChainMatch;
}

/** How well a criterion's values fit: undefined not at all, 0 not restricted, more is better. */
type Fit = (match: FilterChainMatch, facts: ConnectionFacts) => number | undefined;

const best = (fits: (number | undefined)[]): number | undefined => {
  const found = fits.filter((fit) => fit !== undefined);
  return found.length === 0 ? undefined : Math.max(...found);
};
const unrestricted = (values: readonly unknown[] | undefined) => (values ?? []).length === 0;

/** IPv4 only, by the text of its bits. */
const bits = (address: string) =>
  address
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
const rangeFit = (ranges: FilterChainMatch['prefixRanges'], address: string) =>
  unrestricted(ranges)
    ? 0
    : best(
        ranges!.map(({ addressPrefix, prefixLen = 0 }) =>
          bits(addressPrefix).slice(0, prefixLen) === bits(address).slice(0, prefixLen) ? prefixLen + 1 : undefined,
        ),
      );
const nameFit = (names: readonly string[] | undefined, name: string) =>
  unrestricted(names)
    ? 0
    : best(
        names!.map((pattern) => {
          if (pattern === name) return 1000;
          return pattern.startsWith('*.') && name.endsWith(pattern.slice(1)) && name.length > pattern.length - 1
            ? pattern.length
            : undefined;
        }),
      );

const FITS: readonly Fit[] = [
  (match, facts) => (!match.destinationPort ? 0 : match.destinationPort === facts.localPort ? 1 : undefined),
  (match, facts) => rangeFit(match.prefixRanges, facts.localAddress),
  (match, facts) => nameFit(match.serverNames, facts.serverName),
  (match, facts) =>
    !match.transportProtocol ? 0 : match.transportProtocol === facts.transportProtocol ? 1 : undefined,
  (match, facts) =>
    unrestricted(match.applicationProtocols)
      ? 0
      : best(
          match.applicationProtocols!.map((protocol) => {
            const at = facts.applicationProtocols.indexOf(protocol);
            return at < 0 ? undefined : 100 - at;
          }),
        ),
  (match, facts) => rangeFit(match.directSourcePrefixRanges, facts.remoteAddress),
  (match, facts) => {
    if (!match.sourceType || match.sourceType === 'ANY') return 0;
    const local = facts.remoteAddress === '127.0.0.1' || facts.remoteAddress === facts.localAddress;
    return (match.sourceType === 'SAME_IP_OR_LOOPBACK') === local ? 1 : undefined;
  },
  (match, facts) => rangeFit(match.sourcePrefixRanges, facts.remoteAddress),
  (match, facts) =>
    unrestricted(match.sourcePorts) ? 0 : match.sourcePorts!.includes(facts.remotePort) ? 1 : undefined,
];

function reference(chains: readonly Named[], facts: ConnectionFacts): string | undefined {
  let left = [...chains];
  for (const fit of FITS) {
    const top = best(left.map(({ match }) => fit(match, facts)));
    if (top === undefined) return undefined;
    left = left.filter(({ match }) => fit(match, facts) === top);
  }
  expect(left).toHaveLength(1);
  return left[0]!.name;
}

const some = <T>(...values: T[]) => fc.uniqueArray(fc.constantFrom(...values), { maxLength: 2 });
const address = fc.constantFrom('10.0.0.1', '10.0.1.1', '10.1.0.1', '127.0.0.1', '127.0.0.5');
const ranges = fc
  .uniqueArray(fc.constantFrom('10.0.0.0/8', '10.0.0.0/16', '10.0.0.0/24', '10.0.0.1/32', '127.0.0.0/8'), {
    maxLength: 2,
  })
  .map((list) => list.map((text) => ({ addressPrefix: text.split('/')[0]!, prefixLen: Number(text.split('/')[1]) })));
const sparse = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const match = fc
  .record({
    destinationPort: sparse(fc.constantFrom(0, 80, 81)),
    prefixRanges: sparse(ranges),
    serverNames: sparse(some('a.b.example', '*.b.example', '*.example', 'example', '*.a.b.example')),
    transportProtocol: sparse(fc.constantFrom('', 'tls', 'raw_buffer')),
    applicationProtocols: sparse(some('h2', 'http/1.1', 'istio', 'http/1.0')),
    directSourcePrefixRanges: sparse(ranges),
    sourceType: sparse(fc.constantFrom('ANY' as const, 'SAME_IP_OR_LOOPBACK' as const, 'EXTERNAL' as const)),
    sourcePrefixRanges: sparse(ranges),
    sourcePorts: sparse(some(4000, 4001)),
  })
  .map((fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)));
const facts: fc.Arbitrary<ConnectionFacts> = fc.record({
  localAddress: address,
  localPort: fc.constantFrom(80, 81, 82),
  remoteAddress: address,
  remotePort: fc.constantFrom(4000, 4001, 4002),
  serverName: fc.constantFrom('', 'a.b.example', 'x.b.example', 'x.y.example', 'x.a.b.example', 'example', '.example'),
  transportProtocol: fc.constantFrom('tls' as const, 'raw_buffer' as const),
  applicationProtocols: some('h2', 'http/1.1', 'istio', 'http/1.0'),
});

it('agrees with the plain reference, whatever the chains', () => {
  let matched = 0;
  fc.assert(
    fc.property(
      fc.array(match, { minLength: 1, maxLength: 8 }),
      fc.array(facts, { minLength: 8, maxLength: 8 }),
      (matches, seen) => {
        const chains: Named[] = [];
        for (const [i, one] of matches.entries()) {
          // What overlaps is refused (tested elsewhere); here it is left out.
          const grown = [...chains, { name: `c${i}`, match: one as FilterChainMatch }];
          try {
            compileChains(
              grown.map((chain) => ({ ...chain, chain: chain.name })),
              undefined,
            );
            chains.push(grown[grown.length - 1]!);
          } catch (error) {
            expect(String(error)).toContain('matches the same');
          }
        }
        const find = compileChains(
          chains.map((chain) => ({ ...chain, chain: chain.name })),
          undefined,
        );
        for (const one of seen) {
          const found = find(one);
          if (found !== undefined) matched++;
          expect(found).toBe(reference(chains, one));
        }
      },
    ),
    { numRuns: 3000 },
  );
  expect(matched).toBeGreaterThan(1000);
});
