/** Rules of traffic policies: connection pools, load balancers, outlier detection, client TLS, tunnels. */

import type { ConnectionPool } from '../schema/common.ts';
import type {
  ClientTls,
  LoadBalancer,
  LocalityLbSetting,
  OutlierDetection,
  PortLevelSetting,
  TrafficPolicy,
  Warmup,
  ZoneAwareLbSetting,
} from '../schema/destination-rule.ts';
import { parseDuration } from '../schema/vocabulary.ts';
import type { Report } from '../violations.ts';
import { fqdnViolation, isIp, portViolation } from './primitives.ts';

/** Labels that say where a workload is. */
const TOPOLOGY: ReadonlySet<string> = new Set([
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
  'topology.istio.io/subzone',
]);
const MAX_TABLE_SIZE = 5_000_011;

export function checkTrafficPolicy(report: Report, path: string, policy: TrafficPolicy): void {
  if (Object.values(policy).every((field) => field === undefined)) {
    report.violation(path, 'trafficpolicy.empty', 'must have at least one field');
  }
  if (policy.tunnel && policy.proxyProtocol) {
    report.violation(path, 'trafficpolicy.tunnel', 'only one of tunnel and proxyProtocol may be set');
  }
  checkSettings(report, path, policy);
  for (const [i, setting] of (policy.portLevelSettings ?? []).entries()) {
    const at = `${path}.portLevelSettings[${i}]`;
    report.violationIf(`${at}.port.number`, 'port', portViolation(setting.port?.number));
    const { port: _, ...settings } = setting;
    if (Object.values(settings).every((field) => field === undefined)) {
      report.violation(at, 'trafficpolicy.empty', 'must have at least one field beside port');
    }
    checkSettings(report, at, setting);
  }
  if (policy.tunnel) {
    const { targetHost, targetPort, protocol } = policy.tunnel;
    if (!isIp(targetHost))
      report.violationIf(`${path}.tunnel.targetHost`, 'trafficpolicy.tunnel', fqdnViolation(targetHost));
    report.violationIf(`${path}.tunnel.targetPort`, 'port', portViolation(targetPort));
    if (protocol && !/^(CONNECT|POST)$/.test(protocol)) {
      report.violation(`${path}.tunnel.protocol`, 'trafficpolicy.tunnel', 'must be CONNECT or POST');
    }
  }
}

function checkSettings(report: Report, path: string, policy: TrafficPolicy | PortLevelSetting): void {
  if (policy.connectionPool) checkConnectionPool(report, `${path}.connectionPool`, policy.connectionPool);
  if (policy.outlierDetection) checkOutlierDetection(report, `${path}.outlierDetection`, policy.outlierDetection);
  if (policy.loadBalancer) {
    checkLoadBalancer(report, `${path}.loadBalancer`, policy.loadBalancer, policy.outlierDetection !== undefined);
  }
  if (policy.tls) checkClientTls(report, `${path}.tls`, policy.tls);
}

export function checkConnectionPool(report: Report, path: string, pool: ConnectionPool): void {
  const { http, tcp } = pool;
  if (!http && !tcp) report.violation(path, 'connectionpool.empty', 'must have http, tcp or both');
  const counts = { http, tcp } as Record<string, Record<string, unknown> | undefined>;
  for (const [part, fields] of Object.entries(counts)) {
    for (const [field, value] of Object.entries(fields ?? {})) {
      if (typeof value === 'number' && value < 0)
        report.violation(`${path}.${part}.${field}`, 'connectionpool', `must be >= 0; found ${value}`);
    }
  }
  if (http?.h2UpgradePolicy === 'UPGRADE' && http.useClientProtocol) {
    report.violation(
      `${path}.http`,
      'connectionpool',
      'h2UpgradePolicy UPGRADE and useClientProtocol contradict each other',
    );
  }
  if (http?.http2KeepAlive && (!http.http2KeepAlive.interval || !http.http2KeepAlive.timeout)) {
    report.violation(`${path}.http.http2KeepAlive`, 'required', 'must have interval and timeout');
  }
  if (tcp?.idleTimeout) {
    const ms = parseDuration(tcp.idleTimeout);
    const at = `${path}.tcp.idleTimeout`;
    if (ms === undefined) report.violation(at, 'value', `"${tcp.idleTimeout}" is not a duration such as "1.5s"`);
    // 0s: never.
    else if (ms !== 0 && (ms < 1 || ms % 1 !== 0))
      report.violation(at, 'value', 'must be 0s or at least 1ms, in whole ms');
  }
}

