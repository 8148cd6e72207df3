import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Node } from '../../../shared/xds/core.ts';
import type { HttpConnectionManager } from '../../../shared/xds/http-connection-manager.ts';
import type { Listener } from '../../../shared/xds/listener.ts';
import { buildView } from '../../mesh/build-view.ts';
import { parseMeshConfig } from '../../mesh/mesh-config.ts';
import { compileInSlices, compileWithNotes } from '../node/node.ts';
import { inOneGo } from '../output/compiled-node.ts';

const service = (name: string, namespace: string, number: number, protocol: string, address: string): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name, namespace },
  spec: {
    hosts: [`${name}.${namespace}.svc.cluster.local`],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number, name: protocol.toLowerCase(), protocol }],
    endpoints: [{ address, labels: { app: name } }],
  },
});
const SERVICES = [
  service('cart', 'shop', 8080, 'HTTP', '10.0.0.1'),
  service('db', 'shop', 5432, 'TCP', '10.0.0.2'),
  service('otel', 'observe', 4317, 'GRPC', '10.0.0.3'),
];

const telemetry = (spec: object, { name = 'a', namespace = 'shop', second = 0 } = {}): Resource => ({
  apiVersion: 'telemetry.istio.io/v1',
  kind: 'Telemetry',
  metadata: { name, namespace, creationTimestamp: `2026-01-01T00:00:0${second}Z` },
  spec,
});

const MESH = `
extensionProviders:
- { name: json, envoyFileAccessLog: { logFormat: { labels: { code: "%RESPONSE_CODE%" } } } }
- { name: bad, envoyFileAccessLog: { logFormat: { text: "%NO_SUCH%" } } }
- { name: file, envoyFileAccessLog: { path: /tmp/x.log } }
- { name: als, envoyHttpAls: { service: otel.observe.svc.cluster.local, port: 4317 } }
- { name: otel, opentelemetry: { service: otel.observe.svc.cluster.local, port: 4317 } }
- { name: zipkin, zipkin: { service: observe/otel.observe.svc.cluster.local, port: 4317, traceContextOption: USE_B3_WITH_W3C_PROPAGATION } }
- { name: nowhere, zipkin: { service: otel.observe.svc.cluster.local, port: 1 } }
- { name: dog, datadog: { service: otel.observe.svc.cluster.local, port: 4317 } }
`;

const NODE: Node = {
  id: 'sidecar~10.0.0.1~cart-1.shop~shop.svc.cluster.local',
  metadata: { NAMESPACE: 'shop', LABELS: { app: 'cart' }, INTERCEPTION_MODE: 'NONE' },
};

interface Outcome {
  readonly server: HttpConnectionManager;
  readonly client: HttpConnectionManager;
  readonly listeners: readonly Listener[];
  readonly findings: readonly string[];
}

function compiled(telemetries: readonly Resource[], { mesh = MESH, node = NODE } = {}): Outcome {
  const view = buildView([...SERVICES, ...telemetries], 1, parseMeshConfig(mesh));
  const { snapshot } = compileWithNotes(view, node);
  const listeners = snapshot.listeners ?? [];
  const manager = (direction: string): HttpConnectionManager => {
    const all = listeners.filter(({ trafficDirection }) => trafficDirection === direction);
    const filters = all.flatMap(({ filterChains = [] }) => filterChains.flatMap((chain) => chain.filters ?? []));
    return filters.find(({ name }) => name.endsWith('http_connection_manager'))!.typedConfig as never;
  };
  const { errors } = inOneGo(compileInSlices(view, node));
  return {
    server: manager('INBOUND'),
    client: manager('OUTBOUND'),
    listeners,
    findings: errors.map(({ about, reason, message }) => `${about.metadata.name} ${reason} ${message}`),
  };
}

type Logs = HttpConnectionManager['accessLog'];
/** What is logged, in short. */
const logs = (found: Logs) =>
  (found ?? []).map(({ typedConfig, filter }) => {
    const { logFormat } = typedConfig;
    const cel = (filter?.extensionFilter?.typedConfig as { expression?: string } | undefined)?.expression;
    const format = logFormat?.jsonFormat ? JSON.stringify(logFormat.jsonFormat) : 'text';
    return cel === undefined ? format : `${format} where ${cel}`;
  });
const JSON_LOG = '{"code":"%RESPONSE_CODE%"}';
const named = (...names: string[]) => ({ providers: names.map((name) => ({ name })) });

