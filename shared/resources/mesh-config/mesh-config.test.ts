/** MeshConfig and MeshNetworks: Istio's own cases, its defaults, and the messages. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { checkProvider } from '../checks/mesh/extension-provider.ts';
import {
  checkDefaultTrafficPolicy,
  checkInboundRetries,
  checkMeshConfig,
  checkMeshNetworks,
} from '../checks/mesh/mesh-config.ts';
import { checkConnectionSettings, checkMeshProxyConfig } from '../checks/mesh/mesh-proxy-config.ts';
import { validate } from '../index.ts';
import { canonicalMessage } from '../read/proto-message.ts';
import type { Violation } from '../resource.ts';
import { Report, violationsOf } from '../violations.ts';
import { MeshConfig } from './mesh-config.ts';
import { DEFAULT_MESH_CONFIG, overMeshConfig } from './mesh-config-defaults.ts';
import { PROVIDERS, type ProviderType } from './mesh-config-providers.ts';
import { ConnectionSettings, MeshProxyConfig } from './mesh-config-proxy.ts';
import { readMeshConfig, readMeshNetworks } from './mesh-config-read.ts';
import { MeshNetworks } from './mesh-networks.ts';

const file = fileURLToPath(new URL('../../../../shared/reference/validation/meshconfig-cases.json', import.meta.url));
const golden = fileURLToPath(new URL('../../../../shared/reference/istiod-golden/cases/', import.meta.url));
const present = existsSync(file);
if (!present) console.log('skipped: the reference data is not here');

interface Case {
  id: string;
  type: string;
  value: Record<string, unknown>;
  valid: boolean;
  warning?: boolean;
}
const cases: Case[] = present ? JSON.parse(readFileSync(file, 'utf8')) : [];

type Judge = (report: Report, value: never) => void;
const judge = <Schema extends z.ZodType>(schema: Schema, check: (report: Report, value: z.infer<Schema>) => void) =>
  [schema, check as Judge] as const;

/** What judges each type of part; a part's paths are its own. */
function judgeOf(type: string): readonly [z.ZodType, Judge] {
  const provider = /^MeshConfig\.extensionProviders\[\]\.(\w+)$/.exec(type)?.[1] as ProviderType | undefined;
  if (provider) {
    return judge(PROVIDERS[provider] as z.ZodType, (report, value) =>
      checkProvider(report, '', provider, value as Record<string, unknown>),
    );
  }
  switch (type) {
    case 'ProxyConfig (meshConfig.defaultConfig)':
      return judge(MeshProxyConfig, (report, value) => checkMeshProxyConfig(report, '', value));
    case 'ProxyConfig.connectionSettings':
      return judge(ConnectionSettings, (report, value) => checkConnectionSettings(report, '', value));
    case 'MeshConfig.defaultTrafficPolicy':
      return judge(MeshConfig.shape.defaultTrafficPolicy.unwrap(), (report, value) =>
        checkDefaultTrafficPolicy(report, '', value),
      );
    case 'MeshConfig.defaultInboundHttpRetryPolicy':
      return judge(MeshConfig.shape.defaultInboundHttpRetryPolicy.unwrap(), (report, value) =>
        checkInboundRetries(report, '', value),
      );
    case 'MeshConfig.serviceSettings[]':
      return judge(MeshConfig, (report, value) => add(report, checkMeshConfig(overMeshConfig(value))));
    case 'MeshNetworks':
      return judge(MeshNetworks, (report, value) => add(report, checkMeshNetworks(value)));
    case 'MeshConfig':
      return judge(MeshConfig, (report, value) => add(report, checkMeshConfig(value)));
    default:
      throw new Error(`no judge for ${type}`);
  }
}

function add(report: Report, findings: { violations: Violation[]; warnings: Violation[] }): void {
  report.violations.push(...findings.violations);
  report.warnings.push(...findings.warnings);
}

