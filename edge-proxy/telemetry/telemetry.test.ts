import { describe, expect, it } from 'vitest';
import { Metrics } from '../../shared/metrics/metrics.ts';
import { ISTIO_JSON_FORMAT } from '../../shared/xds/access-log-format.ts';
import { AccessLog } from '../../shared/xds/http-connection-manager.ts';
import { HeaderMap } from '../http/message/header-map.ts';
import type { RequestContext } from '../http/request/request-context.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { connectionRecord } from '../tcp/connection-record.ts';
import type { Cluster, Endpoint } from '../upstream/cluster.ts';
import { readEndpointWorkload, UNKNOWN_WORKLOAD } from '../upstream/workload-metadata.ts';
import { compileAccessLog, compileText } from './access-log.ts';
import { IstioMetrics } from './istio-metrics.ts';
import { compileLogFilter } from './log-filter.ts';
import { createTelemetry } from './telemetry.ts';

const STDOUT = 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog';

const endpoint = {
  id: '10.0.0.2:9080',
  metadata: { istio: { workload: 'reviews-v1;default;reviews;v1;c1' } },
} as unknown as Endpoint;
const cluster = {
  name: 'outbound|9080||reviews.default.svc.cluster.local',
  destination: { host: 'reviews.default.svc.cluster.local', name: 'reviews', namespace: 'default' },
  endpoints: () => [endpoint],
} as unknown as Cluster;

function request(change: Partial<RequestContext> = {}): RequestContext {
  const headers = new HeaderMap();
  headers.append('User-Agent', 'curl/8');
  headers.append('x-envoy-original-path', '/asked?q=1');
  return {
    kind: 'request',
    downstream: {
      remoteAddress: '10.0.0.1',
      remotePort: 4000,
      localAddress: '10.0.0.2',
      localPort: 9080,
      secure: true,
      serverName: 'sni',
      peerUris: ['spiffe://cluster.local/ns/shop/sa/front'],
      peerDns: [],
      peerSubject: '',
    },
    method: 'GET',
    path: '/rewritten',
    authority: 'reviews:9080',
    scheme: 'http',
    protocol: 'HTTP/1.1',
    headers,
    startMs: 100,
    endMs: 130,
    remoteIp: '10.0.0.1',
    route: undefined,
    cluster,
    upstreamHost: '10.0.0.2:9080',
    attempts: 1,
    responseCode: 200,
    details: 'via_upstream',
    flags: [],
    bytesReceived: 3,
    bytesSent: 1200,
    metadata: undefined,
    tokenPrincipal: undefined,
    ...change,
  };
}

describe('Metrics', () => {
  it('exposes counters, gauges and cumulative buckets, escaped', () => {
    const metrics = new Metrics();
    metrics.counter('hits_total', 'Hits.', ['path']).with({ path: 'a"b\\c\nd' }).value += 2;
    const histogram = metrics.histogram('size', 'Size.', [], [1, 10]).with({});
    for (const value of [1, 2, 11]) histogram.observe(value);
    const gauge = metrics.gauge('open', 'Open.').with({});
    metrics.onCollect(() => {
      gauge.value = 7;
    });
    expect(metrics.expose()).toBe(
      [
        '# HELP hits_total Hits.',
        '# TYPE hits_total counter',
        'hits_total{path="a\\"b\\\\c\\nd"} 2',
        '# HELP size Size.',
        '# TYPE size histogram',
        'size_bucket{le="1"} 1',
        'size_bucket{le="10"} 2',
        'size_bucket{le="+Inf"} 3',
        'size_sum 14',
        'size_count 3',
        '# HELP open Open.',
        '# TYPE open gauge',
        'open 7',
        '',
      ].join('\n'),
    );
  });

  it('cuts long values before it looks a series up: none is exposed twice', () => {
    const metrics = new Metrics();
    const counter = metrics.counter('c', 'C.', ['id']);
    for (const end of ['a', 'b']) counter.with({ id: 'x'.repeat(256) + end }).value++;
    expect(metrics.expose().split('\n')).toContain(`c{id="${'x'.repeat(256)}"} 2`);
  });

  it('gives one series per label set and bounds them', () => {
    const family = new Metrics(3).counter('c', 'C.', ['id']);
    expect(family.with({ id: '1' })).toBe(family.with({ id: '1' }));
    for (let i = 0; i < 100; i++) family.with({ id: String(i) }).value++;
    const metrics = new Metrics(3);
    for (let i = 0; i < 100; i++) metrics.counter('c', 'C.', ['id']).with({ id: String(i) }).value++;
    const lines = metrics.expose().split('\n');
    expect(lines.filter((line) => line.startsWith('c{'))).toEqual([
      'c{id="0"} 1',
      'c{id="1"} 1',
      'c{id="2"} 1',
      'c{id="overflow"} 97',
    ]);
    expect(lines).toContain('tulle_metric_series_overflow_total{metric="c"} 97');
  });
});

