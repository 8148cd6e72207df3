/** Encryption at rest: what stores write of secrets and keys passes a sealer, and what they read passes it back. */

/** Encrypts and decrypts values with authenticated encryption. One sealer may read what several keys wrote. */
export interface Sealer {
  /**
   * @param place where the value is kept (`resources/secrets/NAMESPACE/NAME`, `ca/ca-key.pem`): sealed bytes open at no other place
   * @returns bytes that begin with the id of the key that wrote them
   */
  seal(place: string, plain: Uint8Array): Uint8Array;
  /**
   * Bytes that are not sealed are returned as they are, so that encryption can be turned on for a store that has data.
   * @throws Error in one line, which names the place and the id of the key: no such key, or the bytes were changed or moved
   */
  open(place: string, bytes: Uint8Array): Uint8Array;
  /** Whether the bytes should be written again: they are not sealed, or not by the newest key. */
  isStale(bytes: Uint8Array): boolean;
}

const HEADER = /^tulle:enc:v1:([a-z0-9][a-z0-9.-]{0,62}):/;
const LONGEST = 'tulle:enc:v1:'.length + 64;

/** What sealed bytes begin with. */
export const sealHeader = (id: string): Uint8Array => Buffer.from(`tulle:enc:v1:${id}:`);

/** The id of the key that sealed the bytes; undefined: they are plain. */
export function sealedBy(bytes: Uint8Array): string | undefined {
  return HEADER.exec(Buffer.from(bytes.subarray(0, LONGEST)).toString('latin1'))?.[1];
}

/** @param why behind the id of the key */
export const unsealable = (place: string, id: string, why: string): Error =>
  new Error(`${place} is encrypted with the key ${id}, ${why}`);

/** No encryption: the default, in which file modes protect a data folder. What is sealed is refused. */
export const plainSealer: Sealer = {
  seal: (_place, plain) => plain,
  open(place, bytes) {
    const id = sealedBy(bytes);
    if (id === undefined) return bytes;
    throw new Error(`${place} is encrypted with the key ${id}: name it with --encryption-key-file`);
  },
  isStale: () => false,
};
