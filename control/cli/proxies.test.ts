import { describe, expect, it } from 'vitest';
import { expiry, matching, typeArgument } from './proxies.ts';

const row = (type: string, name: string, ip = '10.0.0.1') => ({ id: `${type}~${ip}~${name}~x.svc.cluster.local` });
const rows = [
  row('sidecar', 'reviews-v1.shop'),
  row('sidecar', 'reviews-v2.shop'),
  row('sidecar', 'reviews.shop'),
  row('sidecar', 'reviews.default'),
  row('router', 'ingress.istio-system'),
];
const names = (word: string, namespace = 'default') =>
  matching(rows, word, namespace).map(({ id }) => id.split('~')[2]);

describe('the proxies that a word means', () => {
  it.each([
    [rows[1]!.id, ['reviews-v2.shop']],
    ['reviews.shop', ['reviews.shop']],
    ['reviews', ['reviews.default']],
    ['reviews-v', ['reviews-v1.shop', 'reviews-v2.shop']],
    ['ingress', ['ingress.istio-system']],
    ['router~', ['ingress.istio-system']],
  ])('%s', (word, found) => expect(names(word)).toEqual(found));

  it('are those of the namespace first', () => {
    expect(names('reviews', 'shop')).toEqual(['reviews.shop']);
    expect(names('rev', 'shop')).toEqual(['reviews-v1.shop', 'reviews-v2.shop', 'reviews.shop']);
    expect(names('rev')).toEqual(['reviews.default']);
  });

  it('are named where there are none', () => {
    expect(() => names('orders')).toThrow('no proxy "orders" is known: "tulle proxy-status" lists them');
  });
});

describe('when a certificate expires', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  it.each([
    ['2026-01-01T18:00:00Z', true, 'in 18h'],
    ['2026-01-01T00:00:59Z', true, 'in 59s'],
    ['2026-01-01T00:00:00Z', true, ''],
    ['2026-01-01T00:00:00Z', false, 'expired'],
    ['2026-01-11T00:00:00Z', false, 'in 10d'],
    [undefined, true, ''],
  ])('%s, connected: %s: %j', (certificateExpires, connected, text) =>
    expect(expiry({ ...(certificateExpires && { certificateExpires }), connected }, now)).toBe(text),
  );
});

describe('types of resources', () => {
  it.each([
    ['listeners', 'listeners'],
    ['listener', 'listeners'],
    ['l', 'listeners'],
    ['Route', 'routes'],
    ['ep', 'endpoints'],
    ['vh', 'virtualHosts'],
    ['virtualhosts', 'virtualHosts'],
    ['s', 'secrets'],
  ])('%s is %s', (word, type) => expect(typeArgument(word)).toBe(type));

  it.each(['', 'x', 'constructor', 'listenersx'])('%j is none', (word) =>
    expect(() => typeArgument(word)).toThrow(/^proxy-config .*: must be one of secrets, /),
  );
});
