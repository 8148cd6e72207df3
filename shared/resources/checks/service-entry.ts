/** Rules of ServiceEntry beyond its schema. */
import { isHttp, isTcp, isTls, parseProtocol } from '../../match/protocol.ts';
import type { Findings } from '../kind.ts';
import type { Resource } from '../resource.ts';
import type { ServiceEntrySpec } from '../schema/service-entry.ts';
import { keyPath, Report } from '../violations.ts';
import {
  checkExportTo,
  checkSelectorLabels,
  dnsLabelViolation,
  ipOrCidrViolation,
  protocolViolation,
  warnNoLabels,
  wildcardDomainViolation,
} from './primitives.ts';
import { checkEndpoint } from './workload-entry.ts';

/** Ranges of length 0, and the unspecified addresses. */
const MATCHES_EVERYTHING = /\/0+$|^0\.0\.0\.0$|^::$/;

export function checkServiceEntry(spec: ServiceEntrySpec, resource: Resource): Findings {
  const report = new Report();
  checkHosts(report, spec);
  checkPorts(report, spec);
  for (const [i, address] of (spec.addresses ?? []).entries()) {
    const path = `spec.addresses[${i}]`;
    report.violationIf(path, 'cidr', ipOrCidrViolation(address));
    if (MATCHES_EVERYTHING.test(address)) {
      const message = `${address} matches every connection to the ports, whatever its destination`;
      report.warn(path, 'serviceentry.every-address', message);
    }
  }
  checkSelectorLabels(report, 'spec.workloadSelector.labels', spec.workloadSelector?.labels);
  if (spec.workloadSelector) warnNoLabels(report, 'spec.workloadSelector', spec.workloadSelector.labels);
  checkResolution(report, spec);
  checkManyHosts(report, spec);
  checkEndpoints(report, spec);
  checkExportTo(report, spec.exportTo, resource.metadata?.namespace ?? 'default');
  return report.findings;
}

function checkHosts(report: Report, spec: ServiceEntrySpec): void {
  for (const [i, host] of (spec.hosts ?? []).entries()) {
    const path = `spec.hosts[${i}]`;
    report.violationIf(path, 'serviceentry.host', wildcardDomainViolation(host));
    if (/^\*[^.]/.test(host)) {
      report.warn(path, 'serviceentry.host', `"${host}": a wildcard that is not a whole label may not work with TLS`);
    }
  }
}

function checkPorts(report: Report, spec: ServiceEntrySpec): void {
  for (const [i, port] of (spec.ports ?? []).entries()) {
    const path = `spec.ports[${i}]`;
    report.violationIf(`${path}.name`, 'port-name', dnsLabelViolation(port.name));
    if (port.protocol) report.violationIf(`${path}.protocol`, 'protocol', protocolViolation(port.protocol));
    const protocol = parseProtocol(port.protocol || 'TCP');
    const opaque = isTcp(protocol) && protocol !== 'HTTPS' && protocol !== 'TLS';
    if (opaque && (spec.addresses ?? []).length === 0) {
      const message =
        'TCP without addresses matches every connection to this port: set spec.addresses or an HTTP or TLS protocol';
      report.warn(`${path}.protocol`, 'serviceentry.tcp-addresses', message);
    }
  }
}

function checkResolution(report: Report, spec: ServiceEntrySpec): void {
  const resolution = spec.resolution ?? 'NONE';
  const { endpoints, hosts = [] } = spec;
  const wildcard = hosts.some((host) => host.startsWith('*'));
  switch (resolution) {
    case 'NONE':
      if (
        spec.workloadSelector &&
        !report.violations.some((violation) => violation.path.startsWith('spec.workloadSelector'))
      )
        report.warn('spec.workloadSelector', 'serviceentry.resolution', 'is not used with resolution NONE: use STATIC');
      break;
    case 'STATIC':
      break;
    case 'DNS':
    case 'DNS_ROUND_ROBIN':
      if (!endpoints?.length && wildcard) {
        const message = `a wildcard host cannot be resolved: with resolution ${resolution} set endpoints`;
        report.violation('spec.hosts', 'serviceentry.resolution', message);
      }
      if (resolution === 'DNS_ROUND_ROBIN' && !endpoints?.length && hosts.length > 1) {
        const message =
          'should be one host with resolution DNS_ROUND_ROBIN and no endpoints: each has its own addresses';
        report.warn('spec.hosts', 'serviceentry.resolution', message);
      }
      break;
    case 'DYNAMIC_DNS':
      checkDynamicDns(report, spec);
      break;
  }
}

/** Plain TCP carries no host name. */
function checkManyHosts(report: Report, spec: ServiceEntrySpec): void {
  if ((spec.resolution ?? 'NONE') === 'NONE' || (spec.hosts ?? []).length < 2) return;
  for (const [i, port] of (spec.ports ?? []).entries()) {
    const protocol = parseProtocol(port.protocol ?? '');
    if (isHttp(protocol) || isTls(protocol)) continue;
    const message = 'must be HTTP or TLS where there are several hosts: plain TCP carries no host name';
    report.violation(`spec.ports[${i}].protocol`, 'serviceentry.many-hosts', message);
  }
}

function checkDynamicDns(report: Report, spec: ServiceEntrySpec): void {
  const rule = 'serviceentry.dynamic-dns';
  for (const field of ['endpoints', 'addresses', 'workloadSelector'] as const) {
    if (spec[field] !== undefined) report.violation(`spec.${field}`, rule, 'cannot be set with resolution DYNAMIC_DNS');
  }
  for (const [i, host] of (spec.hosts ?? []).entries()) {
    if (!host.startsWith('*'))
      report.violation(`spec.hosts[${i}]`, rule, 'must begin with "*" with resolution DYNAMIC_DNS');
  }
  for (const [i, port] of (spec.ports ?? []).entries()) {
    const protocol = parseProtocol(port.protocol || 'TCP');
    if (isTcp(protocol) && protocol !== 'TLS' && protocol !== 'HTTPS') {
      report.violation(
        `spec.ports[${i}].protocol`,
        rule,
        'must be HTTP or TLS with resolution DYNAMIC_DNS: the name is read from the traffic',
      );
    }
  }
}

function checkEndpoints(report: Report, spec: ServiceEntrySpec): void {
  const names = new Set((spec.ports ?? []).map((port) => port.name));
  const dns = spec.resolution === 'DNS' || spec.resolution === 'DNS_ROUND_ROBIN';
  for (const [i, endpoint] of (spec.endpoints ?? []).entries()) {
    const path = `spec.endpoints[${i}]`;
    checkEndpoint(report, path, endpoint, dns ? 'name' : 'ip');
    if (endpoint.address?.startsWith('unix://') && (spec.ports ?? []).length > 1) {
      report.violation(`${path}.address`, 'serviceentry.unix', 'a unix socket can serve one port only');
    }
    if (endpoint.address?.startsWith('unix://') && spec.exportTo?.some((item) => item !== '.' && item !== '~')) {
      const message = 'a unix socket is called by proxies of its own namespace alone, whatever exportTo says';
      report.warn(`${path}.address`, 'serviceentry.unix', message);
    }
    for (const name of Object.keys(endpoint.ports ?? {})) {
      if (!names.has(name)) {
        report.violation(keyPath(`${path}.ports`, name), 'serviceentry.port', `"${name}" is none of spec.ports`);
      }
    }
  }
}
