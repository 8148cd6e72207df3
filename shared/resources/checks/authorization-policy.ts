/** Rules of AuthorizationPolicy beyond its schema (Istio's validation and security packages). */
import { authzTrustDomainViolation, authzValueViolation } from '../../match/authz-value.ts';
import { pathTemplateViolation } from '../../match/path.ts';
import type { Findings } from '../kind.ts';
import { didYouMean } from '../read/suggest.ts';
import type { AuthorizationPolicySpec, Operation, Rule, Source, When } from '../schema/authorization-policy.ts';
import { Report } from '../violations.ts';
import { checkPolicyTargets, ipOrCidrViolation } from './primitives.ts';

export function checkAuthorizationPolicy(spec: AuthorizationPolicySpec): Findings {
  const report = new Report();
  checkPolicyTargets(report, spec);
  const action = spec.action ?? 'ALLOW';
  if (action === 'CUSTOM') {
    if (!spec.provider?.name) report.violation('spec.provider.name', 'required', 'is required with action CUSTOM');
  } else if (spec.provider) {
    report.violation('spec.provider', 'authorizationpolicy.provider', 'is only for action CUSTOM');
  }
  if (action !== 'ALLOW' && action !== 'AUDIT' && spec.rules === undefined) {
    report.violation('spec.rules', 'required', `is required with action ${action}: without rules it never matches`);
  }
  for (const [i, rule] of (spec.rules ?? []).entries()) checkRule(report, `spec.rules[${i}]`, rule, action);
  return report.findings;
}

function checkRule(report: Report, path: string, rule: Rule, action: string): void {
  for (const field of ['from', 'to', 'when'] as const) {
    if (rule[field]?.length === 0 && field !== 'when') {
      report.violation(
        `${path}.${field}`,
        'authorizationpolicy.empty',
        'must not be empty: leave it out to match everything',
      );
    }
  }
  for (const [i, { source }] of (rule.from ?? []).entries()) {
    const at = `${path}.from[${i}]`;
    if (!source) report.violation(`${at}.source`, 'required', 'is required');
    else checkSource(report, `${at}.source`, source, action);
  }
  for (const [i, { operation }] of (rule.to ?? []).entries()) {
    const at = `${path}.to[${i}]`;
    if (!operation) report.violation(`${at}.operation`, 'required', 'is required');
    else checkOperation(report, `${at}.operation`, operation);
  }
  for (const [i, when] of (rule.when ?? []).entries()) checkWhen(report, `${path}.when[${i}]`, when, action);
  if (action === 'DENY' && onlyHttp(rule)) {
    const message = 'names only HTTP attributes: on TCP ports it denies all traffic, unless ports are named';
    report.warn(path, 'authorizationpolicy.tcp', message);
  }
}

/** What a TCP connection has: a source by its certificate or address. */
const OF_TCP_SOURCE = [
  'principals',
  'notPrincipals',
  'namespaces',
  'notNamespaces',
  'serviceAccounts',
  'notServiceAccounts',
  'ipBlocks',
  'notIpBlocks',
  'remoteIpBlocks',
  'notRemoteIpBlocks',
  'trustDomains',
  'notTrustDomains',
] as const;

/** On TCP, HTTP attributes of a DENY rule are left out, so that what is left denies more. */
function onlyHttp(rule: Rule): boolean {
  const sources = (rule.from ?? []).flatMap(({ source }) => (source ? [source] : []));
  const operations = (rule.to ?? []).flatMap(({ operation }) => (operation ? [operation] : []));
  if (operations.length > 0) return !operations.some(({ ports, notPorts }) => ports ?? notPorts);
  return sources.length > 0 && !sources.some((source) => OF_TCP_SOURCE.some((field) => source[field]));
}

/** Fields that an external authorizer's rules cannot use: they need what is known only after it. */
const NOT_CUSTOM = [
  'principals',
  'notPrincipals',
  'requestPrincipals',
  'notRequestPrincipals',
  'namespaces',
  'notNamespaces',
  'serviceAccounts',
  'notServiceAccounts',
] as const;

function checkSource(report: Report, path: string, source: Source, action: string): void {
  checkLists(report, path, source);
  for (const field of ['ipBlocks', 'notIpBlocks', 'remoteIpBlocks', 'notRemoteIpBlocks'] as const) {
    for (const [i, block] of (source[field] ?? []).entries()) {
      if (block !== '') report.violationIf(`${path}.${field}[${i}]`, 'cidr', ipOrCidrViolation(block));
    }
  }
  for (const field of ['serviceAccounts', 'notServiceAccounts'] as const) {
    for (const [i, account] of (source[field] ?? []).entries()) {
      if (account.includes('*') || account.split('/').length > 2) {
        report.violation(
          `${path}.${field}[${i}]`,
          'authorizationpolicy.source',
          'must be a name or namespace/name, without wildcard',
        );
      }
    }
  }
  for (const field of ['trustDomains', 'notTrustDomains'] as const) {
    for (const [i, domain] of (source[field] ?? []).entries()) {
      report.violationIf(`${path}.${field}[${i}]`, 'authorizationpolicy.source', authzTrustDomainViolation(domain));
    }
  }
  if (action !== 'CUSTOM') {
    for (const [field, never] of Object.entries(NEVER)) {
      for (const [i, value] of (source[field as keyof Source] ?? []).entries()) {
        warnNever(report, `${path}.${field}[${i}]`, never(value));
      }
    }
    return;
  }
  for (const field of NOT_CUSTOM) {
    if (source[field])
      report.violation(`${path}.${field}`, 'authorizationpolicy.custom', 'is not supported with action CUSTOM');
  }
}

