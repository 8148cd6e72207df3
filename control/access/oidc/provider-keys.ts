/**
 * The keys of an OpenID provider: found by discovery, kept, and fetched again for a key id that is not known. Without keys, or with
 * keys that could not be confirmed for a day, no token is valid.
 */
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { parseKeySet } from '../../../shared/jwt/key-set.ts';
import type { Log } from '../../../shared/log/log.ts';
import { FetchError, type KeyFetcher } from '../../jwks/key-fetcher.ts';
import { fetchKeys } from '../../jwks/key-source.ts';

export interface ProviderKeysOptions {
  readonly issuer: string;
  readonly fetcher: KeyFetcher;
  /** Milliseconds after which keys are fetched again, unasked. */
  readonly refreshMs: number;
  readonly log: Log;
  /** Milliseconds, never going back. */
  readonly now?: () => number;
}

/** Of one document. */
const TIMEOUT_MS = 5000;
/** Between two fetches: tokens with made-up key ids must not make us ask the provider again and again. */
const COOL_DOWN_MS = 10_000;
/** While the provider cannot be asked. */
const MAX_AGE_MS = 24 * 3_600_000;

export class ProviderKeys {
  readonly #options: ProviderKeysOptions;
  readonly #now: () => number;
  #keySet: JWTVerifyGetKey | undefined;
  /** When the keys were fetched, and when a fetch was begun. */
  #fetched = Number.NEGATIVE_INFINITY;
  #begun = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | undefined;
  #failure: string | undefined;

  constructor(options: ProviderKeysOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Verifies with the keys that are known, and once more with fresh ones where the key is not among them.
   * @throws JOSEError what `verify` throws; JWKSNoMatchingKey where there are no keys
   */
  async verifying<T>(verify: (keys: JWTVerifyGetKey) => Promise<T>): Promise<T> {
    await this.#refreshed();
    try {
      return await this.#withCurrent(verify);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !this.#mayFetch()) throw error;
    }
    await this.#fetch();
    return this.#withCurrent(verify);
  }

  /** Fetches the keys, so that the first user does not wait. A failure is logged. */
  async prepare(): Promise<void> {
    await this.#fetch();
  }

  async #withCurrent<T>(verify: (keys: JWTVerifyGetKey) => Promise<T>): Promise<T> {
    if (!this.#keySet || this.#now() - this.#fetched > MAX_AGE_MS) throw new errors.JWKSNoMatchingKey();
    try {
      return await verify(this.#keySet);
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      // The token names no key, and several could be meant.
      for await (const key of error) {
        try {
          return await verify(async () => key);
        } catch (each) {
          if (!(each instanceof errors.JWSSignatureVerificationFailed)) throw each;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  }

  /** Fresh keys where there are none; old ones are used while they are fetched. */
  async #refreshed(): Promise<void> {
    if (this.#now() - this.#fetched < this.#options.refreshMs) return;
    if (!this.#fetching && !this.#mayFetch()) return;
    const fetching = this.#fetch();
    if (!this.#keySet) await fetching;
  }

  #mayFetch(): boolean {
    return this.#fetching !== undefined || this.#now() - this.#begun >= COOL_DOWN_MS;
  }

  /** One at a time. Never rejects. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#fetchOnce().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetchOnce(): Promise<void> {
    const { issuer, fetcher, log } = this.#options;
    this.#begun = this.#now();
    try {
      const text = await fetchKeys(fetcher, { source: { issuer }, timeoutMs: TIMEOUT_MS, namespaces: [''] });
      // Those that can be used alone, without private parts.
      const keys = parseKeySet(text)
        .filter(({ jwk }) => jwk['kty'] !== 'oct')
        .map(({ kid, alg, jwk }) => ({ ...jwk, ...(kid && { kid }), ...(alg && { alg }) }));
      this.#keySet = createLocalJWKSet({ keys } as JSONWebKeySet);
      this.#fetched = this.#now();
      if (this.#failure !== undefined) log(`OpenID provider ${issuer}: its keys are fetched again`, 'info');
      this.#failure = undefined;
    } catch (error) {
      const reason = error instanceof FetchError ? error.message : `unexpected: ${(error as Error).message}`;
      if (reason !== this.#failure) log(`OpenID provider ${issuer}: its keys cannot be fetched: ${reason}`, 'warn');
      this.#failure = reason;
    }
  }
}