function findings({ type, value }: Case): { violations: Violation[]; warnings: Violation[] } {
  const [schema, check] = judgeOf(type);
  const report = new Report();
  const whole = type === 'MeshConfig.serviceSettings[]' ? { serviceSettings: [value] } : value;
  const body = canonicalMessage(schema, whole, (violation) => report.violations.push(violation));
  const parsed = schema.safeParse(body, { reportInput: true });
  if (parsed.success) check(report, parsed.data as never);
  else report.violations.push(...violationsOf(parsed.error.issues));
  return report.findings;
}

/** Where the violation of each invalid case lies; of `empty` ones, all the places. */
const PLACES: Readonly<Record<string, readonly string[]>> = {
  'TestValidateMeshConfigProxyConfig/empty proxy config': [
    '.configPath',
    '.binaryPath',
    '.serviceCluster',
    '.drainDuration',
    '.discoveryAddress',
    '.proxyAdminPort',
    '.statusPort',
  ],
  'TestValidateMeshConfigProxyConfig/proxy admin port invalid': ['.proxyAdminPort'],
  'TestValidateMeshConfigProxyConfig/proxy admin port invalid#2': ['.proxyAdminPort'],
  'TestValidateMeshConfigProxyConfig/drain duration invalid': ['.drainDuration'],
  'TestValidateMeshConfigProxyConfig/envoy metrics service address invalid': ['.envoyMetricsService.address'],
  'TestValidateMeshConfigProxyConfig/envoy access log service address invalid': ['.envoyAccessLogService.address'],
  'TestValidateMeshConfigProxyConfig/zipkin config invalid': ['.tracing.zipkin.address'],
  'TestValidateMeshConfigProxyConfig/lightstep address invalid': ['.tracing.lightstep.address'],
  'TestValidateMeshConfigProxyConfig/lightstep address is valid but access token is empty': [
    '.tracing.lightstep.accessToken',
  ],
  'TestValidateMeshConfigProxyConfig/lightstep address and lightstep token both empty': [
    '.tracing.lightstep.address',
    '.tracing.lightstep.accessToken',
  ],
  'TestValidateMeshConfigProxyConfig/datadog with invalid address': ['.tracing.datadog.address'],
  'TestValidateMeshConfigProxyConfig/private key provider with empty provider': ['.privateKeyProvider'],
  'TestValidateMeshConfigProxyConfig/private key provider with qat without poll_delay': [
    '.privateKeyProvider.qat.pollDelay',
  ],
  'TestValidateMeshConfigProxyConfig/private key provider with qat zero poll_delay': [
    '.privateKeyProvider.qat.pollDelay',
  ],
  'TestValidateMeshConfigDefaultTrafficPolicy/outlier ejection percent out of range': [
    '.outlierDetection.maxEjectionPercent',
  ],
  'TestValidateMeshConfigDefaultInboundHTTPRetryPolicy/invalid retryOn': ['.retryOn'],
  'TestValidateMeshConfigDefaultInboundHTTPRetryPolicy/invalid retryOn status code': ['.retryOn'],
  'TestValidateMeshConfigDefaultInboundHTTPRetryPolicy/ignored perTryTimeout with an invalid value': ['.perTryTimeout'],
  'TestValidateMeshNetworks/Invalid registry name': ['networks.n1.endpoints[0].fromRegistry'],
  'TestValidateConnectionSettings/negative buffer limit': ['.listenerPerConnectionBufferLimitBytes'],
  'TestValidateConnectionSettings/negative stream window size': ['.http2InitialStreamWindowSize'],
  'TestValidateExtensionProviderTracingZipkin/zipkin service with invalid namespace': ['.service'],
  'TestValidateExtensionProviderTracingLightstep/lightstep service with missing port': ['.port'],
  'TestValidateExtensionProviderTracingDatadog/datadog service with invalid namespace': ['.service'],
  'TestValidateExtensionProviderTracingOpenCensusAgent/opencensus service with invalid namespace': ['.service'],
  'TestValidateExtensionProviderTracingOpenCensusAgent/opencensus service with port': ['.service'],
  'TestValidateExtensionProviderEnvoyOtelAls/otel service with invalid namespace': ['.service'],
  'TestValidateExtensionProviderEnvoyHTTPAls/service with invalid namespace': ['.service'],
  'TestValidateExtensionProviderEnvoyHTTPAls/missing port': ['.port'],
  'TestValidateExtensionProviderEnvoyTCPAls/service with invalid namespace': ['.service'],
  'TestValidateExtensionProviderEnvoyTCPAls/service with port': ['.service'],
  'TestValidateExtensionProviderTracingOpentelemetry/missing port': ['.port'],
  'TestValidateExtensionProviderTracingOpentelemetry/set both grpc and http': [''],
  'TestValidateMeshConfig/empty': ['proxyListenPort', 'connectTimeout', 'defaultConfig', 'trustDomain'],
};