describe('IstioMetrics', () => {
  const self = {
    workload: readEndpointWorkload('front-v1;shop;front;v1;Kubernetes'),
    principal: () => 'spiffe://cluster.local/ns/shop/sa/front',
  };
  const none = { at: () => undefined };

  it('labels outbound requests as their source', () => {
    const metrics = new Metrics();
    const istio = new IstioMetrics(metrics, self, none);
    const upstream = upstreamOf('spiffe://cluster.local/ns/default/sa/reviews');
    istio.onRequest('outbound', request({ upstream }));
    istio.onRequest('outbound', request({ upstream }));
    const text = metrics.expose();
    const total = text.split('\n').find((line) => line.startsWith('istio_requests_total{'))!;
    expect(total).toMatch(/ 2$/);
    for (const label of [
      'reporter="source"',
      'source_workload="front-v1"',
      'source_workload_namespace="shop"',
      'source_principal="spiffe://cluster.local/ns/shop/sa/front"',
      'destination_principal="spiffe://cluster.local/ns/default/sa/reviews"',
      'destination_workload="reviews-v1"',
      'destination_app="reviews"',
      'destination_version="v1"',
      'destination_service="reviews.default.svc.cluster.local"',
      'destination_service_name="reviews"',
      'destination_service_namespace="default"',
      'request_protocol="http"',
      'response_code="200"',
      'response_flags="-"',
      'connection_security_policy="unknown"',
    ])
      expect(total).toContain(label);
    expect(text).toMatch(/istio_request_duration_milliseconds_sum\{[^}]*\} 60\n/);
    expect(text).toMatch(/istio_response_bytes_count\{[^}]*\} 2\n/);
  });

  const upstreamOf = (uri: string) => ({
    ...{ localAddress: '10.0.0.1', localPort: 5, remoteAddress: '10.0.0.2', remotePort: 9080 },
    tls: { peerUris: [uri] },
  });
  const totals = (metrics: Metrics, name = 'istio_requests_total') =>
    metrics
      .expose()
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`));

  it('takes what a peer says of itself before what discovery says of it, for its own identity alone', () => {
    const metrics = new Metrics();
    const istio = new IstioMetrics(metrics, self, none);
    const workload = readEndpointWorkload('canary;default;reviews;r9;east');
    const peer = (account: string) => ({
      ...{ principal: `spiffe://cluster.local/ns/default/sa/${account}`, workload, sentHeaders: true },
    });
    istio.onRequest('outbound', request({ upstreamPeer: peer('reviews') }));
    istio.onRequest('inbound', request({ downstreamPeer: peer('reviews') }));
    istio.onRequest('inbound', request({ downstreamPeer: peer('other') }));
    // A token names another client than the proxy that has the connection.
    const tokenPrincipal = 'spiffe://cluster.local/ns/edge/sa/worker';
    istio.onRequest('inbound', request({ downstreamPeer: peer('reviews'), tokenPrincipal }));
    const [source, first, second, token] = totals(metrics);
    for (const label of ['workload="canary"', 'canonical_revision="r9"', 'cluster="east"'])
      expect([source!, first!, second!].map((line) => line.includes(`_${label}`))).toEqual([true, true, true]);
    expect(source).toContain('destination_principal="spiffe://cluster.local/ns/default/sa/reviews"');
    expect(first).toContain('source_principal="spiffe://cluster.local/ns/default/sa/reviews"');
    expect(second).toContain('source_principal="spiffe://cluster.local/ns/default/sa/other"');
    expect(token).toContain(`source_principal="${tokenPrincipal}"`);
    expect(token).toContain('source_workload="unknown"');
    expect(token).toContain('source_workload_namespace="edge"');
    expect(token).toContain('source_canonical_revision="latest"');
  });

  it('finds the client of a TCP connection by its address, where its certificate is of the namespace', () => {
    const metrics = new Metrics();
    const found = readEndpointWorkload('front-v1;shop;front;v1;east');
    const at = (address: string, namespace: string) =>
      address === '10.0.0.1' && namespace === 'shop' ? found : undefined;
    const istio = new IstioMetrics(metrics, self, { at });
    const from = (peerUris: string[]) => connectionRecord({ ...request().downstream, peerUris }, 0);
    for (const uris of [['spiffe://cluster.local/ns/shop/sa/front'], ['spiffe://cluster.local/ns/evil/sa/front'], []])
      istio.onConnectionOpened('inbound', { ...from(uris), cluster });
    const workloads = totals(metrics, 'istio_tcp_connections_opened_total').map(
      (line) => /source_workload="([^"]*)"/.exec(line)?.[1],
    );
    expect(workloads).toEqual(['front-v1', 'unknown', 'unknown']);
    const upstream = upstreamOf('spiffe://cluster.local/ns/default/sa/reviews');
    istio.onConnectionOpened('outbound', { ...from([]), cluster, endpoint, upstream });
    const outbound = totals(metrics, 'istio_tcp_connections_opened_total').find((line) => line.includes('"source"'));
    expect(outbound).toContain('destination_workload="reviews-v1"');
    expect(outbound).toContain('destination_principal="spiffe://cluster.local/ns/default/sa/reviews"');
  });

  it('names no principal where there was no peer authentication', () => {
    const metrics = new Metrics();
    const istio = new IstioMetrics(metrics, self, none);
    istio.onRequest('outbound', request());
    istio.onRequest('inbound', request({ downstream: { ...request().downstream, secure: false, peerUris: [] } }));
    for (const line of totals(metrics)) {
      expect(line).toContain('source_principal="unknown"');
      expect(line).toContain('destination_principal="unknown"');
    }
  });

  it('labels inbound requests as their destination, by the peer that was proven', () => {
    const metrics = new Metrics();
    const istio = new IstioMetrics(metrics, self, none);
    istio.onRequest('inbound', request());
    istio.onRequest('inbound', request({ tokenPrincipal: 'spiffe://cluster.local/ns/edge/sa/worker' }));
    istio.onRequest('inbound', request({ responseCode: 503, flags: ['UF', 'URX'] }));
    const plain = { ...request().downstream, secure: false, peerUris: [] };
    istio.onRequest('inbound', request({ downstream: plain }));
    const lines = metrics
      .expose()
      .split('\n')
      .filter((line) => line.startsWith('istio_requests_total{'));
    expect(lines).toHaveLength(4);
    expect(lines[0]).toContain('source_principal="spiffe://cluster.local/ns/shop/sa/front"');
    expect(lines[0]).toContain('connection_security_policy="mutual_tls"');
    expect(lines[1]).toContain('source_workload_namespace="edge"');
    expect(lines[2]).toContain('response_flags="UF,URX"');
    expect(lines[3]).toContain('connection_security_policy="none"');
    expect(lines[3]).toContain('source_principal="unknown"');
  });

  const grpcRequest = (status: string, change: Partial<RequestContext> = {}) => {
    const made = request(change);
    made.headers.append('content-type', 'application/grpc');
    made.responseTrailers = new HeaderMap();
    made.responseTrailers.append('grpc-status', status);
    return made;
  };

  it('labels gRPC requests with their status', () => {
    const metrics = new Metrics();
    const istio = new IstioMetrics(metrics, self, none);
    for (const status of ['0', '14', '14', '77', 'x']) istio.onRequest('outbound', grpcRequest(status));
    istio.onRequest('outbound', request());
    const lines = metrics.expose().match(/^istio_requests_total\{.*/gm)!;
    const found = lines.map((line) =>
      /request_protocol="(\w+)".*grpc_response_status="([^"]*)".* (\d+)$/.exec(line)!.slice(1),
    );
    expect(found).toEqual([
      ['grpc', '0', '1'],
      ['grpc', '14', '2'],
      ['grpc', '-1', '2'],
      ['http', '', '1'],
    ]);
  });

  it('counts gRPC messages, of streams under way too', () => {
    const metrics = new Metrics();
    const istio = new IstioMetrics(metrics, self, none);
    const value = (side: string) =>
      Number(
        new RegExp(`^istio_${side}_messages_total\\{[^}]*destination_app="reviews"[^}]*\\} (\\d+)$`, 'm').exec(
          metrics.expose(),
        )?.[1],
      );
    const streaming = grpcRequest('0', { grpcMessages: { request: 2, response: 1 } });
    istio.onResponse('outbound', streaming);
    expect([value('request'), value('response')]).toEqual([2, 1]);
    streaming.grpcMessages = { request: 5, response: 7 };
    expect([value('request'), value('response')]).toEqual([5, 7]);
    istio.onRequest('outbound', streaming);
    istio.onRequest('outbound', grpcRequest('14', { grpcMessages: { request: 1, response: 0 } }));
    expect([value('request'), value('response')]).toEqual([6, 7]);
    expect(metrics.expose()).not.toMatch(/messages_total\{[^}]*response_code/);
    istio.onRequest('outbound', request());
    expect([value('request'), value('response')]).toEqual([6, 7]);
  });

  it('does not keep the labels of a cluster that config replaced', () => {
    const metrics = new Metrics();
    const istio = new IstioMetrics(metrics, self, none);
    istio.onRequest('outbound', request());
    istio.onRequest('outbound', request({ cluster: { ...cluster, destination: undefined } as Cluster }));
    expect(metrics.expose()).toContain('destination_service="unknown"');
  });

  it('counts TCP connections and bytes', () => {
    const metrics = new Metrics();
    const istio = new IstioMetrics(metrics, self, none);
    const value = (name: string) =>
      Number(
        new RegExp(`^istio_tcp_${name}_total\\{[^}]*request_protocol="tcp"[^}]*\\} (\\d+)$`, 'm').exec(
          metrics.expose(),
        )?.[1],
      );
    const connection = { ...connectionRecord(request().downstream, 0), cluster, endpoint };
    istio.onConnectionOpened('outbound', connection);
    connection.bytesSent = 9;
    expect([value('connections_opened'), value('connections_closed'), value('sent_bytes')]).toEqual([1, 0, 9]);
    connection.bytesSent = 11;
    connection.bytesReceived = 5;
    istio.onConnectionClosed('outbound', connection);
    const failed = { ...connectionRecord(request().downstream, 0), cluster, endpoint };
    istio.onConnectionClosed('outbound', failed);
    expect([value('connections_opened'), value('connections_closed')]).toEqual([2, 2]);
    expect([value('sent_bytes'), value('received_bytes')]).toEqual([11, 5]);
  });

  it('logs a connection: no request fields, code 0, why it ended', () => {
    const connection = connectionRecord(request().downstream, 0);
    connection.terminationDetails = 'rbac_access_denied_matched_policy[p]';
    connection.flags.push('UF', 'URX');
    const lines: string[] = [];
    const sinks = { out: (line: string) => lines.push(line), error: () => {}, wallClock: (ms: number) => ms };
    const typedConfig = { '@type': STDOUT, logFormat: { jsonFormat: ISTIO_JSON_FORMAT } };
    compileAccessLog([AccessLog.parse({ name: 'x', typedConfig })], sinks)!(connection, 5);
    expect(JSON.parse(lines[0]!)).toMatchObject({
      method: null,
      path: null,
      protocol: null,
      response_code: 0,
      response_flags: 'UF,URX',
      connection_termination_details: 'rbac_access_denied_matched_policy[p]',
      downstream_remote_address: '10.0.0.1:4000',
      duration: 5,
    });
  });
});

