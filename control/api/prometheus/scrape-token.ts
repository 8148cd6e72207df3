/** The token with which Prometheus asks where proxies serve metrics. It opens nothing else. */
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readIfPresent, syncFolder, writeDurably } from '../../ca/files.ts';
import { type AdminCheck, checkAgainst, sha256 } from '../auth.ts';

/** At most one token at a time, kept as a SHA-256 hash in a file of mode 0600. */
export class ScrapeToken {
  private readonly path: string;
  private hash: string | undefined;

  private constructor(path: string, hash: string | undefined) {
    this.path = path;
    this.hash = hash;
  }

  /** @throws Error where the file holds no hash */
  static async open(path: string): Promise<ScrapeToken> {
    const hash = (await readIfPresent(path))?.trim();
    if (hash !== undefined && !/^[0-9a-f]{64}$/.test(hash))
      throw new Error(
        `${path}: does not hold a SHA-256 hash; delete it, and make a token with "tulle token create --scrape"`,
      );
    return new ScrapeToken(path, hash);
  }

  readonly check: AdminCheck = (token) => this.hash !== undefined && checkAgainst(this.hash)(token);

  /** Makes a token in the place of the last one. @returns the token, shown this once */
  async create(): Promise<string> {
    const token = `tulle_scrape_${randomBytes(32).toString('base64url')}`;
    const hash = sha256(token).toString('hex');
    await writeDurably(this.path, `${hash}\n`);
    this.hash = hash;
    return token;
  }

  /** @returns whether there was one */
  async revoke(): Promise<boolean> {
    if (this.hash === undefined) return false;
    this.hash = undefined;
    await rm(this.path, { force: true });
    await syncFolder(dirname(this.path));
    return true;
  }
}
