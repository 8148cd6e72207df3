import { describe, expect, it } from 'vitest';
import { ExtAuthz, ExtAuthzPerRoute } from '../../../../shared/xds/filters/ext-authz.ts';
import { ProtoWriter } from '../../../protobuf/writer.ts';
import { Stats } from '../../../telemetry/stats.ts';
import type { Cluster } from '../../../upstream/cluster.ts';
import { HeaderMap } from '../../message/header-map.ts';
import type { RequestContext } from '../../request/request-context.ts';
import type { RouteEntry } from '../../routing/route-table.ts';
import type { CallFailure } from '../../side-call/failure.ts';
import { type CallReply, type GrpcReply, type SideCall, SideCallError } from '../../side-call/side-call.ts';
import { contextOf, noCalls, type RequestParts, requestDouble } from '../../testing/request-double.ts';
import type { FilterEnv } from '../definition.ts';
import type { FilterHooks } from '../hooks.ts';
import { asUtf8 } from './check-request.ts';
import { readCheckResponse } from './check-response.ts';
import { compileExtAuthz, compileRouteAuthz, type RouteAuthz } from './compile.ts';
import { createExtAuthzFilter } from './filter.ts';
import { extAuthz } from './index.ts';

const serverUri = { uri: 'http://a.test', cluster: 'authz', timeout: '1s' };
const HTTP = {
  httpService: {
    serverUri,
    authorizationResponse: { allowedUpstreamHeaders: { patterns: [{ prefix: 'x-' }, { prefix: 'content-' }] } },
  },
};
const GRPC = { grpcService: { envoyGrpc: { clusterName: 'authz' } } };

const answering = (status: number, fields: Record<string, string> = {}, body = ''): SideCall => ({
  ...noCalls,
  http: async (): Promise<CallReply> => {
    const headers = new HeaderMap();
    for (const [key, value] of Object.entries(fields)) headers.append(key, value);
    return { status, headers, body: Buffer.from(body), trailers: undefined };
  },
});
const saying = (response: Uint8Array): SideCall => ({
  ...noCalls,
  unary: async (): Promise<GrpcReply> => ({ status: 0, message: '', trailers: undefined, response }),
});
const message = (fill: (writer: ProtoWriter) => void) => {
  const writer = new ProtoWriter();
  fill(writer);
  return writer.finish();
};
/** CheckResponse with one header of ok_response. */
const setting = (key: string, value: string) =>
  message((w) =>
    w.message(3, (ok) =>
      ok.message(2, (option) =>
        option.message(1, (h) => {
          h.text(1, key);
          h.latin1(2, value);
        }),
      ),
    ),
  );

const counts = new Map<string, { value: number }>();
const env = (call: SideCall): FilterEnv => ({
  now: () => 1_700_000_000_123,
  random: () => 0.5,
  sleep: () => Promise.resolve(),
  call,
  managerCounter: (name) => {
    const known = counts.get(name) ?? { value: 0 };
    counts.set(name, known);
    return known;
  },
});
const filterOf = (config: object, call: SideCall, route?: RouteAuthz) => {
  counts.clear();
  const rules = compileExtAuthz(ExtAuthz.parse(config), env(call));
  const count = (what: string) => {
    env(call).managerCounter!(what).value++;
  };
  return createExtAuthzFilter(
    rules,
    () => route,
    count,
    () => 0,
  );
};
const judge = async (config: object, call: SideCall, parts: RequestParts = {}) => {
  const request = requestDouble(parts);
  const context = contextOf(request);
  const answer = await filterOf(config, call).onRequestHead!(context, true);
  return { answer, request };
};
const pairs = ({ headers }: RequestContext) => headers.keys.map((key, i) => `${key}: ${headers.values[i]}`);

describe('what an HTTP service cannot be asked about', () => {
  const failing = (reason: CallFailure): SideCall => ({
    ...noCalls,
    http: () => Promise.reject(new SideCallError(reason, 'authz', 'detail')),
  });
  const open = { ...HTTP, failureModeAllow: true };
  it('is denied, also where failures let requests pass', async () => {
    const connect = { method: 'CONNECT', path: '', authority: 'a.test:443' };
    expect((await judge(open, failing('invalid_request'), connect)).answer).toMatchObject({ status: 403 });
    expect((await judge(open, failing('timeout'))).answer).toBeUndefined();
    expect(counts.get('failure_mode_allowed')?.value).toBe(1);
  });
});