export function checkOutlierDetection(report: Report, path: string, outlier: OutlierDetection): void {
  for (const field of ['maxEjectionPercent', 'minHealthPercent'] as const) {
    const value = outlier[field];
    if (value !== undefined && (value < 0 || value > 100))
      report.violation(`${path}.${field}`, 'percent', `must be 0 to 100; found ${value}`);
  }
  if ((outlier.consecutiveErrors ?? 0) < 0)
    report.violation(`${path}.consecutiveErrors`, 'outlierdetection', 'must be >= 0');
  if (outlier.consecutiveErrors !== undefined) {
    report.warn(
      `${path}.consecutiveErrors`,
      'deprecated',
      'is deprecated: use consecutiveGatewayErrors or consecutive5xxErrors',
    );
  }
  if (outlier.consecutiveLocalOriginFailures && !outlier.splitExternalLocalOriginErrors) {
    report.violation(
      `${path}.consecutiveLocalOriginFailures`,
      'outlierdetection',
      'needs splitExternalLocalOriginErrors: true',
    );
  }
}

function checkLoadBalancer(report: Report, path: string, lb: LoadBalancer, outlier: boolean): void {
  const hash = lb.consistentHash;
  if (hash) {
    const keys = [hash.httpHeaderName, hash.httpCookie, hash.useSourceIp, hash.httpQueryParameterName];
    if (keys.every((key) => key === undefined)) {
      const message = 'has none of httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName: it hashes nothing';
      report.warn(`${path}.consistentHash`, 'loadbalancer.hash', message);
    }
    if (hash.httpCookie && hash.httpCookie.name === '')
      report.violation(`${path}.consistentHash.httpCookie.name`, 'required', 'is required');
    if (hash.minimumRingSize) {
      report.warn(
        `${path}.consistentHash.minimumRingSize`,
        'deprecated',
        'is deprecated: use ringHash.minimumRingSize',
      );
      if (hash.maglev ?? hash.ringHash) {
        const message = 'only one of minimumRingSize, ringHash, maglev may be set';
        report.violation(`${path}.consistentHash`, 'loadbalancer.hash', message);
      }
    }
    const size = hash.maglev?.tableSize;
    if (size !== undefined && (size >= MAX_TABLE_SIZE + 1 || !isPrime(size))) {
      report.violation(
        `${path}.consistentHash.maglev.tableSize`,
        'loadbalancer.maglev',
        `must be a prime number, at most ${MAX_TABLE_SIZE}; found ${size}`,
      );
    }
  }
  if (lb.localityLbSetting) checkLocality(report, `${path}.localityLbSetting`, lb.localityLbSetting, outlier);
  if (lb.zoneAwareLbSetting) checkZoneAware(report, `${path}.zoneAwareLbSetting`, lb.zoneAwareLbSetting, outlier);
  if (lb.warmup) checkWarmup(report, `${path}.warmup`, lb.warmup, lb.simple);
  if (lb.warmup && lb.warmupDurationSecs !== undefined) {
    report.violation(path, 'loadbalancer.warmup', 'only one of warmup and warmupDurationSecs may be set');
  }
}

function checkWarmup(report: Report, path: string, warmup: Warmup, simple: string | undefined): void {
  if (simple !== undefined && !/^(ROUND_ROBIN|LEAST_REQUEST|LEAST_CONN|UNSPECIFIED)$/.test(simple)) {
    report.warn(path, 'loadbalancer.warmup', `is not used with ${simple}: only with ROUND_ROBIN and LEAST_REQUEST`);
  }
  if (warmup.minimumPercent !== undefined && warmup.minimumPercent > 100) {
    report.violation(`${path}.minimumPercent`, 'percent', 'must be 0 to 100');
  }
  if (warmup.aggression !== undefined && warmup.aggression < 1) {
    report.violation(`${path}.aggression`, 'loadbalancer.warmup', 'must be >= 1');
  }
}

export function checkLocality(report: Report, path: string, setting: LocalityLbSetting, outlier: boolean): void {
  const rule = 'loadbalancer.locality';
  if (setting.distribute?.length && setting.failover?.length) {
    report.violation(path, rule, 'only one of distribute and failover may be set');
  }
  const topology = setting.failoverPriority?.find((label) => TOPOLOGY.has(label));
  if (setting.failover?.length && topology) {
    report.violation(`${path}.failoverPriority`, rule, `"${topology}" cannot be combined with failover`);
  }
  const from: string[] = [];
  for (const [i, { from: source = '', to = {} }] of (setting.distribute ?? []).entries()) {
    from.push(source);
    const at = `${path}.distribute[${i}]`;
    const weights = Object.values(to);
    if (weights.some((weight) => weight <= 0 || weight > 100))
      report.violation(`${at}.to`, rule, 'every weight must be 1 to 100');
    const sum = weights.reduce((total, weight) => total + weight, 0);
    if (sum !== 100) report.violation(`${at}.to`, rule, `the weights must add up to 100; found ${sum}`);
    report.violationIf(`${at}.to`, rule, localitiesViolation(Object.keys(to)));
  }
  report.violationIf(`${path}.distribute`, rule, localitiesViolation(from));
  checkFailover(report, path, setting, outlier);
}