describe.skipIf(!present)("Istio's cases of MeshConfig", () => {
  it('are all judged alike, for the same reason', () => {
    const wrong = cases.flatMap((each) => {
      const { violations, warnings } = findings(each);
      const wanted = each.valid ? [] : PLACES[each.id];
      const places = violations.map((violation) => violation.path);
      const alike = JSON.stringify(places) === JSON.stringify(wanted);
      const warned = each.warning === undefined || each.warning === warnings.length > 0;
      return alike && warned ? [] : [{ id: each.id, violations, warnings }];
    });
    console.log(`mesh config cases: ${cases.length - wrong.length} of ${cases.length}`);
    expect(wrong).toEqual([]);
    expect(cases).toHaveLength(53);
  });

  it('the mesh.yaml of every golden case is read whole', () => {
    const files = globSync(`${golden}*/mesh.yaml`);
    expect(files.length).toBeGreaterThan(10);
    for (const each of files) {
      const { violations, warnings } = readMeshConfig(readFileSync(each, 'utf8'));
      const others = warnings.filter(({ rule }) => rule !== 'no-effect');
      expect({ each, violations, others }).toEqual({ each, violations: [], others: [] });
    }
  });
});

describe('reading MeshConfig', () => {
  it('an empty text is all defaults', () => {
    for (const text of ['', '{}', '# nothing', '---\n']) {
      expect(readMeshConfig(text)).toEqual({ value: DEFAULT_MESH_CONFIG, violations: [], warnings: [] });
    }
  });

  it('lays a text over the defaults: whole fields, but defaultConfig and providers by part', () => {
    const { value } = readMeshConfig(`
connect_timeout: 3s
defaultConfig: {drainDuration: 5s, proxyMetadata: {A: b}, tracingServiceName: CANONICAL_NAME_ONLY}
localityLbSetting: {}
meshMTLS: {minProtocolVersion: TLSV1_3}
extensionProviders:
- {name: envoy, envoyFileAccessLog: {path: /tmp/x}}
- {name: zipkin, zipkin: {service: zipkin.obs, port: "9411", enable_64bit_trace_id: true}}
`);
    expect(value?.connectTimeout).toBe('3s');
    expect(value?.localityLbSetting).toEqual({});
    expect(value?.defaultConfig).toMatchObject({ drainDuration: '5s', statusPort: 15020, proxyMetadata: { A: 'b' } });
    expect(value?.defaultConfig).not.toHaveProperty('serviceCluster');
    expect(value?.extensionProviders).toEqual([
      { name: 'envoy', envoyFileAccessLog: { path: '/tmp/x' } },
      { name: 'zipkin', zipkin: { service: 'zipkin.obs', port: 9411, enable64bitTraceId: true } },
      { name: 'prometheus', prometheus: {} },
      { name: 'stackdriver', stackdriver: {} },
    ]);
  });

  it('reports all violations at once, each with its path', () => {
    const { value, violations } = readMeshConfig(
      'trustDomain: "a:b"\nconnectTimeout: soon\noutboundTrafficPolicy: {mode: ALLOW_ALL}\ndefaultConfig: {statusPort: 0}\n',
    );
    expect(value).toBeUndefined();
    expect(violations.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      'connectTimeout: "soon" is not a duration such as "1.5s", "300ms" or "1h"',
      'outboundTrafficPolicy.mode: must be one of REGISTRY_ONLY, ALLOW_ANY, ALLOW_ANY_DYNAMIC_DNS (did you mean "ALLOW_ANY"?); found "ALLOW_ALL"',
      'defaultConfig.statusPort: must be a port, 1 to 65535; found 0',
      'trustDomain: "a:b" is not a trust domain: write DNS labels',
    ]);
  });

  it('an unknown field is ignored with a warning, as istiod ignores it', () => {
    const { value, warnings } = readMeshConfig('trustDomian: x\ndefaultConfig: {proxyAdminPrt: 1}\n');
    expect(value).toEqual(DEFAULT_MESH_CONFIG);
    expect(warnings.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      'trustDomian: unknown field "trustDomian" (did you mean "trustDomain"?): it is ignored',
      'defaultConfig.proxyAdminPrt: unknown field "proxyAdminPrt" (did you mean "proxyAdminPort"?): it is ignored',
    ]);
  });

  it('a provider that cannot be used is left out, with a warning', () => {
    const { value, violations, warnings } = readMeshConfig(
      'extensionProviders:\n- {name: a, envoyExtAuthzHttp: {service: x.y, port: 0, statusOnError: "999"}}\n- {name: b}\n',
    );
    expect(violations).toEqual([]);
    expect(warnings.map((warning) => warning.path)).toEqual([
      'extensionProviders[0].envoyExtAuthzHttp.port',
      'extensionProviders[0].envoyExtAuthzHttp.statusOnError',
      'extensionProviders[1]',
    ]);
    expect(value?.extensionProviders?.map((provider) => provider.name)).toEqual(['prometheus', 'stackdriver', 'envoy']);
  });

  it.each(['a: [', 'a: 1\na: 2', 'a: 1\n---\nb: 2', '[]', 'text', 'defaultConfig: 7'])('refuses %j', (text) => {
    expect(readMeshConfig(text).violations).not.toEqual([]);
  });

  it('never throws, for any text', () => {
    const names = fc.constantFrom(...Object.keys(MeshConfig.shape));
    const value = fc.dictionary(names, fc.jsonValue());
    fc.assert(
      fc.property(value, (each) => void readMeshConfig(JSON.stringify(each))),
      { numRuns: 500 },
    );
    fc.assert(fc.property(fc.string(), (text) => void readMeshNetworks(text)));
  });
});

