/** Properties of the match primitives that hold for any input. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { authzValueMatches } from './authz-value.ts';
import { cidrContains, cidrOf, parseCidr, parseIp } from './cidr.ts';
import {
  compareSpecificity,
  hostMatches,
  hostSubsetOf,
  hostsForNamespace,
  hostsIntersection,
  mostSpecificMatch,
  sortHosts,
} from './hosts.ts';
import {
  type LabelSelector,
  labelKeyViolation,
  labelValueViolation,
  matchesLabelSelector,
  matchesLabels,
} from './labels.ts';
import { compilePathTemplate, hasPathPrefix, isPathTemplate, normalizePath, pathTemplateViolation } from './path.ts';
import { parseProtocol, portProtocol } from './protocol.ts';
import { expandTrustDomains } from './trust-domain.ts';

const concrete = fc.constantFrom('a.com', 'b.a.com', 'c.b.a.com', 'xa.com', 'org', 'a.org', 'b.com', 'com');
const pattern = fc.oneof(concrete, fc.constantFrom('*', '*.com', '*.a.com', '*.b.a.com', '*a.com', '*.org', '*m'));
const patterns = fc.array(pattern, { maxLength: 5 });
const runs = { numRuns: 2000 };

describe('hosts', () => {
  it('matching is symmetric; a subset matches and contains every host it names', () => {
    fc.assert(
      fc.property(pattern, pattern, pattern, concrete, (a, b, c, host) => {
        expect(hostMatches(a, b)).toBe(hostMatches(b, a));
        expect(hostMatches(a, a) && hostSubsetOf(a, a)).toBe(true);
        expect(hostSubsetOf(host, a)).toBe(hostMatches(a, host));
        if (hostSubsetOf(a, b)) {
          expect(hostMatches(a, b)).toBe(true);
          if (hostMatches(a, host)) expect(hostMatches(b, host)).toBe(true);
          if (hostSubsetOf(b, c)) expect(hostSubsetOf(a, c)).toBe(true);
        }
      }),
      runs,
    );
  });
  it('specificity is a total order, and a strict subset sorts before its superset', () => {
    fc.assert(
      fc.property(pattern, pattern, pattern, (a, b, c) => {
        expect(Math.sign(compareSpecificity(a, b)) + Math.sign(compareSpecificity(b, a))).toBe(0);
        expect(compareSpecificity(a, b) === 0).toBe(a === b);
        if (compareSpecificity(a, b) < 0 && compareSpecificity(b, c) < 0) {
          expect(compareSpecificity(a, c)).toBeLessThan(0);
        }
        if (a !== b && hostSubsetOf(a, b)) expect(compareSpecificity(a, b)).toBeLessThan(0);
      }),
      runs,
    );
  });
  it('the most specific match is the first of the sorted ones that match', () => {
    fc.assert(
      fc.property(concrete, patterns, (host, list) => {
        const wanted = sortHosts(list).find((each) => hostMatches(each, host));
        expect(mostSpecificMatch(host, list)).toBe(wanted);
      }),
      runs,
    );
  });
  it('an intersection names exactly what both lists name', () => {
    fc.assert(
      fc.property(patterns, patterns, concrete, (a, b, host) => {
        const both = hostsIntersection(a, b);
        const named = (list: readonly string[]) => list.some((each) => hostMatches(each, host));
        if (named(both)) expect(named(a) && named(b)).toBe(true);
        // Istio leaves out pairs of which neither holds the other, and with suffixes alone there are none.
        expect(named(both)).toBe(named(a) && named(b));
        expect(new Set(both).size).toBe(both.length);
      }),
      runs,
    );
  });
  it('a namespace sees its own entries and those for all namespaces', () => {
    fc.assert(
      fc.property(patterns, fc.constantFrom('*', '.', 'shop', 'other'), (hosts, scope) => {
        const scoped = hosts.map((host) => `${scope}/${host}`);
        expect(hostsForNamespace(scoped, 'shop')).toEqual(scope === 'other' ? [] : hosts);
        expect(hostsForNamespace(scoped, 'x', 'shop')).toEqual(scope === '*' ? hosts : []);
      }),
    );
  });
});

describe('addresses', () => {
  const word = fc.nat(0xffffffff);
  const v4 = (n: number) => [24, 16, 8, 0].map((shift) => (n >>> shift) & 255).join('.');
  const v6 = (words: readonly number[]) =>
    words.flatMap((each) => [(each >>> 16).toString(16), (each & 0xffff).toString(16)]).join(':');
  const bits = (words: readonly number[]) => words.map((each) => each.toString(2).padStart(32, '0')).join('');

  it('an IPv4 range contains addresses with its first bits, written v4-mapped or not', () => {
    fc.assert(
      fc.property(word, word, fc.nat(32), fc.nat(32), (base, flip, length, at) => {
        // Mostly the same but for what lies behind some bit, so that both answers come.
        const other = at === 32 ? base : (base ^ (flip >>> at)) >>> 0;
        const wanted = bits([base]).slice(0, length) === bits([other]).slice(0, length);
        expect(cidrContains(parseCidr(`${v4(base)}/${length}`), v4(other))).toBe(wanted);
        expect(cidrContains(parseCidr(`${v4(base)}/${length}`), `::ffff:${v4(other)}`)).toBe(wanted);
        expect(cidrContains(parseCidr(`::ffff:${v4(base)}/${length + 96}`), v4(other))).toBe(wanted);
      }),
      runs,
    );
  });
  it('an IPv6 range contains addresses with its first bits', () => {
    const words = fc.tuple(word, word, word, word).filter((each) => !(each[0] === 0 && each[1] === 0));
    fc.assert(
      fc.property(words, fc.nat(128), fc.nat(127), (base, length, at) => {
        const other = base.map((each, i) =>
          Math.floor(at / 32) === i ? (each ^ (1 << (31 - (at % 32)))) >>> 0 : each,
        );
        expect(cidrContains(parseCidr(`${v6(base)}/${length}`), v6(other))).toBe(at >= length);
        const ip = parseIp(v6(base));
        expect(ip && cidrOf(ip, length)).toEqual(parseCidr(`${v6(base)}/${length}`));
      }),
      runs,
    );
  });
});

describe('labels', () => {
  const key = fc.constantFrom('app', 'tier', 'constructor', 'x.io/a');
  const value = fc.constantFrom('', 'a', 'b');
  const labels = fc.dictionary(key, value, { maxKeys: 4 });

  it('matchLabels is In with one value; NotIn is not In; DoesNotExist is not Exists; all must hold', () => {
    fc.assert(
      fc.property(labels, labels, key, fc.array(value), (wanted, held, name, values) => {
        const expressions = Object.entries(wanted).map(([each, only]) => ({
          key: each,
          operator: 'In' as const,
          values: [only],
        }));
        expect(matchesLabelSelector({ matchLabels: wanted }, held)).toBe(matchesLabels(wanted, held));
        expect(matchesLabelSelector({ matchExpressions: expressions }, held)).toBe(matchesLabels(wanted, held));
        const asks = (operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'): LabelSelector => ({
          matchExpressions: [{ key: name, operator, ...(operator.endsWith('In') ? { values } : {}) }],
        });
        const answer = (operator: Parameters<typeof asks>[0]) => matchesLabelSelector(asks(operator), held);
        expect(answer('In')).toBe(Object.hasOwn(held, name) && values.includes(held[name] ?? ''));
        expect(answer('NotIn')).toBe(!answer('In'));
        expect(answer('Exists')).toBe(Object.hasOwn(held, name));
        expect(answer('DoesNotExist')).toBe(!answer('Exists'));
        expect(matchesLabelSelector({ matchLabels: wanted, ...asks('Exists') }, held)).toBe(
          matchesLabels(wanted, held) && answer('Exists'),
        );
      }),
      runs,
    );
  });
  it('any text is a key and a value, or there is a reason', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const valid = /^([A-Za-z0-9][\w.-]{0,61})?[A-Za-z0-9]$/.test(text);
        expect(labelValueViolation(text) === undefined).toBe(text === '' || valid);
        if (!text.includes('/')) expect(labelKeyViolation(text) === undefined).toBe(valid);
      }),
    );
  });
});

describe('paths', () => {
  const segment = fc.constantFrom('a', 'b1', 'x.y', '{*}', '{**}', '{a}', '', 'é', '{*}x');
  it('a template without violation compiles, and matches segment by segment', () => {
    const text = fc.array(fc.constantFrom('a', 'b1', 'x.y', 'z'), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 4 }), text, (segments, parts) => {
        const template = `/${segments.join('/')}`;
        if (!isPathTemplate(template)) return;
        if (pathTemplateViolation(template) !== undefined) {
          expect(() => compilePathTemplate(template)).toThrow(RangeError);
          return;
        }
        const rest = segments.indexOf('{**}');
        const fixed = rest < 0 ? segments : segments.slice(0, rest);
        const tail = rest < 0 ? [] : segments.slice(rest + 1);
        const fits = (mine: readonly string[], theirs: readonly string[]) =>
          mine.length === theirs.length && mine.every((each, i) => each === '{*}' || each === theirs[i]);
        const wanted =
          rest < 0
            ? fits(fixed, parts)
            : parts.length > fixed.length + tail.length &&
              fits(fixed, parts.slice(0, fixed.length)) &&
              fits(tail, parts.slice(parts.length - tail.length));
        expect(compilePathTemplate(template).matches(`/${parts.join('/')}`)).toBe(wanted);
      }),
      runs,
    );
  });
  it('any path is refused, or begins with a slash and normalizes to itself', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const once = normalizePath(text);
        if (once === undefined || once === '*') return;
        expect(once.startsWith('/')).toBe(true);
        expect(normalizePath(once)).toBe(once);
      }),
      runs,
    );
  });
});

it('a path has a prefix when its first segments are those of the prefix', () => {
  const segments = fc.array(fc.constantFrom('a', 'ab', 'b', ''), { maxLength: 3 });
  fc.assert(
    fc.property(segments, segments, (path, prefix) => {
      fc.pre(prefix.length > 0 && prefix.at(-1) !== '');
      const wanted = prefix.every((each, i) => path[i] === each);
      expect(hasPathPrefix(`/${path.join('/')}`, `/${prefix.join('/')}`)).toBe(wanted);
    }),
  );
});

describe('protocols', () => {
  const name = fc.constantFrom('http', 'HTTP', 'grpc', 'grpc-web', 'tcp', 'tls', 'https', 'mongo', 'udp', 'foo', '');
  it('appProtocol takes precedence over the name; the name counts up to its first dash; case does not matter', () => {
    fc.assert(
      fc.property(name, name, fc.constantFrom('', '-web', '-x-y'), fc.constantFrom(80, 8080), (a, b, suffix, port) => {
        expect(portProtocol(port, b, 'TCP', a)).toBe(portProtocol(port, a, 'TCP'));
        expect(parseProtocol(a.toLowerCase())).toBe(parseProtocol(a.toUpperCase()));
        if (!/^grpc/i.test(a)) expect(portProtocol(port, a + suffix)).toBe(portProtocol(port, a));
        expect(portProtocol(port, a, 'UDP', b)).toBe('UDP');
      }),
    );
  });
});

describe('authorization', () => {
  it('values: exact, prefix*, *suffix, and * for any non-empty text', () => {
    const text = fc.constantFrom('', 'a', 'ab', 'ba', 'aab', 'b');
    fc.assert(
      fc.property(text, text, (value, asked) => {
        expect(authzValueMatches(value, asked)).toBe(value === asked);
        if (value !== '') {
          expect(authzValueMatches(`${value}*`, asked)).toBe(asked.startsWith(value));
          expect(authzValueMatches(`*${value}`, asked)).toBe(asked.endsWith(value));
        }
        expect(authzValueMatches('*', asked)).toBe(asked !== '');
      }),
    );
  });
  it('trust domains: every principal gets every alias, and a second pass changes nothing', () => {
    const domains = fc.uniqueArray(fc.constantFrom('cluster.local', 'td1', 'td2'), { minLength: 1 });
    const principal = fc
      .tuple(fc.constantFrom('cluster.local', 'td1', 'td2', '*'), fc.constantFrom('a', 'b'))
      .map(([domain, account]) => `${domain}/ns/default/sa/${account}`);
    fc.assert(
      fc.property(fc.uniqueArray(principal, { maxLength: 3 }), domains, (principals, trusted) => {
        const expanded = expandTrustDomains(principals, trusted);
        expect(new Set(expandTrustDomains(expanded, trusted))).toEqual(new Set(expanded));
        for (const each of principals) {
          const [domain = '', ...rest] = each.split('/');
          if (!trusted.some((alias) => alias === domain)) continue;
          for (const alias of trusted) expect(expanded).toContain([alias, ...rest].join('/'));
        }
      }),
    );
  });
});
