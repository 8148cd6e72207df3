/** Join tokens: how a workload without a certificate proves, once or a number of times, which service account it is. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { KeptToken, StoredToken, TokenStore } from './token-store.ts';

export const joinTokenTtlSeconds = { default: 3600, min: 10, max: 30 * 24 * 3600 } as const;
export const joinTokenUses = { default: 1, min: 1, max: 10_000 } as const;
/** Tokens that may still be used, at a time: what is kept is bounded, and a script that makes tokens in a loop is noticed. */
const MOST_UNUSED = { perIdentity: 1000, perNamespace: 5000 };
const TOKEN = /^tulle\.([0-9a-f]{16})\.([A-Za-z0-9_-]{43})$/;
const TOKEN_ID = /^[0-9a-f]{16}$/;
/** How long a spent or expired token is remembered, so that its second use is distinguished from an invented token. */
const MEMORY_MS = 7 * 24 * 3_600_000;

export interface JoinClaim {
  namespace: string;
  serviceAccount: string;
}

/** What a token is for. */
export interface TokenGrant extends JoinClaim {
  /** The WorkloadGroup that machines join with it; undefined: none. */
  readonly group?: string | undefined;
  /** Added to the labels of the group. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly ephemeral?: boolean | undefined;
}

/** A grant, and the token that it was found by. */
export interface TokenHolder extends TokenGrant {
  readonly id: string;
}

export type TokenState = 'unused' | 'used' | 'revoked' | 'expired';

/** What may be shown of a token. */
export interface TokenSummary extends TokenGrant {
  readonly id: string;
  /** `used`: no use of it is left. */
  readonly state: TokenState;
  readonly uses: number;
  readonly usesLeft: number;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

export type JoinTokenErrorCode = 'unknown' | 'used' | 'expired' | 'revoked';
const REMEDY = 'make another with "tulle invite" or "tulle token create"';
const messages: Record<JoinTokenErrorCode, string> = {
  unknown: `join token is not known here: ${REMEDY}`,
  used: `join token was already used as often as it may be: ${REMEDY}`,
  revoked: `join token was revoked: ${REMEDY}`,
  expired: `join token has expired: ${REMEDY}`,
};

export class JoinTokenError extends Error {
  override name = 'JoinTokenError';
  readonly code: JoinTokenErrorCode;
  constructor(code: JoinTokenErrorCode) {
    super(messages[code]);
    this.code = code;
  }
}

/** There are as many unused tokens as there may be; the message names the limit. */
export class TokenLimitError extends Error {
  override name = 'TokenLimitError';
}

export class JoinTokens {
  readonly #store: TokenStore;
  readonly #now: () => number;

  constructor(store: TokenStore, now: () => number = Date.now) {
    this.#store = store;
    this.#now = now;
  }

  /**
   * Makes a token for a service account.
   * @param ttl seconds
   * @param uses how often it may be claimed, see joinTokenUses
   * @returns the token, shown this once, and its expiry in ms
   * @throws TokenLimitError
   */
  async create(
    grant: TokenGrant,
    ttl: number = joinTokenTtlSeconds.default,
    uses: number = joinTokenUses.default,
  ): Promise<{ id: string; token: string; expires: number }> {
    checkRange('join token life time', ttl, joinTokenTtlSeconds, ' seconds');
    checkRange('uses of a join token', uses, joinTokenUses, '');
    const now = this.#now();
    await this.#store.forget(now - MEMORY_MS);
    await this.#checkRoom(grant);
    const id = randomBytes(8).toString('hex');
    const secret = randomBytes(32).toString('base64url');
    const expires = now + ttl * 1000;
    await this.#store.add(storedToken(grant, { id, hash: hash(secret), expires, uses }));
    return { id, token: `tulle.${id}.${secret}`, expires };
  }

