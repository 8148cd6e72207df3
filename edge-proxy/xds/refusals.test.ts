/** What this proxy does not do is refused by name: no field is read and passed over. */
import { describe, expect, it } from 'vitest';
import { Listener } from '../../shared/xds/listener.ts';
import type { RouteConfiguration } from '../../shared/xds/route.ts';
import { HTTP_FILTERS } from '../http/filters/index.ts';
import { noCalls } from '../http/testing/request-double.ts';
import { OverloadState } from '../overload/overload-state.ts';
import { currentRuntime } from '../runtime/index.ts';
import { compileHttpFilters } from './filter/compile-filters.ts';
import { filterRegistry } from './filter/filter-registry.ts';
import { compileListener, type ListenerDeps } from './listener/compile-listener.ts';
import { compileRouteConfiguration } from './route/compile-routes.ts';

const ANY = 'type.googleapis.com/envoy.extensions.';
const network = (type: string, fields: object) => ({
  name: 'n',
  typedConfig: { '@type': `${ANY}filters.network.${type}`, statPrefix: 's', ...fields },
});
const listenerWith = (filter: object, more: object = {}) => ({
  name: 'l',
  address: { socketAddress: { address: '127.0.0.1', portValue: 0 } },
  filterChains: [{ filters: [filter] }],
  ...more,
});
const router = { name: 'r', typedConfig: { '@type': `${ANY}filters.http.router.v3.Router` } };
const manager = (more: object, routeConfig: object = { virtualHosts: [] }) =>
  network('http_connection_manager.v3.HttpConnectionManager', { routeConfig, httpFilters: [router], ...more });
const http = (more: object) => listenerWith(manager(more));
const route = (route: object, more: object = {}, host: object = {}) => {
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'c', ...route }, ...more }];
  return listenerWith(manager({}, { virtualHosts: [{ name: 'h', domains: ['*'], routes, ...host }] }));
};
const weighted = (more: object, whole: object = {}) =>
  route({ cluster: undefined, weightedClusters: { clusters: [{ name: 'c', weight: 1, ...more }], ...whole } });
const tcp = (more: object) => listenerWith(network('tcp_proxy.v3.TcpProxy', { cluster: 'c', ...more }));

const stat = { value: 0 };
const scope = { counter: () => stat, gauge: () => stat };
const env = { now: () => 0, monotonicMs: () => 0, random: () => 0, sleep: () => Promise.resolve(), call: noCalls };
const filters = filterRegistry(HTTP_FILTERS);
const compileFilters: ListenerDeps['compileHttpFilters'] = (config) =>
  compileHttpFilters(config.httpFilters ?? [], env, filters);
const parts = {
  runtime: currentRuntime(),
  clusters: new Map(),
  compileRoutes: (config: RouteConfiguration) => compileRouteConfiguration(config, { env, filters }),
  compileHttpFilters: compileFilters,
  httpProxy: () => undefined,
  requestObservers: () => [],
  connectionObservers: () => [],
  connectionLog: () => undefined,
  draining: () => false,
  admission: { stats: { scope: () => scope }, overload: new OverloadState(env.random), sharesPorts: false },
} as unknown as ListenerDeps;

/** @returns '' when it is accepted */
function violationOf(json: object): string {
  const parsed = Listener.safeParse(json);
  if (!parsed.success)
    return parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
  try {
    compileListener(parsed.data, parts, new Map());
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('what is not done', () => {
  it('what is done is accepted', () => {
    expect([violationOf(http({})), violationOf(route({})), violationOf(weighted({})), violationOf(tcp({}))]).toEqual([
      '',
      '',
      '',
      '',
    ]);
  });

  it.each<[string, object]>([
    ['provider', http({ tracing: { provider: { name: 'zipkin' } } })],
    [
      'SkyWalkingConfig',
      http({
        tracing: { provider: { name: 's', typedConfig: { '@type': 'x/envoy.config.trace.v3.SkyWalkingConfig' } } },
      }),
    ],
    ['operationName', http({ tracing: { operationName: 'INGRESS' } })],
    ['tracing: 200', http({ tracing: { overallSampling: { value: 200 } } })],
    ['add_user_agent', http({ addUserAgent: true })],
    ['codec_type HTTP3', http({ codecType: 'HTTP3' })],
    ['pathConfigSource', http({ rds: { routeConfigName: 'r', configSource: { pathConfigSource: { path: '/r' } } } })],
    ['proper_case_words', http({ httpProtocolOptions: { headerKeyFormat: { properCaseWords: {} } } })],
    ['allow_absolute_url', http({ httpProtocolOptions: { allowAbsoluteUrl: false } })],
    ['earlyHeaderMutationExtensions', http({ earlyHeaderMutationExtensions: [] })],
    ['proxyStatusConfig', http({ proxyStatusConfig: {} })],
    ['strip_any_host_port', http({ stripMatchingHostPort: true, stripAnyHostPort: true })],
    ['someOption', http({ someOption: 1 })],
    ['internalRedirectPolicy', route({ internalRedirectPolicy: {} })],
    ['metadataMatch', route({ metadataMatch: {} })],
    ['clusterSpecifierPlugin', route({ clusterSpecifierPlugin: 'p' })],
    ['rateLimits', route({ rateLimits: [] })],
    ['filterState', route({ hashPolicy: [{ filterState: { key: 'k' } }] })],
    ['allowPost', route({ upgradeConfigs: [{ upgradeType: 'CONNECT', connectConfig: { allowPost: true } }] })],
    ['retryOn', route({ retryPolicy: { retryOn: 'sometimes' } })],
    ['tracing', route({}, { tracing: {} })],
    ['virtualClusters', route({}, {}, { virtualClusters: [] })],
    ['must have config', route({}, { typedPerFilterConfig: { f: { '@type': 'envoy.config.route.v3.FilterConfig' } } })],
    [
      'weightedClusters.clusters[0].typedPerFilterConfig["f"]: unsupported type',
      weighted({ typedPerFilterConfig: { f: { '@type': `${ANY}filters.http.lua.v3.LuaPerRoute` } } }),
    ],
    ['clusterHeader', weighted({ clusterHeader: 'x' })],
    ['totalWeight', weighted({}, { totalWeight: 2 })],
    ['metadataMatch', tcp({ metadataMatch: {} })],
    ['tunnelingConfig.hostname', tcp({ tunnelingConfig: { hostname: '%REQ(X)%:1' } })],
    ['tunnelingConfig.hostname', tcp({ tunnelingConfig: { hostname: 'a\r\nb:1' } })],
    ['tunnelingConfig.postPath', tcp({ tunnelingConfig: { hostname: 'a:1', postPath: '/a' } })],
    ['tunnelingConfig.postPath', tcp({ tunnelingConfig: { hostname: 'a:1', usePost: true, postPath: 'a b' } })],
    ['headersToAdd', tcp({ tunnelingConfig: { hostname: 'a:1', headersToAdd: [] } })],
    ['onDemand', tcp({ onDemand: {} })],
    ['maxConnectAttempts', tcp({ maxConnectAttempts: 0 })],
    ['protocol', { ...tcp({}), address: { socketAddress: { protocol: 'UDP', address: '127.0.0.1', portValue: 0 } } }],
    ['perConnectionBufferLimitBytes', { ...tcp({}), perConnectionBufferLimitBytes: 0 }],
    ['socketOptions', { ...tcp({}), socketOptions: [] }],
  ])('%s is refused by name', (name, json) => {
    expect(violationOf(json)).toContain(name);
  });
});
