/** Cluster.healthChecks -> the rules and questions of active health checking. */
import type { HealthCheck } from '../../shared/xds/cluster.ts';
import { durationMs } from '../../shared/xds/message.ts';
import { fromLatin1 } from '../http/codec/bytes.ts';
import type { CheckRules, Probe } from '../upstream/health-checker.ts';
import { type Dialler, type HttpCheck, HttpProbe, type TcpCheck, TcpProbe } from '../upstream/health-probe.ts';
import type { Host } from '../upstream/host.ts';
import { ConfigFault } from './config-fault.ts';

export interface CompiledHealthCheck {
  readonly rules: CheckRules;
  readonly makeProbe: (host: Host) => Probe;
}

/** @throws ConfigFault for kinds of checks that are not supported, and values out of bounds */
export function compileHealthCheck(check: HealthCheck, clusterName: string, dialler: Dialler): CompiledHealthCheck {
  const path = 'healthChecks[0]';
  const { httpHealthCheck, tcpHealthCheck, grpcHealthCheck } = check;
  if (grpcHealthCheck) throw new ConfigFault(`${path}.grpcHealthCheck`, 'needs HTTP/2 to upstreams: not supported');
  if ((httpHealthCheck ? 1 : 0) + (tcpHealthCheck ? 1 : 0) !== 1)
    throw new ConfigFault(path, 'must have exactly one of httpHealthCheck and tcpHealthCheck');
  const rules = rulesOf(check, path);
  if (httpHealthCheck) {
    const spec = httpCheck(httpHealthCheck, clusterName, check.reuseConnection ?? true, `${path}.httpHealthCheck`);
    return { rules, makeProbe: (host) => new HttpProbe(host, spec, dialler) };
  }
  const spec = tcpCheck(tcpHealthCheck!, `${path}.tcpHealthCheck`);
  return { rules, makeProbe: (host) => new TcpProbe(host, spec, dialler) };
}

function rulesOf(check: HealthCheck, path: string): CheckRules {
  const positive = (name: 'timeout' | 'interval'): number => {
    const ms = durationMs(check[name]);
    if (ms <= 0) throw new ConfigFault(`${path}.${name}`, 'must be positive');
    return ms;
  };
  const or = (value: string | undefined, otherwise: number) => (value === undefined ? otherwise : durationMs(value));
  const intervalMs = positive('interval');
  const unhealthyMs = or(check.unhealthyInterval, intervalMs);
  const noTrafficMs = or(check.noTrafficInterval, 60_000);
  for (const name of ['healthyThreshold', 'unhealthyThreshold'] as const)
    if (check[name] < 1) throw new ConfigFault(`${path}.${name}`, 'must be at least 1');
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
  if (method === 'CONNECT') throw new ConfigFault(`${path}.method`, 'must not be CONNECT');
  if (!/^\/[\x21-\x7e]*$/.test(config.path))
    throw new ConfigFault(`${path}.path`, 'must begin with "/" and hold no space');
  if (config.host !== undefined && /[^\x21-\x7e]/.test(config.host))
    throw new ConfigFault(`${path}.host`, 'must be a host name');
  const removed = new Set((config.requestHeadersToRemove ?? []).map((name) => name.toLowerCase()));
  const lines = [['user-agent', 'Envoy/HC'] as const]
    .filter(([name]) => !removed.has(name))
    .map((line) => line.join(': '));
  for (const [i, { header }] of (config.requestHeadersToAdd ?? []).entries()) {
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(header.key) || /[^\t\x20-\x7e]/.test(header.value ?? ''))
      throw new ConfigFault(`${path}.requestHeadersToAdd[${i}]`, 'must be a header field');
    lines.push(`${header.key}: ${header.value ?? ''}`);
  }
  const text = lines.map((line) => `${line}\r\n`).join('');
  return {
    method,
    head: (host) => `${method} ${config.path} HTTP/1.1\r\nhost: ${host}\r\n${text}\r\n`,
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
    if (start < 100 || end > 600 || start >= end) throw new ConfigFault(`${path}[${i}]`, 'must lie in [100, 600)');
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
    if (!/^([0-9a-fA-F]{2})+$/.test(text)) throw new ConfigFault(`${path}.text`, 'must be hexadecimal');
    return Uint8Array.from(text.match(/../g)!, (pair) => Number.parseInt(pair, 16));
  }
  try {
    return fromLatin1(atob(binary ?? ''));
  } catch {
    throw new ConfigFault(`${path}.binary`, 'must be base64');
  }
}
