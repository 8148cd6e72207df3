/** Integers and strings of HPACK as they are written (RFC 7541 section 5). */
import type { ByteBuffer } from '../byte-buffer.ts';
import { checkCharacter, FIRST_PRINTABLE } from './characters.ts';
import { huffmanEncode, huffmanLength } from './huffman.ts';

/** Text up to this length encodes to a length of one byte, as it is not encoded where that makes it longer. */
const ONE_BYTE_LENGTH = 126;

/** Section 5.1. @param pattern the bits before the prefix */
export function writeInteger(out: ByteBuffer, pattern: number, prefix: number, value: number): void {
  const most = (1 << prefix) - 1;
  if (value < most) {
    out.push(pattern | value);
    return;
  }
  out.push(pattern | most);
  let rest = value - most;
  for (; rest >= 128; rest >>>= 7) out.push((rest & 127) | 128);
  out.push(rest);
}

/**
 * Appends a string literal (section 5.2), Huffman-encoded where that is shorter.
 * @throws RangeError for a character above U+00FF, NUL, CR or LF, which no field may hold: a field with it is never sent
 */
export function writeString(out: ByteBuffer, text: string): void {
  const { length } = text;
  if (length > ONE_BYTE_LENGTH) {
    writeLongString(out, text);
    return;
  }
  // Five bytes more than the text has: the last symbol may be that much too long.
  out.reserve(length + 6);
  const start = out.length + 1;
  const size = huffmanEncode(out.bytes, start, text, start + length) - start;
  if (size < length) {
    out.bytes[start - 1] = 0x80 | size;
    out.length = start + size;
    return;
  }
  out.bytes[start - 1] = length;
  copy(out.bytes, start, text);
  out.length = start + length;
}

function writeLongString(out: ByteBuffer, text: string): void {
  const size = huffmanLength(text);
  const huffman = size < text.length;
  writeInteger(out, huffman ? 0x80 : 0, 7, huffman ? size : text.length);
  out.reserve(text.length + 5);
  if (huffman) out.length = huffmanEncode(out.bytes, out.length, text, out.length + text.length);
  else {
    copy(out.bytes, out.length, text);
    out.length += text.length;
  }
}

function copy(bytes: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < FIRST_PRINTABLE || code > 0xff) checkCharacter(code);
    bytes[at + i] = code;
  }
}
