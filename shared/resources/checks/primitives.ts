/** What single values must look like (Istio's pkg/config/validation and validation/agent). Each says what is wrong, or nothing. */
import { isIpAddress, parseCidr } from '../../match/cidr.ts';
import { labelKeyFault, labelValueFault } from '../../match/labels.ts';
import { parseProtocol } from '../../match/protocol.ts';
import { regexFault } from '../../match/regex.ts';
import { keyPath, type Report } from '../faults.ts';
import { didYouMean } from '../read/suggest.ts';
import type { PolicySelector, PolicyTargetReference } from '../schema/common.ts';

const LABEL = /^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$/;
const WILDCARD_LABEL =
  /^(\*|\*-?[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?|[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)$/;
const PROTOCOLS = ['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB', 'HTTPS', 'TLS', 'TCP', 'MONGO', 'MYSQL', 'REDIS'];
/** Istio's limit for regular expressions. */
const MAX_REGEX_LENGTH = 1024;

export function dnsLabelFault(text: string): string | undefined {
  return LABEL.test(text) ? undefined : `"${text}" must be a DNS label: at most 63 letters, digits and "-"`;
}

/** A fully qualified or short domain name without wildcard. */
export function fqdnFault(text: string): string | undefined {
  if (text === '') return 'must not be empty';
  return domainFault(text, LABEL);
}

/** A domain name that may begin with `*`. */
export function wildcardDomainFault(text: string): string | undefined {
  if (text === '') return 'must not be empty';
  if (text === '*') return undefined;
  return domainFault(text, WILDCARD_LABEL);
}

/** As `wildcardDomainFault`, or a name that passthrough gateways make: `outbound_.80_.v1_.host`, which holds underscores. */
export function sniDomainFault(text: string): string | undefined {
  const parts = /^(?:outbound|inbound)_\.(\d+)_\.([^_]*)_\.(.+)$/.exec(text);
  return parts ? (portFault(Number(parts[1])) ?? wildcardDomainFault(parts[3] ?? '')) : wildcardDomainFault(text);
}

function domainFault(text: string, firstLabel: RegExp): string | undefined {
  if (text.length > 255) return 'must be at most 255 characters long';
  const labels = text.split('.');
  // A trailing dot makes a name unambiguous.
  if (labels.length > 1 && labels.at(-1) === '') labels.pop();
  const bad = labels.some((label, i) => !(i === 0 ? firstLabel : LABEL).test(label));
  if (bad) return `"${text}" is not a domain name${text.includes('*') ? ' ("*" may only stand at the beginning)' : ''}`;
  if (/^\d+$/.test(labels.at(-1) ?? '')) return `"${text}" is not a domain name: its last part is all digits`;
  return undefined;
}

export function ipOrCidrFault(text: string): string | undefined {
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

export function portFault(port: number | undefined): string | undefined {
  if (port === undefined) return 'is required: a port, 1 to 65535';
  return port >= 1 && port <= 65535 ? undefined : `must be a port, 1 to 65535; found ${port}`;
}

export function protocolFault(protocol: string): string | undefined {
  if (parseProtocol(protocol) !== 'UNSUPPORTED') return undefined;
  return `unknown protocol "${protocol}"${didYouMean(protocol, PROTOCOLS)}: must be one of ${PROTOCOLS.join(', ')}`;
}

export function istioRegexFault(pattern: string): string | undefined {
  if (pattern.length > MAX_REGEX_LENGTH) return `must be at most ${MAX_REGEX_LENGTH} characters long`;
  return regexFault(pattern);
}

export function percentFault(value: number): string | undefined {
  return value >= 0 && value <= 100 ? undefined : `must be 0 to 100; found ${value}`;
}

/** A percentage that Envoy can express: millionths. */
export function fractionFault(value: number): string | undefined {
  return (
    percentFault(value) ?? (value > 0 && value < 0.0001 ? `must be 0 or at least 0.0001; found ${value}` : undefined)
  );
}

export function headerNameFault(name: string): string | undefined {
  return name === '' ? 'header name must not be empty' : undefined;
}

/** As a header is written on the wire: a token, or one of HTTP/2's pseudo headers. */
export function strictHeaderNameFault(name: string): string | undefined {
  return /^(:(method|scheme|authority|path|status)|[!#$%&'*+\-.^_`|~0-9A-Za-z]+)$/.test(name)
    ? undefined
    : `"${name}" is not a header name`;
}

/** Header values with Envoy's `%COMMAND(args):length%`: `%` elsewhere is written `%%`. */
export function headerValueFault(value: string): string | undefined {
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value)) return 'must not have control characters';
  const rest = value.replace(/%%|%[A-Z][A-Z0-9_]*(\([^()]*(\([^()]*\)[^()]*)*\))?(:\d+)?%/g, '');
  return rest.includes('%') ? 'has a "%" that begins no command: write "%%" for a percent sign' : undefined;
}

export function checkLabels(report: Report, path: string, labels: Record<string, string> | undefined): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    report.faultIf(keyPath(path, key), 'labels', labelKeyFault(key) ?? labelValueFault(value));
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
    if (key === '') report.fault(at, 'selector', 'the key must not be empty');
    else if (key.includes('*') || value.includes('*'))
      report.fault(at, 'selector', 'wildcards are not supported in selectors');
    else report.faultIf(at, 'selector', labelKeyFault(key) ?? labelValueFault(value));
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
    if (!['.', '*', '~'].includes(entry)) report.faultIf(path, 'export-to', dnsLabelFault(entry));
    if (seen.has(name)) report.fault(path, 'export-to', `"${entry}" names a namespace twice`);
    seen.add(name);
    if (options.selected && entry !== '.') {
      report.fault(path, 'export-to', 'only "." is allowed together with a workload selector');
    }
  }
  if (seen.size > 1 && (seen.has('*') || seen.has('~'))) {
    report.fault('spec.exportTo', 'export-to', `"${seen.has('*') ? '*' : '~'}" cannot be combined with other entries`);
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
    report.fault(
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
    if (parts.length > 2 || name === '') report.fault(at, 'gateway-name', `"${name}" must be a name or namespace/name`);
    else if (parts.length === 2) {
      for (const part of parts) report.faultIf(at, 'gateway-name', part === '.' ? undefined : dnsLabelFault(part));
    } else if (name.includes('.')) {
      report.warn(at, 'gateway-name', `"${name}": write namespace/name instead of a domain name`);
      report.faultIf(at, 'gateway-name', wildcardDomainFault(name));
    } else report.faultIf(at, 'gateway-name', dnsLabelFault(name));
  }
}
