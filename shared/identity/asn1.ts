/**
 * Reads the DER (ITU-T X.690) of certificates, certificate requests and revocation lists. Malformed input throws:
 * what cannot be read is not trusted.
 */

/** One element: its tag, its content and the whole of it, as views. */
export interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly raw: Uint8Array;
}

export const SEQUENCE = 0x30;
export const SET = 0x31;
export const INTEGER = 0x02;
export const BOOLEAN = 0x01;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const UTC_TIME = 0x17;
export const GENERALIZED_TIME = 0x18;

/** Elements one after the other. @throws Error when they do not fill `bytes` exactly */
export function children(bytes: Uint8Array): Element[] {
  const out: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const element = elementAt(bytes, at);
    out.push(element);
    at += element.raw.length;
  }
  return out;
}

/** The element that begins at an offset. @throws Error when it is malformed or its length is not in the shortest form (10.1) */
function elementAt(bytes: Uint8Array, start: number): Element {
  let at = start;
  const tag = bytes[at++];
  let length = bytes[at++];
  if (tag === undefined || length === undefined || (tag & 0x1f) === 0x1f) throw malformed();
  if (length & 0x80) {
    const count = length & 0x7f;
    if (count === 0 || count > 4) throw malformed();
    length = 0;
    for (let i = 0; i < count; i++) {
      const byte = bytes[at++];
      if (byte === undefined) throw malformed();
      if (i === 0 && byte === 0) throw malformed();
      length = length * 256 + byte;
    }
    if (length < 0x80) throw malformed();
  }
  if (at + length > bytes.length) throw malformed();
  return { tag, content: bytes.subarray(at, at + length), raw: bytes.subarray(start, at + length) };
}

/** Exactly one element of this tag, no more. */
export function only(bytes: Uint8Array, tag: number): Element {
  const found = children(bytes);
  if (found.length !== 1 || found[0]!.tag !== tag) throw malformed();
  return found[0]!;
}

/** An element that must be present and have this tag. */
export function expect(element: Element | undefined, tag: number): Element {
  if (element?.tag !== tag) throw malformed();
  return element;
}

/** Dotted. */
export function objectIdentifier(element: Element | undefined): string {
  if (element?.tag !== 0x06 || element.content.length === 0) throw malformed();
  const numbers: number[] = [];
  let value = 0;
  for (const byte of element.content) {
    value = value * 128 + (byte & 0x7f);
    if (value > Number.MAX_SAFE_INTEGER / 256) throw malformed();
    if (byte & 0x80) continue;
    if (numbers.length === 0) {
      const first = Math.min(2, Math.floor(value / 40));
      numbers.push(first, value - first * 40);
    } else numbers.push(value);
    value = 0;
  }
  return numbers.join('.');
}

/** IA5String; a NUL or a control character is refused: such names have been used to deceive matchers. */
export function ascii(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) {
    if (byte < 0x20 || byte > 0x7e) throw new Error('unprintable name in certificate');
    out += String.fromCharCode(byte);
  }
  return out;
}

/** Bytes as a string of one character a byte: compact keys for sets and maps. */
export function latin1(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) out += String.fromCharCode(byte);
  return out;
}

/** A serial number as a key: equal numbers have equal keys. */
export function serialKey(element: Element | undefined): string {
  const { content } = expect(element, INTEGER);
  if (content.length === 0 || content.length > 64) throw malformed();
  let from = 0;
  while (from < content.length - 1 && content[from] === 0) from++;
  return latin1(content.subarray(from));
}

/** UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 writes them. @returns milliseconds since the epoch */
export function time(element: Element | undefined): number {
  if (element?.tag !== UTC_TIME && element?.tag !== GENERALIZED_TIME) throw malformed();
  const text = latin1(element.content);
  const long = element.tag === GENERALIZED_TIME;
  const parts = (long ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/).exec(
    text,
  );
  if (!parts) throw malformed();
  const [year, month, day, hour, minute, second] = parts.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  // RFC 5280: two digits below 50 are of the 21st century.
  const ms = Date.UTC(long ? year : year < 50 ? 2000 + year : 1900 + year, month - 1, day, hour, minute, second);
  // Date.UTC carries a 13th month or a 30th of February over into what follows.
  const date = new Date(ms);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59)
    throw malformed();
  return ms;
}

/** Strings of these types are compared without case and repeated spaces (RFC 5280 7.1). */
const FOLDED: ReadonlySet<number> = new Set([0x0c, 0x13, 0x16, 0x1a]);

/** A distinguished name as a key: names that RFC 5280 7.1 calls equal have equal keys. */
export function nameKey(name: Element | undefined): string {
  return children(expect(name, SEQUENCE).content)
    .map((set) =>
      children(expect(set, SET).content)
        .map((attribute) => {
          const [type, value] = children(expect(attribute, SEQUENCE).content);
          if (!value) throw malformed();
          const text = latin1(value.content);
          return `${objectIdentifier(type)}=${FOLDED.has(value.tag) ? folded(text) : `${value.tag}:${text}`}`;
        })
        .join('\u0001'),
    )
    .join('\u0000');
}

function folded(text: string): string {
  return text
    .replace(/[A-Z]/g, (letter) => letter.toLowerCase())
    .replace(/[ \t-\r]+/g, ' ')
    .trim();
}

export function malformed(): Error {
  return new Error('malformed certificate');
}
