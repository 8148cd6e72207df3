/** Rules of Gateway beyond its schema. */
import { isHttp, isTls, parseProtocol } from '../../match/protocol.ts';
import type { Findings } from '../kind.ts';
import type { Resource } from '../resource.ts';
import type { GatewaySpec, Server } from '../schema/gateway.ts';
import { Report } from '../violations.ts';
import { dnsLabelViolation, isIp, portViolation, protocolViolation, wildcardDomainViolation } from './primitives.ts';
import { checkServerTls } from './server-tls.ts';

export function checkGateway(spec: GatewaySpec, resource: Resource): Findings {
  const report = new Report();
  const ownName = resource.metadata?.name;
  // Kubernetes allows dots; a VirtualService could not name such a gateway.
  if (ownName) report.violationIf('metadata.name', 'gateway.name', dnsLabelViolation(ownName));
  if (!spec.servers?.length) report.violation('spec.servers', 'required', 'must have at least one server');
  const names = new Set<string>();
  for (const [i, server] of (spec.servers ?? []).entries()) {
    const path = `spec.servers[${i}]`;
    checkServer(report, path, server);
    const name = server.port.name;
    if (names.has(name)) report.violation(`${path}.port.name`, 'gateway.port-name', `"${name}" is used twice`);
    names.add(name);
  }
  return report.findings;
}

function checkServer(report: Report, path: string, server: Server): void {
  const { port, tls, bind } = server;
  // Istio documents port 0 for unix sockets.
  const needsNone = port.number === 0 && bind?.startsWith('unix://');
  if (!needsNone) report.violationIf(`${path}.port.number`, 'port', portViolation(port.number));
  report.violationIf(`${path}.port.protocol`, 'protocol', protocolViolation(port.protocol));
  if (port.name === '') report.violation(`${path}.port.name`, 'required', 'must not be empty');
  if (server.hosts.length === 0) report.violation(`${path}.hosts`, 'required', 'must have at least one host');
  for (const [i, host] of server.hosts.entries()) {
    report.violationIf(`${path}.hosts[${i}]`, 'gateway.host', gatewayHostViolation(host));
  }
  if (bind && !isIp(bind) && !bind.startsWith('unix://')) {
    report.violation(`${path}.bind`, 'gateway.bind', `"${bind}" is neither an IP address nor a unix socket`);
  }
  const protocol = parseProtocol(port.protocol);
  if (isTls(protocol) && !tls) report.violation(`${path}.tls`, 'required', `is required with protocol ${protocol}`);
  if (!tls) return;
  if (!isTls(protocol) && (!isHttp(protocol) || usesCertificates(tls))) {
    report.violation(`${path}.tls`, 'gateway.tls', `is only for protocols HTTPS and TLS, not ${protocol}`);
  }
  if (!isHttp(protocol) && tls.httpsRedirect) {
    report.warn(`${path}.tls.httpsRedirect`, 'gateway.tls', `is only for HTTP, not ${protocol}`);
  }
  checkServerTls(report, `${path}.tls`, tls);
}

/** On a plain HTTP port TLS settings can say only that requests are redirected. */
function usesCertificates(tls: NonNullable<Server['tls']>): boolean {
  const terminates = !/^(AUTO_)?PASSTHROUGH$/.test(tls.mode ?? 'PASSTHROUGH');
  return terminates || !!(tls.serverCertificate || tls.privateKey || tls.caCertificates);
}

/** `[namespace/]host`, where the namespace may be `*` or `.`. */
function gatewayHostViolation(text: string): string | undefined {
  const slash = text.indexOf('/');
  const namespace = slash < 0 ? undefined : text.slice(0, slash);
  const host = text.slice(slash + 1);
  if (namespace !== undefined && namespace !== '*' && namespace !== '.') {
    const violation = dnsLabelViolation(namespace);
    if (violation) return `namespace ${violation}`;
  }
  if (host === '*' || isIp(host)) return undefined;
  return (
    wildcardDomainViolation(host) ??
    (host.includes('.') ? undefined : `"${host}": short names are not allowed: write the whole domain name`)
  );
}
