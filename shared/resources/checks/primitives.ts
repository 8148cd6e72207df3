/** Rules of single values (Istio's pkg/config/validation and validation/agent). Each returns a message or undefined. */
import { isIpAddress, parseCidr } from '../../match/cidr.ts';
import { labelKeyViolation, labelValueViolation } from '../../match/labels.ts';
import { PROTOCOL_NAMES, parseProtocol } from '../../match/protocol.ts';
import { regexViolation } from '../../match/regex.ts';
import { didYouMean } from '../read/suggest.ts';
import type { PolicySelector, PolicyTargetReference } from '../schema/common.ts';
import { keyPath, type Report } from '../violations.ts';

const LABEL = /^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$/;
const WILDCARD_LABEL =
  /^(\*|\*-?[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?|[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)$/;
const PROTOCOLS = [...PROTOCOL_NAMES];
/** Istio's limit for regular expressions. */
const MAX_REGEX_LENGTH = 1024;

export function dnsLabelViolation(text: string): string | undefined {
  return LABEL.test(text) ? undefined : `"${text}" must be a DNS label: at most 63 letters, digits and "-"`;
}

/** A fully qualified or short domain name without wildcard. */
export function fqdnViolation(text: string): string | undefined {
  if (text === '') return 'must not be empty';
  return domainViolation(text, LABEL);
}

/** A domain name that may begin with `*`. */
export function wildcardDomainViolation(text: string): string | undefined {
  if (text === '') return 'must not be empty';
  if (text === '*') return undefined;
  return domainViolation(text, WILDCARD_LABEL);
}

/** As `wildcardDomainViolation`, or a name that passthrough gateways make: `outbound_.80_.v1_.host`, which holds underscores. */
export function sniDomainViolation(text: string): string | undefined {
  const parts = /^(?:outbound|inbound)_\.(\d+)_\.([^_]*)_\.(.+)$/.exec(text);
  return parts
    ? (portViolation(Number(parts[1])) ?? wildcardDomainViolation(parts[3] ?? ''))
    : wildcardDomainViolation(text);
}

function domainViolation(text: string, firstLabel: RegExp): string | undefined {
  if (text.length > 255) return 'must be at most 255 characters long';
  const labels = text.split('.');
  // A trailing dot makes a name unambiguous.
  if (labels.length > 1 && labels.at(-1) === '') labels.pop();
  const bad = labels.some((label, i) => !(i === 0 ? firstLabel : LABEL).test(label));
  if (bad)
    return `"${text}" is not a domain name${text.includes('*') ? ' ("*" is only allowed at the beginning)' : ''}`;
  if (/^\d+$/.test(labels.at(-1) ?? '')) return `"${text}" is not a domain name: its last part is all digits`;
  return undefined;
}

export function ipOrCidrViolation(text: string): string | undefined {
  try {
    parseCidr(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

export function isIp(text: string): boolean {
  return isIpAddress(text);
}

export function portViolation(port: number | undefined): string | undefined {
  if (port === undefined) return 'is required: a port, 1 to 65535';
  return port >= 1 && port <= 65535 ? undefined : `must be a port, 1 to 65535; found ${port}`;
}

export function protocolViolation(protocol: string): string | undefined {
  if (parseProtocol(protocol) !== 'UNSUPPORTED') return undefined;
  return `unknown protocol "${protocol}"${didYouMean(protocol, PROTOCOLS)}: must be one of ${PROTOCOLS.join(', ')}`;
}

export function istioRegexViolation(pattern: string): string | undefined {
  if (pattern.length > MAX_REGEX_LENGTH) return `must be at most ${MAX_REGEX_LENGTH} characters long`;
  return regexViolation(pattern);
}

export function percentViolation(value: number): string | undefined {
  return value >= 0 && value <= 100 ? undefined : `must be 0 to 100; found ${value}`;
}

/** A percentage that Envoy can express: millionths. */
export function fractionViolation(value: number): string | undefined {
  return (
    percentViolation(value) ??
    (value > 0 && value < 0.0001 ? `must be 0 or at least 0.0001; found ${value}` : undefined)
  );
}

export function headerNameViolation(name: string): string | undefined {
  return name === '' ? 'header name must not be empty' : undefined;
}

/** As a header is written on the wire: a token, or one of HTTP/2's pseudo headers. */
export function strictHeaderNameViolation(name: string): string | undefined {
  return /^(:(method|scheme|authority|path|status)|[!#$%&'*+\-.^_`|~0-9A-Za-z]+)$/.test(name)
    ? undefined
    : `"${name}" is not a header name`;
}

/** Header values with Envoy's `%COMMAND(args):length%`: `%` elsewhere is written `%%`. */
export function headerValueViolation(value: string): string | undefined {
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value)) return 'must not have control characters';
  const rest = value.replace(/%%|%[A-Z][A-Z0-9_]*(\([^()]*(\([^()]*\)[^()]*)*\))?(:\d+)?%/g, '');
  return rest.includes('%') ? 'has a "%" that begins no command: write "%%" for a percent sign' : undefined;
}

export function checkLabels(report: Report, path: string, labels: Record<string, string> | undefined): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    report.violationIf(keyPath(path, key), 'labels', labelKeyViolation(key) ?? labelValueViolation(value));
  }
}

/** A selector without labels is legal, and most often a mistake. */
export function warnNoLabels(report: Report, path: string, labels: Record<string, string> | undefined): void {
  if (Object.keys(labels ?? {}).length > 0) return;
  report.warn(path, 'selector.empty', 'has no labels: it selects every workload of the namespace');
}

/** A selector's labels; wildcards and empty keys have no meaning there. */
export function checkSelectorLabels(report: Report, path: string, labels: Record<string, string> | undefined): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    const at = keyPath(path, key);
    if (key === '') report.violation(at, 'selector', 'the key must not be empty');
    else if (key.includes('*') || value.includes('*'))
      report.violation(at, 'selector', 'wildcards are not supported in selectors');
    else report.violationIf(at, 'selector', labelKeyViolation(key) ?? labelValueViolation(value));
  }
}

/** `exportTo`: `.`, `*`, `~` (ServiceEntry only) or namespaces, none twice. */
export function checkExportTo(
  report: Report,
  exportTo: readonly string[] | undefined,
  namespace: string,
  options: { selected?: boolean } = {},
): void {
  const seen = new Set<string>();
  for (const [i, entry] of (exportTo ?? []).entries()) {
    const path = `spec.exportTo[${i}]`;
    const name = entry === '.' ? namespace : entry;
    if (!['.', '*', '~'].includes(entry)) report.violationIf(path, 'export-to', dnsLabelViolation(entry));
    if (seen.has(name)) report.violation(path, 'export-to', `"${entry}" names a namespace twice`);
    seen.add(name);
    if (options.selected && entry !== '.') {
      report.violation(path, 'export-to', 'only "." is allowed together with a workload selector');
    }
  }
  if (seen.size > 1 && (seen.has('*') || seen.has('~'))) {
    report.violation(
      'spec.exportTo',
      'export-to',
      `"${seen.has('*') ? '*' : '~'}" cannot be combined with other entries`,
    );
  }
}

const TARGETS: Readonly<Record<string, readonly string[]>> = {
  '': ['Service'],
  'gateway.networking.k8s.io': ['Gateway', 'GatewayClass'],
  'networking.istio.io': ['ServiceEntry'],
};

/** What `selector`, `targetRef` and `targetRefs` of a policy refer to. */
export function checkPolicyTargets(
  report: Report,
  spec: { selector?: PolicySelector; targetRef?: PolicyTargetReference; targetRefs?: PolicyTargetReference[] },
): void {
  checkSelectorLabels(report, 'spec.selector.matchLabels', spec.selector?.matchLabels);
  if (spec.selector) warnNoLabels(report, 'spec.selector', spec.selector.matchLabels);
  if (spec.targetRef) checkTarget(report, 'spec.targetRef', spec.targetRef);
  for (const [i, target] of (spec.targetRefs ?? []).entries()) checkTarget(report, `spec.targetRefs[${i}]`, target);
}

function checkTarget(report: Report, path: string, target: PolicyTargetReference): void {
  const group = target.group === 'core' ? '' : (target.group ?? '');
  const kinds = Object.hasOwn(TARGETS, group) ? TARGETS[group] : undefined;
  if (!kinds?.includes(target.kind)) {
    report.violation(
      path,
      'policy-target',
      `cannot refer to ${group}/${target.kind}: must be a Service, ServiceEntry, Gateway or GatewayClass`,
    );
  }
}

/** Names of gateways a route is bound to: `mesh`, a name, or namespace/name. */
export function checkGatewayNames(report: Report, path: string, names: readonly string[] | undefined): void {
  for (const [i, name] of (names ?? []).entries()) {
    const at = `${path}[${i}]`;
    const parts = name.split('/');
    if (name === 'mesh') continue;
    if (parts.length > 2 || name === '')
      report.violation(at, 'gateway-name', `"${name}" must be a name or namespace/name`);
    else if (parts.length === 2) {
      for (const part of parts)
        report.violationIf(at, 'gateway-name', part === '.' ? undefined : dnsLabelViolation(part));
    } else if (name.includes('.')) {
      report.warn(at, 'gateway-name', `"${name}": write namespace/name instead of a domain name`);
      report.violationIf(at, 'gateway-name', wildcardDomainViolation(name));
    } else report.violationIf(at, 'gateway-name', dnsLabelViolation(name));
  }
}
