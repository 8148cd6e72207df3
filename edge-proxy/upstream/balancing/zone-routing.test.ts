import { describe, expect, it } from 'vitest';
import type { Endpoint } from '../cluster.ts';
import { type ZoneMember, zoneParts } from './zone-routing.ts';

const hosts = (locality: string, count: number) => ({
  locality,
  hosts: Array.from({ length: count }, (_, i) => ({ id: `${locality}-${i}`, locality }) as Endpoint),
});
const members = (...counts: readonly [locality: string, count: number][]): ZoneMember[] =>
  counts.flatMap(([locality, count]) => Array.from({ length: count }, () => ({ locality, healthy: true })));
const rules = (proxies: readonly ZoneMember[], more: object = {}) => ({
  locality: 'a',
  share: 1,
  minClusterSize: 1,
  panicThreshold: 50,
  proxies: () => proxies,
  ...more,
});
/** Share of each locality, in percent. */
const shares = (...[groups, given]: Parameters<typeof zoneParts>) => {
  const parts = zoneParts(groups, given);
  const total = parts?.reduce((sum, { weight }) => sum + weight, 0) ?? 0;
  return parts?.map((part) => [part.hosts.map(({ locality }) => locality)[0], Math.round((100 * part.weight) / total)]);
};

describe('zone-aware routing', () => {
  it('keeps all requests where the zone has endpoints enough for its proxies', () => {
    expect(shares([hosts('a', 3), hosts('b', 3)], rules(members(['a', 1], ['b', 1])))).toEqual([['a', 100]]);
    expect(shares([hosts('a', 4), hosts('b', 2)], rules(members(['a', 1], ['b', 1])))).toEqual([['a', 100]]);
  });

  it('sends the rest to zones that have endpoints to spare', () => {
    expect(shares([hosts('a', 1), hosts('b', 3)], rules(members(['a', 1], ['b', 1])))).toEqual([
      ['a', 50],
      ['b', 50],
    ]);
    const three = [hosts('a', 2), hosts('b', 3), hosts('c', 5)];
    // A half of the proxies and a fifth of the endpoints: two fifths stay; b has a twentieth to spare, c a quarter.
    expect(shares(three, rules(members(['a', 2], ['b', 1], ['c', 1])))).toEqual([
      ['a', 40],
      ['b', 10],
      ['c', 50],
    ]);
  });

  it('sends all to zones that have endpoints to spare where its own has none', () => {
    expect(shares([hosts('b', 3), hosts('c', 3)], rules(members(['a', 2], ['b', 2])))).toEqual([['c', 100]]);
    expect(shares([hosts('a', 0), hosts('b', 3), hosts('c', 3)], rules(members(['a', 2])))).toEqual([
      ['b', 50],
      ['c', 50],
    ]);
  });

  it('takes the share that is enabled, and all endpoints for the others', () => {
    expect(shares([hosts('a', 3), hosts('b', 3)], rules(members(['a', 1], ['b', 1]), { share: 0.25 }))).toEqual([
      ['a', 25],
      ['a', 75],
    ]);
  });

  it.each<[string, Parameters<typeof zoneParts>]>([
    ['one locality', [[hosts('a', 6)], rules(members(['a', 1]))]],
    [
      'fewer endpoints than the least',
      [[hosts('a', 2), hosts('b', 2)], rules(members(['a', 1]), { minClusterSize: 5 })],
    ],
    ['no proxy in the own zone', [[hosts('a', 3), hosts('b', 3)], rules(members(['b', 1]))]],
    ['no known proxy', [[hosts('a', 3), hosts('b', 3)], rules([])]],
    ['switched off', [[hosts('a', 3), hosts('b', 3)], rules(members(['a', 1]), { share: 0 })]],
    [
      'too few healthy proxies',
      [
        [hosts('a', 3), hosts('b', 3)],
        rules([...members(['a', 1]), { locality: 'a', healthy: false }, { locality: 'b', healthy: false }]),
      ],
    ],
  ])('does not divide: %s', (_, [groups, given]) => {
    expect(zoneParts(groups, given)).toBeUndefined();
  });
});
