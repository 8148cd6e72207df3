/** Istio's host names: exact, or with a leading `*` that matches any text (pkg/config/host). Case matters: config is lower case. */
import { parseIp } from './cidr.ts';

export function isWildcardHost(host: string): boolean {
  return host.startsWith('*');
}

/** Could the two name the same host? Symmetric; with a concrete `host`: does the pattern match it. */
export function hostMatches(pattern: string, host: string): boolean {
  if (!isWildcardHost(host)) {
    return isWildcardHost(pattern) ? host.endsWith(pattern.slice(1)) : pattern === host;
  }
  if (!isWildcardHost(pattern)) return pattern.endsWith(host.slice(1));
  const a = pattern.slice(1);
  const b = host.slice(1);
  return a.length < b.length ? b.endsWith(a) : a.endsWith(b);
}

/** Is every host that `host` names also named by `other`? */
export function hostSubsetOf(host: string, other: string): boolean {
  if (isWildcardHost(host)) {
    return isWildcardHost(other) && host.length >= other.length && host.slice(1).endsWith(other.slice(1));
  }
  return isWildcardHost(other) ? host.endsWith(other.slice(1)) : host === other;
}

/** Sort order, most specific first: exact before wildcard, longer before shorter, then by code unit. */
export function compareSpecificity(a: string, b: string): number {
  if (a === b) return 0;
  if (a === '' || b === '') return a === '' ? 1 : -1;
  const wildcards = Number(isWildcardHost(a)) - Number(isWildcardHost(b));
  if (wildcards !== 0) return wildcards;
  if (a.length !== b.length) return b.length - a.length;
  return a < b ? -1 : 1;
}

/** A sorted copy, as Istio sorts names for route order: exact ones by name before wildcards, longest wildcard first. */
export function sortHosts(hosts: readonly string[]): string[] {
  return [...hosts].sort(compareSpecificity);
}

/** The most specific of `patterns` (exact first, then the longest wildcard) that matches `host`. */
export function mostSpecificMatch(host: string, patterns: Iterable<string>): string | undefined {
  let best: string | undefined;
  for (const pattern of patterns) {
    if (pattern === host) return pattern;
    if (isWildcardHost(pattern) && hostSubsetOf(host, pattern)) {
      if (best === undefined || compareSpecificity(pattern, best) < 0) best = pattern;
    }
  }
  return best;
}

/** What both lists name, the narrower of each overlapping pair; in order, no repeats. */
export function hostsIntersection(a: readonly string[], b: readonly string[]): string[] {
  const found = new Set<string>();
  for (const left of a) {
    for (const right of b) {
      if (hostSubsetOf(left, right)) found.add(left);
      else if (hostSubsetOf(right, left)) found.add(right);
    }
  }
  return [...found];
}

/** Hosts of a `namespace/host` list (as in Gateway and Sidecar) that a namespace sees; `*` and no namespace are all, `.` is `own`. */
export function hostsForNamespace(hosts: readonly string[], namespace: string, own = namespace): string[] {
  return hosts.flatMap((entry) => {
    const slash = entry.indexOf('/');
    if (slash < 0) return [entry];
    const scope = entry.slice(0, slash);
    const wanted = scope === '*' || scope === namespace || (scope === '.' && own === namespace);
    return wanted ? [entry.slice(slash + 1)] : [];
  });
}

/** Istio's short names: a host without a dot belongs to the namespace (`reviews` -> `reviews.default.svc.cluster.local`). */
export function resolveHost(name: string, namespace: string, domainSuffix: string): string {
  if (name === '' || name === '*' || name.includes('.') || parseIp(name) !== undefined) return name;
  return namespace === '' ? `${name}.svc.${domainSuffix}` : `${name}.${namespace}.svc.${domainSuffix}`;
}
