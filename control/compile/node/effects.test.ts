/**
 * Every field of MeshConfig and ProxyConfig is in force, refused or reported. The schemas are walked: a field that is
 * added to them fails here until it is one of the three, and a field in force fails until a sample shows what it does.
 */
import { describe, expect, it } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { type Description, describe as described, type Field } from '../../../shared/resources/describe/description.ts';
import { effectAt, IN_FORCE, REFUSED, withoutEffect } from '../../../shared/resources/effects/effects.ts';
import { MESH_CONFIG_EFFECTS, MESH_NETWORKS_EFFECTS } from '../../../shared/resources/effects/mesh-config.ts';
import { MeshConfig } from '../../../shared/resources/mesh-config/mesh-config.ts';
import { readMeshConfig } from '../../../shared/resources/mesh-config/mesh-config-read.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Node } from '../../../shared/xds/core.ts';
import { buildView } from '../../mesh/build-view.ts';
import { parseMeshConfig } from '../../mesh/mesh-config.ts';
import { compileWithNotes } from './node.ts';
import { proxyConfigAnswer } from './proxy-config.ts';

interface Leaf {
  /** `localityLbSetting.distribute[].to`, as people write it. */
  readonly path: string;
  readonly steps: readonly string[];
  /** A value of its type, within lists and maps. */
  readonly value: unknown;
}

/** All fields that hold no further fields, with a value of each. */
function leavesOf(root: Description): Leaf[] {
  const { shape } = root;
  if (shape.type === 'object') {
    if (shape.fields.length === 0) return [{ path: '', steps: [], value: {} }];
    return shape.fields.flatMap((field) => leavesBelow(field));
  }
  if (shape.type === 'list') {
    return leavesOf(shape.items).map((leaf) => ({ ...leaf, path: `[]${dotted(leaf.path)}`, value: [leaf.value] }));
  }
  if (shape.type === 'map') {
    return leavesOf(shape.values).map((leaf) => ({ ...leaf, path: dotted(leaf.path), value: { a: leaf.value } }));
  }
  return [{ path: '', steps: [], value: scalar(root) }];
}

function leavesBelow({ name, description }: Field): Leaf[] {
  return leavesOf(description).map(({ path, steps, value }) => ({
    path: `${name}${path.startsWith('[') ? path : dotted(path)}`,
    steps: [name, ...steps],
    value: { [name]: value },
  }));
}

const dotted = (path: string) => (path === '' || path.startsWith('[') ? path : `.${path}`);

function scalar({ shape }: Description): unknown {
  switch (shape.type) {
    case 'boolean':
      return true;
    case 'integer':
    case 'number':
      return 7;
    case 'string':
      return shape.names.at(-1) ?? (shape.duration ? '7s' : 'seven');
    default:
      return {};
  }
}

const LEAVES = leavesOf(described(MeshConfig));

/** Hosts of every kind, so that each setting finds something to change. */
const RESOURCES = parseAllDocuments(`
apiVersion: v1
kind: Service
metadata: { name: kube, namespace: other }
spec: { clusterIP: 10.96.0.9, ports: [{ port: 80, name: http }] }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: web, namespace: default }
spec:
  hosts: [web.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 8080, name: http, protocol: HTTP }]
  endpoints:
  - { address: 10.0.0.1, serviceAccount: web, locality: r1/z1, labels: { app: web } }
  - { address: 10.0.0.2, serviceAccount: web, locality: r2/z1, labels: { app: web, version: v2 } }
  - { address: 10.0.0.3, serviceAccount: web, locality: r3/z1, labels: { app: web, version: v2 } }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: far, namespace: other }
spec:
  hosts: [far.example]
  resolution: DNS
  ports: [{ number: 443, name: https, protocol: HTTP }, { number: 9000, name: tcp, protocol: TCP }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: far, namespace: other }
spec: { host: far.example, trafficPolicy: { tls: { mode: SIMPLE } } }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web, namespace: default }
spec: { host: web.example, trafficPolicy: { outlierDetection: { consecutive5xxErrors: 1 } } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: other }
spec: { hosts: [web.example], http: [{ timeout: 3s, route: [{ destination: { host: web.example } }] }] }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: default }
spec:
  selector: { app: edge }
  servers:
  - { port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }
  - { port: { number: 443, name: https, protocol: HTTPS }, hosts: ["*"], tls: { mode: SIMPLE, credentialName: edge } }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: all, namespace: default }
spec: { rules: [{ from: [{ source: { principals: [cluster.local/ns/default/sa/web] } }] }] }
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: all, namespace: roots }
spec: { mtls: { mode: STRICT } }
`).map((document) => document.toJS() as Resource);

