import { describe, expect, it } from 'vitest';
import { matching, typeArgument } from './proxies.ts';

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
