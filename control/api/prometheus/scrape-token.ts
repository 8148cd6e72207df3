/** The token with which Prometheus asks where proxies serve metrics. It opens nothing else. */
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readIfPresent, syncFolder, writeDurably } from '../../ca/files.ts';
import type { SharedState } from '../../store/state/state.ts';
import { type AdminCheck, checkAgainst, sha256 } from '../auth.ts';

/** Where the hash of the token is kept. */
export interface HashPlace {
  readonly hash: string | undefined;
  /** Durable when the promise resolves. */
  write(hash: string): Promise<void>;
  remove(): Promise<void>;
}

/** At most one token at a time, kept as a SHA-256 hash. */
export class ScrapeToken {
  private readonly place: HashPlace;

  constructor(place: HashPlace) {
    this.place = place;
  }

  readonly check: AdminCheck = (token) => this.place.hash !== undefined && checkAgainst(this.place.hash)(token);

  /** Makes a token in the place of the last one. @returns the token, shown this once */
  async create(): Promise<string> {
    const token = `tulle_scrape_${randomBytes(32).toString('base64url')}`;
    await this.place.write(sha256(token).toString('hex'));
    return token;
  }

  /** @returns whether there was one */
  async revoke(): Promise<boolean> {
    if (this.place.hash === undefined) return false;
    await this.place.remove();
    return true;
  }
}

/** A file of mode 0600. @throws Error where it holds no hash */
export async function scrapeTokenFile(path: string): Promise<HashPlace> {
  let hash = (await readIfPresent(path))?.trim();
  if (hash !== undefined && !/^[0-9a-f]{64}$/.test(hash))
    throw new Error(
      `${path}: does not hold a SHA-256 hash; delete it, and make a token with "tulle token create --scrape"`,
    );
  return {
    get hash() {
      return hash;
    },
    async write(next) {
      await writeDurably(path, `${next}\n`);
      hash = next;
    },
    async remove() {
      hash = undefined;
      await rm(path, { force: true });
      await syncFolder(dirname(path));
    },
  };
}

const KEY = 'hashes/scrape-token';

/** Of control planes that share a store. */
export function sharedScrapeToken(state: SharedState): HashPlace {
  return {
    get hash() {
      return state.get(KEY)?.text;
    },
    async write(hash) {
      await state.commit([{ key: KEY, text: hash }]);
    },
    async remove() {
      await state.commit([{ key: KEY, text: undefined }]);
    },
  };
}
