import { expect, it } from 'vitest';
import { Metrics } from '../../shared/metrics/metrics.ts';
import type { StatsConfig } from '../../shared/xds/filters/istio-stats.ts';
import { requestDouble } from '../http/testing/request-double.ts';
import { connectionRecord } from '../tcp/connection-record.ts';
import { UNKNOWN_WORKLOAD } from '../upstream/workload-metadata.ts';
import { IstioMetrics, LiveTraffic } from './istio-metrics.ts';
import { compileMetricRules } from './metric-rules.ts';

const own = { workload: UNKNOWN_WORKLOAD, principal: () => '' };
const nowhere = { at: () => undefined };

function measured(config: StatsConfig) {
  const metrics = new Metrics();
  const live = new LiveTraffic(metrics);
  const made = new IstioMetrics(
    metrics,
    own,
    nowhere,
    compileMetricRules(config, (ms) => ms),
    live,
  );
  const lines = (name: string) =>
    metrics
      .expose()
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`));
  return { made, lines, live };
}

const request = (headers: Record<string, string> = {}) =>
  requestDouble({ method: 'PUT', headers, responseCode: 200, endMs: 5, grpcMessages: { request: 1, response: 2 } });

it('leaves out metrics that are dropped, and labels that are removed', () => {
  const { made, lines } = measured({
    metrics: [
      { name: 'requests_total', tagsToRemove: ['response_flags', 'source_version'] },
      { name: 'request_bytes', drop: true },
      { name: 'response_messages_total', drop: true },
      { name: 'tcp_sent_bytes_total', drop: true },
    ],
  });
  made.onResponse('inbound', request());
  made.onRequest('inbound', request());
  const { downstream } = request();
  made.onConnectionOpened('inbound', connectionRecord(downstream, 0));
  expect(lines('istio_requests_total')).toHaveLength(1);
  expect(lines('istio_requests_total')[0]).not.toMatch(/response_flags|source_version/);
  expect(lines('istio_requests_total')[0]).toContain('response_code="200"');
  expect(lines('istio_request_duration_milliseconds_count')[0]).toContain('response_flags="-"');
  for (const name of ['request_bytes_count', 'response_messages_total', 'tcp_sent_bytes_total'])
    expect(lines(`istio_${name}`)).toEqual([]);
  expect(lines('istio_request_messages_total')).toHaveLength(1);
  expect(lines('istio_tcp_connections_opened_total')).toHaveLength(1);
});

it('adds labels and replaces their values; what has none is unknown', () => {
  const { made, lines } = measured({
    metrics: [
      {
        name: 'requests_total',
        dimensions: {
          'request-method': 'request.method',
          tenant: "request.headers['x-tenant']",
          destination_version: "'v9'",
          port: 'string(destination.port)',
        },
      },
      { name: 'tcp_connections_opened_total', dimensions: { from: 'source.port' } },
      { name: 'request_messages_total', dimensions: { tenant: "request.headers['x-tenant']" } },
    ],
  });
  for (const tenant of ['a', 'b', 'a']) made.onRequest('outbound', request({ 'x-tenant': tenant }));
  made.onRequest('outbound', request());
  const found = lines('istio_requests_total');
  expect(found.map((line) => [/tenant="(\w+)"/.exec(line)?.[1], line.split(' ').at(-1)])).toEqual([
    ['a', '2'],
    ['b', '1'],
    ['unknown', '1'],
  ]);
  expect(found[0]).toContain('request_method="PUT"');
  expect(found[0]).toContain('destination_version="v9"');
  expect(found[0]).toContain('port="9080"');
  expect(lines('istio_request_bytes_count')).toHaveLength(1);
  expect(lines('istio_request_messages_total').join()).toMatch(/tenant="a"[\s\S]*tenant="b"[\s\S]*tenant="unknown"/);
  made.onConnectionClosed('outbound', connectionRecord(request().downstream, 0));
  expect(lines('istio_tcp_connections_opened_total')[0]).toContain('from="4000"');
  expect(lines('istio_tcp_connections_closed_total')[0]).not.toContain('from=');
});

it('keeps labels that clients choose within the bounds of their metric', () => {
  const metrics = new Metrics(10);
  const rules = compileMetricRules(
    { metrics: [{ name: 'requests_total', dimensions: { path: 'request.path' } }] },
    (ms) => ms,
  );
  const made = new IstioMetrics(metrics, own, nowhere, rules);
  for (let i = 0; i < 500; i++)
    made.onRequest('inbound', requestDouble({ path: `/${i}`, responseCode: 200, endMs: 1 }));
  const lines = metrics
    .expose()
    .split('\n')
    .filter((line) => line.startsWith('istio_requests_total{'));
  expect(lines).toHaveLength(11);
  expect(lines.at(-1)).toMatch(/response_code="overflow".* 490$/);
});

it('keeps of what clients choose no more than a label shows', () => {
  const config = { metrics: [{ name: 'requests_total', dimensions: { path: 'request.path' } }] };
  const tags = compileMetricRules(config, (ms) => ms).tagsOf(['requests_total'])!;
  const at = (path: string) => tags(requestDouble({ path }))['path'];
  expect(at(`/${'a'.repeat(60_000)}1`)).toBe(`/${'a'.repeat(255)}`);
  expect(at(`/${'a'.repeat(60_000)}2`)).toBe(at(`/${'a'.repeat(60_000)}1`));
  expect(at('/a')).toBe('/a');
});

it('counts what flows on open connections and streams, of all rules', () => {
  const metrics = new Metrics();
  const live = new LiveTraffic(metrics);
  const [a, b] = [{}, { metrics: [{ name: 'tcp_sent_bytes_total', tagsToRemove: ['source_app'] }] }].map(
    (config) =>
      new IstioMetrics(
        metrics,
        own,
        nowhere,
        compileMetricRules(config, (ms) => ms),
        live,
      ),
  );
  const connections = [a, b].map((made) => {
    const connection = connectionRecord(request().downstream, 0);
    made!.onConnectionOpened('inbound', connection);
    return Object.assign(connection, { bytesSent: 7 });
  });
  const sent = () =>
    metrics
      .expose()
      .match(/istio_tcp_sent_bytes_total\{.*\} (\d+)/g)
      ?.map((line) => line.split(' ').at(-1));
  expect(sent()).toEqual(['7', '7']);
  for (const connection of connections) connection.bytesSent = 9;
  expect(sent()).toEqual(['9', '9']);
  b!.onConnectionClosed('inbound', connections[1]!);
  expect(live.connections.size).toBe(1);
});

it('refuses expressions that cannot be used, by their tag', () => {
  const config = { metrics: [{ name: 'requests_total', dimensions: { a: 'nope(' } }] };
  expect(() => compileMetricRules(config, (ms) => ms)).toThrow(
    'istio.stats: metrics[0].dimensions["a"]: must be a CEL expression',
  );
});