describe('what an authorization service cannot do', () => {
  it('change how a request is framed, or its connection', async () => {
    const { answer, request } = await judge(
      HTTP,
      answering(200, { 'content-length': '0', 'x-a': '1', 'transfer-encoding': 'chunked' }),
      { headers: { 'content-length': '5' } },
    );
    expect(answer).toBeUndefined();
    expect(pairs(request)).toEqual(['content-length: 5', 'x-a: 1']);
  });
  it.each([
    ['no name', 'x a', 'b'],
    ['a line end in a value', 'x-a', 'b\r\nx-c: d'],
    ['a path with a space', ':path', '/a b'],
    ['a path without a slash', ':path', 'a'],
    ['no host', 'host', ''],
    ['CONNECT', ':method', 'CONNECT'],
    ['another pseudo-header field', ':status', '200'],
  ])('write %s: the request is answered with 500, whatever validate_mutations says', async (_, key, value) => {
    for (const config of [GRPC, { ...GRPC, failureModeAllow: true, validateMutations: true }]) {
      const { answer, request } = await judge(config, saying(setting(key, value)));
      expect(answer).toMatchObject({ status: 500, details: 'ext_authz_invalid', flag: 'UAEX' });
      expect([request.path, request.authority, request.method, pairs(request)]).toEqual(['/', 'reviews', 'GET', []]);
    }
  });
  it('give a CONNECT a path', async () => {
    const connect = { method: 'CONNECT', path: '', authority: 'a.test:443' };
    const path = await judge(GRPC, saying(setting(':path', '/x')), connect);
    expect([path.answer, path.request.path]).toEqual([undefined, '']);
    const query = message((w) =>
      w.message(3, (ok) =>
        ok.message(7, (q) => {
          q.text(1, 'a');
          q.text(2, 'b');
        }),
      ),
    );
    expect((await judge(GRPC, saying(query), connect)).answer).toMatchObject({ status: 500 });
  });
  it('answer with a status that no answer has', async () => {
    const denied = (code: number) =>
      message((w) => {
        w.message(1, (status) => status.uint(1, 7));
        w.message(2, (answer) => answer.message(1, (status) => status.uint(1, code)));
      });
    for (const [code, sent] of [
      [101, 403],
      [999, 403],
      [429, 429],
    ] as const)
      expect((await judge(GRPC, saying(denied(code)))).answer).toMatchObject({
        status: sent,
        details: 'ext_authz_denied',
      });
  });
});

describe('where there is no verdict', () => {
  const failing: SideCall = { ...noCalls, http: () => Promise.reject(new SideCallError('timeout', 'authz', 'late')) };
  it('refuses, with the status that is configured', async () => {
    expect((await judge(HTTP, failing)).answer).toMatchObject({
      status: 403,
      details: 'ext_authz_error',
      flag: 'UAEX',
    });
    const busy = { ...HTTP, statusOnError: { code: 503 } };
    expect((await judge(busy, failing)).answer).toMatchObject({ status: 503 });
  });
  it('lets pass only where configured, and may mark it', async () => {
    const open = await judge({ ...HTTP, failureModeAllow: true }, failing);
    expect([open.answer, pairs(open.request)]).toEqual([undefined, []]);
    const marked = await judge({ ...HTTP, failureModeAllow: true, failureModeAllowHeaderAdd: true }, failing);
    expect([marked.answer, pairs(marked.request)]).toEqual([undefined, ['x-envoy-auth-failure-mode-allowed: true']]);
  });
  it.each([
    ['bytes that are no message', Buffer.from('0affff', 'hex')],
    [
      'a Struct with too many levels',
      message((w) => {
        const nest = (to: ProtoWriter, left: number): void =>
          to.entry(1, 'a', (e) => e.message(2, (v) => v.message(5, (s) => (left > 0 ? nest(s, left - 1) : undefined))));
        w.message(4, (s) => nest(s, 30));
      }),
    ],
  ])('%s are no verdict', async (_, bytes) => {
    expect((await judge(GRPC, saying(bytes))).answer).toMatchObject({ status: 403, details: 'ext_authz_error' });
  });
  it('an aborted question admits nothing', async () => {
    const run = contextOf(requestDouble());
    const asked = filterOf({ ...HTTP, failureModeAllow: true }, failing).onRequestHead!(run, true);
    run.end(false, () => {});
    expect(await asked).toMatchObject({ status: 403 });
  });
});

