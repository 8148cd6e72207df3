import { afterEach, describe, expect, it } from 'vitest';
import { runSync } from '../../tests/kit/process.ts';
import { controlLog } from './control-log.ts';
import { controlMetrics } from './control-metrics.ts';
import { eventsTo } from './events.ts';
import { limitedLog } from './limited-log.ts';
import { type MetricsServer, startMetricsServer } from './metrics-server.ts';
import { processMetrics } from './process-metrics.ts';

const NOW = Date.UTC(2026, 0, 31, 12);
const identity = 'spiffe://cluster.local/ns/default/sa/a';
const node = 'sidecar~10.0.0.1~a.default~x';

function counted() {
  const versions = ['0.1.0', '0.1.0', '0.2.0'];
  const { metrics, events } = controlMetrics('0.3.0', {
    proxyVersions: () => versions,
    services: () => 7,
    virtualServices: () => 2,
    rootExpires: () => NOW + 60_000,
    connections: () => 5,
    now: () => NOW,
  });
  processMetrics(metrics);
  return { metrics, events: eventsTo(events) };
}

function happen(events: ReturnType<typeof eventsTo>): void {
  events.requested();
  events.issued({ identity, proof: 'join token', document: 'X.509-SVID', expires: NOW + 1000 });
  events.issued({ identity, proof: 'certificate', document: 'JWT-SVID', expires: NOW + 1000 });
  events.requested();
  events.refused({ cause: 'authentication', reason: 'the token was used' });
  events.refused({ cause: 'csr', reason: 'not PEM' });
  events.connected({ node, identity, version: '0.1.0' });
  events.pushed({ node, type: 'clusters', resources: 3 });
  events.pushed({ node, type: 'listeners', resources: 1 });
  events.pushed({ node, type: 'clusters', resources: 1 });
  events.rejected({ node, type: 'listeners', reason: 'l: bad\u001b[2J' });
  events.converged(0.3);
  events.disconnected({ node, identity });
  const kind = { group: 'networking.istio.io', version: 'v1', resource: 'virtualservices' };
  events.validated({ ...kind, reason: undefined });
  events.validated({ ...kind, reason: 'invalid_resource' });
  const address = '10.0.0.9';
  events.answered({
    method: 'GET',
    path: '/v1/proxies',
    status: 200,
    caller: 'admin',
    isUser: true,
    address,
    dryRun: false,
    reason: undefined,
  });
  events.answered({
    method: 'POST',
    path: '/apis/x',
    status: 201,
    caller: 'admin',
    isUser: true,
    address,
    dryRun: false,
    reason: undefined,
  });
  events.answered({
    method: 'POST',
    path: '/apis/y',
    status: 201,
    caller: 'admin',
    isUser: true,
    address,
    dryRun: true,
    reason: undefined,
  });
  events.answered({
    method: 'POST',
    path: '/v1/x',
    status: 401,
    caller: 'anonymous',
    isUser: false,
    address,
    dryRun: false,
    reason: 'no\ntoken',
  });
}

describe('metrics of the control plane', () => {
  it("count what happens under istiod's names", () => {
    const { metrics, events } = counted();
    happen(events);
    const text = metrics.expose();
    for (const line of [
      'istio_build{component="pilot",tag="0.3.0"} 1',
      'pilot_xds{version="0.1.0"} 2',
      'pilot_xds{version="0.2.0"} 1',
      'pilot_services 7',
      'pilot_virt_services 2',
      'pilot_xds_pushes{type="cds"} 2',
      'pilot_xds_pushes{type="lds"} 1',
      'pilot_total_xds_rejects{type="lds"} 1',
      'pilot_proxy_convergence_time_bucket{le="0.1"} 0',
      'pilot_proxy_convergence_time_bucket{le="0.5"} 1',
      'pilot_proxy_convergence_time_count 1',
      'citadel_server_csr_count 2',
      'citadel_server_success_cert_issuance_count 1',
      'citadel_server_authentication_failure_count 1',
      'citadel_server_csr_parsing_err_count 1',
      `citadel_server_root_cert_expiry_timestamp ${NOW / 1000 + 60}`,
      'citadel_server_root_cert_expiry_seconds 60',
      'galley_validation_passed{group="networking.istio.io",version="v1",resource="virtualservices"} 1',
      'galley_validation_failed{group="networking.istio.io",version="v1",resource="virtualservices",reason="invalid_resource"} 1',
      'tulle_control_requests_total{code="401"} 1',
      'tulle_control_connections 5',
    ])
      expect(text.split('\n')).toContain(line);
    expect(text).toMatch(/^process_resident_memory_bytes [1-9]\d+$/m);
    expect(text).toMatch(/^process_cpu_seconds_total \d/m);
  });

  it('are text that promtool reads', (context) => {
    const { metrics, events } = counted();
    happen(events);
    const { code, error } = runSync('promtool', ['check', 'metrics'], { input: metrics.expose() });
    if (code === 127) return context.skip('promtool is not installed (Debian: prometheus)');
    // 3: it parses, and the linter has advice on names, which are istiod's.
    expect([0, 3], error).toContain(code);
    expect(error).not.toMatch(/error while linting|text format parsing error/);
  });
});

