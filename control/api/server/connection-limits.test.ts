import { describe, expect, it } from 'vitest';
import { ConnectionCounts, networkOf } from './connection-limits.ts';

describe('networks of addresses', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::1', '0:0:0:0::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8::6', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ])('%s counts with %s', (address, network) => expect(networkOf(address)).toBe(network));
});

describe('connection counts', () => {
  it('names the limit of all, and of all that proved no identity', () => {
    const counts = new ConnectionCounts({ total: 8 });
    const places = [counts.enter('10.0.0.1'), counts.enter('10.0.0.2')];
    expect(counts.enter('10.0.0.3')).toBe('the limit of 2 connections without a proved identity is reached');
    for (const [at, place] of places.entries()) if (typeof place !== 'string') place.proved(`id ${at % 2}`);
    for (let count = 2; count < 8; count++) {
      const place = counts.enter('10.0.0.3');
      if (typeof place !== 'string') place.proved(`id ${count}`);
    }
    expect(counts.enter('10.0.0.3')).toBe('the limit of 8 connections is reached');
    if (typeof places[0] === 'object') places[0].leave();
    expect(counts.open).toBe(7);
    expect(typeof counts.enter('10.0.0.3')).toBe('object');
  });
});
