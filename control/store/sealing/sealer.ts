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

/** No encryption: the default, in which file modes protect a data folder. */
export const plainSealer: Sealer = {
  seal: (_place, plain) => plain,
  open: (_place, bytes) => bytes,
  isStale: () => false,
};
