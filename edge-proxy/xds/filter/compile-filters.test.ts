import { describe, expect, it } from 'vitest';
import type { HttpFilter as XdsHttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import { requestDouble } from '../../http/filters/request-double.ts';
import type { RouteEntry, RouteTable } from '../../http/route-table.ts';
import { compileHttpFilters } from './compile-filters.ts';

const xds = (type: string, more: object = {}, name = type): XdsHttpFilter =>
  ({
    name,
    typedConfig: { '@type': `type.googleapis.com/envoy.extensions.filters.http.${type}`, ...more },
  }) as XdsHttpFilter;
const router = xds('router.v3.Router');
const env = { now: () => 0, random: () => 0, routes: () => undefined };
const names = (filters: XdsHttpFilter[]) => compileHttpFilters(filters, env).map(({ name }) => name);

describe('compileHttpFilters', () => {
  it('keeps the order, and leaves out what has nothing to do', () => {
    const rbac = xds('rbac.v3.RBAC', { rules: {} });
    expect(
      names([
        xds('cors.v3.Cors'),
        xds('rbac.v3.RBAC'),
        rbac,
        xds('grpc_stats.v3.FilterConfig'),
        xds('fault.v3.HTTPFault'),
        router,
      ]),
    ).toEqual([
      'envoy.filters.http.cors',
      // Without rules of its own: a route may have some.
      'envoy.filters.http.rbac',
      'envoy.filters.http.rbac',
      'envoy.filters.http.fault',
    ]);
    expect(names([])).toEqual([]);
  });
  it.each([
    ['no router', [xds('cors.v3.Cors')], 'the last filter must be the router'],
    ['router first', [router, xds('cors.v3.Cors')], 'the last filter must be the router'],
    ['two routers', [router, router], 'the last filter must be the router'],
    ['unknown', [xds('lua.v3.Lua', {}, 'my-lua'), router], 'httpFilters[0] (my-lua): typedConfig: is not supported'],
    [
      'a fault within',
      [xds('rbac.v3.RBAC', { rules: { policies: { p: {} } } }, 'r'), router],
      'httpFilters[0] (r): rules.policies["p"].permissions: must not be empty',
    ],
  ])('refuses: %s', (_, filters, reason) => expect(() => names(filters)).toThrow(reason));
  it('the route says how much of a body may wait, or that none must', () => {
    const own = { maxRequestBytes: 10 };
    for (const [buffer, expected] of [
      [undefined, { holdBytes: 10 }],
      [{ hold: { holdBytes: 5 } }, { holdBytes: 5 }],
      [{ hold: undefined }, undefined],
    ] as const) {
      const routes = () => ({ match: () => ({ buffer }) }) as unknown as RouteTable;
      const [filter] = compileHttpFilters([xds('buffer.v3.Buffer', own), router], { ...env, routes });
      expect(filter!.onRequest!(requestDouble({ route: undefined }))).toEqual(expected);
    }
    expect(() => names([xds('buffer.v3.Buffer', { maxRequestBytes: 0 }), router])).toThrow(
      'maxRequestBytes: must be greater',
    );
  });
  it('an optional filter that is unknown is refused as well', () => {
    expect(() => names([{ ...xds('lua.v3.Lua'), isOptional: true }, router])).toThrow('is not supported');
  });
  it('looks a route up once for all filters, no match included', () => {
    for (const found of [null, {} as RouteEntry]) {
      let asked = 0;
      const match = () => {
        asked++;
        return found;
      };
      const routes = () => ({ match }) as unknown as RouteTable;
      const filters = compileHttpFilters([xds('fault.v3.HTTPFault'), xds('cors.v3.Cors'), router], { ...env, routes });
      const request = requestDouble({ route: undefined });
      for (const filter of filters) filter.onRequest!(request);
      expect(asked).toBe(1);
      expect(request.route).toBe(found);
    }
  });
  it('before any route table: no route', () => {
    const request = requestDouble();
    for (const filter of compileHttpFilters([xds('cors.v3.Cors'), router], env))
      expect(filter.onRequest!(request)).toBeUndefined();
    expect(request.route).toBeNull();
  });
});
