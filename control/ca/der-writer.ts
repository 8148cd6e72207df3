/** Writes DER (ITU-T X.690): what a leaf certificate is made of, no more. */

export type Bytes = Uint8Array<ArrayBuffer>;

/** One element: its tag, the length of what follows, and the parts joined. */
export function element(tag: number, ...parts: readonly Uint8Array[]): Bytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const head = header(tag, length);
  const out = new Uint8Array(head.length + length);
  out.set(head);
  let at = head.length;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function header(tag: number, length: number): number[] {
  if (length < 0x80) return [tag, length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [tag, 0x80 | bytes.length, ...bytes];
}

/** SEQUENCE. */
export const sequence = (...parts: readonly Uint8Array[]): Bytes => element(0x30, ...parts);
/** OCTET STRING. */
export const octetString = (...parts: readonly Uint8Array[]): Bytes => element(0x04, ...parts);
/** BIT STRING of whole bytes. */
export const bitString = (bytes: Uint8Array): Bytes => element(0x03, Uint8Array.of(0), bytes);
/** BOOLEAN TRUE, the only value that DER encodes where FALSE is the default. */
export const TRUE: Bytes = Uint8Array.of(0x01, 0x01, 0xff);

/** A non-negative INTEGER. @param magnitude big-endian; leading zeros are allowed */
export function unsignedInteger(magnitude: Uint8Array): Bytes {
  let from = 0;
  while (from < magnitude.length - 1 && magnitude[from] === 0) from++;
  const digits = magnitude.subarray(from);
  // A first bit of 1 would make it negative.
  return (digits[0] ?? 0) & 0x80 ? element(0x02, Uint8Array.of(0), digits) : element(0x02, digits);
}

/** OBJECT IDENTIFIER from its dotted form. */
export function objectIdentifier(dotted: string): Bytes {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift(0x80 | (left % 128));
    bytes.push(...groups);
  }
  return element(0x06, Uint8Array.from(bytes));
}

/**
 * A Time of a certificate: UTCTime before 2050, GeneralizedTime from then on (RFC 5280 section 4.1.2.5).
 * @param milliseconds since the epoch, from 1950 to 9999; rounded down to seconds
 */
export function time(milliseconds: number): Bytes {
  const digits = `${new Date(milliseconds).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
  const general = Number(digits.slice(0, 4)) >= 2050;
  return general ? element(0x18, ascii(digits)) : element(0x17, ascii(digits.slice(2)));
}

/** Characters up to 0x7f as bytes. */
function ascii(text: string): Bytes {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
