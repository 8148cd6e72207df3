/** Rules of VirtualService's HTTP routes. */
import { parseClaimRoute } from '../../../match/jwt-claim.ts';
import type { Destination } from '../../schema/common.ts';
import type { Headers, HttpMatchRequest, HttpRoute, StringMatch } from '../../schema/virtual-service.ts';
import { keyPath, type Report } from '../../violations.ts';
import {
  checkGatewayNames,
  checkLabels,
  dnsLabelViolation,
  headerNameViolation,
  headerValueViolation,
  isIp,
  istioRegexViolation,
  portViolation,
  strictHeaderNameViolation,
  wildcardDomainViolation,
} from '../primitives.ts';
import { checkAction, checkPercent } from './http-action.ts';
import { warnUnreachable } from './route-reach.ts';

export function checkHttpRoutes(report: Report, routes: readonly HttpRoute[], delegate: boolean): void {
  for (const [i, route] of routes.entries()) checkHttpRoute(report, `spec.http[${i}]`, route, delegate);
  warnUnreachable(report, 'spec.http', routes);
}

function checkHttpRoute(report: Report, path: string, route: HttpRoute, delegate: boolean): void {
  checkKind(report, path, route, delegate);
  for (const [i, match] of (route.match ?? []).entries()) checkMatch(report, `${path}.match[${i}]`, match, delegate);
  checkHeaders(report, `${path}.headers`, route.headers);
  if (route.route) checkDestinations(report, `${path}.route`, route.route);
  for (const [i, target] of (route.route ?? []).entries()) {
    checkHeaders(report, `${path}.route[${i}].headers`, target.headers);
  }
  if (route.mirror) checkDestination(report, `${path}.mirror`, route.mirror);
  if (route.mirror && route.mirrors?.length) {
    report.violation(path, 'virtualservice.mirror', 'only one of mirror and mirrors may be set');
  }
  for (const [i, mirror] of (route.mirrors ?? []).entries()) {
    checkDestination(report, `${path}.mirrors[${i}].destination`, mirror.destination);
    checkPercent(report, `${path}.mirrors[${i}].percentage.value`, mirror.percentage?.value);
  }
  for (const field of ['mirrorPercent', 'mirror_percent'] as const) {
    if (route[field] === undefined) continue;
    report.warn(`${path}.${field}`, 'deprecated', 'is deprecated: use mirrorPercentage');
    checkPercent(report, `${path}.${field}`, route[field]);
  }
  checkPercent(report, `${path}.mirrorPercentage.value`, route.mirrorPercentage?.value);
  checkAction(report, path, route);
}

/** A route does one thing: it forwards, redirects, answers or delegates. */
function checkKind(report: Report, path: string, route: HttpRoute, delegate: boolean): void {
  const set = (['route', 'redirect', 'directResponse', 'delegate'] as const).filter((field) =>
    field === 'route' ? route.route?.length : route[field] !== undefined,
  );
  if (set.length === 0)
    report.violation(path, 'virtualservice.no-action', 'must have one of route, redirect, directResponse, delegate');
  if (set.length > 1) report.violation(path, 'virtualservice.actions', `only one of ${set.join(', ')} may be set`);
  if (delegate && route.delegate) {
    report.violation(`${path}.delegate`, 'virtualservice.delegate', 'a delegate cannot delegate further');
  }
  for (const action of ['redirect', 'directResponse'] as const) {
    if (!route[action]) continue;
    for (const field of ['fault', 'rewrite', 'mirror', 'mirrors'] as const) {
      if (route[field] !== undefined && !(field === 'fault' && action === 'directResponse')) {
        report.violation(`${path}.${field}`, 'virtualservice.actions', `cannot be combined with ${action}`);
      }
    }
  }
  if (route.delegate) {
    for (const part of ['name', 'namespace'] as const) {
      const value = route.delegate[part];
      if (value) report.violationIf(`${path}.delegate.${part}`, 'name', dnsLabelViolation(value));
    }
  }
}

