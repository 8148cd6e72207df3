import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileHostLookup, HostIndex } from './host-lookup.ts';

const table = (domains: string[], ignorePort = false) =>
  compileHostLookup(
    domains.map((domain, i) => ({ domains: [domain], path: `virtualHosts[${i}]`, value: domain })),
    ignorePort,
  );

/** Envoy's rules, written down naively. */
function naive(domains: string[], host: string): string | undefined {
  const h = host.toLowerCase();
  const longest = (list: string[]) => list.sort((a, b) => b.length - a.length)[0];
  return (
    domains.find((one) => one === h) ??
    longest(
      domains.filter(
        (one) => one !== '*' && one.startsWith('*') && h.length > one.length - 1 && h.endsWith(one.slice(1)),
      ),
    ) ??
    longest(
      domains.filter(
        (one) => one !== '*' && one.endsWith('*') && h.length > one.length - 1 && h.startsWith(one.slice(0, -1)),
      ),
    ) ??
    domains.find((one) => one === '*')
  );
}

describe('virtual-host look-up', () => {
  it('agrees with the rules written naively', () => {
    const label = fc.string({ unit: fc.constantFrom('a', 'b', '.'), minLength: 1, maxLength: 5 });
    const domain = fc.oneof(
      label,
      label.map((text) => `*${text}`),
      label.map((text) => `${text}*`),
      fc.constant('*'),
    );
    const host = fc.string({ unit: fc.constantFrom('a', 'A', 'b', '.'), maxLength: 7 });
    fc.assert(
      fc.property(fc.uniqueArray(domain, { maxLength: 8 }), host, (domains, name) => {
        expect(table(domains)(name)).toBe(naive(domains, name));
      }),
      { numRuns: 500 },
    );
  });
  it.each([
    ['a.b:80', 'a.b'],
    ['a.b:8x', '*'],
    ['[::1]:80', '[::1]'],
    ['[::1]', '[::1]'],
    ['A.B', 'a.b'],
  ])('without the port, %s finds %s', (authority, domain) =>
    expect(table(['a.b', '[::1]', '*'], true)(authority)).toBe(domain),
  );
  it('refuses repeats and stars within', () => {
    expect(() => table(['a', 'A'])).toThrow('virtualHosts[1].domains[0]');
    expect(() => table(['a*b'])).toThrow('"a*b"');
  });
});

describe('an index of domains', () => {
  it('that was changed step by step finds what one made of the result finds', () => {
    const domain = fc.constantFrom('a', 'a.b', 'B', '*.b', '*b', '*.a.b', 'a.*', 'a*', '*');
    const step = fc.record({ domain, add: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const index = new HostIndex<string>(false);
        const held = new Set<string>();
        for (const { domain, add } of steps) {
          if (held.has(domain) !== (index.holder(domain) !== undefined)) throw new Error(`holder of ${domain}`);
          if (add && !held.has(domain)) index.add(domain, domain.toLowerCase());
          if (!add) index.remove(domain);
          held[add ? 'add' : 'delete'](domain);
        }
        const whole = table([...held].map((one) => one.toLowerCase()));
        for (const host of ['a', 'A.b', 'b', 'x.b', 'xb', 'x.a.b', 'a.x', 'ax', 'z', '.b'])
          expect(index.find(host)).toBe(whole(host));
      }),
      { numRuns: 500 },
    );
  });
});
