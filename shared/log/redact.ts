/** Configuration as it may be shown, in dumps of proxies and of the control plane: without private keys and secrets. */
import { parseKeySet } from '../jwt/key-set.ts';

const REDACTED = Object.freeze({ inlineString: '[redacted]' });
const PRIVATE_KEY: ReadonlySet<string> = new Set(['privateKey', 'private_key']);
const KEY_SET: ReadonlySet<string> = new Set(['localJwks', 'local_jwks']);

/** A copy of a resource in which private keys, and key sets with a secret that signs tokens, read `[redacted]`. */
export function redacted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redacted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      PRIVATE_KEY.has(name) || (KEY_SET.has(name) && !isPublic(field)) ? REDACTED : redacted(field),
    ]),
  );
}

/** Of keys in bytes nothing is known. */
function isPublic(source: unknown): boolean {
  const { inlineString } = (source ?? {}) as { inlineString?: unknown };
  if (typeof inlineString !== 'string') return false;
  // Keys that no proxy uses are left out by the parser.
  return !inlineString.includes('"oct"') && parseKeySet(inlineString).every(({ jwk }) => jwk['kty'] !== 'oct');
}
