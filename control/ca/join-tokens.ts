/** Join tokens: how a workload without a certificate proves, once, which service account it is. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { makePrivateFolder, readIfPresent, syncFolder, writeDurably } from './files.ts';

export const joinTokenTtlSeconds = { default: 3600, min: 10, max: 30 * 24 * 3600 } as const;
const TOKEN = /^tulle\.([0-9a-f]{16})\.([A-Za-z0-9_-]{43})$/;
const TOKEN_ID = /^[0-9a-f]{16}$/;
/** How long a spent or expired token is remembered, so that its second use is distinguished from an invented token. */
const MEMORY_MS = 7 * 24 * 3_600_000;

export interface JoinClaim {
  namespace: string;
  serviceAccount: string;
}

const StoredToken = z.strictObject({
  id: z.string(),
  /** SHA-256 of the secret half, hexadecimal; the token itself is not stored. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  namespace: z.string(),
  serviceAccount: z.string(),
  /** Milliseconds since the epoch. */
  expires: z.number(),
});
export type StoredToken = z.infer<typeof StoredToken>;

export type TokenState = 'unused' | 'used' | 'revoked' | 'expired';

/** What may be shown of a token. */
export interface TokenSummary extends JoinClaim {
  readonly id: string;
  readonly state: TokenState;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

interface KeptToken {
  readonly token: StoredToken;
  readonly state: Exclude<TokenState, 'expired'>;
}

/** Where tokens live. Every implementation guarantees that exactly one claim of a token succeeds, also under concurrency. */
export interface TokenStore {
  add(token: StoredToken): Promise<void>;
  get(id: string): Promise<KeptToken | undefined>;
  /** Marks an unused token; false when it is not unused any more. Durable when the promise resolves. */
  mark(id: string, state: 'used' | 'revoked'): Promise<boolean>;
  /** All that are remembered. */
  list(): Promise<KeptToken[]>;
  /** Drops tokens that expired before `before`, milliseconds since the epoch. */
  forget(before: number): Promise<void>;
}

export type JoinTokenErrorCode = 'unknown' | 'used' | 'expired' | 'revoked';
const messages: Record<JoinTokenErrorCode, string> = {
  unknown: 'join token is not known here: make one with "tulle token create"',
  used: 'join token was already used, it works once: make another with "tulle token create"',
  revoked: 'join token was revoked: make another with "tulle token create"',
  expired: 'join token has expired: make another with "tulle token create"',
};

export class JoinTokenError extends Error {
  override name = 'JoinTokenError';
  readonly code: JoinTokenErrorCode;
  constructor(code: JoinTokenErrorCode) {
    super(messages[code]);
    this.code = code;
  }
}

export class JoinTokens {
  readonly #store: TokenStore;
  readonly #now: () => number;

  constructor(store: TokenStore, now: () => number = Date.now) {
    this.#store = store;
    this.#now = now;
  }

  /** Makes a token for a service account. @param ttl seconds @returns the token, shown this once, and its expiry in ms */
  async create(
    claim: JoinClaim,
    ttl: number = joinTokenTtlSeconds.default,
  ): Promise<{ token: string; expires: number }> {
    const { min, max } = joinTokenTtlSeconds;
    if (!Number.isInteger(ttl) || ttl < min || ttl > max) {
      throw new RangeError(`join token life time must be ${min} to ${max} seconds`);
    }
    const now = this.#now();
    await this.#store.forget(now - MEMORY_MS);
    const id = randomBytes(8).toString('hex');
    const secret = randomBytes(32).toString('base64url');
    const expires = now + ttl * 1000;
    const { namespace, serviceAccount } = claim;
    await this.#store.add({ id, hash: hash(secret), namespace, serviceAccount, expires });
    return { token: `tulle.${id}.${secret}`, expires };
  }

