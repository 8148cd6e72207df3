/** Random request ids in UUID version 4 form, as Envoy's x-request-id. */

const hex: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));
/** Random bytes are drawn for many ids at once: one call of the runtime per 256 requests. */
const pool = new Uint8Array(16 * 256);
let used = pool.length;

export function newRequestId(): string {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  const at = used;
  used += 16;
  const b = (i: number) => hex[pool[at + i]!]!;
  const version = hex[(pool[at + 6]! & 0x0f) | 0x40]!;
  const variant = hex[(pool[at + 8]! & 0x3f) | 0x80]!;
  return (
    `${b(0)}${b(1)}${b(2)}${b(3)}-${b(4)}${b(5)}-${version}${b(7)}-${variant}${b(9)}-` +
    `${b(10)}${b(11)}${b(12)}${b(13)}${b(14)}${b(15)}`
  );
}