describe('ConfigMap istio', () => {
  const configMap = (data: Record<string, string>, namespace = 'istio-system') =>
    validate({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'istio', namespace }, data });

  it('is refused with the place of the violation in the text', () => {
    const { resource, violations, warnings } = configMap({
      mesh: 'connectTimeout: 0s\ntrustDomian: a\n',
      meshNetworks: 'networks: {n1: {gateways: [{address: 1.2.3.4, port: 0}]}}',
      other: 'not: [looked at',
    });
    expect(resource).toBeUndefined();
    expect(violations.map(({ path, message, rule }) => `${path}: ${message} (${rule})`)).toEqual([
      'data.mesh: connectTimeout: must be 1ms to 1h, in whole milliseconds (meshconfig.timeout)',
      'data.meshNetworks: networks.n1.gateways[0].port: must be a port, 1 to 65535; found 0 (port)',
    ]);
    expect(warnings.map((warning) => warning.rule)).toEqual(['unknown-field']);
  });

  it('means nothing in another namespace', () => {
    expect(configMap({ mesh: 'connectTimeout: 0s' }, 'default').violations).toEqual([]);
  });
});

it.each<[object, string[]]>([
  [{ zipkin: { service: 'z.istio-system.svc.cluster.local', port: 9411 } }, []],
  [
    { prometheus: {} },
    [
      'defaultProviders.tracing[0]: "p" is no provider of traces that proxies know (zipkin, opentelemetry): requests are not traced',
    ],
  ],
])('defaultProviders.tracing with a provider %j warns %j', (provider, wanted) => {
  const config = { extensionProviders: [{ name: 'p', ...provider }], defaultProviders: { tracing: ['p'] } };
  const { warnings } = checkMeshConfig(overMeshConfig(MeshConfig.parse(config)));
  const own = warnings.filter(({ path }) => path.startsWith('defaultProviders'));
  expect(own.map(({ path, message }) => `${path}: ${message}`)).toEqual(wanted);
});
