/** Rules of Sidecar beyond its schema. */
import { parseIp } from '../../match/cidr.ts';
import { isHttp, isTls, parseProtocol } from '../../match/protocol.ts';
import type { Findings } from '../kind.ts';
import type { Egress, Ingress, OutboundTrafficPolicy, SidecarSpec } from '../schema/sidecar.ts';
import { Report } from '../violations.ts';
import {
  checkSelectorLabels,
  dnsLabelViolation,
  fqdnViolation,
  isIp,
  portViolation,
  protocolViolation,
  warnNoLabels,
  wildcardDomainViolation,
} from './primitives.ts';
import { checkServerTls } from './server-tls.ts';
import { checkConnectionPool } from './traffic-policy.ts';

export function checkSidecar(spec: SidecarSpec): Findings {
  const report = new Report();
  checkSelectorLabels(report, 'spec.workloadSelector.labels', spec.workloadSelector?.labels);
  if (spec.workloadSelector) warnNoLabels(report, 'spec.workloadSelector', spec.workloadSelector.labels);
  const content = [spec.egress?.length, spec.ingress?.length, spec.outboundTrafficPolicy, spec.inboundConnectionPool];
  if (content.every((part) => !part)) {
    report.violation(
      'spec',
      'sidecar.empty',
      'must have at least one of egress, ingress, inboundConnectionPool, outboundTrafficPolicy',
    );
  }
  const ports = new Set<number>();
  for (const [i, ingress] of (spec.ingress ?? []).entries()) checkIngress(report, `spec.ingress[${i}]`, ingress, ports);
  checkEgressList(report, spec.egress ?? []);
  if (spec.outboundTrafficPolicy) checkOutbound(report, 'spec.outboundTrafficPolicy', spec.outboundTrafficPolicy);
  if (spec.inboundConnectionPool) checkConnectionPool(report, 'spec.inboundConnectionPool', spec.inboundConnectionPool);
  return report.findings;
}

function checkIngress(report: Report, path: string, ingress: Ingress, ports: Set<number>): void {
  const { port, bind, defaultEndpoint, tls, connectionPool } = ingress;
  const number = port.number ?? 0;
  report.violationIf(`${path}.port.number`, 'port', portViolation(port.number));
  checkPortExtras(report, `${path}.port`, port);
  if (ports.has(number)) report.violation(`${path}.port.number`, 'sidecar.port', `${number} is used twice`);
  ports.add(number);
  if (bind && !isIp(bind)) report.violation(`${path}.bind`, 'sidecar.bind', 'must be an IP address');
  if (defaultEndpoint)
    report.violationIf(`${path}.defaultEndpoint`, 'sidecar.endpoint', defaultEndpointFault(defaultEndpoint));
  if (connectionPool) {
    checkConnectionPool(report, `${path}.connectionPool`, connectionPool);
    if (connectionPool.http && port.protocol && !isHttp(parseProtocol(port.protocol))) {
      report.warn(`${path}.connectionPool.http`, 'sidecar.pool', 'is not used on a port that does not speak HTTP');
    }
  }
  if (!tls) return;
  checkServerTls(report, `${path}.tls`, tls);
  if (!isTls(parseProtocol(port.protocol ?? ''))) {
    report.violation(`${path}.tls`, 'sidecar.tls', 'is only for protocols HTTPS and TLS');
  }
  const unsupported = [
    'httpsRedirect',
    'subjectAltNames',
    'credentialName',
    'credentialNames',
    'tlsCertificates',
  ] as const;
  for (const field of unsupported) {
    if (tls[field]) report.violation(`${path}.tls.${field}`, 'sidecar.tls', 'is not supported in a Sidecar');
  }
  if (tls.mode === 'ISTIO_MUTUAL' || tls.mode === 'AUTO_PASSTHROUGH') {
    report.violation(`${path}.tls.mode`, 'sidecar.tls', `${tls.mode} is not supported in a Sidecar`);
  }
}

/** Name and protocol may be left out; a target port means nothing here. */
function checkPortExtras(report: Report, path: string, port: NonNullable<Egress['port']>): void {
  if (port.name) report.violationIf(`${path}.name`, 'port-name', dnsLabelViolation(port.name));
  if (port.protocol) report.violationIf(`${path}.protocol`, 'protocol', protocolViolation(port.protocol));
  if (port.targetPort) report.violation(`${path}.targetPort`, 'sidecar.port', 'has no meaning in a Sidecar');
}

