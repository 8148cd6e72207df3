import { describe, expect, it } from 'vitest';
import { formatWorkloadId, parseSpiffeId, parseWorkloadId, SpiffeIdError } from './spiffe.ts';

describe('SPIFFE ids', () => {
  it('takes a workload id apart and puts it together', () => {
    const id = 'spiffe://cluster.local/ns/default/sa/reviews';
    const parts = { trustDomain: 'cluster.local', namespace: 'default', serviceAccount: 'reviews' };
    expect(parseWorkloadId(id)).toEqual(parts);
    expect(formatWorkloadId(parts)).toBe(id);
  });

  it('knows a trust domain without path', () => {
    expect(parseSpiffeId('spiffe://td')).toEqual({ trustDomain: 'td', path: '' });
  });

  it.each([
    '',
    'spiffe://',
    'SPIFFE://td/a',
    'https://td/a',
    'spiffe://TD/a',
    'spiffe://td:80/a',
    'spiffe://user@td/a',
    'spiffe://td/',
    'spiffe://td/a/',
    'spiffe://td//a',
    'spiffe://td/./a',
    'spiffe://td/a/..',
    'spiffe://td/a?b',
    'spiffe://td/a#b',
    'spiffe://td/%61',
    'spiffe://td/ä',
    'spiffe://td/a\n',
    'spiffe://td\n/a',
    `spiffe://${'a'.repeat(256)}/a`,
    `spiffe://td/${'a'.repeat(2048)}`,
  ])('refuses %j', (text) => expect(() => parseSpiffeId(text)).toThrow(SpiffeIdError));

  it.each(['spiffe://td', 'spiffe://td/ns/a/sa', 'spiffe://td/ns/a/sa/b/c', 'spiffe://td/sa/a/ns/b', 'spiffe://td/a'])(
    'refuses %j as a workload id',
    (text) => expect(() => parseWorkloadId(text)).toThrow(SpiffeIdError),
  );

  it('does not format what it would not parse', () => {
    expect(() => formatWorkloadId({ trustDomain: 'td', namespace: 'a/sa/b', serviceAccount: 'c' })).toThrow(
      SpiffeIdError,
    );
  });
});
