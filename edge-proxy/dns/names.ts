/** Domain names on the wire (RFC 1035 3.1, 4.1.4). */
import { DnsFormatError } from './protocol.ts';

const MAX_NAME_BYTES = 255;
const POINTER = 0xc0;
/** More labels than a name can have. */
const MAX_POINTERS = 127;
/** A dot and a backslash that belong to a label, as in master files. */
const ESCAPED_DOT = '\\046';
const ESCAPED_BACKSLASH = '\\092';

export interface NameAt {
  /** Lower case, without the dot at its end. */
  readonly name: string;
  /** Behind the name, or behind its first pointer. */
  readonly end: number;
}

/**
 * Reads a name. A pointer must lead to a place before the labels that it ends, so that reading always ends.
 * @param pointers whether compression is allowed
 * @throws DnsFormatError
 */
export function readName(bytes: Uint8Array, at: number, pointers: boolean): NameAt {
  let name = '';
  let length = 1;
  let end = -1;
  let start = at;
  let jumps = 0;
  for (let i = at; ; ) {
    const size = byteAt(bytes, i);
    if (size === 0) return { name, end: end < 0 ? i + 1 : end };
    if (size >= POINTER) {
      if (!pointers) throw new DnsFormatError('a compressed name where none is allowed');
      const to = ((size & 0x3f) << 8) | byteAt(bytes, i + 1);
      if (++jumps > MAX_POINTERS) throw new DnsFormatError('a name of too many compression pointers');
      if (to >= start) throw new DnsFormatError('a compression pointer does not lead backwards');
      if (end < 0) end = i + 2;
      start = to;
      i = to;
      continue;
    }
    if (size > 63) throw new DnsFormatError('a label of an unknown type');
    length += size + 1;
    if (length > MAX_NAME_BYTES) throw new DnsFormatError('a name longer than 255 bytes');
    if (i + size >= bytes.length) throw new DnsFormatError('a name is cut off');
    if (name !== '') name += '.';
    name += label(bytes, i + 1, size);
    i += size + 1;
  }
}

function label(bytes: Uint8Array, from: number, size: number): string {
  let text = '';
  for (let i = from; i < from + size; i++) {
    const byte = bytes[i]!;
    if (byte === 0x2e) text += ESCAPED_DOT;
    else if (byte === 0x5c) text += ESCAPED_BACKSLASH;
    else text += String.fromCharCode(byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);
  }
  return text;
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new DnsFormatError('the message is cut off');
  return byte;
}

/**
 * The labels of a name as they are on the wire, without compression; undefined for what is no name: an empty or too long label,
 * a character above U+00FF, more than 255 bytes.
 */
export function nameBytes(name: string): Uint8Array | undefined {
  if (name === '') return new Uint8Array(1);
  const out: number[] = [];
  for (const part of name.split('.')) {
    const text = part.includes('\\') ? unescaped(part) : part;
    if (text.length === 0 || text.length > 63) return undefined;
    out.push(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0xff) return undefined;
      out.push(code);
    }
  }
  out.push(0);
  return out.length > MAX_NAME_BYTES ? undefined : Uint8Array.from(out);
}

function unescaped(label: string): string {
  return label.replaceAll(ESCAPED_DOT, '.').replaceAll(ESCAPED_BACKSLASH, '\\');
}

/** In lower case, without the dot at its end. */
export function canonicalName(text: string): string {
  return (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
}
