/** Cluster.healthChecks -> the rules and questions of active health checking (Envoy's config.core.v3.HealthCheck). */

import type { HealthCheck } from '../../../shared/xds/cluster.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import { ConfigError } from '../../config-error.ts';
import { fromLatin1 } from '../../http/codec/bytes.ts';
import { HeaderMap } from '../../http/message/header-map.ts';
import type { Dialler } from '../../upstream/dial.ts';
import { grpcCheck } from '../../upstream/health/grpc-health.ts';
import type { CheckRules, Probe } from '../../upstream/health/health-checker.ts';
import { type HttpCheck, HttpProbe, type TcpCheck, TcpProbe } from '../../upstream/health/health-probe.ts';
import { type Http2Check, Http2Probe, httpOverHttp2 } from '../../upstream/health/http2-probe.ts';
import type { Host } from '../../upstream/host.ts';
import { checkHeaders } from './compile-check-headers.ts';

export interface CompiledHealthCheck {
  readonly rules: CheckRules;
  readonly makeProbe: (host: Host) => Probe;
}

export interface CheckedCluster {
  readonly name: string;
  /** Its protocol options allow HTTP/2. */
  readonly http2: boolean;
}

/** @throws ConfigError for kinds of checks that are not supported, and values out of bounds */
export function compileHealthCheck(check: HealthCheck, cluster: CheckedCluster, dialler: Dialler): CompiledHealthCheck {
  const path = 'healthChecks[0]';
  const { httpHealthCheck, tcpHealthCheck, grpcHealthCheck } = check;
  if ([httpHealthCheck, tcpHealthCheck, grpcHealthCheck].filter(Boolean).length !== 1)
    throw new ConfigError(path, 'must have exactly one of httpHealthCheck, tcpHealthCheck and grpcHealthCheck');
  const rules = rulesOf(check, path);
  const reuseConnection = check.reuseConnection ?? true;
  const overHttp2 = (spec: Http2Check) => ({ rules, makeProbe: (host: Host) => new Http2Probe(host, spec, dialler) });
  if (grpcHealthCheck) {
    const spec = { clusterName: cluster.name, timeoutMs: rules.timeoutMs, reuseConnection };
    if (!cluster.http2) throw new ConfigError(`${path}.grpcHealthCheck`, NEEDS_HTTP2);
    return overHttp2(grpcCheck({ ...spec, ...grpcConfig(grpcHealthCheck, `${path}.grpcHealthCheck`) }));
  }
  if (httpHealthCheck) {
    const spec = httpCheck(httpHealthCheck, cluster.name, reuseConnection, `${path}.httpHealthCheck`);
    if (httpHealthCheck.codecClientType === 'HTTP2') return overHttp2(httpOverHttp2(spec));
    return { rules, makeProbe: (host) => new HttpProbe(host, spec, dialler) };
  }
  const spec = tcpCheck(tcpHealthCheck!, `${path}.tcpHealthCheck`);
  return { rules, makeProbe: (host) => new TcpProbe(host, spec, dialler) };
}

/** As in Envoy, which refuses a gRPC check of any other cluster. */
const NEEDS_HTTP2 =
  'needs a cluster that may speak HTTP/2 (HttpProtocolOptions: explicitHttpConfig.http2ProtocolOptions …)';
const USER_AGENT = ['user-agent', 'Envoy/HC'] as const;
const GRPC_HEADERS = [['te', 'trailers'], ['content-type', 'application/grpc'], USER_AGENT] as const;

function grpcConfig(config: NonNullable<HealthCheck['grpcHealthCheck']>, path: string) {
  const { serviceName = '', authority = '', initialMetadata } = config;
  if (/[^\x21-\x7e]/.test(authority)) throw new ConfigError(`${path}.authority`, 'must be a host name');
  const headers = { base: GRPC_HEADERS, add: initialMetadata, http2: true };
  return { serviceName, authority, metadata: checkHeaders(headers, `${path}.initialMetadata`) };
}