describe('the log of the control plane', () => {
  it('has a line for each join, proxy, refusal and write', () => {
    const lines: string[] = [];
    const log = controlLog(
      (message, level, fields) => lines.push(`${level} ${message} ${JSON.stringify(fields)}`),
      () => NOW,
    );
    happen(eventsTo(log));
    expect(lines.filter((line) => !line.startsWith('debug'))).toEqual([
      `info X.509-SVID issued {"identity":"${identity}","proof":"join token","expires":"2026-01-31T12:00:01.000Z"}`,
      `info JWT-SVID issued {"identity":"${identity}","proof":"certificate","expires":"2026-01-31T12:00:01.000Z"}`,
      `info proxy connected {"node":"${node}","identity":"${identity}","version":"0.1.0"}`,
      `warn config refused by a proxy {"node":"${node}","type":"listeners","reason":"l: bad\\u001b[2J"}`,
      `info proxy closed its connection {"node":"${node}","identity":"${identity}"}`,
      'info written by a user {"method":"POST","path":"/apis/x","status":201,"caller":"admin","address":"10.0.0.9"}',
      'warn request refused {"method":"POST","path":"/v1/x","status":401,"caller":"anonymous","address":"10.0.0.9","reason":"no\\ntoken"}',
    ]);
  });

  it('does not warn where the admin asks whether a resource exists', () => {
    const lines: string[] = [];
    const { answered } = controlLog(
      (message, level) => lines.push(`${level} ${message}`),
      () => NOW,
    );
    const absent = {
      method: 'GET',
      path: '/apis/x',
      status: 404,
      address: '10.0.0.9',
      dryRun: false,
      reason: 'not found',
    };
    answered!({ ...absent, caller: 'admin', isUser: true });
    answered!({ ...absent, caller: 'admin', isUser: true, method: 'DELETE' });
    answered!({ ...absent, caller: 'anonymous', isUser: false });
    expect(lines).toEqual(['debug request', 'warn request refused', 'warn request refused']);
  });

  it('is not filled by strangers', () => {
    const lines: string[] = [];
    let now = NOW;
    const log = limitedLog(
      (line) => lines.push(line),
      () => now,
      'refused requests',
    );
    for (let count = 0; count < 1000; count++) log(`refused ${count}`);
    expect(lines).toHaveLength(20);
    now += 10_000;
    log('refused again');
    expect(lines.slice(20)).toEqual([
      '980 more refused requests in the 10 s from 2026-01-31T12:00:00.000Z',
      'refused again',
    ]);
  });
});

describe('the metrics server', () => {
  let server: MetricsServer | undefined;
  afterEach(() => server?.close());

  it('answers GET and HEAD of /metrics, and nothing else', async () => {
    server = await startMetricsServer({ address: '127.0.0.1', port: 0 }, () => 'a 1\n');
    const base = `http://127.0.0.1:${server.port}`;
    const answer = await fetch(`${base}/metrics?x`);
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await answer.text()).toBe('a 1\n');
    expect(await (await fetch(`${base}/metrics`, { method: 'HEAD' })).text()).toBe('');
    expect((await fetch(`${base}/metrics`, { method: 'POST', body: 'x' })).status).toBe(405);
    expect((await fetch(`${base}/`)).status).toBe(404);
    await expect(startMetricsServer({ address: '127.0.0.1', port: server.port }, () => '')).rejects.toThrow(
      `cannot serve metrics on 127.0.0.1 port ${server.port}: the port is in use (see --monitoring-port)`,
    );
  });
});
