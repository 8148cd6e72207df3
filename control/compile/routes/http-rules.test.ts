import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import { Route } from '../../../shared/xds/route.ts';
import { DEFAULT_SETTINGS } from '../../mesh/mesh-config.ts';
import { resolveGatewayName } from '../../mesh/routes/names.ts';
import { formOf } from '../../mesh/routes/virtual-service.ts';
import { findingText } from '../output/finding.ts';
import { DEFAULT_RETRY_POLICY, protoDuration } from './http-policies.ts';
import { defaultRoute, type RouteContext, translateHttpRoutes, UNTRANSLATABLE } from './http-rules.ts';

const cases = new URL('../../../../shared/reference/istiod-golden/cases/', import.meta.url);

const context: RouteContext = {
  proxyLabels: { app: 'client' },
  proxyNamespace: 'default',
  gateway: 'mesh',
  port: 9080,
  clusterName: (host, subset, port) => `outbound|${port ?? 9080}|${subset ?? ''}|${host}`,
};

type VirtualService = ResourceOfKind<'VirtualService'>;

function virtualService(http: object[], annotations?: Record<string, string>): VirtualService {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'reviews', namespace: 'default', ...(annotations && { annotations }) },
    spec: { hosts: ['reviews'], http } as VirtualService['spec'],
  };
}
const to = (subset?: string) => [{ destination: { host: 'reviews', ...(subset && { subset }) } }];
const translated = (vs: VirtualService, ctx: RouteContext) =>
  translateHttpRoutes(formOf(vs, DEFAULT_SETTINGS).http, ctx);
const one = (http: Record<string, unknown>, ctx = context): Route => translated(virtualService([http]), ctx)[0]!;

/** What our types do not have is left out of the comparison; '' and an absent field mean the same. */
function comparable(route: Record<string, unknown>): unknown {
  const copy = structuredClone(route) as {
    route?: { retryPolicy?: Record<string, unknown> };
    redirect?: Record<string, unknown>;
  };
  if (copy.route?.retryPolicy) delete copy.route.retryPolicy['retryPriority'];
  if (copy.redirect?.['pathRedirect'] === '') delete copy.redirect['pathRedirect'];
  const parsed = Route.parse(copy);
  for (const key of ['timeout', 'maxGrpcTimeout'] as const)
    if (parsed.route?.[key]) parsed.route[key] = `${Number(parsed.route[key].slice(0, -1))}s`;
  const backOff = parsed.route?.retryPolicy?.retryBackOff;
  if (backOff) backOff.baseInterval = `${Number(backOff.baseInterval.slice(0, -1))}s`;
  return parsed;
}

if (!existsSync(cases)) console.log('skipped: the reference data is not here');
describe.skipIf(!existsSync(cases))('what istiod generates', () => {
  const names = existsSync(cases) ? readdirSync(cases) : [];
  let compared = 0;
  for (const name of names) {
    const folder = new URL(`${name}/`, cases);
    const services = parseAllDocuments(readFileSync(new URL('config.yaml', folder), 'utf8'))
      .map((document) => document.toJS() as VirtualService | null)
      .filter((resource) => resource?.kind === 'VirtualService') as VirtualService[];
    const simple =
      services.length === 1 && !JSON.stringify(services).match(/delegate|gateways|"\*"|@request|consistentHash/);
    if (!simple || !existsSync(new URL('xds/client.json', folder))) continue;
    const http = (services[0]!.spec as { http?: unknown[] }).http;
    if (!http) continue;
    const config = `/virtual-service/${services[0]!.metadata.name}"`;
    const xds = JSON.parse(readFileSync(new URL('xds/client.json', folder), 'utf8'));
    for (const table of xds.routes as { name: string; virtualHosts: { routes: Record<string, unknown>[] }[] }[]) {
      const host = table.virtualHosts.find((vh) => vh.routes.some((route) => JSON.stringify(route).includes(config)));
      const port = Number(table.name);
      if (!host || Number.isNaN(port) || host.routes.some((route) => JSON.stringify(route).includes('hashPolicy')))
        continue;
      compared++;
      it(`${name} ${table.name}`, () => {
        const proxy = JSON.parse(readFileSync(new URL('proxies.json', folder), 'utf8')).find(
          (one: { name: string }) => one.name === 'client',
        );
        const ctx = {
          ...context,
          port,
          proxyLabels: proxy.labels ?? {},
          proxyNamespace: proxy.namespace,
          clusterName: (h: string, subset: string | undefined, p: number | undefined) =>
            `outbound|${p ?? port}|${subset ?? ''}|${h}`,
        };
        const actual = translated(services[0]!, ctx).map((route) => comparable(route as never));
        expect(actual).toEqual(host.routes.map(comparable));
      });
    }
  }
  it('found a worthwhile number of cases', () => {
    console.log(`VirtualService: ${compared} route tables compared with istiod's`);
    expect(compared).toBeGreaterThanOrEqual(9);
  });
});