/** What no request has, so that the value matches nothing: legal, and most often a mistake. */
const NEVER: Readonly<Record<string, (value: string) => string | undefined>> = {
  principals: neverPrincipal,
  notPrincipals: neverPrincipal,
  requestPrincipals: neverRequestPrincipal,
  notRequestPrincipals: neverRequestPrincipal,
};

const NEVER_WHEN: Readonly<Record<string, (value: string) => string | undefined>> = {
  'source.principal': neverPrincipal,
  'request.auth.principal': neverRequestPrincipal,
};

function neverPrincipal(value: string): string | undefined {
  return value.startsWith('spiffe://')
    ? 'write <trust domain>/ns/<namespace>/sa/<account>, without "spiffe://"'
    : undefined;
}

function neverRequestPrincipal(value: string): string | undefined {
  return value === '' || /[/*]/.test(value) ? undefined : 'a request principal is <issuer>/<subject>';
}

function warnNever(report: Report, path: string, reason: string | undefined): void {
  if (reason) report.warn(path, 'authorizationpolicy.never', `matches nothing: ${reason}`);
}

function checkOperation(report: Report, path: string, operation: Operation): void {
  checkLists(report, path, operation);
  for (const field of ['ports', 'notPorts'] as const) {
    for (const [i, port] of (operation[field] ?? []).entries()) {
      if (port !== '') report.violationIf(`${path}.${field}[${i}]`, 'port', portTextViolation(port));
    }
  }
  for (const field of ['paths', 'notPaths'] as const) {
    for (const [i, value] of (operation[field] ?? []).entries()) {
      report.violationIf(`${path}.${field}[${i}]`, 'authorizationpolicy.path', pathTemplateViolation(value));
    }
  }
}

/** No list may be empty or hold an empty string; at least one must be there. */
function checkLists(report: Report, path: string, lists: Record<string, string[] | undefined>): void {
  const entries = Object.entries(lists).filter(([, list]) => list !== undefined);
  if (entries.every(([, list]) => list?.length === 0)) {
    report.violation(path, 'authorizationpolicy.empty', 'must have at least one non-empty field');
  }
  for (const [field, list = []] of entries) {
    for (const [i, value] of list.entries()) {
      report.violationIf(`${path}.${field}[${i}]`, 'authorizationpolicy.empty', authzValueViolation(value));
    }
  }
}
function portTextViolation(text: string): string | undefined {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65535 ? undefined : `"${text}" must be a port, 1 to 65535`;
}

type ValueCheck = (value: string) => string | undefined;
const anything: ValueCheck = () => undefined;

/** Attributes of `when` and what their values must be (istio.io/latest/docs/reference/config/security/conditions). */
const ATTRIBUTES: Readonly<Record<string, ValueCheck>> = {
  'source.ip': ipOrCidrViolation,
  'remote.ip': ipOrCidrViolation,
  'destination.ip': ipOrCidrViolation,
  'destination.port': portTextViolation,
  'source.namespace': anything,
  'source.principal': anything,
  'source.serviceAccount': (value) => (value.split('/').length > 2 ? 'must be a name or namespace/name' : undefined),
  'source.trustDomain': authzTrustDomainViolation,
  'request.auth.principal': anything,
  'request.auth.audiences': anything,
  'request.auth.presenter': anything,
  'connection.sni': anything,
};
const NOT_CUSTOM_KEYS = /^(source\.(namespace|principal|serviceAccount)|request\.auth\..*)$/;

export function checkWhen(report: Report, path: string, when: When, action: string): void {
  const check = attribute(when.key);
  const never = Object.hasOwn(NEVER_WHEN, when.key) ? NEVER_WHEN[when.key] : undefined;
  if (!when.key) report.violation(`${path}.key`, 'required', 'must not be empty');
  else if (!check)
    report.violation(
      `${path}.key`,
      'authorizationpolicy.key',
      `unknown attribute "${when.key}"${didYouMean(when.key, [...Object.keys(ATTRIBUTES), 'request.headers[]', 'request.auth.claims[]'])}`,
    );
  if (action === 'CUSTOM' && NOT_CUSTOM_KEYS.test(when.key)) {
    report.violation(`${path}.key`, 'authorizationpolicy.custom', `"${when.key}" is not supported with action CUSTOM`);
  }
  if (!when.values?.length && !when.notValues?.length) {
    report.violation(path, 'required', 'must have values or notValues');
  }
  for (const field of ['values', 'notValues'] as const) {
    for (const [i, value] of (when[field] ?? []).entries()) {
      report.violationIf(
        `${path}.${field}[${i}]`,
        'authorizationpolicy.value',
        authzValueViolation(value) ?? check?.(value),
      );
      warnNever(report, `${path}.${field}[${i}]`, never?.(value));
    }
  }
}

function attribute(key: string): ValueCheck | undefined {
  if (Object.hasOwn(ATTRIBUTES, key)) return ATTRIBUTES[key];
  if (/^request\.headers\[[^\]]+\]$/.test(key)) return anything;
  if (/^request\.auth\.claims(\[[^\]]+\])+$/.test(key)) return anything;
  return key.startsWith('experimental.envoy.filters.') ? anything : undefined;
}
