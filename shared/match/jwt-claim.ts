/** `@request.auth.claims…` in VirtualService header matches: routing on a JWT's claims (istio.io/latest/docs/tasks/security/authentication/jwt-route). */

const PREFIX = '@request.auth.claims';

export interface ClaimRoute {
  /** `@request.auth.claims.a.b` or `@request.auth.claims[a][b]`. */
  separator: 'dot' | 'brackets';
  claims: string[];
}

/** The claim path a header key names, or undefined when it is an ordinary header. */
export function parseClaimRoute(key: string): ClaimRoute | undefined {
  if (key.slice(0, PREFIX.length).toLowerCase() !== PREFIX) return undefined;
  const rest = key.slice(PREFIX.length);
  if (rest.startsWith('.') && rest.length > 1) return { separator: 'dot', claims: rest.slice(1).split('.') };
  if (rest.startsWith('[') && rest.endsWith(']') && rest.length > 2) {
    return { separator: 'brackets', claims: rest.slice(1, -1).split('][') };
  }
  return undefined;
}
