/**
 * Small records that the control planes of one store share: joins, tokens, keys, who leads. Each process holds all of them in memory
 * and follows the writes of the others; what must happen once is decided by `commit`, never by what memory says.
 */

/** `text` is what was written; `revision` rises with every write of the store. */
export interface StateEntry {
  readonly key: string;
  readonly text: string;
  readonly revision: number;
}

export interface StateWrite {
  /** `FOLDER/NAME`, `/` may follow. Names are made of `A-Z a-z 0-9 . _ ~ % : -`. */
  readonly key: string;
  /** undefined: the record is deleted. */
  readonly text: string | undefined;
  /** The revision that the record must have; 0: it must be absent. Default: whatever there is. */
  readonly expected?: number;
  /** The record ends with this process. */
  readonly leased?: boolean;
}

/** `text` undefined: it was deleted. */
export interface StateChange {
  readonly key: string;
  readonly text: string | undefined;
  readonly revision: number;
}

/** What a write requires, so that a process that leads no longer writes nothing. */
export interface Fence {
  /** Of a key of the store, base64. */
  readonly key: string;
  /** The revision that the key was made with. */
  readonly revision: number;
}

export interface SharedState {
  /** As this process knows it: own writes at once, those of others milliseconds later. */
  get(key: string): StateEntry | undefined;
  /** The records of a folder, as `get` knows them. @param folder without `/` */
  entries(folder: string): readonly StateEntry[];
  /** As the store has it now. @throws StoreError unavailable */
  fetch(key: string): Promise<StateEntry | undefined>;
  /**
   * All of the writes, or none. Durable, and known to `get`, when the promise resolves.
   * @returns the revision; undefined: an expectation, or the fence, did not hold. `get` then knows the present records
   * @throws StoreError unavailable: it may have been written or not
   */
  commit(writes: readonly StateWrite[], fence?: Fence): Promise<number | undefined>;
  /** Calls back with every change of a folder, own ones too, in order. @returns ends it */
  onChange(folder: string, listener: (changes: readonly StateChange[]) => void): () => void;
}

const KEY = /^[a-z-]+(?:\/[A-Za-z0-9._~%:-]+)+$/;

/** @throws Error: the key would be another one to etcd, or of another folder */
export function checkStateKey(key: string): void {
  if (!KEY.test(key)) throw new Error(`"${key}" is no key of shared state`);
}

/** A text as a part of a key. */
export const keyPart = (text: string): string =>
  text.replace(/[^A-Za-z0-9._~:-]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  );

/**
 * Changes one record by what it is now, again where another process was first.
 * @param next the text to write; undefined: nothing is to be changed
 * @param further what is written with it
 * @returns the record as it is then; undefined: it is absent
 * @throws StoreError unavailable; Error where others keep changing it
 */
export async function changeRecord(
  state: Pick<SharedState, 'get' | 'fetch' | 'commit'>,
  key: string,
  next: (entry: StateEntry | undefined) => string | undefined,
  further: readonly StateWrite[] = [],
): Promise<StateEntry | undefined> {
  let entry = await state.fetch(key);
  for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
    const text = next(entry);
    if (text === undefined) return entry;
    const revision = await state.commit([{ key, text, expected: entry?.revision ?? 0 }, ...further]);
    if (revision !== undefined) return { key, text, revision };
    entry = state.get(key);
  }
  throw new Error(`${key} changed ${CHANGE_ATTEMPTS} times while it was written: try again`);
}

const CHANGE_ATTEMPTS = 32;
