/**
 * Names that came as literals, by their bytes: peers send the same few with each message, and to compare bytes is faster
 * than to make a string. Shared by all connections; a name takes the place of another with the same hash.
 */
import { latin1 } from '../../bytes.ts';
import { huffmanDecode } from './huffman.ts';

interface CachedName {
  readonly bytes: Uint8Array;
  readonly huffman: boolean;
  readonly text: string;
}

const PLACES = 512;
const LONGEST = 40;
const names: (CachedName | undefined)[] = new Array<CachedName | undefined>(PLACES).fill(undefined);

/** The name in `bytes[start, end)`. @throws Http2Error COMPRESSION_ERROR */
export function decodeName(bytes: Uint8Array, start: number, end: number, huffman: boolean): string {
  const length = end - start;
  if (length > LONGEST || length === 0) return decode(bytes, start, end, huffman);
  const place = hash(bytes, start, length);
  const known = names[place];
  if (known !== undefined && known.huffman === huffman && isSame(known.bytes, bytes, start, length)) return known.text;
  const text = decode(bytes, start, end, huffman);
  names[place] = { bytes: new Uint8Array(bytes.subarray(start, end)), huffman, text };
  return text;
}

function decode(bytes: Uint8Array, start: number, end: number, huffman: boolean): string {
  return huffman ? huffmanDecode(bytes, start, end) : latin1(bytes, start, end);
}

function hash(bytes: Uint8Array, start: number, length: number): number {
  const middle = start + (length >>> 1);
  const last = bytes[start + length - 1]!;
  return (length * 67 + bytes[start]! * 31 + bytes[middle]! * 17 + bytes[middle - (length >>> 2)]! * 7 + last) % PLACES;
}

function isSame(known: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  if (known.length !== length) return false;
  for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}
