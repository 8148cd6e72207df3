/** `@request.auth.claims…` in VirtualService header matches: routing on a JWT's claims (istio.io/latest/docs/tasks/security/authentication/jwt-route). */

const PREFIX = '@request.auth.claims';
/** How deep a claim of a JoinPolicy may be. */
const MAX_CLAIM_STEPS = 8;

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

/**
 * The steps to a claim that a JoinPolicy names: `realm.role` leads into a nested claim; in brackets a name may have dots
 * itself, as `[kubernetes.io][namespace]`. Undefined: the text names no claim.
 */
export function parseClaimPath(text: string): readonly string[] | undefined {
  const bracketed = text.startsWith('[');
  if (bracketed && !(text.endsWith(']') && text.length > 2)) return undefined;
  const steps = bracketed ? text.slice(1, -1).split('][') : text.split('.');
  return steps.length <= MAX_CLAIM_STEPS && steps.every((step) => step !== '' && !/[[\]]/.test(step))
    ? steps
    : undefined;
}
