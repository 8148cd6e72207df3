/** Integers and strings of HPACK as they are written (RFC 7541 section 5). */
import type { ByteBuffer } from '../byte-buffer.ts';
import { checkCharacter, FIRST_PRINTABLE } from './characters.ts';
import { huffmanEncode, huffmanLength } from './huffman.ts';

/** Bytes of a length. */
const LONGEST_INTEGER = 6;

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
 * Appends a string literal (section 5.2), Huffman-encoded where that is shorter: for what a peer keeps.
 * @throws RangeError as `checkCharacter`
 */
export function writeCompactString(out: ByteBuffer, text: string): void {
  const size = huffmanLength(text);
  if (size >= text.length) {
    writeString(out, text);
    return;
  }
  writeInteger(out, 0x80, 7, size);
  out.reserve(size);
  out.length = huffmanEncode(out.bytes, out.length, text);
}

/**
 * Appends a string literal (section 5.2) as it is, which costs both sides the least time.
 * @throws RangeError as `checkCharacter`
 */
export function writeString(out: ByteBuffer, text: string): void {
  const { length } = text;
  out.reserve(length + LONGEST_INTEGER);
  writeInteger(out, 0, 7, length);
  const { bytes, length: start } = out;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code < FIRST_PRINTABLE || code > 0xff) checkCharacter(code);
    bytes[start + i] = code;
  }
  out.length = start + length;
}
