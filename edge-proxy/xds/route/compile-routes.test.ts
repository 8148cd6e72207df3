import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RouteConfiguration } from '../../../shared/xds/route.ts';
import { HTTP_FILTERS } from '../../http/filters/index.ts';
import { HeaderMap } from '../../http/message/header-map.ts';
import type { ForwardAction, RouteEntry } from '../../http/routing/route-table.ts';
import { type RequestParts, requestDouble } from '../../http/testing/request-double.ts';
import { filterRegistry } from '../filter/filter-registry.ts';
import { ConfigError, compileRouteConfiguration } from './compile-routes.ts';

const draws: number[] = [];
const env = { now: () => 0, monotonicMs: () => 0, random: () => draws.shift() ?? 0 };
const deps = { env, filters: filterRegistry(HTTP_FILTERS) };
const compile = (routes: unknown[], host: object = {}, table: object = {}) =>
  compileRouteConfiguration(
    RouteConfiguration.parse({ name: 't', virtualHosts: [{ name: 'vh', domains: ['*'], routes, ...host }], ...table }),
    deps,
  );
const to = (cluster: string, more: object = {}) => ({ cluster, ...more });
const run = (routes: unknown[], parts: RequestParts, host: object = {}, table: object = {}) => {
  const request = requestDouble(parts);
  const route = compile(routes, host, table).match(request);
  request.route = route;
  return { request, route };
};
/** Sends the request on, as the router does. */
const forward = (route: unknown, parts: RequestParts = {}, host: object = {}, table: object = {}) => {
  const { request, route: entry } = run([route], parts, host, table);
  const action = entry!.action as ForwardAction;
  const choice = action.pick(request, 0);
  choice.editRequest(request);
  action.rewrite(request);
  return { request, action, choice, entry: entry as RouteEntry };
};

describe('matching', () => {
  const routes = [
    { name: 'exact', match: { path: '/exact' }, route: to('c') },
    { name: 'folded', match: { prefix: '/Fold', caseSensitive: false }, route: to('c') },
    { name: 'segment', match: { pathSeparatedPrefix: '/seg' }, route: to('c') },
    { name: 'regex', match: { safeRegex: { regex: '/r/[0-9]+' } }, route: to('c') },
    { name: 'header', match: { prefix: '/', headers: [{ name: 'x', stringMatch: { exact: '1' } }] }, route: to('c') },
    { name: 'query', match: { prefix: '/', queryParameters: [{ name: 'q' }] }, route: to('c') },
    { name: 'tunnel', match: { connectMatcher: {} }, route: to('c') },
    { name: 'rest', match: { prefix: '/' }, route: to('c') },
  ];
  it.each([
    [{ path: '/exact?a=1' }, 'exact'],
    [{ path: '/exact/' }, 'rest'],
    [{ path: '/fOLDer' }, 'folded'],
    [{ path: '/seg' }, 'segment'],
    [{ path: '/seg/x' }, 'segment'],
    [{ path: '/segment' }, 'rest'],
    [{ path: '/r/12?x' }, 'regex'],
    [{ path: '/r/12/x' }, 'rest'],
    [{ path: '/', headers: { x: '1' } }, 'header'],
    [{ path: '/?q' }, 'query'],
    [{ path: '', method: 'CONNECT' }, 'tunnel'],
  ])('%j goes to %s', (parts, name) => expect(run(routes, parts).route?.name).toBe(name));
  it('no route, no virtual host: null', () => {
    expect(run([{ match: { path: '/x' }, route: to('c') }], { path: '/' }).route).toBeNull();
    expect(run(routes, { authority: 'other' }, { domains: ['reviews'] }).route).toBeNull();
  });
});

