/**
 * Telemetry resources on running proxies: which requests are logged and how, which metrics are made with which labels, which
 * requests are sampled and what their headers say. Changes take effect while connections stay.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { until } from '../kit/waiting.ts';
import { get } from './shop-mesh.ts';

const ECHO = 'tests/e2e/echo.ts';
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

const resources = (books: string) => `
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    extensionProviders:
    - name: json
      envoyFileAccessLog: { logFormat: { labels: { log: json, path: "%REQ(:PATH)%", code: "%RESPONSE_CODE%", trace: "%TRACE_ID%" } } }
    - name: text
      envoyFileAccessLog: { logFormat: { text: "text %REQ(:PATH)% %CEL(request.headers['x-user'])%" } }
    - name: otel
      opentelemetry: { service: books.default.svc.cluster.local, port: 9080 }
    - name: zipkin
      zipkin: { service: books.default.svc.cluster.local, port: 9080 }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: books }
spec:
  hosts: [books.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
    - { number: 9080, name: http, protocol: HTTP }
    - { number: 7000, name: tcp-db, protocol: TCP }
  workloadSelector: { labels: { app: books } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: books-v1 }
spec: { address: ${books}, serviceAccount: books, labels: { app: books, version: v1 } }
`;

const telemetry = (name: string, spec: object) =>
  stringify({ apiVersion: 'telemetry.istio.io/v1', kind: 'Telemetry', metadata: { name, namespace: 'default' }, spec });

const FRONT = { selector: { matchLabels: { app: 'front' } } };
const ERRORS = { filter: { expression: "response.code >= 400 && !request.url_path.endsWith('/quiet')" } };

describe.each(RUNTIMES)('Telemetry on %s proxies', (runtime) => {
  const mesh = new LoopbackMesh();
  let front: Workload;
  let books: Workload;
  let database: Server;

  const viaFront = (path: string, headers: Record<string, string> = {}) => {
    const host = 'books.default.svc.cluster.local:9080';
    const address = { host: '127.0.0.1', port: front.httpProxyPort };
    return get({ ...address, path: `http://${host}${path}`, headers: { host, ...headers } });
  };
  const metricsOf = async ({ adminPort }: Workload, metric: string): Promise<string[]> => {
    const { body } = await get({ host: '127.0.0.1', port: adminPort, path: '/stats/prometheus' });
    return body.split('\n').filter((line) => line.startsWith(`${metric}{`));
  };
  /** What the application was sent. */
  const sent = async (path: string, headers: Record<string, string> = {}) =>
    (await viaFront(path, headers)).json<{ headers: Record<string, string> }>().headers;
  const logged = (workload: Workload, part: string) => workload.proxy.lines.filter((line) => line.includes(part));

  beforeAll(async () => {
    database = createServer((socket) => socket.on('error', () => {}).pipe(socket));
    await new Promise<void>((listening) => database.listen(0, '127.0.0.1', listening));
    const { port } = database.address() as { port: number };
    await mesh.startControl();
    const address = mesh.address();
    await mesh.apply(resources(address));
    const eager = ['--discovery', 'eager'];
    const of = (name: string, app: string) => ({
      name,
      serviceAccount: app,
      labels: { app, version: 'v1' },
      runtime,
    });
    [books, front] = await Promise.all([
      mesh.start(
        { ...of('books-v1', 'books'), app: [ECHO, '{port}'], flags: ['--app-port', `tcp-db=${port}`, ...eager] },
        address,
      ),
      mesh.start({ ...of('front-v1', 'front'), flags: eager }),
    ]);
    await until('books answers', async () => (await viaFront('/')).status === 200);
  });
  afterAll(async () => {
    await mesh.stop();
    database?.close();
  });

  it('logs as the providers and filters of each level say, and can be switched off', async () => {
    expect(logged(front, '"log":"json"')).toEqual([]);
    await mesh.apply(telemetry('all', { accessLogging: [{ providers: [{ name: 'json' }, { name: 'text' }] }] }));
    await until('requests are logged twice', async () => {
      await viaFront('/twice', { 'x-user': 'ann' });
      return logged(front, '"path":"/twice"').length > 0 && logged(front, 'text /twice ann').length > 0;
    });
    expect(JSON.parse(logged(front, '"path":"/twice"')[0]!)).toEqual({
      log: 'json',
      path: '/twice',
      code: 200,
      trace: null,
    });
    await until('the server logs too', () => logged(books, 'text /twice ann').length > 0);

    await mesh.apply(telemetry('front', { ...FRONT, accessLogging: [{ providers: [{ name: 'json' }], ...ERRORS }] }));
    await until('only errors are logged', async () => {
      const mark = `/mark-${Math.random().toString(36).slice(2)}`;
      await viaFront(mark);
      await until('the server has logged it', () => logged(books, `text ${mark}`).length > 0);
      return logged(front, mark).length === 0;
    });
    for (const path of ['/ok', '/flaky/99/quiet', '/flaky/99/bad']) await viaFront(path);
    await until('an error is logged', () => logged(front, '"path":"/flaky/99/bad"').length > 0);
    expect(logged(front, '/ok')).toEqual([]);
    expect(logged(front, '/quiet')).toEqual([]);
    expect(logged(books, '"path":"/flaky/99/quiet"').length).toBeGreaterThan(0);

    await mesh.apply(telemetry('front', { ...FRONT, accessLogging: [{ disabled: true }] }));
    await until('nothing is logged', async () => {
      const mark = `/flaky/99/${Math.random().toString(36).slice(2)}`;
      await viaFront(mark);
      await until('the server has logged it', () => logged(books, `text ${mark}`).length > 0);
      return logged(front, mark).length === 0;
    });
  });

  it('adds, replaces and removes labels, and leaves metrics out, while connections stay', async () => {
    const socket = await databaseOf(front);
    const before = await echoed(socket, 'before');
    await mesh.apply(
      telemetry('metrics', {
        ...FRONT,
        metrics: [
          {
            overrides: [
              {
                match: { metric: 'REQUEST_COUNT' },
                tagOverrides: {
                  user: { value: "request.headers['x-user']" },
                  destination_port: { value: 'string(upstream.port)' },
                  response_flags: { operation: 'REMOVE' },
                },
              },
              { match: { metric: 'REQUEST_SIZE' }, disabled: true },
            ],
          },
        ],
      }),
    );
    const byUser = async () =>
      (await metricsOf(front, 'istio_requests_total')).filter((line) => line.includes('user="'));
    await until('labels are added', async () => {
      await viaFront('/labels', { 'x-user': 'ann' });
      return (await byUser()).length > 0;
    });
    await viaFront('/labels', { 'x-user': 'bob' });
    await viaFront('/labels');
    const found = await byUser();
    const users = found.map((line) => /user="(\w+)"/.exec(line)?.[1]);
    expect(new Set(users)).toEqual(new Set(['ann', 'bob', 'unknown']));
    for (const line of found) {
      expect(line).not.toContain('response_flags');
      expect(line).toMatch(/destination_port="9080"/);
    }
    const sizes = async () =>
      (await metricsOf(front, 'istio_request_bytes_count')).map((line) => line.split(' ').at(-1));
    const known = await sizes();
    await viaFront('/size', { 'x-user': 'ann' });
    expect(await sizes()).toEqual(known);
    expect((await metricsOf(books, 'istio_requests_total')).some((line) => line.includes('user="'))).toBe(false);

    await mesh.apply(telemetry('metrics', { ...FRONT, metrics: [{ overrides: [{ disabled: true }] }] }));
    const total = async () => (await metricsOf(front, 'istio_requests_total')).join();
    await until('nothing is counted', async () => {
      const counted = await total();
      await viaFront('/none');
      return (await total()) === counted;
    });
    expect([before, await echoed(socket, 'after')]).toEqual(['before', 'after']);
    socket.destroy();
  });

  it('samples, initiates a trace and sends its context on, in the headers of the provider', async () => {
    const tracing = (provider: string, percent: number, more: object = {}) =>
      telemetry('tracing', {
        ...FRONT,
        tracing: [{ providers: [{ name: provider }], randomSamplingPercentage: percent, ...more }],
        accessLogging: [{ providers: [{ name: 'json' }] }],
      });
    await mesh.remove(telemetry('front', {}));
    await mesh.apply(tracing('otel', 100));
    await until('requests are sampled', async () => /-01$/.test((await sent('/w3c'))['traceparent'] ?? ''));
    const own = await sent('/w3c-2');
    expect(own['x-request-id']?.[14]).toBe('9');
    const continued = await sent('/continued', { traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'a=b' });
    expect(continued['traceparent']).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
    expect(continued['traceparent']).not.toContain(SPAN);
    expect(continued['tracestate']).toBe('a=b');
    await until('the log names the trace', () =>
      logged(front, '"path":"/continued"').some((line) => line.includes(`"trace":"${TRACE}"`)),
    );

    await mesh.apply(tracing('zipkin', 0));
    await until('B3 is spoken', async () => (await sent('/b3'))['x-b3-sampled'] === '0');
    const b3 = await sent('/b3-2', { 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-sampled': '1' });
    expect(b3).toMatchObject({ 'x-b3-traceid': TRACE, 'x-b3-parentspanid': SPAN, 'x-b3-sampled': '1' });
    expect(b3['x-request-id']?.[14]).toBe('4');

    await mesh.apply(tracing('otel', 100, { disableContextPropagation: true }));
    await until('no context is sent on', async () => {
      const headers = await sent('/kept');
      return headers['traceparent'] === undefined && headers['x-b3-traceid'] === undefined;
    });
    expect((await sent('/kept-2'))['x-request-id']?.[14]).toBe('9');
  });

  it('names in the status what has no effect', async () => {
    // The status may still say what it said of the provider before.
    await until('the condition names the provider', async () => {
      const at = '/apis/telemetry.istio.io/v1/namespaces/default/telemetries/tracing';
      const { status } = await mesh.api.call<Conditions>('GET', at);
      const reconciled = status?.conditions?.find(({ type }) => type === 'Reconciled');
      return reconciled?.message.includes('providers: "otel": proxies send no spans yet');
    });
  });
});

interface Conditions {
  readonly status?: { readonly conditions?: readonly { type: string; message: string }[] };
}

/** A connection to the database through the sidecar. */
async function databaseOf(front: Workload): Promise<Socket> {
  const { body } = await get({ host: '127.0.0.1', port: front.adminPort, path: '/listeners' });
  const host = /(127\.[\d.]+):7000/.exec(body)?.[1];
  return connect(7000, host!).on('error', () => {});
}

function echoed(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (bytes) => resolve(String(bytes)));
    socket.once('close', () => reject(new Error('the connection ended')));
    socket.write(text);
  });
}
