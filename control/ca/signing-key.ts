/** Where the private key of a signer is kept, PKCS #8 PEM. */
import { changeRecord, type SharedState } from '../store/state/state.ts';
import { readIfPresent, writeDurably } from './files.ts';

export interface KeyPlace {
  /** For errors. */
  readonly name: string;
  /** undefined: there is none yet. */
  read(): Promise<string | undefined>;
  /** @returns the key that is kept from now on: of several control planes that make one at once, the first one's */
  create(pem: string): Promise<string>;
}

/** A file of mode 0600. */
export function keyFile(path: string): KeyPlace {
  return {
    name: path,
    read: () => readIfPresent(path),
    async create(pem) {
      await writeDurably(path, pem);
      return pem;
    },
  };
}

/** A record that control planes share. @param name as `jwt` */
export function sharedKey(state: SharedState, name: string): KeyPlace {
  const key = `keys/${name}`;
  return {
    name: `${key} of the store`,
    read: async () => (await state.fetch(key))?.text,
    create: async (pem) => (await changeRecord(state, key, (found) => (found ? undefined : pem)))!.text,
  };
}