describe('forwarding', () => {
  it('weights share as written', () => {
    const clusters = [
      { name: 'a', weight: 1 },
      { name: 'zero', weight: 0 },
      { name: 'b', weight: 3 },
    ];
    const { action, request } = forward({ match: { prefix: '/' }, route: { weightedClusters: { clusters } } });
    const share = Array.from({ length: 100 }, (_, i) => action.pick(request, i / 100).cluster);
    expect(share.filter((name) => name === 'a')).toHaveLength(25);
    expect(share.filter((name) => name === 'b')).toHaveLength(75);
  });
  it('a cluster that configures filters is drawn with the route, once a request', () => {
    const limit = { '@type': 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute' };
    const clusters = [
      { name: 'a', weight: 1, typedPerFilterConfig: { f: { ...limit, buffer: { maxRequestBytes: 418 } } } },
      { name: 'b', weight: 3 },
    ];
    const host = { typedPerFilterConfig: { f: { ...limit, buffer: { maxRequestBytes: 503 } } } };
    const table = compile([{ match: { prefix: '/' }, route: { weightedClusters: { clusters } } }], host);
    const drawn = [0, 0.249, 0.25, 0.999].map((draw) => {
      draws.push(draw);
      const request = requestDouble({});
      const { action, overrides } = table.match(request)!;
      // What the router draws afterwards changes nothing.
      const cluster = [0, 0.5, 0.999].map((later) => (action as ForwardAction).pick(request, later).cluster);
      return [new Set(cluster), overrides?.get('f')?.value as object];
    });
    expect(drawn).toEqual([
      [new Set(['a']), expect.objectContaining({ buffer: expect.objectContaining({ buffer: 418 }) })],
      [new Set(['a']), expect.objectContaining({ buffer: expect.objectContaining({ buffer: 418 }) })],
      [new Set(['b']), expect.objectContaining({ buffer: expect.objectContaining({ buffer: 503 }) })],
      [new Set(['b']), expect.objectContaining({ buffer: expect.objectContaining({ buffer: 503 }) })],
    ]);
    expect(draws).toEqual([]);
  });
  it('a share of requests is drawn from the chance it is given', () => {
    const half = { match: { prefix: '/', runtimeFraction: { defaultValue: { numerator: 50 } } }, route: to('c') };
    const table = compile([
      { name: 'half', ...half },
      { name: 'rest', match: { prefix: '/' }, route: to('c') },
    ]);
    draws.push(0.499, 0.5);
    expect([1, 2].map(() => table.match(requestDouble({}))?.name)).toEqual(['half', 'rest']);
  });
  it.each([
    [{ prefix: '/a' }, { prefixRewrite: '/z' }, '/a/b?q', '/z/b?q'],
    [{ path: '/a' }, { prefixRewrite: '/z' }, '/a?q', '/z?q'],
    [{ safeRegex: { regex: '/a.*' } }, { prefixRewrite: '/z' }, '/a/b?q', '/z?q'],
    [
      { prefix: '/' },
      { regexRewrite: { pattern: { regex: '^/service/([^/]+)(/.*)$' }, substitution: '\\2/instance/\\1' } },
      '/service/foo/v1?q=/service/',
      '/v1/instance/foo?q=/service/',
    ],
  ])('%j with %j: %s -> %s', (match, rewrite, path, expected) =>
    expect(forward({ match, route: to('c', rewrite) }, { path }).request.path).toBe(expected),
  );
  it('host rewrite', () => {
    const { request } = forward({
      match: { prefix: '/' },
      route: to('c', { hostRewriteLiteral: 'x', appendXForwardedHost: true }),
    });
    expect([request.authority, request.headers.get('x-forwarded-host')]).toEqual(['x', 'reviews']);
  });
  it('defaults and retries', () => {
    expect(forward({ match: { prefix: '/' }, route: to('c') }).action).toMatchObject({
      timeoutMs: 15000,
      retry: undefined,
    });
    const retryPolicy = {
      retryOn: 'gateway-error,retriable-4xx,retriable-status-codes,unavailable',
      retriableStatusCodes: [418],
      numRetries: 3,
      perTryTimeout: '2s',
    };
    const { retry, timeoutMs, perAttemptMs } = forward({
      match: { prefix: '/' },
      route: to('c', { timeout: '0s', retryPolicy }),
    }).action;
    expect(retry).toMatchObject({
      maxRetries: 3,
      onReset: true,
      backOffBaseMs: 25,
      backOffMaxMs: 250,
    });
    expect([timeoutMs, perAttemptMs]).toEqual([0, 2000]);
    const grpc = new HeaderMap();
    grpc.append('grpc-status', '14');
    expect([200, 409, 418, 500, 503].map((status) => retry!.retriableResponse(status, new HeaderMap()))).toEqual([
      false,
      true,
      true,
      false,
      true,
    ]);
    expect(retry!.retriableResponse(200, grpc)).toBe(true);
  });
  it('connect-failure alone retries nothing else', () => {
    const { retry } = forward({
      match: { prefix: '/' },
      route: to('c', { retryPolicy: { retryOn: 'connect-failure' } }),
    }).action;
    expect(retry).toMatchObject({ onConnectFailure: true, onReset: false, onRefusedStream: false, maxRetries: 1 });
    expect(retry!.retriableResponse(503, new HeaderMap())).toBe(false);
  });
});

describe('header operations', () => {
  const set = (key: string, value: string, appendAction = 'OVERWRITE_IF_EXISTS_OR_ADD') => ({
    header: { key, value },
    appendAction,
  });
  it.each([
    [false, 'table'],
    // As Envoy does: a weighted cluster's are applied before those of its route in any case.
    [true, 'route'],
  ])('mostSpecificHeaderMutationsWins %s: %s has the last word', (mostSpecificHeaderMutationsWins, last) => {
    const weightedClusters = { clusters: [{ name: 'c', weight: 1, requestHeadersToAdd: [set('x', 'cluster')] }] };
    const route = { match: { prefix: '/' }, route: { weightedClusters }, requestHeadersToAdd: [set('x', 'route')] };
    const { request } = forward(
      route,
      {},
      { requestHeadersToAdd: [set('x', 'host')] },
      { requestHeadersToAdd: [set('x', 'table')], mostSpecificHeaderMutationsWins },
    );
    expect(request.headers.joined('x')).toBe(last);
  });
  it('removes, replaces, adds; formats; drops empty values', () => {
    const { request, choice } = forward(
      {
        match: { prefix: '/' },
        route: to('c'),
        requestHeadersToRemove: ['gone'],
        requestHeadersToAdd: [
          { header: { key: 'Two', value: 'b' } },
          set('one', '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%REQ(:METHOD)%|%REQ(none?two)%|100%%'),
          set('gone', 'back', 'OVERWRITE_IF_EXISTS'),
          set('two', 'c', 'ADD_IF_ABSENT'),
          set('empty', '%REQ(none)%'),
        ],
        responseHeadersToAdd: [set('r', '%PROTOCOL%')],
        responseHeadersToRemove: ['server'],
      },
      { headers: { gone: '1', two: 'a', one: '1' } },
    );
    expect(request.headers.joined('two')).toBe('a,b');
    expect(request.headers.joined('one')).toBe('10.0.0.1|GET|a|100%');
    expect([request.headers.has('gone'), request.headers.has('empty')]).toEqual([false, false]);
    const response = new HeaderMap();
    response.append('Server', 'x');
    choice.editResponse(request, response);
    expect([response.has('server'), response.get('r')]).toEqual([false, 'HTTP/1.1']);
  });
});

it('what config writes into a head is UTF-8, a character a byte', () => {
  const bytes = (text: string) => Buffer.from(text, 'utf8').toString('latin1');
  const text = 'a\u010ab caf\u00e9 \u263a';
  const match = { prefix: '/old' };
  const requestHeadersToAdd = [{ header: { key: 'x', value: `${text} %ROUTE_NAME%` } }];
  const rewrites = { prefixRewrite: `/${text}`, hostRewriteLiteral: text };
  const { request } = forward({ name: text, match, route: to('c', rewrites), requestHeadersToAdd }, { path: '/old/x' });
  expect([request.headers.get('x'), request.path, request.authority]).toEqual(
    [`${text} ${text}`, `/${text}/x`, text].map(bytes),
  );
  const regexRewrite = { pattern: { regex: 'old' }, substitution: text };
  expect(forward({ match, route: to('c', { regexRewrite }) }, { path: '/old' }).request.path).toBe(bytes(`/${text}`));
});

describe('redirects', () => {
  const location = (redirect: object, parts: RequestParts = {}, match: object = { prefix: '/' }) => {
    const { request, route } = run([{ match, redirect }], parts);
    return route!.action.kind === 'redirect' ? `${route!.action.status} ${route!.action.location(request)}` : '';
  };
  it.each([
    [{}, { path: '/a?b' }, '301 http://reviews/a?b'],
    [{ httpsRedirect: true }, { authority: 'h:80' }, '301 https://h/'],
    [{ httpsRedirect: true }, { authority: 'h:8080' }, '301 https://h:8080/'],
    [
      { schemeRedirect: 'https', portRedirect: 8443, responseCode: 'PERMANENT_REDIRECT' },
      { authority: '[::1]:80' },
      '308 https://[::1]:8443/',
    ],
    [{ hostRedirect: 'x', pathRedirect: '/n' }, { path: '/a?b' }, '301 http://x/n?b'],
    [{ pathRedirect: '/n?m' }, { path: '/a?b' }, '301 http://reviews/n?m'],
    [{ stripQuery: true, responseCode: 'SEE_OTHER' }, { path: '/a?b' }, '303 http://reviews/a'],
  ])('%j of %j: %s', (redirect, parts, expected) => expect(location(redirect, parts)).toBe(expected));
  it('replaces the matched prefix', () =>
    expect(location({ prefixRewrite: '/z' }, { path: '/a/b?q' }, { prefix: '/a' })).toBe('301 http://reviews/z/b?q'));
  it('requireTls', () => {
    const routes = [{ match: { prefix: '/' }, route: to('c') }];
    const { route, request } = run(routes, { path: '/a?b' }, { requireTls: 'ALL' });
    expect(route!.action.kind === 'redirect' && route!.action.location(request)).toBe('https://reviews/a?b');
    expect(run(routes, { scheme: 'https' }, { requireTls: 'ALL' }).route!.action.kind).toBe('forward');
    const claimed = { scheme: 'https', headers: { 'x-forwarded-proto': 'http' } } as const;
    expect(run(routes, claimed, { requireTls: 'ALL' }).route!.action.kind).toBe('redirect');
  });
});

it('direct responses', () => {
  const { route } = run(
    [{ match: { prefix: '/' }, directResponse: { status: 418, body: { inlineBytes: btoa('tea') } } }],
    {},
  );
  expect(route!.action).toMatchObject({ kind: 'direct', status: 418, body: 'tea' });
});

it.each([
  [{ match: {}, route: to('c') }, 'virtualHosts[0].routes[0].match'],
  [{ match: { prefix: '/', path: '/' }, route: to('c') }, 'exactly one'],
  [{ match: { prefix: '/' } }, 'exactly one of route, redirect, directResponse'],
  [{ match: { prefix: '/' }, route: {} }, 'exactly one of cluster'],
  [
    { match: { prefix: '/' }, route: to('c', { retryPolicy: { retryOn: 'whatever' } }) },
    'retryOn: unsupported condition "whatever"',
  ],
  [
    { match: { prefix: '/' }, route: to('c'), requestHeadersToAdd: [{ header: { key: 'a', value: '%NOPE%' } }] },
    '%NOPE%',
  ],
  [
    { match: { prefix: '/' }, route: to('c'), requestHeadersToAdd: [{ header: { key: 'Host', value: 'x' } }] },
    '"Host"',
  ],
  [
    { match: { prefix: '/' }, route: to('c'), requestHeadersToAdd: [{ header: { key: 'a', value: 'x\r\ny: z' } }] },
    'control character',
  ],
  [{ match: { prefix: '/' }, route: { weightedClusters: { clusters: [{ name: 'a' }] } } }, 'sum to 0'],
])('refuses %j', (route, reason) => {
  expect(() => compile([route])).toThrow(ConfigError);
  expect(() => compile([route])).toThrow(reason);
});

const cases = new URL('../../../../shared/reference/istiod-golden/cases/', import.meta.url);
if (!existsSync(cases)) console.log('skipped: the reference data is not here');
describe.skipIf(!existsSync(cases))('what istiod generates', () => {
  it('compiles, but for what is refused by name', () => {
    let compiled = 0;
    const refused: string[] = [];
    for (const name of existsSync(cases) ? readdirSync(cases).filter((one) => one.startsWith('vs-')) : []) {
      const xds = JSON.parse(
        readFileSync(new URL(`${name}/xds/${readdirSync(new URL(`${name}/xds/`, cases))[0]}`, cases), 'utf8'),
      );
      for (const table of xds.routes) {
        const parsed = RouteConfiguration.safeParse(table);
        if (!parsed.success) {
          refused.push(`${name} ${table.name}: ${parsed.error.issues[0]?.message}`);
          continue;
        }
        expect(compileRouteConfiguration(parsed.data, deps).name).toBe(table.name ?? '');
        compiled++;
      }
    }
    console.log(
      `routes: ${compiled} tables of istiod compiled, refused by the schema: ${refused.join('; ') || 'none'}`,
    );
    expect(compiled).toBeGreaterThanOrEqual(10);
  });
});

it('refuses internal redirects by name', () => {
  const route = { match: { prefix: '/' }, route: { cluster: 'c', internal_redirect_policy: {} } };
  const parsed = RouteConfiguration.safeParse({ virtual_hosts: [{ name: 'h', domains: ['*'], routes: [route] }] });
  expect(parsed.error?.issues[0]?.message).toContain('internalRedirectPolicy');
});

describe('what a route changes of a head', () => {
  const keeps = (action: object, route: object = {}, host: object = {}) => {
    const compiled = run([{ match: { prefix: '/' }, route: { cluster: 'c', ...action }, ...route }], {}, host).route;
    return (compiled!.action as ForwardAction).keepsHead;
  };
  const add = { requestHeadersToAdd: [{ header: { key: 'x', value: 'y' } }] };
  it('nothing, where it only forwards or edits responses', () => {
    expect(keeps({})).toBe(true);
    expect(keeps({ timeout: '3s' }, { responseHeadersToRemove: ['x'] })).toBe(true);
  });
  it.each<[string, Parameters<typeof keeps>]>([
    ['a prefix rewrite', [{ prefixRewrite: '/b' }]],
    ['a literal host', [{ hostRewriteLiteral: 'b' }]],
    ['the host of the endpoint', [{ autoHostRewrite: true }]],
    ['its header operations', [{}, add]],
    ['those of its virtual host', [{}, {}, { requestHeadersToRemove: ['x'] }]],
    [
      'those of a weighted cluster',
      [{ cluster: undefined, weightedClusters: { clusters: [{ name: 'c', weight: 1, ...add }] } }],
    ],
  ])('%s', (_, given) => expect(keeps(...given)).toBe(false));
});
