/** Where join tokens live: who holds what, and how often it was claimed. */
import { randomBytes } from 'node:crypto';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { makePrivateFolder, readIfPresent, syncFolder, writeDurably } from './files.ts';

export const StoredToken = z.strictObject({
  id: z.string(),
  /** SHA-256 of the secret half, hexadecimal; the token itself is not stored. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  namespace: z.string(),
  serviceAccount: z.string(),
  /** Milliseconds since the epoch. */
  expires: z.number(),
  /** How often it may be claimed; absent: once. */
  uses: z.int().min(2).optional(),
  /** The WorkloadGroup that machines join with it; absent: none. */
  group: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  ephemeral: z.literal(true).optional(),
});
export type StoredToken = z.infer<typeof StoredToken>;

export interface KeptToken {
  readonly token: StoredToken;
  /** `used`: every use of it was claimed. */
  readonly state: 'unused' | 'used' | 'revoked';
  /** How many uses were claimed. */
  readonly claimed: number;
}

/** Every implementation guarantees that exactly `uses` claims of a token succeed, also under concurrency. */
export interface TokenStore {
  add(token: StoredToken): Promise<void>;
  get(id: string): Promise<KeptToken | undefined>;
  /** Takes one use; false where none is left, or the token is revoked. Durable when the promise resolves. */
  claim(token: StoredToken): Promise<boolean>;
  /** Of a token with uses left; false otherwise. Durable when the promise resolves, and no claim succeeds after that. */
  revoke(id: string): Promise<boolean>;
  /** All that are remembered. */
  list(): Promise<KeptToken[]>;
  /** Drops tokens that expired before `before`, milliseconds since the epoch. */
  forget(before: number): Promise<void>;
}

const TOKEN_FILE = /^([0-9a-f]{16})(?:\.used|\.revoked)?\.json$/;
const CLAIMS_FILE = /^([0-9a-f]{16})\.claims$/;

/**
 * One file a token. A claim of a token with one use renames the file, which succeeds for exactly one caller, in this process or
 * another. Claims of a token with several append a line to a second file: the first lines, as many as there are uses, count.
 * @param folder made when absent, 0700
 */
export async function openFileTokenStore(folder: string): Promise<TokenStore> {
  await makePrivateFolder(folder);
  return new FileTokenStore(folder);
}

class FileTokenStore implements TokenStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  add(token: StoredToken): Promise<void> {
    return writeDurably(this.#path(`${token.id}.json`), JSON.stringify(token));
  }

  async get(id: string): Promise<KeptToken | undefined> {
    // Fresh first: a token that is marked between two reads is then still found.
    for (const [name, state] of [
      [`${id}.json`, 'unused'],
      [`${id}.used.json`, 'used'],
      [`${id}.revoked.json`, 'revoked'],
    ] as const) {
      const text = await readIfPresent(this.#path(name));
      if (text !== undefined) return this.#kept(this.#parse(text, id), state);
    }
    return undefined;
  }

  async #kept(token: StoredToken, state: KeptToken['state']): Promise<KeptToken> {
    const { uses } = token;
    if (uses === undefined) return { token, state, claimed: state === 'used' ? 1 : 0 };
    const claimed = Math.min(uses, linesBefore(await this.#claims(token.id)));
    return { token, state: state === 'unused' && claimed === uses ? 'used' : state, claimed };
  }

  async claim({ id, uses }: StoredToken): Promise<boolean> {
    if (uses === undefined) return this.#rename(id, 'used');
    if (linesBefore(await this.#claims(id)) >= uses) return false;
    const own = randomBytes(8).toString('hex');
    const file = await open(this.#path(`${id}.claims`), 'a', 0o600);
    try {
      // In one write at the end of the file: lines of concurrent claims, of other processes too, do not mix.
      await file.write(`${own}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    const claims = await this.#claims(id);
    const before = linesBefore(claims, own);
    if (before === 0) await syncFolder(this.#folder);
    if (before >= uses) return false;
    // A revocation that came between is noticed here: it renamed the file.
    return (await readIfPresent(this.#path(`${id}.json`))) !== undefined;
  }

  async revoke(id: string): Promise<boolean> {
    if ((await this.get(id))?.state !== 'unused') return false;
    return this.#rename(id, 'revoked');
  }

  async list(): Promise<KeptToken[]> {
    const ids = new Set((await readdir(this.#folder)).flatMap((name) => TOKEN_FILE.exec(name)?.[1] ?? []));
    const kept: KeptToken[] = [];
    for (const id of ids) {
      const found = await this.get(id);
      if (found) kept.push(found);
    }
    return kept;
  }

  async forget(before: number): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      const path = this.#path(name);
      const text = TOKEN_FILE.test(name) ? await readIfPresent(path) : undefined;
      const token = text === undefined ? undefined : StoredToken.safeParse(json(text)).data;
      if (token && token.expires < before) {
        await rm(path, { force: true });
        await rm(this.#path(`${token.id}.claims`), { force: true });
      }
      // Leftovers of a crash: of a write, or between the two removals above.
      const leftover = name.endsWith('.tmp') || CLAIMS_FILE.test(name);
      if (leftover && (await olderThan(path, before)) && !(await this.#hasToken(name))) await rm(path, { force: true });
    }
  }

  async #hasToken(name: string): Promise<boolean> {
    const [, id] = CLAIMS_FILE.exec(name) ?? [];
    return id !== undefined && (await this.get(id)) !== undefined;
  }

  async #rename(id: string, state: 'used' | 'revoked'): Promise<boolean> {
    try {
      await rename(this.#path(`${id}.json`), this.#path(`${id}.${state}.json`));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
    await syncFolder(this.#folder);
    return true;
  }

  async #claims(id: string): Promise<string> {
    return (await readIfPresent(this.#path(`${id}.claims`))) ?? '';
  }

  #parse(text: string, id: string): StoredToken {
    const parsed = StoredToken.safeParse(json(text));
    if (parsed.success && parsed.data.id === id) return parsed.data;
    throw new Error(`join token file of "${id}" in ${this.#folder} is broken: remove it`);
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

/** Complete lines before `line`, or all. Half a line that a crash left counts with the next one. */
function linesBefore(text: string, line?: string): number {
  const end = line === undefined ? text.length : text.indexOf(line);
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0 && at < end; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}

async function olderThan(path: string, time: number): Promise<boolean> {
  return stat(path).then(
    (found) => found.mtimeMs < time,
    () => false,
  );
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** In memory, for tests and single runs. */
export function memoryTokenStore(): TokenStore {
  const tokens = new Map<string, KeptToken>();
  return {
    async add(token) {
      tokens.set(token.id, { token, state: 'unused', claimed: 0 });
    },
    get: async (id) => tokens.get(id),
    async claim({ id, uses = 1 }) {
      const found = tokens.get(id);
      if (found?.state !== 'unused') return false;
      const claimed = found.claimed + 1;
      tokens.set(id, { ...found, claimed, state: claimed === uses ? 'used' : 'unused' });
      return true;
    },
    async revoke(id) {
      const found = tokens.get(id);
      if (found?.state !== 'unused') return false;
      tokens.set(id, { ...found, state: 'revoked' });
      return true;
    },
    list: async () => [...tokens.values()],
    async forget(before) {
      for (const [id, { token }] of tokens) if (token.expires < before) tokens.delete(id);
    },
  };
}
