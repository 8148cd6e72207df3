/** Signatures of tokens (RFC 7518 section 3, RFC 8037), verified with the keys of one set. */
import type { CryptoKey } from '../../../../shared/identity/keys.ts';
import type { Algorithm, Key } from '../../../../shared/jwt/key-set.ts';
import { verification } from '../../../../shared/jwt/verification.ts';
import { ED25519_WRONG_LENGTH, NO_MATCHING_KEY, OK, type Status, VERIFICATION_FAILED } from './status.ts';
import type { Token } from './token.ts';

/** Keys that one token is tried with. */
const MAX_ATTEMPTS = 16;

/** Verifies signatures with the keys of one set, whose imported forms it keeps. */
export class KeySet {
  private readonly keys: readonly Key[];
  private readonly imported = new Map<Key, Map<Algorithm, Promise<CryptoKey | undefined>>>();

  constructor(keys: readonly Key[]) {
    this.keys = keys;
  }

  /** As in Envoy: a key matches unless its `kid` or its `alg` is another one than the token's. */
  async verify(token: Token): Promise<Status> {
    const { alg, kid } = token;
    const matching = this.keys.filter(
      (key) => (kid === '' || key.kid === '' || key.kid === kid) && (key.alg === '' || key.alg === alg),
    );
    if (matching.length === 0) return NO_MATCHING_KEY;
    const usable = matching.filter((key) => key.algorithms.includes(alg)).slice(0, MAX_ATTEMPTS);
    if (usable.length > 0 && alg === 'EdDSA' && token.signature.length !== 64) return ED25519_WRONG_LENGTH;
    for (const key of usable) if (await this.isSignedBy(token, key)) return OK;
    return VERIFICATION_FAILED;
  }

  private async isSignedBy({ alg, signature, signed }: Token, key: Key): Promise<boolean> {
    const imported = await this.importKey(key, alg);
    if (!imported) return false;
    try {
      return await crypto.subtle.verify(verification(alg), imported, signature, signed);
    } catch {
      // A signature that cannot belong to the key, as one of another length.
      return false;
    }
  }

  /** Undefined: this runtime does not take the key, as one that is no point of its curve. */
  private importKey(key: Key, alg: Algorithm): Promise<CryptoKey | undefined> {
    let forms = this.imported.get(key);
    if (!forms) this.imported.set(key, (forms = new Map()));
    let imported = forms.get(alg);
    if (!imported) {
      imported = crypto.subtle.importKey('jwk', key.jwk, verification(alg), false, ['verify']).catch(() => undefined);
      forms.set(alg, imported);
    }
    return imported;
  }
}