describe('matches', () => {
  it('forms of uri, case, method, scheme, authority, query', () => {
    expect(one({ match: [{ uri: { exact: '/a' }, ignoreUriCase: true }], route: to() }).match).toEqual({
      path: '/a',
      caseSensitive: false,
    });
    expect(
      one({
        match: [
          {
            uri: { regex: '/a.*' },
            method: { exact: 'GET' },
            scheme: { exact: 'http' },
            authority: { prefix: 'a.' },
            queryParams: { z: { exact: '1' }, b: {}, c: { regex: 'x+' } },
          },
        ],
        route: to(),
      }).match,
    ).toEqual({
      safeRegex: { regex: '/a.*' },
      caseSensitive: true,
      headers: [
        { name: ':method', stringMatch: { exact: 'GET' } },
        { name: ':authority', stringMatch: { prefix: 'a.' } },
        { name: ':scheme', stringMatch: { exact: 'http' } },
      ],
      queryParameters: [
        { name: 'b', presentMatch: true },
        { name: 'c', stringMatch: { safeRegex: { regex: 'x+' } } },
        { name: 'z', stringMatch: { exact: '1' } },
      ],
    });
  });
  it('whole segments for resources of Gateway API and Ingress', () => {
    const vs = virtualService([{ match: [{ uri: { prefix: '/a/' } }], route: to() }], {
      'internal.istio.io/route-semantics': 'gateway',
    });
    expect(translated(vs, context)[0]!.match).toMatchObject({ pathSeparatedPrefix: '/a' });
  });
  it.each([
    [{ port: 9080 }, true],
    [{ port: 80 }, false],
    [{ sourceLabels: { app: 'client' } }, true],
    [{ sourceLabels: { app: 'other' } }, false],
    [{ sourceNamespace: 'default' }, true],
    [{ sourceNamespace: 'other' }, false],
    [{ gateways: ['mesh'] }, true],
    [{ gateways: ['gw'] }, false],
  ])('%j concerns this proxy: %s', (match, yes) => {
    expect(translated(virtualService([{ match: [match], route: to() }]), context)).toHaveLength(yes ? 1 : 0);
  });
  it('gateway names', () => {
    expect(
      ['mesh', 'gw', './gw', 'ns/gw', 'gw.ns.svc.cluster.local', 'gw.ns'].map((n) => resolveGatewayName(n, 'd')),
    ).toEqual(['mesh', 'd/gw', 'd/gw', 'ns/gw', 'ns/gw', 'ns/gw']);
  });
  it('route names join rule and match', () => {
    expect(one({ name: 'r', match: [{ name: 'm', uri: { prefix: '/x' } }], route: to() }).name).toBe('r.m');
  });
});