describe('which requests are asked about', () => {
  it('also those without a route, unlike Envoy: a filter behind may choose one', async () => {
    expect((await judge(HTTP, answering(403), { route: null })).answer).toMatchObject({ details: 'ext_authz_denied' });
  });
  it('not those of a route that switches it off', async () => {
    const off = compileRouteAuthz([{ config: ExtAuthzPerRoute.parse({ disabled: true }), path: 'p' }]);
    const filter = filterOf(HTTP, noCalls, off);
    expect(filter.onRequestHead!(contextOf(requestDouble({ route: {} as RouteEntry })), true)).toBeUndefined();
  });
  it('a share, and those that metadata chooses', async () => {
    const share = (numerator: number) => ({ ...HTTP, filterEnabled: { defaultValue: { numerator } } });
    expect((await judge(share(50), answering(403))).answer).toBeUndefined();
    expect((await judge(share(51), answering(403))).answer).toMatchObject({ status: 403 });
    const matcher = { filter: 'f', path: [{ key: 'k' }], value: { stringMatch: { exact: 'v' } } };
    const chosen = { ...HTTP, filterEnabledMetadata: matcher };
    expect((await judge(chosen, answering(403))).answer).toBeUndefined();
    expect((await judge(chosen, answering(403), { metadata: { f: { k: 'v' } } })).answer).toMatchObject({
      status: 403,
    });
    const closed = { ...chosen, denyAtDisable: { defaultValue: true }, statusOnError: { code: 'NotFound' } };
    expect((await judge(closed, noCalls)).answer).toMatchObject({ status: 404, details: 'ext_authz_error' });
  });
  it('counts what becomes of them', async () => {
    const of = () => Object.fromEntries([...counts].map(([name, { value }]) => [name, value]));
    await judge(HTTP, answering(200));
    expect(of()).toEqual({ ok: 1 });
    await judge(HTTP, answering(401));
    expect(of()).toEqual({ denied: 1 });
    await judge({ ...HTTP, failureModeAllow: true }, answering(500));
    expect(of()).toEqual({ error: 1, failure_mode_allowed: 1 });
  });
  it('counts it for their clusters, once they have ended', async () => {
    const stats = new Stats();
    const counters = { counter: (cluster: string, name: string) => stats.scope('cluster', cluster).counter(name) };
    const filter = (config: object, call: SideCall) =>
      extAuthz.create(ExtAuthz.parse(config), {
        name: 'ext_authz',
        env: { ...env(call), stats: counters },
        routeConfig: () => undefined,
      })!;
    const run = async ({ onRequestHead, onEnd }: FilterHooks, cluster?: string) => {
      const context = contextOf(requestDouble());
      await onRequestHead!(context, true);
      if (cluster !== undefined) context.request.cluster = { name: cluster } as Cluster;
      onEnd!(context, true);
    };
    const allowing = filter(HTTP, answering(200));
    for (const cluster of ['a', 'b', 'a', undefined]) await run(allowing, cluster);
    await run(filter({ ...HTTP, statPrefix: 'own' }, answering(401)), 'a');
    await run(filter({ ...HTTP, failureModeAllow: true }, answering(500)), 'b');
    await run(filter(HTTP, answering(500)), 'b');
    await run(filter({ ...HTTP, filterEnabled: { defaultValue: { numerator: 0 } } }, noCalls), 'a');
    expect(Object.fromEntries(stats.entries().filter(([, value]) => value > 0))).toEqual({
      'cluster.a.ext_authz.ok': 2,
      'cluster.a.ext_authz.own.denied': 1,
      'cluster.a.ext_authz.disabled': 1,
      'cluster.b.ext_authz.ok': 1,
      'cluster.b.ext_authz.error': 2,
      'cluster.b.ext_authz.failure_mode_allowed': 1,
    });
    expect(stats.expose()).toContain('envoy_cluster_ext_authz_ok{cluster_name="a"} 2\n');
  });
});