const node = (type: string, ip: string, metadata: object): Node => ({
  id: `${type}~${ip}~x.default~default.svc.cluster.local`,
  metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: 'web', ...metadata },
  locality: { region: 'r1', zone: 'z1', subZone: '' },
  userAgentName: 'tulle-node',
});
const NODES = [
  node('sidecar', '10.0.0.1', { INTERCEPTION_MODE: 'NONE' }),
  node('sidecar', '10.0.0.1', { INTERCEPTION_MODE: 'REDIRECT' }),
  node('router', '10.0.0.8', { INTERCEPTION_MODE: 'NONE', LABELS: { app: 'edge' } }),
];

/** All that proxies of the mesh are given, as text. */
function given(mesh: string): string {
  const view = buildView(RESOURCES, 1, parseMeshConfig(mesh));
  return JSON.stringify(NODES.map((each) => [compileWithNotes(view, each).snapshot, proxyConfigAnswer(view, each)]));
}

const NOT_OTHER =
  'discoverySelectors: [{ matchExpressions: [{ key: kubernetes.io/metadata.name, operator: NotIn, values: [other] }] }]';

/** Samples of fields of ProxyConfig, each alone. */
function ofProxyConfig(path: string, fields: Readonly<Record<string, unknown>>): Record<string, string> {
  const within = path.split('.');
  return Object.fromEntries(
    Object.entries(fields).map(([field, value]) => {
      const own = within.reduceRight<object>((inner, name) => ({ [name]: inner }), { [field]: value });
      return [`defaultConfig.${path}.${field}`, stringify({ defaultConfig: own })];
    }),
  );
}

