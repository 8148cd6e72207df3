/** Encryption at rest by keys of the operator: AES-256-GCM, bound to the place of the value. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { type Sealer, sealedBy, sealHeader, unsealable } from './sealer.ts';

export interface SealingKey {
  /** 1 to 63 of `a-z 0-9 - .` */
  readonly id: string;
  /** 32 bytes. */
  readonly key: Uint8Array;
}

const NONCE = 12;
const TAG = 16;

/**
 * Writes with the first key, reads what any of them wrote.
 * @param keys the newest first, at least one
 */
export function keySealer(keys: readonly SealingKey[]): Sealer {
  const [newest] = keys;
  const byId = new Map(keys.map(({ id, key }) => [id, key]));
  return {
    seal(place, plain) {
      const header = sealHeader(newest!.id);
      const nonce = randomBytes(NONCE);
      const cipher = createCipheriv('aes-256-gcm', newest!.key, nonce).setAAD(associated(header, place));
      return Buffer.concat([header, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open(place, bytes) {
      const id = sealedBy(bytes);
      if (id === undefined) return bytes;
      const key = byId.get(id);
      if (!key) throw unsealable(place, id, `which is not among the encryption keys (${[...byId.keys()].join(', ')})`);
      const header = sealHeader(id);
      const body = Buffer.from(bytes.buffer, bytes.byteOffset + header.length, bytes.length - header.length);
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, body.subarray(0, NONCE), { authTagLength: TAG });
        decipher.setAAD(associated(header, place)).setAuthTag(body.subarray(-TAG));
        return Buffer.concat([decipher.update(body.subarray(NONCE, -TAG)), decipher.final()]);
      } catch {
        throw unsealable(
          place,
          id,
          'which does not open it: the key is another one, or the value was changed or moved',
        );
      }
    },
    isStale: (bytes) => sealedBy(bytes) !== newest!.id,
  };
}

function associated(header: Uint8Array, place: string): Buffer {
  return Buffer.concat([header, Buffer.from(place)]);
}
