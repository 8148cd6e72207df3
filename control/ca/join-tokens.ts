/** Join tokens: how a workload without a certificate proves, once, which service account it is. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { makePrivateFolder, readIfPresent, syncFolder, writeDurably } from './files.ts';

export const joinTokenTtlSeconds = { default: 3600, min: 10, max: 30 * 24 * 3600 } as const;
const TOKEN = /^tulle\.([0-9a-f]{16})\.([A-Za-z0-9_-]{43})$/;
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

/** Where tokens live. Every implementation guarantees that exactly one claim of a token succeeds, also under concurrency. */
export interface TokenStore {
  add(token: StoredToken): Promise<void>;
  get(id: string): Promise<{ token: StoredToken; used: boolean } | undefined>;
  /** Marks a token used; false when it already was. Durable when the promise resolves. */
  claim(id: string): Promise<boolean>;
  /** Drops tokens that expired before `before`, milliseconds since the epoch. */
  forget(before: number): Promise<void>;
}

export type JoinTokenErrorCode = 'unknown' | 'used' | 'expired';
const messages: Record<JoinTokenErrorCode, string> = {
  unknown: 'join token is not known here: make one with "tulle token create"',
  used: 'join token was already used, it works once: make another with "tulle token create"',
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
    if (!(await this.#store.claim(id))) throw new JoinTokenError('used');
    return claim;
  }

  /** The secret is compared first and in constant time: without it a caller learns nothing about a token. */
  async #find(text: string): Promise<{ id: string; claim: JoinClaim }> {
    const [, id = '', secret = ''] = TOKEN.exec(text) ?? [];
    const found = id === '' ? undefined : await this.#store.get(id);
    const expected = Buffer.from(found?.token.hash ?? hash(''), 'hex');
    const equal = timingSafeEqual(expected, Buffer.from(hash(secret), 'hex'));
    if (!found || !equal) throw new JoinTokenError('unknown');
    if (found.used) throw new JoinTokenError('used');
    if (this.#now() >= found.token.expires) throw new JoinTokenError('expired');
    const { namespace, serviceAccount } = found.token;
    return { id, claim: { namespace, serviceAccount } };
  }
}

/**
 * One file a token; a claim renames the file, which succeeds for exactly one caller, in this process or another.
 * @param folder made when absent, 0700
 */
export async function openFileTokenStore(folder: string): Promise<TokenStore> {
  await makePrivateFolder(folder);
  const fresh = (id: string) => join(folder, `${id}.json`);
  const used = (id: string) => join(folder, `${id}.used.json`);
  return {
    add: (token) => writeDurably(fresh(token.id), JSON.stringify(token)),
    async get(id) {
      // Fresh first: a claim between the two reads is then still found.
      const freshText = await readIfPresent(fresh(id));
      const text = freshText ?? (await readIfPresent(used(id)));
      if (text === undefined) return undefined;
      return { token: parseToken(text, id, folder), used: freshText === undefined };
    },
    async claim(id) {
      try {
        await rename(fresh(id), used(id));
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
        const text = /^[0-9a-f]{16}(\.used)?\.json$/.test(name) ? await readIfPresent(path) : undefined;
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
  const tokens = new Map<string, { token: StoredToken; used: boolean }>();
  return {
    async add(token) {
      tokens.set(token.id, { token, used: false });
    },
    get: async (id) => tokens.get(id),
    async claim(id) {
      const found = tokens.get(id);
      if (!found || found.used) return false;
      tokens.set(id, { ...found, used: true });
      return true;
    },
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
