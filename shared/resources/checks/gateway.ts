/** Rules of Gateway beyond its schema. */
import { isHttp, isTls, parseProtocol } from '../../match/protocol.ts';
import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { Resource } from '../resource.ts';
import type { GatewaySpec, Server } from '../schema/gateway.ts';
import { dnsLabelFault, isIp, portFault, protocolFault, wildcardDomainFault } from './primitives.ts';
import { checkServerTls } from './server-tls.ts';

export function checkGateway(spec: GatewaySpec, resource: Resource): Findings {
  const report = new Report();
  const ownName = resource.metadata?.name;
  // Kubernetes allows dots; a VirtualService could not name such a gateway.
  if (ownName) report.faultIf('metadata.name', 'gateway.name', dnsLabelFault(ownName));
  if (!spec.servers?.length) report.fault('spec.servers', 'required', 'must have at least one server');
  const names = new Set<string>();
  for (const [i, server] of (spec.servers ?? []).entries()) {
    const path = `spec.servers[${i}]`;
    checkServer(report, path, server);
    const name = server.port.name;
    if (names.has(name)) report.fault(`${path}.port.name`, 'gateway.port-name', `"${name}" is used twice`);
    names.add(name);
  }
  return report.findings;
}

function checkServer(report: Report, path: string, server: Server): void {
  const { port, tls, bind } = server;
  report.faultIf(`${path}.port.number`, 'port', portFault(port.number));
  report.faultIf(`${path}.port.protocol`, 'protocol', protocolFault(port.protocol));
  if (port.name === '') report.fault(`${path}.port.name`, 'required', 'must not be empty');
  if (server.hosts.length === 0) report.fault(`${path}.hosts`, 'required', 'must have at least one host');
  for (const [i, host] of server.hosts.entries()) {
    report.faultIf(`${path}.hosts[${i}]`, 'gateway.host', gatewayHostFault(host));
  }
  if (bind && !isIp(bind) && !bind.startsWith('unix://')) {
    report.fault(`${path}.bind`, 'gateway.bind', `"${bind}" is neither an IP address nor a unix socket`);
  }
  const protocol = parseProtocol(port.protocol);
  if (isTls(protocol) && !tls) report.fault(`${path}.tls`, 'required', `is required with protocol ${protocol}`);
  if (!tls) return;
  if (!isTls(protocol) && (!isHttp(protocol) || usesCertificates(tls))) {
    report.fault(`${path}.tls`, 'gateway.tls', `is only for protocols HTTPS and TLS, not ${protocol}`);
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
export function gatewayHostFault(text: string): string | undefined {
  const slash = text.indexOf('/');
  const namespace = slash < 0 ? undefined : text.slice(0, slash);
  const host = text.slice(slash + 1);
  if (namespace !== undefined && namespace !== '*' && namespace !== '.') {
    const fault = dnsLabelFault(namespace);
    if (fault) return `namespace ${fault}`;
  }
  if (host === '*' || isIp(host)) return undefined;
  return (
    wildcardDomainFault(host) ??
    (host.includes('.') ? undefined : `"${host}": short names are not allowed: write the whole domain name`)
  );
}
