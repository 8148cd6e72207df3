import { describe, expect, it } from 'vitest';
import { HttpFilter as HttpFilterMessage } from '../../../shared/xds/http-connection-manager.ts';
import { FilterChain } from '../../http/filters/chain.ts';
import { HTTP_FILTERS } from '../../http/filters/index.ts';
import type { FilterOverrides, RouteEntry } from '../../http/routing/route-table.ts';
import { contextOf, noCalls, requestDouble } from '../../http/testing/request-double.ts';
import { compileHttpFilters } from './compile-filters.ts';
import { compileOverrides } from './compile-per-filter.ts';
import { filterRegistry } from './filter-registry.ts';

const ANY = 'type.googleapis.com/envoy.extensions.filters.http';
const xds = (type: string, more: object = {}, name = type, around: object = {}): HttpFilterMessage =>
  HttpFilterMessage.parse({ name, typedConfig: { '@type': `${ANY}.${type}`, ...more }, ...around });
const router = xds('router.v3.Router');
const registry = filterRegistry(HTTP_FILTERS);
const env = { now: () => 0, random: () => 0, sleep: () => Promise.resolve(), call: noCalls };
const compile = (filters: HttpFilterMessage[]) => compileHttpFilters(filters, env, registry);
const names = (filters: HttpFilterMessage[]) => compile(filters).map(({ name }) => name);
const route = (overrides: FilterOverrides | undefined) => ({ action: { kind: 'forward' }, overrides }) as RouteEntry;
const BUFFER = (buffer: number) => ({ buffer, whenFull: 'reject' });
const overridesOf = (...levels: Record<string, object>[]) =>
  compileOverrides(
    levels.map((config) => ({ path: 'p', config: config as never })),
    registry,
  );

describe('compileHttpFilters', () => {
  it("keeps the listener's order, and leaves out what has nothing to do", () => {
    const filters = [
      xds('cors.v3.Cors', {}, 'c'),
      xds('rbac.v3.RBAC', {}, 'without rules of its own'),
      xds('rbac.v3.RBAC', { rules: {} }, 'r'),
      xds('fault.v3.HTTPFault', {}, 'f'),
      router,
    ];
    expect(names(filters)).toEqual(['c', 'without rules of its own', 'r', 'f']);
    expect(names([...filters.slice(0, 4).reverse(), router])).toEqual(['f', 'r', 'without rules of its own', 'c']);
    expect(names([])).toEqual([]);
  });
  it.each([
    ['no router', [xds('cors.v3.Cors')], 'the last filter must be the router'],
    ['router first', [router, xds('cors.v3.Cors')], 'the last filter must be the router'],
    ['two routers', [router, router], 'the last filter must be the router'],
    ['a router that is off', [xds('router.v3.Router', {}, 'r', { disabled: true })], 'router cannot be disabled'],
    [
      'unknown',
      [xds('lua.v3.Lua', {}, 'my-lua'), router],
      'httpFilters[0] (my-lua): typedConfig: unsupported type "envoy.extensions.filters.http.lua.v3.Lua": must be one of',
    ],
    [
      'a violation within',
      [xds('rbac.v3.RBAC', { rules: { policies: { p: {} } } }, 'r'), router],
      'httpFilters[0] (r): rules.policies["p"].permissions: must not be empty',
    ],
    ['a limit of 0', [xds('buffer.v3.Buffer', { maxRequestBytes: 0 }), router], 'maxRequestBytes: must be greater'],
    [
      'unknown and optional',
      [xds('lua.v3.Lua', {}, 'l', { isOptional: true }), router],
      'unsupported type "envoy.extensions.filters.http.lua.v3.Lua"',
    ],
  ])('refuses: %s', (_, filters, reason) => expect(() => names(filters)).toThrow(reason));

  it('gives a filter what the route configures under its name, and of its type', () => {
    const filters = compile([
      xds('buffer.v3.Buffer', { maxRequestBytes: 10 }, 'one'),
      xds('buffer.v3.Buffer', { maxRequestBytes: 20 }, 'two'),
      router,
    ]);
    const limits = (config: Record<string, object>) => {
      const request = requestDouble({ route: route(overridesOf(config)) });
      return filters.map((filter) => filter.onRequestHead!(contextOf(request), true));
    };
    const buffer = `${ANY}.buffer.v3.BufferPerRoute`;
    expect(limits({})).toEqual([BUFFER(10), BUFFER(20)]);
    expect(limits({ two: { '@type': buffer, buffer: { maxRequestBytes: 5 } } })).toEqual([BUFFER(10), BUFFER(5)]);
    expect(limits({ one: { '@type': buffer, disabled: true } })).toEqual([undefined, BUFFER(20)]);
    // As in Envoy: the configuration of another filter under this name is none.
    expect(limits({ one: { '@type': `${ANY}.fault.v3.HTTPFault` } })).toEqual([BUFFER(10), BUFFER(20)]);
  });

  it('without a route: what the listener configures', () => {
    const request = requestDouble({ route: null });
    for (const filter of compile([xds('cors.v3.Cors'), xds('rbac.v3.RBAC'), router]))
      expect(filter.onRequestHead!(contextOf(request), true)).toBeUndefined();
  });
});

describe('which filters run', () => {
  const off = { disabled: true };
  const filters = compile([
    xds('cors.v3.Cors', {}, 'a'),
    xds('fault.v3.HTTPFault', {}, 'b', off),
    xds('rbac.v3.RBAC', {}, 'c'),
    router,
  ]);
  const chain = new FilterChain(filters);
  const run = (config: Record<string, object>, host: Record<string, object> = {}) =>
    chain
      .of(route(overridesOf(config, host)))
      .all.map(({ name }) => name)
      .join('');
  const wrapper = 'type.googleapis.com/envoy.config.route.v3.FilterConfig';
  const fault = { '@type': `${ANY}.fault.v3.HTTPFault` };

  it('those that the listener does not disable', () => {
    expect(run({})).toBe('ac');
    for (const none of [null, undefined]) expect(chain.of(none).all.map(({ name }) => name)).toEqual(['a', 'c']);
  });
  it('a route switches off', () => {
    expect(run({ a: { '@type': wrapper, disabled: true } })).toBe('c');
    expect(run({}, { c: { '@type': wrapper, disabled: true } })).toBe('a');
  });
  it('a route switches on: by a configuration, a wrapped one, or an empty one', () => {
    expect(run({ b: fault })).toBe('abc');
    expect(run({ b: { '@type': wrapper, config: fault } })).toBe('abc');
    expect(run({ b: { '@type': wrapper, config: { '@type': '' } } })).toBe('abc');
  });
  it('the most specific word counts', () => {
    expect(run({ b: { '@type': wrapper, disabled: true } }, { b: fault })).toBe('ac');
    expect(run({ b: fault }, { b: { '@type': wrapper, disabled: true } })).toBe('abc');
  });
  it('chooses once for the routes that share their configuration', () => {
    const overrides = overridesOf({ b: fault });
    expect(chain.of(route(overrides))).toBe(chain.of(route(overrides)));
  });
});