/** `127.0.0.1:PORT`, `[::1]:PORT`, `0.0.0.0:PORT`, `[::]:PORT`, `:PORT` or `unix:///path`. */
function defaultEndpointFault(text: string): string | undefined {
  if (text.startsWith('unix://')) {
    const socket = text.slice('unix://'.length);
    return /^[/@].*[^/]$/.test(socket) ? undefined : 'a unix socket must be an absolute path';
  }
  const parts = /^(\[[^\]]*\]|[^:]*):(\d{1,5})$/.exec(text);
  if (!parts) return 'must be address:port';
  const address = (parts[1] ?? '').replace(/^\[|\]$/g, '');
  const ip = address === '' ? undefined : parseIp(address);
  const own = address === '' || (ip !== undefined && /^(127\.0\.0\.1|::1|0\.0\.0\.0|::)$/.test(address));
  if (!own) return 'must be 127.0.0.1, [::1], 0.0.0.0 or [::], which means the workload';
  return portViolation(Number(parts[2]));
}

function checkEgressList(report: Report, list: readonly Egress[]): void {
  const seen = new Set<string>();
  for (const [i, egress] of list.entries()) {
    const path = `spec.egress[${i}]`;
    const { port, bind, captureMode, hosts } = egress;
    if (!port?.number && !bind && i < list.length - 1) {
      report.violation(path, 'sidecar.egress', 'one without port or unix socket catches the rest: it must be the last');
    }
    const unix = bind?.startsWith('unix://') === true;
    if (port && !unix) report.violationIf(`${path}.port.number`, 'port', portViolation(port.number));
    if (port) checkPortExtras(report, `${path}.port`, port);
    if (bind && !unix && !isIp(bind))
      report.violation(`${path}.bind`, 'sidecar.bind', 'must be an IP address or unix socket');
    if (unix && captureMode && captureMode !== 'DEFAULT' && captureMode !== 'NONE') {
      report.violation(`${path}.captureMode`, 'sidecar.bind', 'must be DEFAULT or NONE with a unix socket');
    }
    if (unix && port?.number)
      report.violation(`${path}.port.number`, 'sidecar.bind', 'must be left out with a unix socket');
    const key = unix ? `${bind}` : `${bind ?? ''}:${port?.number ?? ''}`;
    if ((port?.number || unix) && seen.has(key))
      report.violation(path, 'sidecar.egress', 'its port or socket is used twice');
    seen.add(key);
    checkEgressHosts(report, `${path}.hosts`, hosts);
  }
}

function checkEgressHosts(report: Report, path: string, hosts: readonly string[]): void {
  if (hosts.length === 0) report.violation(path, 'required', 'must have at least one host');
  const seen = new Set<string>();
  const whole = new Set(hosts.filter((host) => host.endsWith('/*')).map((host) => host.slice(0, -2)));
  for (const [i, host] of hosts.entries()) {
    const parts = host.split('/');
    const [namespace = '', name = ''] = parts;
    const at = `${path}[${i}]`;
    if (parts.length !== 2 || namespace === '' || name === '') {
      report.violation(at, 'sidecar.host', `"${host}" must be namespace/host`);
      continue;
    }
    // `~ns` takes a namespace out.
    if (!['*', '.', '~'].includes(namespace))
      report.violationIf(at, 'sidecar.host', dnsLabelViolation(namespace.replace(/^~/, '')));
    report.violationIf(at, 'sidecar.host', wildcardDomainViolation(name));
    if (/^\*[^.]/.test(name)) report.violation(at, 'sidecar.host', 'a wildcard must be a whole label');
    if (seen.has(host)) report.warn(at, 'sidecar.host', `"${host}" is set twice`);
    seen.add(host);
    // `~/host` takes a host out again.
    if (name !== '*' && namespace !== '~' && (whole.has(namespace) || whole.has('*'))) {
      report.warn(at, 'sidecar.host', `"${host}" is covered by another entry already`);
    }
  }
}

function checkOutbound(report: Report, path: string, policy: OutboundTrafficPolicy): void {
  const proxy = policy.egressProxy;
  if (!proxy) return;
  if (policy.mode !== 'ALLOW_ANY')
    report.violation(`${path}.egressProxy`, 'sidecar.egress-proxy', 'needs mode ALLOW_ANY');
  report.violationIf(`${path}.egressProxy.host`, 'sidecar.egress-proxy', fqdnViolation(proxy.host));
  report.violationIf(`${path}.egressProxy.port.number`, 'port', portViolation(proxy.port?.number));
}