describe('configuration', () => {
  const create = (config: object) =>
    extAuthz.create(ExtAuthz.parse(config), { name: 'ext_authz', env: env(noCalls), routeConfig: () => undefined });
  it.each([
    ['no service', {}, 'must have grpcService or httpService'],
    ['two services', { ...HTTP, ...GRPC }, 'must have only one of grpcService and httpService'],
    ['version 2', { ...GRPC, transportApiVersion: 'V2' }, 'transportApiVersion: V2 is not supported'],
    ['a body of 0 bytes', { ...GRPC, withRequestBody: { maxRequestBytes: 0 } }, 'withRequestBody.maxRequestBytes'],
    [
      'a prefix without a slash',
      { httpService: { serverUri, pathPrefix: 'check' } },
      'httpService.pathPrefix: must begin',
    ],
    ['prefix and override', { httpService: { serverUri, pathPrefix: '/a', pathOverride: '/b' } }, 'must not have both'],
    [
      'framing to add',
      { httpService: { serverUri, authorizationRequest: { headersToAdd: [{ key: 'Content-Length', value: '1' }] } } },
      'headersToAdd[0]: "Content-Length" is decided',
    ],
    ['a matcher without text', { ...GRPC, allowedHeaders: { patterns: [{}] } }, 'allowedHeaders.patterns[0]'],
  ])('refuses %s', (_, config, error) => expect(() => create(config)).toThrow(error));
  it('refuses fields it does not know, by name', () => {
    expect(ExtAuthz.safeParse({ ...GRPC, decoderHeaderMutationRules: {} }).error?.message).toContain(
      'decoderHeaderMutationRules',
    );
    expect(ExtAuthz.safeParse({ ...GRPC, statusOnError: { code: 'Teapot' } }).success).toBe(false);
  });
  const route = (...levels: object[]) =>
    compileRouteAuthz(levels.map((config, i) => ({ config: ExtAuthzPerRoute.parse(config), path: `l${i}` })) as never);
  it('joins context extensions, the most specific last', () => {
    const made = route(
      { checkSettings: { contextExtensions: { a: '1' } } },
      { checkSettings: { contextExtensions: { a: '2', b: '2' } } },
    );
    expect(made.contextExtensions).toEqual({ a: '1', b: '2' });
  });
  it.each([
    ['neither', {}, 'l0: must have either'],
    ['disabled: false', { disabled: false }, 'l0: must have either'],
    [
      'both ways to treat bodies',
      { checkSettings: { disableRequestBodyBuffering: true, withRequestBody: { maxRequestBytes: 1 } } },
      'must not have both',
    ],
    [
      'a bad service',
      { checkSettings: { httpService: { serverUri, pathPrefix: 'x' } } },
      'l0.checkSettings.httpService.pathPrefix',
    ],
  ])('refuses for a route: %s', (_, config, error) => expect(() => route(config)).toThrow(error));
  it('asks the service that a route names', async () => {
    const asked: string[] = [];
    const call: SideCall = {
      ...noCalls,
      http: (cluster) => {
        asked.push(cluster);
        return answering(200).http(cluster, { method: 'GET', path: '/' }, undefined, { timeoutMs: 1, maxBodyBytes: 1 });
      },
    };
    const own = route({ checkSettings: { httpService: { serverUri: { ...serverUri, cluster: 'own' } } } });
    await filterOf(HTTP, call, own).onRequestHead!(contextOf(requestDouble()), true);
    expect(asked).toEqual(['own']);
  });
});

describe('bytes that are not UTF-8', () => {
  it.each([
    ['61c3a962', '61c3a962'],
    ['61e962', '612162'],
    ['ffc3', '2121'],
    ['eda080', '212121'],
    ['c080', '2121'],
    ['f09f9880', 'f09f9880'],
    ['f4908080', '21212121'],
  ])('%s becomes %s', (given, expected) =>
    expect(Buffer.from(asUtf8(Buffer.from(given, 'hex'))).toString('hex')).toBe(expected),
  );
});

describe('CheckResponse', () => {
  it('an empty one allows, as OK is the status 0', () => {
    expect(readCheckResponse(new Uint8Array(0))).toMatchObject({ kind: 'allowed', headers: [], metadata: undefined });
  });
  it('an action of a response header that there is not makes it invalid', () => {
    const bytes = message((w) =>
      w.message(3, (ok) =>
        ok.message(6, (o) => {
          o.message(1, (h) => h.text(1, 'a'));
          o.uint(3, 9);
        }),
      ),
    );
    expect(readCheckResponse(bytes)).toEqual({ kind: 'invalid' });
  });
});
