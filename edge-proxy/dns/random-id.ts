/** Message ids that cannot be guessed (RFC 5452 9.2), from a pool of random bytes. */

const POOL_BYTES = 512;

export function randomIds(): () => number {
  const pool = new Uint8Array(POOL_BYTES);
  let at = POOL_BYTES;
  return () => {
    if (at === POOL_BYTES) {
      crypto.getRandomValues(pool);
      at = 0;
    }
    const id = (pool[at]! << 8) | pool[at + 1]!;
    at += 2;
    return id;
  };
}
