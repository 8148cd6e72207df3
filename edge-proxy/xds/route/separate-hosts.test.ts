import { describe, expect, it } from 'vitest';
import { SeparateHosts } from './separate-hosts.ts';

function setup() {
  const hosts = new SeparateHosts(undefined);
  return { hosts, index: (name: string, ...domains: string[]) => hosts.addIndexed({ name, domains }) };
}

describe('SeparateHosts: place holders', () => {
  it('move a domain from one to another in either order', () => {
    const { hosts, index } = setup();
    index('a', 'x.test', 'a.test');
    index('b', 'X.test', 'b.test');
    index('a', 'a.test');
    expect(hosts.unfetched('x.test')).toBe('b');
    hosts.removeIndexed('b');
    expect(hosts.unfetched('x.test')).toBeUndefined();
    index('a', 'a.test', 'x.test');
    expect(hosts.unfetched('x.test')).toBe('a');
  });

  it('that claim the same domain have it one after the other', () => {
    const { hosts, index } = setup();
    for (const name of ['a', 'b', 'c']) index(name, 'x.test');
    expect(hosts.unfetched('x.test')).toBe('c');
    hosts.removeIndexed('b');
    expect(hosts.unfetched('x.test')).toBe('c');
    hosts.removeIndexed('c');
    expect(hosts.unfetched('x.test')).toBe('a');
    hosts.removeIndexed('a');
    expect(hosts.unfetched('x.test')).toBeUndefined();
    expect(hosts.isEmpty).toBe(true);
  });

  it('may name a domain twice', () => {
    const { hosts, index } = setup();
    index('a', 'x.test', 'X.TEST');
    hosts.removeIndexed('a');
    expect(hosts.unfetched('x.test')).toBeUndefined();
  });
});