/** For each field in force a MeshConfig in which it matters; with `without`, what it is compared with. */
const SAMPLES: Readonly<Record<string, string | { mesh: string; without: string; warning?: string }>> = {
  proxyListenPort: 'proxyListenPort: 7001',
  proxyInboundListenPort: 'proxyInboundListenPort: 7006',
  connectTimeout: 'connectTimeout: 3s',
  h2UpgradePolicy: 'h2UpgradePolicy: UPGRADE',
  protocolDetectionTimeout: 'protocolDetectionTimeout: 2s',
  'tcpKeepalive.interval': 'tcpKeepalive: { interval: 7s }',
  'tcpKeepalive.probes': 'tcpKeepalive: { probes: 7 }',
  'tcpKeepalive.time': 'tcpKeepalive: { time: 7s }',
  enableTracing: 'enableTracing: false',
  'defaultConfig.tracing.sampling': 'defaultConfig: { tracing: { sampling: 50 } }',
  disableEnvoyListenerLog: {
    mesh: 'accessLogFile: /dev/stdout\ndisableEnvoyListenerLog: true',
    without: 'accessLogFile: /dev/stdout',
  },
  'defaultProviders.accessLogging[]': 'defaultProviders: { accessLogging: [envoy] }',
  'defaultProviders.metrics[]': 'defaultProviders: { metrics: [stackdriver] }',
  'defaultProviders.tracing[]': {
    mesh: 'defaultProviders: { tracing: [prometheus] }',
    without: '',
    warning: 'is no provider of traces',
  },
  accessLogFile: 'accessLogFile: /dev/stdout',
  accessLogFormat: {
    mesh: 'accessLogFile: /dev/stdout\naccessLogFormat: "%PROTOCOL%"',
    without: 'accessLogFile: /dev/stdout',
  },
  accessLogEncoding: {
    mesh: 'accessLogFile: /dev/stdout\naccessLogEncoding: JSON',
    without: 'accessLogFile: /dev/stdout',
  },
  'defaultConfig.drainDuration': 'defaultConfig: { drainDuration: 7s }',
  'defaultConfig.statsCompression': 'defaultConfig: { statsCompression: false }',
  'defaultConfig.concurrency': 'defaultConfig: { concurrency: 7 }',
  'defaultConfig.terminationDrainDuration': 'defaultConfig: { terminationDrainDuration: 7s }',
  'defaultConfig.proxyMetadata': 'defaultConfig: { proxyMetadata: { ISTIO_META_HTTP10: "1" } }',
  'defaultConfig.gatewayTopology.numTrustedProxies': 'defaultConfig: { gatewayTopology: { numTrustedProxies: 2 } }',
  'defaultConfig.gatewayTopology.forwardClientCertDetails':
    'defaultConfig: { gatewayTopology: { forwardClientCertDetails: APPEND_FORWARD } }',
  'defaultConfig.proxyHeaders.forwardedClientCert':
    'defaultConfig: { proxyHeaders: { forwardedClientCert: SANITIZE } }',
  ...ofProxyConfig('proxyHeaders.setCurrentClientCertDetails', {
    subject: false,
    cert: true,
    chain: true,
    dns: false,
    uri: false,
  }),
  ...ofProxyConfig('proxyHeaders.requestId', { disabled: true }),
  ...ofProxyConfig('proxyHeaders.server', { disabled: true, value: 'seven' }),
  ...ofProxyConfig('proxyHeaders.attemptCount', { disabled: true }),
  ...ofProxyConfig('proxyHeaders.envoyDebugHeaders', { disabled: true }),
  ...ofProxyConfig('proxyHeaders.metadataExchangeHeaders', { mode: 'IN_MESH' }),
  ...ofProxyConfig('proxyHeaders', { preserveHttp1HeaderCase: true }),
  ...ofProxyConfig('proxyHeaders.xForwardedPort', { enabled: true }),
  ...ofProxyConfig('connectionSettings', {
    profile: 'EDGE',
    listenerPerConnectionBufferLimitBytes: 7000,
    httpIdleTimeout: '7s',
    httpRequestTimeout: '7s',
    httpRequestHeadersTimeout: '7s',
    httpStreamIdleTimeout: '7s',
    httpMaxConcurrentStreams: 7,
    http2InitialStreamWindowSize: 70000,
    http2InitialConnectionWindowSize: 70000,
    httpHeadersWithUnderscoresAction: 'HEADERS_WITH_UNDERSCORES_DROP_HEADER',
    httpPathWithEscapedSlashesAction: 'REJECT_REQUEST',
    httpMergeSlashes: true,
    httpNormalizePath: false,
    listenerConnectionLimit: 7,
    globalDownstreamConnectionLimit: 7,
  }),
  proxyHttpPort: 'proxyHttpPort: 7080',
  inboundClusterStatName: 'inboundClusterStatName: in_%SERVICE_FQDN%_%SERVICE_PORT_NAME%',
  outboundClusterStatName: 'outboundClusterStatName: out_%SERVICE%_%SERVICE_PORT%',
  'defaultInboundHttpRetryPolicy.attempts': 'defaultInboundHttpRetryPolicy: { attempts: 7 }',
  'defaultInboundHttpRetryPolicy.retryOn': {
    mesh: 'defaultInboundHttpRetryPolicy: { attempts: 1, retryOn: "503" }',
    without: 'defaultInboundHttpRetryPolicy: { attempts: 1 }',
  },
  'defaultInboundHttpRetryPolicy.backoff': {
    mesh: 'defaultInboundHttpRetryPolicy: { attempts: 1, backoff: 1s }',
    without: 'defaultInboundHttpRetryPolicy: { attempts: 1 }',
  },
  'meshMTLS.cipherSuites[]': 'meshMTLS: { cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256] }',
  compliancePolicy: 'compliancePolicy: fips-140-2',
  ...Object.fromEntries(
    LEAVES.filter(({ path }) => path.startsWith('defaultTrafficPolicy.')).map(({ path, value }) => [
      path,
      stringify(value),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries({
      'connectionPool.http.http2KeepAlive.interval':
        '{ http: { h2UpgradePolicy: UPGRADE, http2KeepAlive: { interval: 7s, timeout: 2s } } }',
      'connectionPool.http.http2KeepAlive.timeout':
        '{ http: { h2UpgradePolicy: UPGRADE, http2KeepAlive: { interval: 7s, timeout: 2s } } }',
      'connectionPool.http.maxConcurrentStreams': '{ http: { h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 7 } }',
      'connectionPool.tcp.idleTimeout': '{ tcp: { idleTimeout: 7s } }',
    }).map(([path, pool]) => [
      `defaultTrafficPolicy.${path}`,
      {
        mesh: `defaultTrafficPolicy: { connectionPool: ${pool} }`,
        without: pool.includes('UPGRADE')
          ? 'defaultTrafficPolicy: { connectionPool: { http: { h2UpgradePolicy: UPGRADE } } }'
          : '',
      },
    ]),
  ),
  'defaultTrafficPolicy.outlierDetection.consecutiveErrors': {
    mesh: 'defaultTrafficPolicy: { outlierDetection: { consecutiveErrors: 7 } }',
    without: '',
    warning: 'is deprecated',
  },
  'defaultTrafficPolicy.outlierDetection.consecutiveLocalOriginFailures':
    'defaultTrafficPolicy: { outlierDetection: { splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 7 } }',
  'defaultTrafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes[]':
    'defaultTrafficPolicy: { outlierDetection: { outlierDetectionHttpErrorCodes: [429] } }',
  ...Object.fromEntries(
    Object.entries({
      initialDelaySeconds: 'tcpSocket: { port: 7 }, initialDelaySeconds: 7',
      periodSeconds: 'tcpSocket: { port: 7 }, periodSeconds: 7',
      timeoutSeconds: 'tcpSocket: { port: 7 }, timeoutSeconds: 7',
      successThreshold: 'tcpSocket: { port: 7 }, successThreshold: 7',
      failureThreshold: 'tcpSocket: { port: 7 }, failureThreshold: 7',
      'tcpSocket.port': 'tcpSocket: { port: 8 }',
      'tcpSocket.host': 'tcpSocket: { port: 7, host: 10.0.0.7 }',
      'grpc.port': 'grpc: { port: 7 }',
      'grpc.service': 'grpc: { port: 7, service: seven }',
      'httpGet.port': 'httpGet: { port: 7 }',
      'httpGet.path': 'httpGet: { port: 7, path: /seven }',
      'httpGet.host': 'httpGet: { port: 7, host: 10.0.0.7 }',
      'httpGet.httpHeaders[].name': 'httpGet: { port: 7, httpHeaders: [{ name: a, value: b }] }',
      'httpGet.scheme': 'httpGet: { port: 7, scheme: HTTPS }',
      'exec.command[]': 'exec: { command: [a] }',
      'httpGet.httpHeaders[].value': 'httpGet: { port: 7, httpHeaders: [{ name: a, value: b }] }',
    }).map(([path, probe]) => [
      `defaultConfig.readinessProbe.${path}`,
      {
        mesh: `defaultConfig: { readinessProbe: { ${probe} } }`,
        without: 'defaultConfig: { readinessProbe: { tcpSocket: { port: 7 } } }',
      },
    ]),
  ),
  'discoverySelectors[].matchLabels': 'discoverySelectors: [{ matchLabels: { kubernetes.io/metadata.name: default } }]',
  'discoverySelectors[].matchExpressions[].key': NOT_OTHER,
  'discoverySelectors[].matchExpressions[].operator': NOT_OTHER,
  'discoverySelectors[].matchExpressions[].values[]': NOT_OTHER,
  'outboundTrafficPolicy.mode': 'outboundTrafficPolicy: { mode: REGISTRY_ONLY }',
  ...Object.fromEntries(
    [
      ['mode', 'mode: ISTIO_MUTUAL'],
      ['clientCertificate', 'mode: MUTUAL, privateKey: /k, clientCertificate: /other'],
      ['privateKey', 'mode: MUTUAL, clientCertificate: /c, privateKey: /other'],
      ['caCertificates', 'mode: SIMPLE, caCertificates: /ca'],
      ['caCrl', 'mode: SIMPLE, caCrl: /crl'],
      ['subjectAltNames[]', 'mode: SIMPLE, subjectAltNames: [a.example]'],
      ['sni', 'mode: SIMPLE, sni: a.example'],
      ['insecureSkipVerify', 'mode: SIMPLE, insecureSkipVerify: true'],
    ].map(([field, tls]) => [
      `outboundTrafficPolicy.tls.${field}`,
      {
        mesh: `outboundTrafficPolicy: { mode: ALLOW_ANY_DYNAMIC_DNS, tls: { ${tls} } }`,
        without: `outboundTrafficPolicy: { mode: ALLOW_ANY_DYNAMIC_DNS, tls: { mode: ${field === 'mode' ? 'DISABLE' : field === 'clientCertificate' || field === 'privateKey' ? 'MUTUAL, clientCertificate: /c, privateKey: /k' : 'SIMPLE'} } }`,
      },
    ]),
  ),
  'inboundTrafficPolicy.mode': 'inboundTrafficPolicy: { mode: LOCALHOST }',
  enableAutoMtls: 'enableAutoMtls: false',
  trustDomain: 'trustDomain: other.example',
  'trustDomainAliases[]': 'trustDomainAliases: [other.example]',
  'defaultServiceExportTo[]': 'defaultServiceExportTo: ["."]',
  'defaultVirtualServiceExportTo[]': 'defaultVirtualServiceExportTo: ["."]',
  'defaultDestinationRuleExportTo[]': 'defaultDestinationRuleExportTo: ["."]',
  rootNamespace: 'rootNamespace: roots',
  'localityLbSetting.distribute[].from': {
    mesh: 'localityLbSetting: { distribute: [{ from: r1/*, to: { r2/*: 100 } }] }',
    without: 'localityLbSetting: { distribute: [{ from: r2/*, to: { r2/*: 100 } }] }',
  },
  'localityLbSetting.distribute[].to': {
    mesh: 'localityLbSetting: { distribute: [{ from: r1/*, to: { r2/*: 100 } }] }',
    without: 'localityLbSetting: { distribute: [{ from: r1/*, to: { r3/*: 100 } }] }',
  },
  'localityLbSetting.failover[].from': {
    mesh: 'localityLbSetting: { failover: [{ from: r1, to: r3 }] }',
    without: 'localityLbSetting: { failover: [{ from: r2, to: r3 }] }',
  },
  'localityLbSetting.failover[].to': {
    mesh: 'localityLbSetting: { failover: [{ from: r1, to: r3 }] }',
    without: 'localityLbSetting: { failover: [{ from: r1, to: r2 }] }',
  },
  'localityLbSetting.failoverPriority[]': 'localityLbSetting: { failoverPriority: [version=v2] }',
  'localityLbSetting.enabled': 'localityLbSetting: { enabled: false }',
  dnsRefreshRate: 'dnsRefreshRate: 5s',
  'pathNormalization.normalization': 'pathNormalization: { normalization: MERGE_SLASHES }',
  'defaultHttpRetryPolicy.attempts': 'defaultHttpRetryPolicy: { attempts: 7 }',
  ...Object.fromEntries(
    Object.entries({
      backoff: '1s',
      perTryTimeout: '7s',
      retryIgnorePreviousHosts: false,
      retryOn: '503',
      retryRemoteLocalities: true,
    }).map(([field, value]) => [
      `defaultHttpRetryPolicy.${field}`,
      {
        mesh: stringify({ defaultHttpRetryPolicy: { attempts: 1, [field]: value } }),
        without: 'defaultHttpRetryPolicy: { attempts: 1 }',
      },
    ]),
  ),
  'meshMTLS.minProtocolVersion': 'meshMTLS: { minProtocolVersion: TLSV1_3 }',
  'tlsDefaults.minProtocolVersion': 'tlsDefaults: { minProtocolVersion: TLSV1_3 }',
  'tlsDefaults.ecdhCurves[]': 'tlsDefaults: { ecdhCurves: [P-256] }',
  'tlsDefaults.cipherSuites[]': 'tlsDefaults: { cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256] }',
};

const byEffect = (wanted: (effect: ReturnType<typeof effectAt>) => boolean) =>
  LEAVES.filter(({ steps }) => wanted(effectAt(MESH_CONFIG_EFFECTS, steps)));

describe('every field of MeshConfig, ProxyConfig included', () => {
  it('has an effect, or none for a reason', () => {
    expect(LEAVES.length).toBeGreaterThan(380);
    expect(byEffect((effect) => effect === undefined).map(({ path }) => path)).toEqual([]);
  });

  it('that is in force, or is so by value, has a sample', () => {
    const inForce = byEffect((effect) => effect === IN_FORCE).map(({ path }) => path);
    expect(inForce.filter((path) => !SAMPLES[path])).toEqual([]);
    const partly = byEffect((effect) => typeof effect === 'function').map(({ path }) => path);
    expect(Object.keys(SAMPLES).filter((path) => !inForce.includes(path) && !partly.includes(path))).toEqual([]);
  });

  it.each(Object.entries(SAMPLES))('%s changes what proxies are given, without a warning', (path, sample) => {
    const { mesh, without, warning } =
      typeof sample === 'string'
        ? { mesh: sample, without: '', warning: undefined }
        : { warning: undefined, ...sample };
    const { warnings } = parseMeshConfig(mesh);
    expect(warnings).toEqual(warning === undefined ? undefined : [expect.stringContaining(warning)]);
    expect(given(mesh) === given(without), `${path} changes nothing`).toBe(false);
  });

  it.each(byEffect((effect) => typeof effect === 'string' && effect !== IN_FORCE && effect !== REFUSED))(
    '$path has no effect, and is named',
    ({ value, steps }) => {
      const found = withoutEffect(value as object, MESH_CONFIG_EFFECTS);
      expect(found).toHaveLength(1);
      const named = found[0]!.path.replaceAll('[0]', '').split('.');
      expect(steps.slice(0, named.length)).toEqual(named);
      expect(found[0]!.message).toMatch(/^has no effect/);
    },
  );

  it.each([
    ['accessLogFile: /var/log/a.log', 'accessLogFile: is not written'],
    ['accessLogFormat: "a %NO_SUCH(x)% b"', 'accessLogFormat: has no effect: proxies cannot read %NO_SUCH(x)%'],
    [
      'extensionProviders: [{ name: a, envoyFileAccessLog: { logFormat: { labels: { x: { y: "%NO_SUCH%" } } } } }]',
      'extensionProviders: has no effect in part: "a" is written in Istio\'s default format: proxies cannot read %NO_SUCH%',
    ],
    [
      'extensionProviders: [{ name: a, envoyFileAccessLog: { logFormat: { text: "%NO_SUCH%" } } }]',
      'extensionProviders: has no effect in part: "a" is written in Istio\'s default format: proxies cannot read %NO_SUCH%',
    ],
    ['dnsRefreshRate: 1ms', 'dnsRefreshRate: must be more than 1ms'],
    ['enablePrometheusMerge: true'],
    ['verifyCertificateAtClient: false'],
    [
      'extensionProviders: [{ name: a, envoyHttpAls: { service: a, port: 1 } }]',
      'extensionProviders: has no effect in part: "a"',
    ],
    [
      'extensionProviders: [{ name: a, zipkin: { service: a, port: 1, headers: [{ name: x-key, envName: KEY }] } }]',
      'extensionProviders: has no effect in part: "a" sends no spans yet: requests are sampled and their trace headers are sent on; no environment variable (envName) is read: x-key is left out',
    ],
    [
      'extensionProviders: [{ name: a, opentelemetry: { service: a, port: 1, grpc: { initialMetadata: [{ name: k, envName: KEY }] } } }]',
      'extensionProviders: has no effect in part: "a" sends no spans yet: requests are sampled and their trace headers are sent on; no environment variable (envName) is read: k is left out',
    ],
    ['defaultConfig: { concurrency: -1 }', 'defaultConfig.concurrency: must be at least 0'],
    ['caCertificates: [{ pem: x }]'],
    [
      'defaultConfig: { tracing: { maxPathTagLength: 5 } }',
      'defaultConfig.tracing.maxPathTagLength: has no effect yet',
    ],
  ])('%s is named', (mesh, text = `${mesh.split(':')[0]}: has no effect`) => {
    const { value, warnings } = readMeshConfig(mesh);
    expect(value).toBeDefined();
    expect(warnings.map(({ path, message }) => `${path}: ${message}`)).toContainEqual(expect.stringContaining(text));
  });

  it('every field whose effect depends on its value has a value without', () => {
    const fields = byEffect((effect) => typeof effect === 'function').map(({ steps }) => steps.join('.'));
    const samples = [
      'HTTPS',
      [{ name: 'a', sds: {} }],
      true,
      false,
      '/x',
      'TEXT',
      '%NO_SUCH%',
      'ALLOW_ANY_DYNAMIC_DNS',
      '1ms',
      'UPGRADE',
      -1,
    ];
    for (const field of new Set(fields)) {
      const effect = effectAt(MESH_CONFIG_EFFECTS, field.split('.')) as (value: unknown) => string | undefined;
      expect(
        samples.some((value) => effect(value) !== undefined),
        field,
      ).toBe(true);
    }
  });

  it('that is refused is refused', () => {
    expect(byEffect((effect) => effect === REFUSED).map(({ path }) => path)).toEqual(['meshMTLS.ecdhCurves[]']);
    expect(readMeshConfig('meshMTLS: { ecdhCurves: [P-256] }').violations.map(({ path }) => path)).toEqual([
      'meshMTLS.ecdhCurves',
    ]);
  });

  it("repeats of Istio's defaults are not named", () => {
    expect(
      parseMeshConfig('rootNamespace: istio-system\ndefaultConfig: { statusPort: 15020 }').warnings,
    ).toBeUndefined();
  });
});

it('fields of MeshNetworks without effect are named with their network', () => {
  const found = (network: object) => withoutEffect({ networks: { n1: network } }, MESH_NETWORKS_EFFECTS);
  expect(found({ endpoints: [{ fromCidr: '10.0.0.0/8' }], gateways: [{ address: '192.0.2.1', port: 1 }] })).toEqual([]);
  const named = found({
    endpoints: [{ fromRegistry: 'Kubernetes' }],
    gateways: [
      { address: 'gw.example', port: 1, locality: 'r1' },
      { registryServiceName: 'gw', port: 1 },
    ],
  });
  expect(named.map(({ message }) => message.match(/n1\.[^ ]+/g))).toEqual([
    ['n1.endpoints[0].fromRegistry', 'n1.gateways[0].address', 'n1.gateways[0].locality'],
  ]);
});

describe('pathNormalization is in every connection manager: inbound, outbound, gateway', () => {
  it.each([
    ['', [true, undefined, 'KEEP_UNCHANGED']],
    ['NONE', [false, undefined, 'KEEP_UNCHANGED']],
    ['DEFAULT', [true, undefined, 'KEEP_UNCHANGED']],
    ['BASE', [true, undefined, 'KEEP_UNCHANGED']],
    ['MERGE_SLASHES', [true, true, 'KEEP_UNCHANGED']],
    ['DECODE_AND_MERGE_SLASHES', [true, true, 'UNESCAPE_AND_FORWARD']],
  ])('%s', (normalization, wanted) => {
    const mesh = normalization === '' ? '' : `pathNormalization: { normalization: ${normalization} }`;
    const view = buildView(RESOURCES, 1, parseMeshConfig(mesh));
    for (const each of NODES) {
      const managers: Record<string, unknown>[] = [];
      JSON.stringify(compileWithNotes(view, each).snapshot.listeners, (_, value: unknown) => {
        const type = (value as { '@type'?: string } | null)?.['@type'] ?? '';
        if (type.endsWith('.HttpConnectionManager')) managers.push(value as Record<string, unknown>);
        return value;
      });
      expect(managers.length).toBeGreaterThan(1);
      for (const manager of managers)
        expect([manager['normalizePath'], manager['mergeSlashes'], manager['pathWithEscapedSlashesAction']]).toEqual(
          wanted,
        );
    }
  });
});
