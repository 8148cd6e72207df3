/** Rules of VirtualService beyond its schema: hosts, gateways, TLS and TCP routes. HTTP routes are in http-route.ts. */
import { hostSubsetOf, isWildcardHost } from '../../../match/hosts.ts';
import { parseClaimRoute } from '../../../match/jwt-claim.ts';
import type { Findings } from '../../kind.ts';
import type { Resource } from '../../resource.ts';
import type { L4MatchAttributes, TlsMatchAttributes, VirtualServiceSpec } from '../../schema/virtual-service.ts';
import { keyPath, Report } from '../../violations.ts';
import {
  checkExportTo,
  checkGatewayNames,
  checkLabels,
  ipOrCidrViolation,
  isIp,
  portViolation,
  sniDomainViolation,
} from '../primitives.ts';
import { checkDestinations, checkHttpRoutes } from './http-route.ts';
import { warnUnreachable } from './route-reach.ts';

export function checkVirtualService(spec: VirtualServiceSpec, resource: Resource): Findings {
  const report = new Report();
  const hosts = spec.hosts ?? [];
  const gateways = spec.gateways ?? [];
  const delegate = hosts.length === 0;
  if (delegate) checkDelegate(report, spec);
  const mesh = gateways.length === 0 || gateways.includes('mesh');
  checkHosts(report, hosts, mesh);
  checkOverlaps(report, hosts);
  if (mesh) checkClaimRoutes(report, spec);
  checkGatewayNames(report, 'spec.gateways', gateways);
  if (!spec.http?.length && !spec.tcp?.length && !spec.tls?.length) {
    report.violation('spec', 'virtualservice.no-route', 'must have at least one of http, tls, tcp');
  }
  checkHttpRoutes(report, spec.http ?? [], delegate);
  for (const [i, route] of (spec.tls ?? []).entries()) {
    const path = `spec.tls[${i}]`;
    if (route.match.length === 0) report.violation(`${path}.match`, 'required', 'must have at least one entry');
    for (const [j, match] of route.match.entries()) checkTlsMatch(report, `${path}.match[${j}]`, match, hosts);
    checkDestinations(report, `${path}.route`, route.route);
  }
  for (const [i, route] of (spec.tcp ?? []).entries()) {
    const path = `spec.tcp[${i}]`;
    for (const [j, match] of (route.match ?? []).entries()) checkL4Match(report, `${path}.match[${j}]`, match);
    checkDestinations(report, `${path}.route`, route.route);
  }
  warnUnreachable(report, 'spec.tls', spec.tls ?? []);
  warnUnreachable(report, 'spec.tcp', spec.tcp ?? []);
  checkExportTo(report, spec.exportTo, resource.metadata?.namespace ?? 'default');
  return report.findings;
}

function checkDelegate(report: Report, spec: VirtualServiceSpec): void {
  if (spec.gateways?.length) {
    report.violation(
      'spec.gateways',
      'virtualservice.delegate',
      'a delegate (a VirtualService without hosts) has no gateways',
    );
  }
  if (spec.tls?.length || spec.tcp?.length || !spec.http?.length) {
    report.violation(
      'spec.hosts',
      'required',
      'must have at least one host (only a delegate, which has http routes alone, has none)',
    );
  }
}

function checkHosts(report: Report, hosts: readonly string[], mesh: boolean): void {
  for (const [i, host] of hosts.entries()) {
    const path = `spec.hosts[${i}]`;
    if (mesh && host === '*') {
      report.violation(
        path,
        'virtualservice.host',
        '"*" is not allowed for the mesh: name gateways, or a narrower host',
      );
    } else if (!isIp(host)) report.violationIf(path, 'virtualservice.host', sniDomainViolation(host));
  }
}

/** Hosts must be unique, and not covered by a wildcard of the same VirtualService. */
function checkOverlaps(report: Report, hosts: readonly string[]): void {
  const backwards = (i: number) => [...(hosts[i] ?? '').replace(/^\*/, '')].reverse().join('');
  // Sorted by suffix, the hosts that a wildcard covers follow it.
  const ordered = hosts
    .map((host, i) => ({ host, i, end: backwards(i), wild: isWildcardHost(host) }))
    .sort((a, b) => (a.end < b.end ? -1 : a.end > b.end ? 1 : Number(b.wild) - Number(a.wild) || a.i - b.i));
  const found: { at: number; message: string }[] = [];
  let cover: (typeof ordered)[number] | undefined;
  for (const [j, one] of ordered.entries()) {
    const before = ordered[j - 1];
    if (before?.host === one.host) found.push({ at: one.i, message: `"${one.host}" is set twice` });
    else if (cover && one.end.startsWith(cover.end)) {
      const [first, second] = [cover, one].sort((a, b) => a.i - b.i) as [typeof one, typeof one];
      found.push({ at: second.i, message: `"${second.host}" and "${first.host}" overlap` });
    } else if (one.wild) cover = one;
  }
  for (const { at, message } of found.sort((a, b) => a.at - b.at)) {
    report.violation(`spec.hosts[${at}]`, 'virtualservice.host', message);
  }
}

/** Claims are known where the token is verified: at gateways. */
function checkClaimRoutes(report: Report, spec: VirtualServiceSpec): void {
  for (const [i, route] of (spec.http ?? []).entries()) {
    for (const [j, match] of (route.match ?? []).entries()) {
      for (const field of ['headers', 'withoutHeaders'] as const) {
        for (const name of Object.keys(match[field] ?? {})) {
          if (!parseClaimRoute(name)) continue;
          const path = keyPath(`spec.http[${i}].match[${j}].${field}`, name);
          report.violation(
            path,
            'virtualservice.jwt-claim',
            'routes by claim work at gateways only: name spec.gateways',
          );
        }
      }
    }
  }
}

function checkTlsMatch(report: Report, path: string, match: TlsMatchAttributes, hosts: readonly string[]): void {
  if (match.sniHosts.length === 0) report.violation(`${path}.sniHosts`, 'required', 'must have at least one entry');
  for (const [i, sni] of match.sniHosts.entries()) {
    const at = `${path}.sniHosts[${i}]`;
    if (isIp(sni)) report.warn(at, 'virtualservice.sni', 'an IP address is never sent as SNI: this never matches');
    else report.violationIf(at, 'virtualservice.sni', sniDomainViolation(sni));
    if (!isIp(sni) && !hosts.some((host) => hostSubsetOf(sni, host))) {
      report.violation(at, 'virtualservice.sni', `"${sni}" is not covered by any of spec.hosts`);
    }
  }
  checkL4Match(report, path, match);
}

function checkL4Match(report: Report, path: string, match: L4MatchAttributes | TlsMatchAttributes): void {
  for (const [i, subnet] of (match.destinationSubnets ?? []).entries()) {
    report.violationIf(`${path}.destinationSubnets[${i}]`, 'cidr', ipOrCidrViolation(subnet));
  }
  if (match.port !== undefined) report.violationIf(`${path}.port`, 'port', portViolation(match.port));
  if ('sourceSubnet' in match && match.sourceSubnet) {
    report.violationIf(`${path}.sourceSubnet`, 'cidr', ipOrCidrViolation(match.sourceSubnet));
  }
  checkLabels(report, `${path}.sourceLabels`, match.sourceLabels);
  checkGatewayNames(report, `${path}.gateways`, match.gateways);
}