describe('access logging', () => {
  const of = (...telemetries: Resource[]) => {
    const { server, client, findings } = compiled(telemetries);
    return { server: logs(server.accessLog), client: logs(client.accessLog), findings };
  };

  it('is inherited from the root namespace and replaced by namespace and workload', () => {
    const root = telemetry({ accessLogging: [named('envoy')] }, { namespace: 'istio-system' });
    const other = telemetry({ accessLogging: [named('json')] }, { namespace: 'other' });
    expect(of(root, other)).toEqual({ server: ['text'], client: ['text'], findings: [] });
    const own = telemetry({ accessLogging: [named('json')] });
    expect(of(root, own).server).toEqual([JSON_LOG]);
    const workload = telemetry(
      {
        selector: { matchLabels: { app: 'cart' } },
        accessLogging: [{ ...named('envoy'), filter: { expression: 'response.code > 399' } }],
      },
      { name: 'b' },
    );
    expect(of(root, own, workload).server).toEqual(['text where response.code > 399']);
    const elsewhere = telemetry(
      { selector: { matchLabels: { app: 'db' } }, accessLogging: [{ disabled: true }] },
      { name: 'b' },
    );
    expect(of(root, own, elsewhere).server).toEqual([JSON_LOG]);
  });

  it('of two without a selector in a namespace the oldest counts', () => {
    const [first, second] = [1, 2].map((age) =>
      telemetry({ accessLogging: [named(age === 1 ? 'json' : 'envoy')] }, { name: `t${age}`, second: age }),
    );
    expect(of(second!, first!).server).toEqual([JSON_LOG]);
  });

  it('is for a side, for several providers, and can be switched off', () => {
    const both = telemetry({
      accessLogging: [
        { ...named('json'), match: { mode: 'CLIENT' } },
        { ...named('envoy', 'json'), match: { mode: 'SERVER' } },
      ],
    });
    expect(of(both)).toMatchObject({ client: [JSON_LOG], server: ['text', JSON_LOG] });
    const off = telemetry(
      { selector: { matchLabels: { app: 'cart' } }, accessLogging: [{ disabled: true }] },
      { name: 'b' },
    );
    const root = telemetry({ accessLogging: [named('envoy')] }, { namespace: 'istio-system' });
    expect(of(root, off)).toMatchObject({ client: [], server: [] });
  });

  it('takes default providers, and MeshConfig’s own log where nothing else says', () => {
    const defaults = `${MESH}\ndefaultProviders: { accessLogging: [json] }\naccessLogFile: /dev/stdout`;
    expect(logs(compiled([], { mesh: defaults }).server.accessLog)).toEqual([JSON_LOG]);
    const file = `${MESH}\naccessLogFile: /dev/stdout\naccessLogFormat: "%PROTOCOL%"`;
    expect(logs(compiled([], { mesh: file }).server.accessLog)).toEqual(['text']);
    const client = telemetry({ accessLogging: [{ ...named('json'), match: { mode: 'CLIENT' } }] });
    const found = compiled([client], { mesh: file });
    expect([logs(found.client.accessLog), logs(found.server.accessLog)]).toEqual([[JSON_LOG], ['text']]);
    const off = telemetry({ accessLogging: [{ ...named('envoy'), disabled: true }] });
    expect(logs(compiled([off], { mesh: file }).server.accessLog)).toEqual([]);
  });

  it('is of listeners, for connections without a filter chain', () => {
    const { listeners } = compiled([
      telemetry({ accessLogging: [{ ...named('json'), filter: { expression: 'true' } }] }),
    ]);
    const inbound = listeners.find(({ trafficDirection }) => trafficDirection === 'INBOUND')!;
    expect(inbound.accessLog?.[0]?.filter?.andFilter?.filters?.[0]).toEqual({ responseFlagFilter: { flags: ['NR'] } });
    expect(listeners.find(({ trafficDirection }) => trafficDirection === 'OUTBOUND')?.accessLog).toBeUndefined();
  });

  it('reports by name what writes nothing', () => {
    const expected: readonly [object, RegExp][] = [
      [named('missing'), /accessLogging\[0\]\.providers: MeshConfig has no extension provider "missing"/],
      [named('als'), /providers: "als" sends access logs over gRPC/],
      [named('file'), /providers: "file" writes to \/tmp\/x.log/],
      [named('prometheus'), /providers: "prometheus" is no provider of access logs/],
      [{ ...named('json'), filter: { expression: 'size(' } }, /filter\.expression: must be a CEL expression/],
      [
        { ...named('json'), filter: { expression: 'nope(1)' } },
        /filter\.expression: nope\(\): there is no such function/,
      ],
    ];
    for (const [entry, message] of expected) {
      const { server, findings } = of(telemetry({ accessLogging: [entry] }));
      expect(server).toEqual([]);
      expect(findings).toEqual([expect.stringMatching(message)]);
      expect(findings[0]).toContain('a RuleWithoutEffect spec.');
    }
    const { server, findings } = of(telemetry({ accessLogging: [named('bad')] }));
    expect([server, findings[0]]).toEqual([['text'], expect.stringContaining('cannot read %NO_SUCH%')]);
  });

  it('is attached to services by targetRefs, for traffic to them', () => {
    const to = (kind: string, name: string) =>
      telemetry({
        targetRefs: [{ kind, name, ...(kind === 'ServiceEntry' && { group: 'networking.istio.io' }) }],
        accessLogging: [named('json')],
      });
    expect(of(to('ServiceEntry', 'cart'))).toMatchObject({ server: [JSON_LOG], client: [] });
    expect(of(to('ServiceEntry', 'db'))).toMatchObject({ server: [], client: [] });
    expect(of(to('Secret', 'x')).findings).toEqual([
      expect.stringContaining('spec.targetRefs: targets of kind /Secret'),
    ]);
  });
});

