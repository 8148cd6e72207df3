/**
 * Trace context that requests leave a proxy with, in Envoy and in Tulle: which ids are those that came, which are new, and what
 * was decided about sampling.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { until } from '../../kit/waiting.ts';
import { type Echo, startEcho } from '../harness/echo.ts';
import { exchange } from '../harness/raw-client.ts';

const T128 = '0af7651916cd43dd8448eb211c80319c';
const T64 = '8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const PARENT = '00f067aa0ba902b7';

/** Names of the headers that carry a context. */
const CARRIERS = [
  'traceparent',
  'tracestate',
  'b3',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
];

const TRACE = 'type.googleapis.com/envoy.config.trace.v3';
const collector = { cluster: 'app', timeout: '1s' };
const TRACERS: Readonly<Record<string, object>> = {
  otel: {
    name: 'envoy.tracers.opentelemetry',
    typedConfig: {
      '@type': `${TRACE}.OpenTelemetryConfig`,
      httpService: { httpUri: { uri: 'http://app/v1/traces', ...collector } },
    },
  },
  ...Object.fromEntries(
    ['USE_B3', 'USE_B3_WITH_W3C_PROPAGATION'].map((traceContextOption) => [
      traceContextOption,
      {
        name: 'envoy.tracers.zipkin',
        typedConfig: {
          '@type': `${TRACE}.ZipkinConfig`,
          collectorEndpointVersion: 'HTTP_JSON',
          traceId128bit: true,
          sharedSpanContext: false,
          collectorService: { httpUri: { uri: 'http://app/api/v2/spans', ...collector } },
          traceContextOption,
        },
      },
    ]),
  ),
};

/** Listeners by name: a tracer, and how much of the requests it samples. */
const LISTENERS = Object.keys(TRACERS).flatMap((tracer) => [
  { name: `${tracer} 0`, tracer, sampling: 0, more: {} },
  { name: `${tracer} 100`, tracer, sampling: 100, more: {} },
  { name: `${tracer} off`, tracer, sampling: 100, more: { noContextPropagation: true } },
]);

const CASES: readonly (readonly string[])[] = [
  [],
  [`traceparent: 00-${T128}-${SPAN}-01`],
  [`traceparent: 00-${T128}-${SPAN}-00`, 'tracestate: a=b,c=d'],
  [`traceparent: 00-${T128}-${SPAN}-03`],
  [`traceparent: 00-${'0'.repeat(32)}-${SPAN}-01`],
  [`traceparent: 00-${T128}-${SPAN}`],
  ['traceparent: nonsense'],
  [`x-b3-traceid: ${T128}`, `x-b3-spanid: ${SPAN}`, 'x-b3-sampled: 1'],
  [`x-b3-traceid: ${T128}`, `x-b3-spanid: ${SPAN}`, 'x-b3-sampled: 0'],
  [`x-b3-traceid: ${T64}`, `x-b3-spanid: ${SPAN}`, `x-b3-parentspanid: ${PARENT}`],
  [`x-b3-traceid: ${T128}`, 'x-b3-sampled: 1'],
  ['x-b3-sampled: 1'],
  ['x-b3-sampled: 0'],
  [`b3: ${T128}-${SPAN}-1`],
  [`b3: ${T128}-${SPAN}-0-${PARENT}`],
  [`b3: ${T64}-${SPAN}-d`],
  [`b3: ${T128}-${SPAN}`],
  ['b3: 1'],
  ['b3: 0'],
  [`b3: ${T128}-${SPAN}-1`, `traceparent: 00-${T64}${T64}-${PARENT}-00`],
];

function bootstrap(port: number): object {
  const listener = ({ name, tracer, sampling, more }: (typeof LISTENERS)[number]) => ({
    name,
    address: { socketAddress: { address: '127.0.0.1', portValue: 0 } },
    filterChains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typedConfig: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              statPrefix: 'h',
              tracing: { provider: TRACERS[tracer], randomSampling: { value: sampling }, ...more },
              accessLog: [
                {
                  name: 'log',
                  typedConfig: {
                    '@type': 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
                    logFormat: { textFormatSource: { inlineString: 'trace %TRACE_ID%\n' } },
                  },
                },
              ],
              routeConfig: {
                virtualHosts: [
                  { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] },
                ],
              },
              httpFilters: [
                {
                  name: 'envoy.filters.http.router',
                  typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                },
              ],
            },
          },
        ],
      },
    ],
  });
  const app = { endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue: port } } } };
  return {
    node: { id: 'a', cluster: 'a' },
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: 0 } } },
    staticResources: {
      listeners: LISTENERS.map(listener),
      clusters: [
        {
          name: 'app',
          type: 'STATIC',
          connectTimeout: '5s',
          loadAssignment: { clusterName: 'app', endpoints: [{ lbEndpoints: [app] }] },
        },
      ],
    },
  };
}

/** What left the proxy, with ids that are new by one name each. */
function shape(text: string, known: readonly string[]): string {
  const names = new Map<string, string>();
  return text.replace(/[0-9a-f]{32}|[0-9a-f]{16}/g, (id) => {
    if (known.some((one) => one.includes(id.replace(/^0{16}(?=.{16}$)/, '')))) return id;
    if (!names.has(id)) names.set(id, `<new ${id.length} ${names.size}>`);
    return names.get(id)!;
  });
}

async function outcomes(proxy: RunningProxy): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  let logged = 0;
  for (const { name } of LISTENERS)
    for (const given of CASES) {
      const head = ['GET / HTTP/1.1', 'host: h', ...given, 'connection: close', '', ''].join('\r\n');
      const { responses } = await exchange(proxy.ports[name]!, head, ['GET']);
      const lines = await until('the log is written', () => {
        const all = proxy.lines.filter((line) => line.startsWith('trace '));
        return all.length > logged ? all : undefined;
      });
      const { headers } = JSON.parse(responses[0]!.body) as { headers: [string, string][] };
      const left = CARRIERS.flatMap((carrier) =>
        // Envoy adds a tracestate that is empty.
        headers
          .filter(([key, value]) => key.toLowerCase() === carrier && value !== '')
          .map(([, value]) => `${carrier}: ${value}`),
      );
      found[`${name}: ${given.join(' + ')}`] = shape([...left, lines[logged++]].join('\n'), given);
    }
  return found;
}

describe.skipIf(!ENVOY)('trace context, in Envoy and in Tulle', () => {
  const folder = temporaryFolder();
  let echo: Echo;
  let expected: Record<string, string>;

  beforeAll(async () => {
    echo = await startEcho('app');
    const envoy = await startEnvoy(bootstrap(echo.port), folder.path);
    expected = await outcomes(envoy).finally(() => envoy.stop());
  }, 60_000);
  afterAll(() => {
    echo.stop();
    folder.dispose();
  });

  it('is written by Envoy in all of these ways', () => {
    const all = Object.values(expected).join('\n');
    for (const part of [
      'traceparent: 00-<new 32',
      `traceparent: 00-${T128}-<new 16`,
      `x-b3-parentspanid: ${SPAN}`,
      'trace -',
    ])
      expect(all).toContain(part);
  });

  it.each(RUNTIMES)(
    'is the same on %s',
    async (runtime) => {
      mkdirSync(join(folder.path, runtime), { recursive: true });
      const tulle = await startTulle(runtime, bootstrap(echo.port), join(folder.path, runtime));
      const found = await outcomes(tulle).finally(() => tulle.stop());
      expect(found).toEqual(expected);
    },
    60_000,
  );
});