describe('actions', () => {
  it('a single destination joins its headers to the route and may rewrite the host', () => {
    const route = one({
      headers: { request: { set: { a: '1' }, remove: ['r'] } },
      route: [
        {
          destination: { host: 'reviews' },
          headers: { request: { add: { b: '2' }, set: { Host: 'h' } }, response: { remove: ['s'] } },
        },
      ],
    });
    expect(route.requestHeadersToAdd?.map((option) => option.header.key)).toEqual(['a', 'b']);
    expect(route.requestHeadersToRemove).toEqual(['r']);
    expect(route.responseHeadersToRemove).toEqual(['s']);
    expect(route.route?.hostRewriteLiteral).toBe('h');
  });
  it('a gRPC status of a fault is spelled as gRPC has it', () => {
    const abortWith = (grpcStatus: string) =>
      one({ fault: { abort: { grpcStatus } }, route: to() }).typedPerFilterConfig?.['envoy.filters.http.fault'];
    expect(abortWith('CANCELLED')).toMatchObject({ abort: { grpcStatus: 1 } });
    expect(abortWith('UNAUTHENTICATED')).toMatchObject({ abort: { grpcStatus: 16 } });
  });
  it('fault and cors go per filter', () => {
    const route = one({
      fault: { delay: { fixedDelay: '7s', percentage: { value: 12.5 } }, abort: { grpcStatus: 'UNAVAILABLE' } },
      corsPolicy: {
        allowOrigins: [{ exact: 'https://a' }, { regex: '.*b' }],
        allowMethods: ['GET', 'POST'],
        maxAge: '24h',
        allowCredentials: true,
        unmatchedPreflights: 'IGNORE',
      },
      route: to(),
    });
    expect(Route.parse(route).typedPerFilterConfig).toEqual({
      'envoy.filters.http.fault': {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
        delay: { fixedDelay: '7s', percentage: { numerator: 125000, denominator: 'MILLION' } },
        abort: { grpcStatus: 14, percentage: { numerator: 100 } },
      },
      'envoy.filters.http.cors': {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy',
        allowOriginStringMatch: [{ exact: 'https://a' }, { safeRegex: { regex: '.*b' } }],
        allowMethods: 'GET,POST',
        maxAge: '86400',
        allowCredentials: true,
        forwardNotMatchingPreflights: false,
        filterEnabled: { defaultValue: { numerator: 100 } },
      },
    });
  });
  it('direct response and redirect', () => {
    expect(one({ directResponse: { status: 418, body: { string: 'tea' } } }).directResponse).toEqual({
      status: 418,
      body: { inlineString: 'tea' },
    });
    expect(one({ redirect: { uri: '/x', redirectCode: 302 } }).redirect).toEqual({
      pathRedirect: '/x',
      responseCode: 'FOUND',
    });
  });
  it('answers 500 to what it cannot do, and gives the reason to the log alone', () => {
    const answer = (http: Record<string, unknown>) => {
      const reasons: string[] = [];
      const route = one(http, { ...context, onError: (finding) => reasons.push(findingText(finding)) });
      expect(route).not.toHaveProperty('route');
      expect(route.directResponse).toEqual({ status: 500, body: { inlineString: UNTRANSLATABLE } });
      return reasons;
    };
    const because = (reason: string) => [`VirtualService default/reviews: ${reason}`];
    expect(answer({ redirect: { redirectCode: 299 } })).toEqual(because('redirectCode 299 is not a redirect'));
    expect(answer({ route: to(), timeout: '5 s' })).toEqual(because('"5 s" is not a duration'));
    expect(answer({ route: to(), fault: { abort: { http2Error: 'x' } } })).toHaveLength(1);
  });
  it('answers 500 to a rule of a delegate that delegates further', () => {
    const [root, delegate] = [
      virtualService([{ delegate: { name: 'x' } }]),
      virtualService([{ delegate: { name: 'y' } }]),
    ];
    const reasons: string[] = [];
    const { http } = formOf(root, DEFAULT_SETTINGS, () => delegate);
    const [route] = translateHttpRoutes(http, { ...context, onError: (finding) => reasons.push(findingText(finding)) });
    expect(route?.directResponse?.status).toBe(500);
    expect(reasons).toEqual([
      'VirtualService default/reviews: delegates only to VirtualServices that delegate no further',
    ]);
  });
  it('default route', () => {
    expect(Route.parse(defaultRoute('outbound|80||a', 'a:80/*'))).toMatchObject({
      name: 'default',
      match: { prefix: '/' },
      route: { cluster: 'outbound|80||a', timeout: '0s', retryPolicy: DEFAULT_RETRY_POLICY },
    });
  });
});

it.each([
  ['5s', '5s'],
  ['0.25s', '0.25s'],
  ['1h3m2.5s', '3782.5s'],
  ['250ms', '0.25s'],
  ['1us', '0.000001s'],
  ['0s', '0s'],
])('duration %s', (go, proto) => expect(protoDuration(go)).toBe(proto));