describe('metrics', () => {
  const stats = (manager: HttpConnectionManager) => {
    const filter = manager.httpFilters?.find(({ name }) => name === 'istio.stats');
    return (filter?.typedConfig as { value?: { metrics?: { name: string; drop?: boolean }[] } } | undefined)?.value;
  };

  it('are all made where nothing says otherwise', () => {
    const { server, listeners } = compiled([]);
    expect(stats(server)).toBeUndefined();
    expect(listeners.some(({ metadata }) => metadata !== undefined)).toBe(false);
  });

  it('without a provider that is scraped, or all disabled, are not made', () => {
    for (const metric of [named('stackdriver'), { overrides: [{ disabled: true }] }]) {
      const { server, client, listeners } = compiled([telemetry({ metrics: [metric] })]);
      for (const manager of [server, client])
        expect(stats(manager)?.metrics?.filter(({ drop }) => drop)).toHaveLength(10);
      const tcp = listeners.find(({ name }) => name.endsWith('_5432'));
      expect(Object.keys(tcp?.metadata?.filterMetadata ?? {})).toEqual(['istio.stats']);
    }
  });

  it('are overridden by metric and side, later entries over earlier ones', () => {
    const root = telemetry(
      {
        metrics: [
          {
            overrides: [
              { match: { metric: 'REQUEST_COUNT' }, tagOverrides: { a: { value: "'1'" }, b: { operation: 'REMOVE' } } },
            ],
          },
        ],
      },
      { namespace: 'istio-system' },
    );
    const own = telemetry({
      metrics: [
        {
          overrides: [
            { match: { metric: 'REQUEST_COUNT', mode: 'SERVER' }, tagOverrides: { a: { value: 'request.host' } } },
            { match: { metric: 'REQUEST_SIZE', mode: 'CLIENT' }, disabled: true },
          ],
        },
      ],
    });
    const { server, client } = compiled([root, own]);
    expect(stats(server)).toEqual({
      disableHostHeaderFallback: true,
      metrics: [{ name: 'requests_total', dimensions: { a: 'request.host' }, tagsToRemove: ['b'] }],
    });
    expect(stats(client)).toEqual({
      metrics: [
        { name: 'requests_total', dimensions: { a: "'1'" }, tagsToRemove: ['b'] },
        { name: 'request_bytes', drop: true },
      ],
    });
  });

  it('reports what has no effect, and gives an expression that cannot be used no value', () => {
    const { server, findings } = compiled([
      telemetry({
        metrics: [
          {
            ...named('prometheus', 'als'),
            overrides: [
              { match: { customMetric: 'istio_mine' }, disabled: true },
              { match: { metric: 'REQUEST_COUNT' }, tagOverrides: { a: { value: 'nope(' } } },
            ],
          },
        ],
      }),
    ]);
    expect(findings).toEqual([
      expect.stringContaining('metrics[0].providers: "als" is no provider whose metrics proxies make'),
      expect.stringContaining('overrides[0].match.customMetric: proxies make no metric "istio_mine"'),
      expect.stringContaining('overrides[1].tagOverrides.a.value: must be a CEL expression: '),
    ]);
    expect(JSON.stringify(stats(server))).toContain('"a":"1 / 0"');
  });
});

