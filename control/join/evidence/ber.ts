/**
 * Reads BER (ITU-T X.690 section 8): the signatures of AWS have indefinite lengths and strings in pieces, which DER forbids.
 * Malformed input throws.
 */

export interface BerElement {
  readonly tag: number;
  /** The whole of it, as a view. */
  readonly raw: Uint8Array;
  /** Content of a definite or an indefinite length, without the octets that end it. */
  readonly content: Uint8Array;
}

const CONSTRUCTED = 0x20;
const OCTET_STRING = 0x04;
/** Elements inside each other: signed data have eight. */
const MAX_DEPTH = 16;

/** The one element that fills `bytes`. */
export function readBer(bytes: Uint8Array): BerElement {
  const element = elementAt(bytes, 0, 0);
  if (element.raw.length !== bytes.length) throw malformed();
  return element;
}

/** The elements inside of a constructed one. */
export function berChildren({ tag, content }: BerElement): BerElement[] {
  if (!(tag & CONSTRUCTED)) throw malformed();
  const out: BerElement[] = [];
  for (let at = 0; at < content.length; ) {
    const element = elementAt(content, at, 0);
    out.push(element);
    at += element.raw.length;
  }
  return out;
}

/** The bytes of an OCTET STRING, in one piece or in several (8.7). */
export function octets(element: BerElement): Uint8Array {
  if (element.tag === OCTET_STRING) return element.content;
  if (element.tag !== (OCTET_STRING | CONSTRUCTED)) throw malformed();
  const pieces = berChildren(element).map((piece) => {
    if (piece.tag !== OCTET_STRING) throw malformed();
    return piece.content;
  });
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** An element that must be there and have this tag. */
export function berExpect(element: BerElement | undefined, tag: number): BerElement {
  if (element?.tag !== tag) throw malformed();
  return element;
}

function elementAt(bytes: Uint8Array, start: number, depth: number): BerElement {
  const tag = bytes[start];
  const first = bytes[start + 1];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f || depth > MAX_DEPTH) throw malformed();
  if (first === 0x80) return indefinite(bytes, start, tag, depth);
  const { length, from } = lengthAt(bytes, start + 1);
  if (from + length > bytes.length) throw malformed();
  return { tag, raw: bytes.subarray(start, from + length), content: bytes.subarray(from, from + length) };
}

/** An element that ends with two zero octets (8.1.5). */
function indefinite(bytes: Uint8Array, start: number, tag: number, depth: number): BerElement {
  if (!(tag & CONSTRUCTED)) throw malformed();
  const from = start + 2;
  for (let at = from; at + 1 < bytes.length; ) {
    if (bytes[at] === 0 && bytes[at + 1] === 0)
      return { tag, raw: bytes.subarray(start, at + 2), content: bytes.subarray(from, at) };
    at += elementAt(bytes, at, depth + 1).raw.length;
  }
  throw malformed();
}

function lengthAt(bytes: Uint8Array, at: number): { length: number; from: number } {
  const first = bytes[at]!;
  if (first < 0x80) return { length: first, from: at + 1 };
  const count = first & 0x7f;
  if (count > 4) throw malformed();
  let length = 0;
  for (let i = 1; i <= count; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) throw malformed();
    length = length * 256 + byte;
  }
  return { length, from: at + 1 + count };
}

function malformed(): Error {
  return new Error('malformed BER');
}
