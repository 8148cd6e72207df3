import { describe, expect, it } from 'vitest';
import { TypedPerFilterConfig } from '../../../shared/xds/http-filters.ts';
import type { Fault } from '../../http/filters/fault/filter.ts';
import { HTTP_FILTERS } from '../../http/filters/index.ts';
import { HeaderMap } from '../../http/message/header-map.ts';
import { compileOverrides } from './compile-per-filter.ts';
import { filterRegistry } from './filter-registry.ts';

const registry = filterRegistry(HTTP_FILTERS);
const ANY = 'type.googleapis.com/envoy.extensions.filters.http';
const wrapper = 'type.googleapis.com/envoy.config.route.v3.FilterConfig';
const fault = (abort: number) => ({ '@type': `${ANY}.fault.v3.HTTPFault`, abort: { http_status: abort } });
/** Most specific first, read as a proxy reads them. */
const compile = (...levels: object[]) =>
  compileOverrides(
    levels.map((config, i) => ({ path: `level${i}`, config: TypedPerFilterConfig.parse(config) })),
    registry,
  );
/** What a fault's configuration answers a request with. */
const abortOf = (value: unknown) => (value as Fault).abort?.of(new HeaderMap())?.status;
const configOf = (overrides: ReturnType<typeof compile>, name = 'f') => overrides?.get(name)?.value;

describe('per-route configuration of filters', () => {
  it('nothing configured: nothing to look up', () => {
    expect(compile({}, {})).toBeUndefined();
    expect(compileOverrides([{ path: 'p', config: undefined }], registry)).toBeUndefined();
  });
  it('the most specific configuration wins', () => {
    expect(abortOf(configOf(compile({ f: fault(418) }, { f: fault(503) })))).toBe(418);
    expect(abortOf(configOf(compile({}, { f: fault(503) })))).toBe(503);
  });
  it('comes plain or in a FilterConfig', () => {
    expect(abortOf(configOf(compile({ f: { '@type': wrapper, config: fault(418) } })))).toBe(418);
  });
  it('one that only enables leaves the configuration to the next level', () => {
    const overrides = compile({ f: { '@type': wrapper, config: {} } }, { f: fault(503) });
    expect([overrides?.get('f')?.disabled, abortOf(configOf(overrides))]).toEqual([false, 503]);
  });
  it('reads what it has read before, as a static bootstrap does', () => {
    const once = TypedPerFilterConfig.parse({ f: { '@type': wrapper, config: {} }, g: fault(418) });
    expect(TypedPerFilterConfig.parse(once)).toEqual(once);
    expect(compile(once)?.get('f')).toEqual({ disabled: false, filterType: '', value: undefined });
  });
  it('a filter may read all levels: cors takes from the next what the first leaves out', () => {
    const cors = (more: object) => ({ '@type': `${ANY}.cors.v3.CorsPolicy`, ...more });
    const overrides = compile({ c: cors({ expose_headers: 'x-a' }) }, { c: cors({ allow_methods: 'PUT' }) });
    expect(configOf(overrides, 'c')).toMatchObject({
      exposeHeaders: 'x-a',
      preflightHeaders: { 'access-control-allow-methods': 'PUT' },
    });
  });
  it.each([
    [{ f: { '@type': wrapper } }, 'level0.typedPerFilterConfig["f"]: must have config or disabled: true'],
    [
      { f: { '@type': `${ANY}.lua.v3.LuaPerRoute` } },
      'level0.typedPerFilterConfig["f"]: unsupported type "envoy.extensions.filters.http.lua.v3.LuaPerRoute"',
    ],
    [
      { f: { '@type': wrapper, is_optional: true, config: { '@type': `${ANY}.lua.v3.LuaPerRoute` } } },
      'level0.typedPerFilterConfig["f"].config: unsupported type',
    ],
    [{ f: { '@type': `${ANY}.jwt_authn.v3.JwtAuthentication` } }, 'level0.typedPerFilterConfig["f"]: unsupported type'],
    [{ f: fault(99) }, 'level0.typedPerFilterConfig["f"].abort.httpStatus: must be 200 to 599'],
  ])('refuses %j', (config, reason) => expect(() => compile(config)).toThrow(reason));
});