  /** The workload a token is for, without claiming it. @throws JoinTokenError */
  async peek(token: string): Promise<JoinClaim> {
    return (await this.#find(token)).claim;
  }

  /** Claims a token. Of several concurrent callers exactly one succeeds. @throws JoinTokenError */
  async redeem(token: string): Promise<JoinClaim> {
    const { id, claim } = await this.#find(token);
    if (!(await this.#store.mark(id, 'used'))) throw new JoinTokenError('used');
    return claim;
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
    await this.#store.mark(id, 'revoked');
    const kept = await this.#store.get(id);
    return kept && this.#summary(kept);
  }

  #summary({ token, state }: KeptToken): TokenSummary {
    const { id, namespace, serviceAccount, expires } = token;
    const expired = state === 'unused' && this.#now() >= expires;
    return { id, namespace, serviceAccount, expires, state: expired ? 'expired' : state };
  }

  /** The secret is compared first and in constant time: without it a caller learns nothing about a token. */
  async #find(text: string): Promise<{ id: string; claim: JoinClaim }> {
    const [, id = '', secret = ''] = TOKEN.exec(text) ?? [];
    const found = id === '' ? undefined : await this.#store.get(id);
    const expected = Buffer.from(found?.token.hash ?? hash(''), 'hex');
    const equal = timingSafeEqual(expected, Buffer.from(hash(secret), 'hex'));
    if (!found || !equal) throw new JoinTokenError('unknown');
    if (found.state !== 'unused') throw new JoinTokenError(found.state);
    if (this.#now() >= found.token.expires) throw new JoinTokenError('expired');
    const { namespace, serviceAccount } = found.token;
    return { id, claim: { namespace, serviceAccount } };
  }
}

/** The id of a token that was found: what may be shown of it. */
export const tokenId = (token: string): string => TOKEN.exec(token)?.[1] ?? '';

const TOKEN_FILE = /^([0-9a-f]{16})(?:\.used|\.revoked)?\.json$/;

/**
 * One file a token; a claim renames the file, which succeeds for exactly one caller, in this process or another.
 * @param folder made when absent, 0700
 */
export async function openFileTokenStore(folder: string): Promise<TokenStore> {
  await makePrivateFolder(folder);
  const fresh = (id: string) => join(folder, `${id}.json`);
  const marked = (id: string, state: 'used' | 'revoked') => join(folder, `${id}.${state}.json`);
  const get: TokenStore['get'] = async (id) => {
    // Fresh first: a token that is marked between two reads is then still found.
    const places = [
      [fresh(id), 'unused'],
      [marked(id, 'used'), 'used'],
      [marked(id, 'revoked'), 'revoked'],
    ] as const;
    for (const [path, state] of places) {
      const text = await readIfPresent(path);
      if (text !== undefined) return { token: parseToken(text, id, folder), state };
    }
    return undefined;
  };
  return {
    add: (token) => writeDurably(fresh(token.id), JSON.stringify(token)),
    get,
    async list() {
      const ids = new Set((await readdir(folder)).flatMap((name) => TOKEN_FILE.exec(name)?.[1] ?? []));
      const kept: KeptToken[] = [];
      for (const id of ids) {
        const found = await get(id);
        if (found) kept.push(found);
      }
      return kept;
    },
    async mark(id, state) {
      try {
        await rename(fresh(id), marked(id, state));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
        throw error;
      }
      await syncFolder(folder);
      return true;
    },
    async forget(before) {
      for (const name of await readdir(folder)) {
        const path = join(folder, name);
        const text = TOKEN_FILE.test(name) ? await readIfPresent(path) : undefined;
        const token = text === undefined ? undefined : StoredToken.safeParse(json(text)).data;
        if (token && token.expires < before) await rm(path, { force: true });
        // Leftovers of a crash during a write.
        if (name.endsWith('.tmp') && (await olderThan(path, before))) await rm(path, { force: true });
      }
    },
  };
}

/** In memory, for tests and single runs. */
export function memoryTokenStore(): TokenStore {
  const tokens = new Map<string, KeptToken>();
  return {
    async add(token) {
      tokens.set(token.id, { token, state: 'unused' });
    },
    get: async (id) => tokens.get(id),
    async mark(id, state) {
      const found = tokens.get(id);
      if (found?.state !== 'unused') return false;
      tokens.set(id, { ...found, state });
      return true;
    },
    list: async () => [...tokens.values()],
    async forget(before) {
      for (const [id, { token }] of tokens) if (token.expires < before) tokens.delete(id);
    },
  };
}

async function olderThan(path: string, time: number): Promise<boolean> {
  return stat(path).then(
    (found) => found.mtimeMs < time,
    () => false,
  );
}

function parseToken(text: string, id: string, folder: string): StoredToken {
  const parsed = StoredToken.safeParse(json(text));
  if (parsed.success && parsed.data.id === id) return parsed.data;
  throw new Error(`join token file of "${id}" in ${folder} is broken: remove it`);
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const hash = (secret: string): string => createHash('sha256').update(secret).digest('hex');