describe('access log', () => {
  const out: string[] = [];
  const sinks = {
    out: (line: string) => void out.push(line),
    error: (line: string) => void out.push(`E ${line}`),
    wallClock: (ms: number) => Date.UTC(2026, 0, 1) + ms,
  };
  const log = (typedConfig: object) => compileAccessLog([AccessLog.parse({ name: 'x', typedConfig })], sinks)!;

  it.each(['textFormat', 'jsonFormat'])('sends no control character of a client to a terminal: %s', (kind) => {
    out.length = 0;
    const value = '%REQ(USER-AGENT)%';
    const headers = new HeaderMap();
    // UTF-8 of U+009B, a CSI, and of a name; a DEL.
    headers.append('user-agent', '\u00c2\u009b2J \u007f J\u00c3\u00bcrgen');
    const logFormat = kind === 'textFormat' ? { textFormat: value } : { jsonFormat: { a: value } };
    log({ '@type': STDOUT, logFormat })(request({ headers }), 112.4);
    expect(out[0]).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
    expect(out[0]).toContain('Jürgen');
    if (kind === 'jsonFormat') expect(JSON.parse(out[0]!)).toEqual({ a: '\u009b2J \u007f Jürgen' });
  });

  it("writes Istio's JSON fields: numbers as numbers, the absent as null", () => {
    out.length = 0;
    const details = 'rbac_access_denied_matched_policy[ns[foo]-policy[bar]-rule[0]]';
    log({ '@type': STDOUT, logFormat: { jsonFormat: ISTIO_JSON_FORMAT } })(
      request({ responseCode: 403, details, flags: [], upstreamHost: undefined }),
      112.4,
    );
    expect(JSON.parse(out[0]!)).toMatchObject({
      start_time: '2026-01-01T00:00:00.100Z',
      method: 'GET',
      path: '/asked?q=1',
      protocol: 'HTTP/1.1',
      response_code: 403,
      response_flags: '-',
      response_code_details: details,
      bytes_received: 3,
      bytes_sent: 1200,
      duration: 12,
      user_agent: 'curl/8',
      request_id: null,
      authority: 'reviews:9080',
      upstream_host: null,
      upstream_cluster: cluster.name,
      downstream_local_address: '10.0.0.2:9080',
      downstream_remote_address: '10.0.0.1:4000',
      requested_server_name: 'sni',
      downstream_peer: 'spiffe://cluster.local/ns/shop/sa/front',
    });
  });

  it('compiles json_format with nesting, mixed strings and lengths, text_format with dashes', () => {
    out.length = 0;
    const jsonFormat = { a: { code: '%RESPONSE_CODE%' }, b: 'to %REQ(:AUTHORITY):7% %%', c: [true], d: '%ROUTE_NAME%' };
    log({ '@type': STDOUT, logFormat: { jsonFormat } })(request(), 130);
    expect(JSON.parse(out[0]!)).toEqual({ a: { code: 200 }, b: 'to reviews %', c: [true], d: null });
    const format = '%PROTOCOL% %RESPONSE_FLAGS% %REQ(X-NONE?USER-AGENT)% %DURATION%\n';
    log({ '@type': STDOUT, log_format: { text_format_source: { inline_string: format } } })(
      request({ flags: ['UH'] }),
      130,
    );
    expect(out[1]).toBe('HTTP/1.1 UH curl/8 30');
    log({ '@type': STDOUT })(request(), 130);
    expect(out[2]).toBe(
      '[2026-01-01T00:00:00.100Z] "GET /asked?q=1 HTTP/1.1" 200 - 3 1200 30 - "-" "curl/8" "-" "reviews:9080" "10.0.0.2:9080"',
    );
  });

  it('lets no client start a line of its own', () => {
    const headers = new HeaderMap();
    headers.append('user-agent', 'a\nfake line');
    expect(compileText('%REQ(USER-AGENT)%', sinks.wallClock)(request({ headers }), 130)).toBe('a?fake line');
  });

  it.each([
    '%NOPE%',
    '%RESP()%',
    '%RESPONSE_CODE(1)%',
    '% of',
    '%REQ()%',
    '%START_TIME(%Q)%',
    '%DYNAMIC_METADATA(a:)%',
  ])('refuses %s by name', (format) => expect(() => compileText(format, sinks.wallClock)).toThrow(format));

  it('writes response headers, metadata and times in the form that is requested', () => {
    const responseHeaders = new HeaderMap();
    responseHeaders.append('X-Up', 'upstream');
    const entry = request({ responseHeaders, responseStatus: 201, metadata: { f: { a: { b: [1] }, t: 'text' } } });
    const format =
      '%RESP(X-NONE?X-UP):2% %RESP(:STATUS)% %DYNAMIC_METADATA(f:a)% %DYNAMIC_METADATA(f:t)% %DYNAMIC_METADATA(g:t)%';
    expect(compileText(format, sinks.wallClock)(entry, 130)).toBe('up 201 {"b":[1]} text -');
    const at = Date.UTC(2026, 0, 2, 15, 4, 5, 6);
    const time = (form: string) => compileText(`%START_TIME(${form})%`, () => at)(entry, 130);
    expect(time('%Y-%m-%dT%H:%M:%S.%3f%z')).toBe('2026-01-02T15:04:05.006+0000');
    expect(time('%s.%9f %a %b %e %I%p %j %F %T %%')).toBe(
      `${Math.floor(at / 1000)}.006000000 Fri Jan  2 03PM 002 2026-01-02 15:04:05 %`,
    );
  });

  it.each<[object, boolean, boolean]>([
    [{ durationFilter: { comparison: { op: 'GE', value: { defaultValue: 30 } } } }, true, false],
    [{ durationFilter: { comparison: { op: 'LE', value: { defaultValue: 29 } } } }, false, true],
    [{ responseFlagFilter: { flags: ['NR'] } }, false, false],
  ])('writes what its filter %j lets through', (filter, slow, quick) => {
    const matches = compileLogFilter(filter, 'filter', (ms) => ms);
    expect([matches(request({ startMs: 100 }), 130), matches(request({ startMs: 100 }), 129)]).toEqual([slow, quick]);
  });

  it.each<[object, (string | undefined)[]]>([
    [{ statuses: ['UNAVAILABLE', 'CANCELED'] }, ['14', '1']],
    [{ statuses: ['UNAVAILABLE', 'CANCELED'], exclude: true }, ['0', undefined]],
    [{ statuses: ['UNKNOWN'] }, [undefined]],
  ])('writes what its gRPC filter %j lets through', (grpcStatusFilter, expected) => {
    const matches = compileLogFilter({ grpcStatusFilter }, 'filter', (ms) => ms);
    const written = ['0', '14', '1', undefined].filter((status) => {
      const trailers = new HeaderMap();
      if (status !== undefined) trailers.append('grpc-status', status);
      return matches(request({ responseTrailers: trailers }), 130);
    });
    expect(written).toEqual(expected);
  });

  it('refuses flags that do not exist, and two filters in one', () => {
    expect(() => compileLogFilter({ responseFlagFilter: { flags: ['XX'] } }, 'filter', (ms) => ms)).toThrow('"XX"');
    expect(() => compileLogFilter({ responseFlagFilter: {}, notHealthCheckFilter: {} }, 'filter', (ms) => ms)).toThrow(
      'exactly one',
    );
  });

  it('refuses files', () => {
    const type = 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog';
    expect(() => log({ '@type': type, path: '/var/log/x' })).toThrow('/dev/stdout');
    log({ '@type': type, path: '/dev/stderr' })(request(), 130);
    expect(out.at(-1)).toMatch(/^E \[2026/);
  });
});

describe('gauges of clusters', () => {
  it('go with their cluster', () => {
    const circuit = {
      limits: { maxConnections: 1, maxPendingRequests: 1, maxRequests: 1, maxRetries: 1, trackRemaining: true },
      use: { connections: 0, pending: 0, requests: 0, retries: 0 },
    };
    const running = new Set(
      ['a', 'b'].map((name) => ({ ...circuit, high: circuit, name, endpoints: () => [endpoint] })),
    );
    const { metrics } = createTelemetry({
      runtime: {
        name: 'node',
        monotonicMs: () => 0,
        process: { residentBytes: () => 1, writeOut() {}, writeError() {}, log() {} },
      } as unknown as Runtime,
      version: '1',
      own: { workload: UNKNOWN_WORKLOAD, principal: () => '' },
      workloads: { at: () => undefined },
      clusters: () => running as unknown as Iterable<Cluster>,
    });
    const names = () => {
      const found = metrics.expose().matchAll(/^(envoy_cluster_\w+)\{cluster_name="(\w)"/gm);
      return [...found].map(([, metric, name]) => `${name} ${metric}`);
    };
    const before = names();
    expect(before.filter((one) => one.startsWith('b ')).length).toBeGreaterThan(10);
    for (const one of running) if (one.name === 'b') running.delete(one);
    expect(names()).toEqual(before.filter((one) => one.startsWith('a ')));
  });
});
