/**
 * Principals of AuthorizationPolicy (`<trust domain>/ns/<namespace>/sa/<service account>`) and the trust domains they name. While a
 * mesh changes its trust domain, policies hold for the old one and the new (pilot/pkg/trustdomain of Istio).
 */

/** The trust domain a principal names: '' when it is no whole principal, as `*` or `spiffe://…`. */
export function trustDomainOfPrincipal(principal: string): string {
  const segments = principal.split('/');
  return segments.length === 5 ? segments[0]! : '';
}

/** Does the principal hold for some trust domains only? `*` and one with a `*` for trust domain hold for all. */
export function pinsTrustDomain(principal: string): boolean {
  return principal.split('/').length === 5 && !principal.startsWith('*/');
}

/** The principal in another trust domain. @throws RangeError when it is no whole principal */
export function inTrustDomain(principal: string, trustDomain: string): string {
  const segments = principal.split('/');
  if (segments.length !== 5) {
    throw new RangeError(`"${principal}" must be <trust domain>/ns/<namespace>/sa/<service account>`);
  }
  return [trustDomain, ...segments.slice(1)].join('/');
}

/**
 * Principals with every trust domain of the mesh. `trustDomains`: the mesh's own first, then its aliases. One that
 * names no trust domain (`*`, a star before the first slash) or a foreign one stays as it is; `cluster.local` always
 * means the mesh's own.
 */
export function expandTrustDomains(principals: readonly string[], trustDomains: readonly string[]): string[] {
  if (trustDomains.length === 0) return [...principals];
  return principals.flatMap((principal) => {
    if (!pinsTrustDomain(principal)) return [principal];
    const own = trustDomainOfPrincipal(principal);
    if (own !== 'cluster.local' && !trustDomains.some((domain) => covers(own, domain))) return [principal];
    // `*bar` already matches every domain with this suffix.
    const all = trustDomains.map((domain) => (covers(own, domain) ? principal : inTrustDomain(principal, domain)));
    return [...new Set(all)];
  });
}

function covers(pattern: string, domain: string): boolean {
  return pattern.startsWith('*') ? domain.endsWith(pattern.slice(1)) : pattern === domain;
}
