/** Values of AuthorizationPolicy: `*` any text but none, `*x` suffix, `x*` prefix, else exact (pkg/config/security of Istio). */

/** Does a value of a policy match a text? */
export function authzValueMatches(value: string, text: string): boolean {
  if (value === '*') return text !== '';
  if (value.startsWith('*')) return text.endsWith(value.slice(1));
  return value.endsWith('*') ? text.startsWith(value.slice(0, -1)) : value === text;
}

/** Why a value is refused, or undefined. */
export function authzValueViolation(value: string): string | undefined {
  return value === '' ? 'must not be empty' : undefined;
}

/** Why a value of `trustDomains` is refused, or undefined. */
export function authzTrustDomainViolation(value: string): string | undefined {
  if (value === '') return 'must not be empty';
  if (value.includes('/')) return 'must be a trust domain, without "/"';
  return value !== '*' && value.replace(/^\*|\*$/, '').includes('*')
    ? '"*" is only allowed at the beginning or at the end'
    : undefined;
}
