/** Keys that were fetched, on disk: so that a control plane that starts while an issuer is away has them. */
import { join } from 'node:path';
import { parseKeySet } from '../../shared/jwt/key-set.ts';
import { readIfPresent, writeDurably } from '../ca/files.ts';
import type { KeySets } from '../mesh/key-sets.ts';

export const KEY_FILE = 'issuer-keys.json';
/** Keys that were stored longer ago are not used; milliseconds. As istiod, which forgets keys after a week. */
const MAX_AGE_MS = 7 * 86_400_000;

interface Stored {
  readonly saved: number;
  readonly keys: Readonly<Record<string, string>>;
}

/** By `sourceId`; empty where there is no file, or one that cannot be read or is too old. */
export async function loadKeys(folder: string, now: number): Promise<ReadonlyMap<string, string>> {
  const text = await readIfPresent(join(folder, KEY_FILE));
  const stored = text === undefined ? undefined : parsed(text);
  if (!stored || now - stored.saved > MAX_AGE_MS || stored.saved > now) return new Map();
  return new Map(
    Object.entries(stored.keys).filter(([, keys]) => typeof keys === 'string' && parseKeySet(keys).length > 0),
  );
}

function parsed(text: string): Stored | undefined {
  try {
    const value = JSON.parse(text) as Partial<Stored> | null;
    if (typeof value?.saved !== 'number' || typeof value.keys !== 'object' || value.keys === null) return undefined;
    return value as Stored;
  } catch {
    return undefined;
  }
}

/** One write at a time; the last keys are written. */
export class KeyStore {
  private readonly folder: string;
  private readonly now: () => number;
  private readonly onError: (error: unknown) => void;
  private next: KeySets | undefined;
  private writing: Promise<void> | undefined;

  constructor(folder: string, now: () => number, onError: (error: unknown) => void) {
    this.folder = folder;
    this.now = now;
    this.onError = onError;
  }

  save(keys: KeySets): void {
    this.next = keys;
    this.writing ??= this.write().finally(() => {
      this.writing = undefined;
    });
  }

  async close(): Promise<void> {
    await this.writing;
  }

  private async write(): Promise<void> {
    while (this.next) {
      const keys = Object.fromEntries([...this.next].map(([id, { text }]) => [id, text]));
      this.next = undefined;
      const stored: Stored = { saved: this.now(), keys };
      try {
        await writeDurably(join(this.folder, KEY_FILE), JSON.stringify(stored));
      } catch (error) {
        this.onError(error);
      }
    }
  }
}
