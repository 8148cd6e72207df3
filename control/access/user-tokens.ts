/**
 * Bearer tokens of users: random, kept hashed, expiring, and revocable. A token is `tulle_user_<id>_<secret>`: the id finds it,
 * the hash of the whole proves it.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';
import { readIfPresent, writeDurably } from '../ca/files.ts';
import type { SharedState } from '../store/state/state.ts';
import type { User } from './user.ts';

/** Seconds that a token lives. */
export const USER_TOKEN_SECONDS = { default: 30 * 86_400, min: 60, max: 366 * 86_400 } as const;
/** Tokens at a time; expired ones do not count. */
const MAX_TOKENS = 10_000;

const Stored = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  /** SHA-256 of the token, hexadecimal. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  user: z.string(),
  groups: z.array(z.string()),
  /** Milliseconds since the epoch. */
  created: z.number(),
  expires: z.number(),
});
type Stored = z.infer<typeof Stored>;

export type UserTokenSummary = Omit<Stored, 'hash'>;

/** `token` undefined: it is revoked, or has expired. */
export interface UserTokenChange {
  readonly id: string;
  readonly token: Stored | undefined;
}

/** Where tokens live; one `save` at a time. */
export interface UserTokenStore {
  load(): Promise<readonly Stored[]>;
  /** Durable when the promise resolves. @param all the tokens with this change, for a store that writes all of them */
  save(change: UserTokenChange, all: readonly Stored[]): Promise<void>;
  /** Calls back with changes that others made, perhaps with own ones too. */
  follow?(changed: (changes: readonly UserTokenChange[]) => void): void;
}

/** One file of mode 0600. @throws Error from `load` when it is broken: without it valid tokens are not known */
export function fileUserTokenStore(path: string): UserTokenStore {
  return {
    async load() {
      const text = await readIfPresent(path);
      if (text === undefined) return [];
      const parsed = z.array(Stored).safeParse(jsonOf(text));
      if (parsed.success) return parsed.data;
      throw new Error(`${path}: does not hold user tokens; delete it to revoke them all`);
    },
    save: (_change, tokens) => writeDurably(path, JSON.stringify(tokens)),
  };
}

/** One record for each token, of control planes that share a store. */
export function sharedUserTokenStore(state: SharedState, now: () => number = Date.now): UserTokenStore {
  return {
    load: async () => state.entries(FOLDER).map(({ key, text }) => storedOf(key, text)),
    async save({ id, token }) {
      await state.commit([{ key: `${FOLDER}/${id}`, text: token && JSON.stringify(token) }]);
      const expired = state.entries(FOLDER).filter(({ key, text }) => storedOf(key, text).expires <= now());
      for (const { key } of expired) await state.commit([{ key, text: undefined }]);
    },
    follow: (changed) =>
      void state.onChange(FOLDER, (changes) =>
        changed(
          changes.map(({ key, text }) => ({
            id: key.slice(FOLDER.length + 1),
            token: text === undefined ? undefined : storedOf(key, text),
          })),
        ),
      ),
  };
}

const FOLDER = 'user-tokens';

/** @throws Error naming the record */
function storedOf(key: string, text: string): Stored {
  const parsed = Stored.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw new Error(`${key} of the store does not hold a user token: remove it`);
}

/** There are as many as there may be. */
export class UserTokenLimitError extends Error {
  override name = 'UserTokenLimitError';
}

export class UserTokens {
  readonly #store: UserTokenStore;
  readonly #now: () => number;
  readonly #tokens: Map<string, Stored>;
  #saving: Promise<void> = Promise.resolve();

  private constructor(store: UserTokenStore, now: () => number, tokens: readonly Stored[]) {
    this.#store = store;
    this.#now = now;
    this.#tokens = new Map(tokens.map((token) => [token.id, token]));
  }

  static async open(store: UserTokenStore, now: () => number = Date.now): Promise<UserTokens> {
    const tokens = new UserTokens(store, now, await store.load());
    store.follow?.((changes) => {
      for (const { id, token } of changes)
        if (token) tokens.#tokens.set(id, token);
        else tokens.#tokens.delete(id);
    });
    return tokens;
  }

  /** @returns the token, which cannot be read again @throws UserTokenLimitError */
  async create(
    user: Pick<User, 'name' | 'groups'>,
    seconds: number = USER_TOKEN_SECONDS.default,
  ): Promise<UserTokenSummary & { token: string }> {
    this.#forgetExpired();
    if (this.#tokens.size >= MAX_TOKENS)
      throw new UserTokenLimitError(`there are ${MAX_TOKENS} user tokens: revoke some ("tulle token revoke")`);
    const id = randomBytes(8).toString('hex');
    const token = `tulle_user_${id}_${randomBytes(32).toString('base64url')}`;
    const created = this.#now();
    const summary = { id, user: user.name, groups: [...user.groups], created, expires: created + seconds * 1000 };
    const stored = { ...summary, hash: sha256(token).toString('hex') };
    this.#tokens.set(id, stored);
    try {
      await this.#save({ id, token: stored });
    } catch (error) {
      this.#tokens.delete(id);
      throw error;
    }
    return { ...summary, token };
  }

  /** The user of a valid token. */
  check(token: string): User | undefined {
    const [, id] = /^tulle_user_([0-9a-f]{16})_/.exec(token) ?? [];
    const found = id === undefined ? undefined : this.#tokens.get(id);
    if (!found || found.expires <= this.#now()) return undefined;
    if (!timingSafeEqual(sha256(token), Buffer.from(found.hash, 'hex'))) return undefined;
    return { name: found.user, groups: found.groups };
  }

  list(): UserTokenSummary[] {
    this.#forgetExpired();
    return [...this.#tokens.values()].map(({ hash: _, ...summary }) => summary);
  }

  /** @returns the token as it was; undefined: it is not known. Refused from now on, durably when the promise resolves */
  async revoke(id: string): Promise<UserTokenSummary | undefined> {
    const found = this.#tokens.get(id);
    if (!found) return undefined;
    this.#tokens.delete(id);
    await this.#save({ id, token: undefined });
    const { hash: _, ...summary } = found;
    return summary;
  }

  #forgetExpired(): void {
    const now = this.#now();
    for (const [id, { expires }] of this.#tokens) if (expires <= now) this.#tokens.delete(id);
  }

  #save(change: UserTokenChange): Promise<void> {
    this.#saving = this.#saving.catch(() => {}).then(() => this.#store.save(change, [...this.#tokens.values()]));
    return this.#saving;
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest();

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