function checkZoneAware(report: Report, path: string, setting: ZoneAwareLbSetting, outlier: boolean): void {
  checkFailover(report, path, setting, outlier);
  if (setting.failoverPriority?.some((label) => label.split('=', 1)[0] === 'topology.kubernetes.io/region')) {
    const message = 'the region cannot be named here: it always comes before the zone';
    report.violation(`${path}.failoverPriority`, 'loadbalancer.locality', message);
  }
}

function checkFailover(
  report: Report,
  path: string,
  setting: Pick<LocalityLbSetting, 'failover' | 'failoverPriority'>,
  outlier: boolean,
): void {
  const rule = 'loadbalancer.locality';
  for (const [i, { from = '', to = '' }] of (setting.failover ?? []).entries()) {
    const at = `${path}.failover[${i}]`;
    if (from === to) report.violation(at, rule, 'a region cannot fail over to itself');
    if (/[*/]/.test(from) || /[*/]/.test(to)) report.violation(at, rule, 'must name regions, without "*" and "/"');
  }
  if ((setting.failover?.length || setting.failoverPriority?.length) && !outlier) {
    report.warn(path, rule, 'failover needs outlierDetection to find out what has failed');
  }
}

/** Why localities (`region/zone/subzone`, `*` at the end) overlap or are malformed, or nothing. */
export function localitiesViolation(localities: readonly string[]): string | undefined {
  for (const locality of localities) {
    if (partsOf(locality).some((part) => part === '')) return `"${locality}" has an empty part`;
    if (/\*./.test(locality)) return `"${locality}": "*" is only allowed at the end`;
  }
  const seen = new Map<string, string>();
  for (const locality of localities) {
    const place = locality.replace(/\/?\*$/, '');
    if (seen.has(place)) return `"${seen.get(place)}" covers "${locality}"`;
    seen.set(place, locality);
  }
  for (const [place, locality] of seen) {
    const parts = place === '' ? [] : partsOf(place);
    for (let length = 0; length < parts.length; length++) {
      const wider = seen.get(parts.slice(0, length).join('/'));
      if (wider !== undefined) return `"${wider}" covers "${locality}"`;
    }
  }
  return undefined;
}

/** Region, zone, and subzone, which may contain slashes. */
function partsOf(locality: string): string[] {
  const [region = '', zone, ...rest] = locality.split('/');
  if (zone === undefined) return [region];
  return rest.length === 0 ? [region, zone] : [region, zone, rest.join('/')];
}

export function checkClientTls(report: Report, path: string, tls: ClientTls): void {
  const mode = tls.mode ?? 'DISABLE';
  const violation = (field: string, message: string) => report.violation(`${path}${field}`, 'client-tls', message);
  const files = ['clientCertificate', 'privateKey', 'caCertificates', 'caCrl'] as const;
  if (tls.insecureSkipVerify && (mode === 'SIMPLE' || mode === 'MUTUAL')) {
    // With MUTUAL the credential also holds the client certificate.
    const unused = [
      'caCertificates',
      'subjectAltNames',
      ...(mode === 'SIMPLE' ? (['credentialName'] as const) : []),
    ] as const;
    for (const field of unused) {
      if (tls[field]?.length) violation(`.${field}`, 'has no use with insecureSkipVerify');
    }
  }
  if (mode === 'ISTIO_MUTUAL') {
    for (const field of [...files, 'credentialName'] as const) {
      if (!tls[field]) continue;
      const message = 'is not used with mode ISTIO_MUTUAL: the mesh provides the certificates';
      report.warn(`${path}.${field}`, 'client-tls', message);
    }
    return;
  }
  if ((mode === 'SIMPLE' || mode === 'MUTUAL') && tls.credentialName) {
    for (const field of files) {
      if (tls[field]) violation(`.${field}`, 'cannot be combined with credentialName');
    }
  } else if (mode === 'MUTUAL') {
    if (!tls.clientCertificate) violation('.clientCertificate', 'is required with mode MUTUAL (or a credentialName)');
    if (!tls.privateKey) violation('.privateKey', 'is required with mode MUTUAL (or a credentialName)');
  }
}

function isPrime(n: number): boolean {
  if (n < 2) return false;
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false;
  return true;
}
