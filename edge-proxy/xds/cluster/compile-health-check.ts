/** Cluster.healthChecks -> the rules and questions of active health checking (Envoy's config.core.v3.HealthCheck). */

import type { HealthCheck } from '../../../shared/xds/cluster.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import { ConfigError } from '../../config-error.ts';
import { fromLatin1 } from '../../http/codec/bytes.ts';
import { http1 } from '../../http/codec/h1/upstream-connection.ts';
import type { Field } from '../../http/codec/h2/fields.ts';
import { defaultHttp2Options } from '../../http/codec/h2/options.ts';
import { http2Protocol } from '../../http/codec/h2/upstream-connection.ts';
import { HeaderMap } from '../../http/message/header-map.ts';
import type { Dialler } from '../../upstream/dial.ts';
import { type ExchangeCheck, ExchangeProbe } from '../../upstream/health/exchange-probe.ts';
import { grpcCheck } from '../../upstream/health/grpc-health.ts';
import type { CheckRules, Probe } from '../../upstream/health/health-checker.ts';
import { httpCheck } from '../../upstream/health/http-check.ts';
import { type TcpCheck, TcpProbe } from '../../upstream/health/tcp-probe.ts';
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
  const rules = checkRules(check, path);
  const reuseConnection = check.reuseConnection ?? true;
  const asking = (spec: ExchangeCheck) => ({
    rules,
    makeProbe: (host: Host) => new ExchangeProbe(host, spec, dialler),
  });
  if (grpcHealthCheck) {
    const spec = { clusterName: cluster.name, timeoutMs: rules.timeoutMs, reuseConnection, protocol: HTTP2 };
    if (!cluster.http2) throw new ConfigError(`${path}.grpcHealthCheck`, NEEDS_HTTP2);
    return asking(grpcCheck({ ...spec, ...grpcConfig(grpcHealthCheck, `${path}.grpcHealthCheck`) }));
  }
  if (httpHealthCheck) {
    return asking(compileHttpCheck(httpHealthCheck, cluster.name, reuseConnection, `${path}.httpHealthCheck`));
  }
  const spec = tcpCheck(tcpHealthCheck!, `${path}.tcpHealthCheck`);
  return { rules, makeProbe: (host) => new TcpProbe(host, spec, dialler) };
}

/** One exchange at a time, and answers of a few bytes. */
const HTTP2 = http2Protocol({
  ...defaultHttp2Options,
  maxConcurrentStreams: 1,
  initialWindow: 65_535,
  streamWindow: 65_535,
  connectionWindow: 65_535,
});

/** As in Envoy, which refuses a gRPC check of any other cluster. */
const NEEDS_HTTP2 =
  'needs a cluster that may speak HTTP/2 (HttpProtocolOptions: explicitHttpConfig.http2ProtocolOptions …)';
const USER_AGENT = ['user-agent', 'Envoy/HC'] as const;
const GRPC_HEADERS = [['te', 'trailers'], ['content-type', 'application/grpc'], USER_AGENT] as const;

function grpcConfig(config: NonNullable<HealthCheck['grpcHealthCheck']>, path: string) {
  const { serviceName = '', authority = '', initialMetadata } = config;
  if (/[^\x21-\x7e]/.test(authority)) throw new ConfigError(`${path}.authority`, 'must be a host name');
  const headers = { base: GRPC_HEADERS, add: initialMetadata, http2: true };
  return { serviceName, authority, metadata: headerMap(checkHeaders(headers, `${path}.initialMetadata`)) };
}

/** When is checked, and how many results in a row count. @throws ConfigError for values out of bounds */
export function checkRules(check: CheckTimes, path: string): CheckRules {
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

type CheckTimes = Omit<HealthCheck, 'httpHealthCheck' | 'tcpHealthCheck' | 'grpcHealthCheck'>;
type HttpConfig = NonNullable<HealthCheck['httpHealthCheck']>;

function headerMap(fields: readonly Field[]): HeaderMap {
  const headers = new HeaderMap();
  for (const [name, value] of fields) headers.append(name, value);
  return headers;
}

function compileHttpCheck(
  config: HttpConfig,
  clusterName: string,
  reuseConnection: boolean,
  path: string,
): ExchangeCheck {
  const method = config.method === undefined || config.method === 'METHOD_UNSPECIFIED' ? 'GET' : config.method;
  if (method === 'CONNECT') throw new ConfigError(`${path}.method`, 'must not be CONNECT');
  if (!/^\/[\x21-\x7e]*$/.test(config.path))
    throw new ConfigError(`${path}.path`, 'must begin with "/" and hold no space');
  if (config.host !== undefined && /[^\x21-\x7e]/.test(config.host))
    throw new ConfigError(`${path}.host`, 'must be a host name');
  const http2 = config.codecClientType === 'HTTP2';
  const { requestHeadersToAdd: add, requestHeadersToRemove: remove } = config;
  const fields = checkHeaders({ base: [USER_AGENT], add, remove, http2 }, `${path}.requestHeadersToAdd`);
  return httpCheck({
    protocol: http2 ? HTTP2 : http1,
    method,
    path: config.path,
    headers: headerMap(fields),
    host: config.host ?? '',
    clusterName,
    expected: statuses(config.expectedStatuses, `${path}.expectedStatuses`) ?? ((status) => status === 200),
    retriable: statuses(config.retriableStatuses, `${path}.retriableStatuses`) ?? (() => false),
    reuseConnection,
  });
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