function rulesOf(check: HealthCheck, path: string): CheckRules {
  const positive = (name: 'timeout' | 'interval'): number => {
    const ms = durationMs(check[name]);
    if (ms <= 0) throw new ConfigError(`${path}.${name}`, 'must be positive');
    return ms;
  };
  const or = (value: string | undefined, otherwise: number) => (value === undefined ? otherwise : durationMs(value));
  const intervalMs = positive('interval');
  const unhealthyMs = or(check.unhealthyInterval, intervalMs);
  const noTrafficMs = or(check.noTrafficInterval, 60_000);
  for (const name of ['healthyThreshold', 'unhealthyThreshold'] as const)
    if (check[name] < 1) throw new ConfigError(`${path}.${name}`, 'must be at least 1');
  return {
    timeoutMs: positive('timeout'),
    intervalMs,
    unhealthyMs,
    healthyEdgeMs: or(check.healthyEdgeInterval, intervalMs),
    unhealthyEdgeMs: or(check.unhealthyEdgeInterval, unhealthyMs),
    noTrafficMs,
    noTrafficHealthyMs: or(check.noTrafficHealthyInterval, noTrafficMs),
    initialJitterMs: or(check.initialJitter, 0),
    jitterMs: or(check.intervalJitter, 0),
    jitterPercent: check.intervalJitterPercent ?? 0,
    healthyThreshold: check.healthyThreshold,
    unhealthyThreshold: check.unhealthyThreshold,
  };
}

type HttpConfig = NonNullable<HealthCheck['httpHealthCheck']>;

function httpCheck(config: HttpConfig, clusterName: string, reuseConnection: boolean, path: string): HttpCheck {
  const method = config.method === undefined || config.method === 'METHOD_UNSPECIFIED' ? 'GET' : config.method;
  if (method === 'CONNECT') throw new ConfigError(`${path}.method`, 'must not be CONNECT');
  if (!/^\/[\x21-\x7e]*$/.test(config.path))
    throw new ConfigError(`${path}.path`, 'must begin with "/" and hold no space');
  if (config.host !== undefined && /[^\x21-\x7e]/.test(config.host))
    throw new ConfigError(`${path}.host`, 'must be a host name');
  const http2 = config.codecClientType === 'HTTP2';
  const { requestHeadersToAdd: add, requestHeadersToRemove: remove } = config;
  const fields = checkHeaders({ base: [USER_AGENT], add, remove, http2 }, `${path}.requestHeadersToAdd`);
  const headers = new HeaderMap();
  for (const [name, value] of fields) headers.append(name, value);
  return {
    method,
    path: config.path,
    fields,
    head: (host) => ({
      method,
      scheme: '',
      authority: host,
      path: config.path,
      headers,
      bodySize: 0,
      upgrade: '',
      wantsContinue: false,
      version: 'HTTP/1.1',
    }),
    host: config.host ?? '',
    clusterName,
    expected: statuses(config.expectedStatuses, `${path}.expectedStatuses`) ?? ((status) => status === 200),
    retriable: statuses(config.retriableStatuses, `${path}.retriableStatuses`) ?? (() => false),
    reuseConnection,
  };
}

/** Half-open ranges, as [200, 300). */
function statuses(ranges: HttpConfig['expectedStatuses'], path: string): ((status: number) => boolean) | undefined {
  if (!ranges || ranges.length === 0) return undefined;
  const bounds = ranges.map(({ start = 0, end = 0 }, i) => {
    if (start < 100 || end > 600 || start >= end) throw new ConfigError(`${path}[${i}]`, 'must lie in [100, 600)');
    return { start, end };
  });
  return (status) => bounds.some(({ start, end }) => status >= start && status < end);
}

type Payload = NonNullable<NonNullable<HealthCheck['tcpHealthCheck']>['send']>;

function tcpCheck(config: NonNullable<HealthCheck['tcpHealthCheck']>, path: string): TcpCheck {
  return {
    send: config.send ? payload(config.send, `${path}.send`) : new Uint8Array(0),
    receive: (config.receive ?? []).map((one, i) => payload(one, `${path}.receive[${i}]`)),
  };
}

/** `text` is hexadecimal, `binary` base64. */
function payload({ text, binary }: Payload, path: string): Uint8Array {
  if (text !== undefined) {
    if (!/^([0-9a-fA-F]{2})+$/.test(text)) throw new ConfigError(`${path}.text`, 'must be hexadecimal');
    return Uint8Array.from(text.match(/../g)!, (pair) => Number.parseInt(pair, 16));
  }
  try {
    return fromLatin1(atob(binary ?? ''));
  } catch {
    throw new ConfigError(`${path}.binary`, 'must be base64');
  }
}