function checkMatch(report: Report, path: string, match: HttpMatchRequest, delegate: boolean): void {
  for (const field of ['uri', 'scheme', 'method', 'authority'] as const) {
    checkStringMatch(report, `${path}.${field}`, match[field], false);
  }
  for (const field of ['headers', 'withoutHeaders', 'queryParams'] as const) {
    for (const [name, value] of Object.entries(match[field] ?? {})) {
      const at = keyPath(`${path}.${field}`, name);
      if (name === '') report.violation(at, 'virtualservice.match', 'the name must not be empty');
      else if (field !== 'queryParams' && !parseClaimRoute(name)) {
        report.violationIf(at, 'virtualservice.match', strictHeaderNameViolation(name));
      }
      // `*` is no regular expression, but Istio reads it here as "any value".
      const anyValue = field === 'withoutHeaders' && value.regex === '*';
      checkStringMatch(report, at, anyValue ? {} : value, true);
    }
  }
  if (match.port !== undefined) report.violationIf(`${path}.port`, 'port', portViolation(match.port));
  checkLabels(report, `${path}.sourceLabels`, match.sourceLabels);
  checkGatewayNames(report, `${path}.gateways`, match.gateways);
  if (match.sourceNamespace)
    report.violationIf(`${path}.sourceNamespace`, 'name', dnsLabelViolation(match.sourceNamespace));
  if (delegate && match.gateways?.length) {
    report.violation(`${path}.gateways`, 'virtualservice.delegate', 'a delegate cannot match gateways');
  }
}

/** @param presence an empty match (`{}`) means "is there" */
function checkStringMatch(report: Report, path: string, match: StringMatch | undefined, presence: boolean): void {
  if (!match) return;
  const { exact, prefix, regex } = match;
  if (prefix === '') report.violation(`${path}.prefix`, 'virtualservice.match', 'must not be empty');
  if (regex === '') report.violation(`${path}.regex`, 'virtualservice.match', 'must not be empty');
  else if (regex !== undefined) report.violationIf(`${path}.regex`, 'regex', istioRegexViolation(regex));
  if (!presence && exact === undefined && prefix === undefined && regex === undefined) {
    report.violation(path, 'virtualservice.match', 'must have one of exact, prefix, regex');
  }
}

function checkHeaders(report: Report, path: string, headers: Headers | undefined): void {
  for (const side of ['request', 'response'] as const) {
    const operations = headers?.[side];
    for (const operation of ['add', 'set'] as const) {
      for (const [name, value] of Object.entries(operations?.[operation] ?? {})) {
        const at = keyPath(`${path}.${side}.${operation}`, name);
        report.violationIf(at, 'virtualservice.header', headerNameViolation(name) ?? headerValueViolation(value));
        const authority = side === 'request' && /^(:authority|host)$/i.test(name);
        if (/^(:|host$)/i.test(name) && !authority) {
          const message = 'pseudo headers and Host cannot be changed, except :authority and Host of a request';
          report.violation(at, 'virtualservice.header', message);
        }
      }
    }
    for (const [i, name] of (operations?.remove ?? []).entries()) {
      const at = `${path}.${side}.remove[${i}]`;
      report.violationIf(at, 'virtualservice.header', headerNameViolation(name));
      if (/^(:|host$)/i.test(name)) report.violation(at, 'virtualservice.header', `"${name}" cannot be removed`);
    }
  }
}

/** The destinations of a route and their weights. */
export function checkDestinations(
  report: Report,
  path: string,
  routes: readonly { destination: Destination; weight?: number }[] | undefined,
): void {
  if (!routes?.length) {
    if (routes === undefined || !path.startsWith('spec.http'))
      report.violation(path, 'required', 'must have at least one destination');
    return;
  }
  let total = 0;
  for (const [i, { destination, weight = 0 }] of routes.entries()) {
    checkDestination(report, `${path}[${i}].destination`, destination);
    if (weight < 0) report.violation(`${path}[${i}].weight`, 'virtualservice.weight', `must be >= 0; found ${weight}`);
    total += weight;
  }
  if (routes.length > 1 && total === 0)
    report.violation(path, 'virtualservice.weight-sum', 'the weights must not all be 0');
}

function checkDestination(report: Report, path: string, destination: Destination): void {
  const { host } = destination;
  if (!isIp(host))
    report.violationIf(
      `${path}.host`,
      'destination.host',
      host === '*' ? '"*" names no service' : wildcardDomainViolation(host),
    );
  if (destination.subset)
    report.violationIf(`${path}.subset`, 'destination.subset', dnsLabelViolation(destination.subset));
  if (destination.port) report.violationIf(`${path}.port.number`, 'port', portViolation(destination.port.number));
}
