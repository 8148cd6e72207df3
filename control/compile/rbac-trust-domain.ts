/** Trust-domain aliases in principals: while a mesh changes its trust domain, policies hold for the old and the new. */

/**
 * Principals with every trust domain of the mesh. `trustDomains`: the mesh's own first, then its aliases. One that
 * names no trust domain (`*`, a star before the first slash) or a foreign one stays as it is; `cluster.local` always
 * means the mesh's own.
 */
export function expandTrustDomains(principals: readonly string[], trustDomains: readonly string[]): string[] {
  if (trustDomains.length === 0) return [...principals];
  return principals.flatMap((principal) => {
    const segments = principal.split('/');
    const own = segments[0]!;
    if (segments.length !== 5 || own === '*') return [principal];
    if (own !== 'cluster.local' && !trustDomains.some((domain) => covers(own, domain))) return [principal];
    const rest = principal.slice(own.length);
    // `*bar` already stands for every domain that ends so.
    return [...new Set(trustDomains.map((domain) => (covers(own, domain) ? principal : domain + rest)))];
  });
}

function covers(pattern: string, domain: string): boolean {
  return pattern.startsWith('*') ? domain.endsWith(pattern.slice(1)) : pattern === domain;
}