describe('tracing', () => {
  const traced = (spec: object, more: readonly Resource[] = []) => compiled([...more, telemetry({ tracing: [spec] })]);

  it('is sampling of request ids where no provider is named', () => {
    expect(compiled([]).server.tracing).toMatchObject({ randomSampling: { value: 1 } });
    const mesh = `${MESH}\nenableTracing: false`;
    expect(compiled([], { mesh }).server.tracing).toBeUndefined();
    const sampling = `${MESH}\ndefaultConfig: { tracing: { sampling: 42 } }`;
    expect(compiled([], { mesh: sampling }).client.tracing).toMatchObject({ randomSampling: { value: 42 } });
  });

  it('goes to a provider, with its headers, unless it is switched off for a side', () => {
    const root = telemetry(
      { tracing: [{ ...named('zipkin'), randomSamplingPercentage: 5, enableIstioTags: false }] },
      { namespace: 'istio-system' },
    );
    const { server, client, findings } = traced({ match: { mode: 'SERVER' }, disableSpanReporting: true }, [root]);
    expect(server.tracing).toBeUndefined();
    expect(client.tracing).toEqual({
      clientSampling: { value: 100 },
      randomSampling: { value: 5 },
      overallSampling: { value: 100 },
      provider: {
        name: 'envoy.tracers.zipkin',
        typedConfig: {
          '@type': 'type.googleapis.com/envoy.config.trace.v3.ZipkinConfig',
          collectorEndpointVersion: 'HTTP_JSON',
          traceId128bit: true,
          sharedSpanContext: false,
          collectorService: {
            httpUri: {
              uri: 'http://otel.observe.svc.cluster.local/api/v2/spans',
              cluster: 'outbound|4317||otel.observe.svc.cluster.local',
              timeout: '5s',
            },
          },
          traceContextOption: 'USE_B3_WITH_W3C_PROPAGATION',
        },
      },
    });
    expect(findings).toEqual([expect.stringContaining('"zipkin": proxies send no spans yet')]);
  });

  it('has custom tags and Istio’s, decides by request id or not, and keeps the context to itself', () => {
    const { server } = traced({
      ...named('otel'),
      customTags: {
        b: { formatter: { value: '%REQ(X-A)%' } },
        a: { literal: { value: '1' } },
        c: { formatter: { value: '%NO%' } },
      },
      useRequestIdForTraceSampling: false,
      disableContextPropagation: true,
    });
    expect(server.tracing?.noContextPropagation).toBe(true);
    expect(server.tracing?.customTags?.slice(0, 2)).toEqual([
      { tag: 'a', literal: { value: '1' } },
      { tag: 'b', value: '%REQ(X-A)%' },
    ]);
    expect(server.tracing?.customTags?.map(({ tag }) => tag)).toContain('istio.canonical_service');
    expect(server.requestIdExtension?.typedConfig).toMatchObject({ useRequestIdForTraceSampling: false });
  });

  it('reports a provider that cannot be used, and traces nothing', () => {
    for (const [name, message] of [
      ['missing', 'MeshConfig has no extension provider "missing"'],
      ['nowhere', 'service otel.observe.svc.cluster.local has no port 1'],
      ['dog', 'datadog is no provider of traces'],
    ] as const) {
      const { server, findings } = traced(named(name));
      expect(server.tracing).toBeUndefined();
      expect(findings).toEqual([expect.stringContaining(message)]);
    }
  });
});

it('shares what is compiled between proxies that the same resources hold for', () => {
  const view = buildView([...SERVICES, telemetry({ accessLogging: [named('json')] })], 1, parseMeshConfig(MESH));
  const other = {
    ...NODE,
    id: 'sidecar~10.0.0.9~x-1.shop~shop.svc.cluster.local',
    metadata: { ...NODE.metadata, LABELS: { app: 'x' } },
  };
  const [a, b] = [NODE, other].map((node) => inOneGo(compileInSlices(view, node)).sets.listeners.get('127.0.0.1_4317'));
  expect(a).toBeDefined();
  expect(a).toBe(b);
});
