import { describe, expect, it } from 'vitest';
import {
  FEATURES,
  RESOURCE_TYPES,
  resourceName,
  rowOf,
  SCHEMAS,
  TYPE_URLS,
  typeOfUrl,
  typesWith,
} from './discovery.ts';

describe('the resource types', () => {
  it('are in the order in which a proxy can apply them: what is named before what names it', () => {
    const at = (type: (typeof RESOURCE_TYPES)[number]) => RESOURCE_TYPES.indexOf(type);
    const names: [named: (typeof RESOURCE_TYPES)[number], by: (typeof RESOURCE_TYPES)[number]][] = [
      ['secrets', 'clusters'],
      ['clusters', 'endpoints'],
      ['clusters', 'virtualHosts'],
      ['clusters', 'routes'],
      ['virtualHosts', 'routes'],
      ['routes', 'listeners'],
      ['secrets', 'listeners'],
    ];
    for (const [named, by] of names) expect(at(named), `${named} before ${by}`).toBeLessThan(at(by));
    // Listeners are sent whole, with the removals: they are last.
    expect(RESOURCE_TYPES.filter((type) => rowOf(type).atOnce)).toEqual([RESOURCE_TYPES.at(-1)]);
  });

  it('have type URLs of their own, and are found by them', () => {
    expect(new Set(Object.values(TYPE_URLS)).size).toBe(RESOURCE_TYPES.length);
    for (const type of RESOURCE_TYPES) expect(typeOfUrl(TYPE_URLS[type])).toBe(type);
    expect(typeOfUrl('type.googleapis.com/envoy.config.core.v3.Node')).toBeUndefined();
  });

  it('have a name in the field that the schema requires for it', () => {
    for (const type of RESOURCE_TYPES) {
      const field = rowOf(type).nameField ?? 'name';
      const violations = SCHEMAS[type].safeParse({ [field]: 1 }).error?.issues.map(({ path }) => path.join('.'));
      expect(violations, type).toContain(field);
      expect(resourceName(type, { [field]: 'a' } as never)).toBe('a');
      expect(resourceName(type, {} as never)).toBe('');
    }
  });

  it('that belong to a feature are for nodes with it', () => {
    const plain = typesWith(new Set());
    expect(plain).toEqual(['secrets', 'clusters', 'endpoints', 'routes', 'listeners']);
    expect(typesWith(new Set(FEATURES))).toEqual(RESOURCE_TYPES);
    const separate = RESOURCE_TYPES.filter((type) => type !== 'hosts' && type !== 'dnsHosts');
    expect(typesWith(new Set(['tulle.virtual-hosts']))).toEqual(separate);
  });
});