  /** What a token is for, without claiming it. @throws JoinTokenError */
  async peek(token: string): Promise<TokenHolder> {
    return holderOf(await this.#find(token));
  }

  /** Claims a use of a token. Of concurrent callers as many succeed as it has uses. @throws JoinTokenError */
  async redeem(token: string): Promise<TokenHolder> {
    const found = await this.#find(token);
    if (!(await this.#store.claim(found)))
      throw new JoinTokenError((await this.#store.get(found.id))?.state === 'revoked' ? 'revoked' : 'used');
    return holderOf(found);
  }

  /** The tokens of a namespace, or of all, those that expire last first. */
  async list(namespace?: string): Promise<TokenSummary[]> {
    const kept = (await this.#store.list()).filter(
      ({ token }) => namespace === undefined || token.namespace === namespace,
    );
    return kept.map((one) => this.#summary(one)).sort((a, b) => b.expires - a.expires);
  }

  /** @returns the token as it is then; undefined: no token of this id is remembered */
  async revoke(id: string): Promise<TokenSummary | undefined> {
    if (!TOKEN_ID.test(id)) return undefined;
    await this.#store.revoke(id);
    const kept = await this.#store.get(id);
    return kept && this.#summary(kept);
  }

  async #checkRoom({ namespace, serviceAccount }: JoinClaim): Promise<void> {
    const unused = (await this.list(namespace)).filter(({ state }) => state === 'unused');
    const own = unused.filter((token) => token.serviceAccount === serviceAccount);
    const { perIdentity, perNamespace } = MOST_UNUSED;
    const limit =
      own.length >= perIdentity
        ? `${perIdentity} unused join tokens of service account "${serviceAccount}" of namespace "${namespace}"`
        : unused.length >= perNamespace && `${perNamespace} unused join tokens of namespace "${namespace}"`;
    if (limit)
      throw new TokenLimitError(
        `the limit of ${limit} is reached: revoke some with "tulle token revoke", or use --uses`,
      );
  }

  #summary({ token, state, claimed }: KeptToken): TokenSummary {
    const { expires, uses = 1 } = token;
    const expired = state === 'unused' && this.#now() >= expires;
    const usesLeft = state === 'unused' && !expired ? uses - claimed : 0;
    return { ...holderOf(token), uses, usesLeft, expires, state: expired ? 'expired' : state };
  }

  /** The secret is compared first and in constant time: without it a caller learns nothing about a token. */
  async #find(text: string): Promise<StoredToken> {
    const [, id = '', secret = ''] = TOKEN.exec(text) ?? [];
    const found = id === '' ? undefined : await this.#store.get(id);
    const expected = Buffer.from(found?.token.hash ?? hash(''), 'hex');
    const equal = timingSafeEqual(expected, Buffer.from(hash(secret), 'hex'));
    if (!found || !equal) throw new JoinTokenError('unknown');
    if (found.state !== 'unused') throw new JoinTokenError(found.state);
    if (this.#now() >= found.token.expires) throw new JoinTokenError('expired');
    return found.token;
  }
}

/** A token without what only invitations have keeps its first form, which earlier versions read. */
function storedToken(
  { namespace, serviceAccount, group, labels, ephemeral }: TokenGrant,
  { uses, ...fields }: Pick<StoredToken, 'id' | 'hash' | 'expires'> & { uses: number },
): StoredToken {
  return {
    ...fields,
    namespace,
    serviceAccount,
    ...(uses > 1 && { uses }),
    ...(group !== undefined && { group }),
    ...(labels && Object.keys(labels).length > 0 && { labels: { ...labels } }),
    ...(ephemeral && { ephemeral: true as const }),
  };
}

function holderOf({ id, namespace, serviceAccount, group, labels, ephemeral }: StoredToken): TokenHolder {
  return {
    id,
    namespace,
    serviceAccount,
    ...(group !== undefined && { group }),
    ...(labels && { labels }),
    ...(ephemeral && { ephemeral }),
  };
}

/** @throws RangeError */
function checkRange(what: string, value: number, { min, max }: { min: number; max: number }, unit: string): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw new RangeError(`${what} must be ${min} to ${max}${unit}`);
}

const hash = (secret: string): string => createHash('sha256').update(secret).digest('hex');
