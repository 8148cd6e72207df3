/** The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B). */
import { latin1 } from '../../bytes.ts';
import { checkCharacter, FIRST_PRINTABLE } from './characters.ts';
import { compressionError } from './compression-error.ts';

/**
 * Bits of each symbol's code. The code is canonical (codes of one length ascend with their symbols), so the lengths define
 * it. Symbol 256 is EOS.
 */
const LENGTHS = Uint8Array.of(
  ...[13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28],
  ...[28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15],
  ...[6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  ...[15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20],
  ...[20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23],
  ...[24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22],
  ...[22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27],
  ...[24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26],
  ...[26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30],
);
const EOS = 256;
const LONGEST = 30;
/** Codes of at most so many bits are found by one look-up; they are those of all common characters. */
const SHORT = 8;
/** The length of the shortest code that is not found so. */
const SHORTEST_LONG = 10;

/** By symbol. */
const CODES = new Uint32Array(LENGTHS.length);
/** All symbols in the order of their codes. */
const SYMBOLS = new Uint16Array(LENGTHS.length);
/** By length: the first code, how many there are, and where their symbols begin in SYMBOLS. */
const FIRST_CODE = new Uint32Array(LONGEST + 1);
const CODE_COUNT = new Uint16Array(LONGEST + 1);
const FIRST_SYMBOL = new Uint16Array(LONGEST + 1);
/** By the next 8 bits: `length << 8 | symbol` of the short code that they begin with; 0: it is a long one. */
const SHORT_CODES = new Uint16Array(1 << SHORT);
buildTables();

function buildTables(): void {
  let code = 0;
  let next = 0;
  for (let length = 1; length <= LONGEST; length++, code *= 2) {
    FIRST_CODE[length] = code;
    FIRST_SYMBOL[length] = next;
    for (let symbol = 0; symbol < LENGTHS.length; symbol++) {
      if (LENGTHS[symbol] !== length) continue;
      if (length <= SHORT) {
        const first = code << (SHORT - length);
        SHORT_CODES.fill((length << 8) | symbol, first, first + (1 << (SHORT - length)));
      }
      CODES[symbol] = code++;
      SYMBOLS[next++] = symbol;
    }
    CODE_COUNT[length] = next - FIRST_SYMBOL[length]!;
  }
}

/** What is decoded, before it becomes a string. Longer text than a head may have gets an array of its own. */
const KEPT_SCRATCH = 16 * 1024;
let scratch = new Uint8Array(512);

function room(size: number): Uint8Array {
  if (size <= scratch.length) return scratch;
  const larger = new Uint8Array(Math.max(size, Math.min(scratch.length * 2, KEPT_SCRATCH)));
  if (larger.length <= KEPT_SCRATCH) scratch = larger;
  return larger;
}

/**
 * Decodes `bytes[start, end)` to Latin-1 text.
 * @throws Http2Error COMPRESSION_ERROR where it holds EOS or is not padded as it must be
 */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number): string {
  // The shortest code has five bits.
  const out = room(Math.ceil(((end - start) * 8) / 5));
  let length = 0;
  let at = start;
  /** The lowest `count` bits of `held` are the next ones. */
  let held = 0;
  let count = 0;
  for (;;) {
    if (count < SHORT) {
      if (at === end) break;
      held = (held << 8) | bytes[at++]!;
      count += 8;
    }
    const short = SHORT_CODES[(held >>> (count - SHORT)) & 0xff]!;
    if (short !== 0) {
      out[length++] = short;
      count -= short >>> 8;
      continue;
    }
    const bit = (at - start) * 8 - count;
    const symbol = longSymbol(bytes, start, end, bit);
    out[length++] = symbol;
    const next = bit + LENGTHS[symbol]!;
    at = start + ((next + 7) >>> 3);
    count = -next & 7;
    held = bytes[at - 1]!;
  }
  while (count > 0) {
    // Filled up with ones, as the padding is.
    const short = SHORT_CODES[((held << (SHORT - count)) | (0xff >>> count)) & 0xff]!;
    if (short === 0 || short >>> 8 > count) break;
    out[length++] = short;
    count -= short >>> 8;
  }
  const padding = (1 << count) - 1;
  if ((held & padding) !== padding) throw compressionError('a Huffman string is not padded with ones');
  return latin1(out, 0, length);
}

/** The symbol whose code, which is not a short one, begins at `bit` of `bytes[start, end)`. */
function longSymbol(bytes: Uint8Array, start: number, end: number, bit: number): number {
  const last = Math.min(LONGEST, (end - start) * 8 - bit);
  let code = 0;
  for (let length = 1; length <= last; length++, bit++) {
    code = (code << 1) | ((bytes[start + (bit >>> 3)]! >>> (7 - (bit & 7))) & 1);
    if (length < SHORTEST_LONG) continue;
    const nth = code - FIRST_CODE[length]!;
    if (nth >= CODE_COUNT[length]!) continue;
    const symbol = SYMBOLS[FIRST_SYMBOL[length]! + nth]!;
    if (symbol === EOS) throw compressionError('a Huffman string holds EOS');
    return symbol;
  }
  throw compressionError('the padding of a Huffman string is too long');
}

/** Bytes that `text` takes when encoded; any number where it has characters that cannot be. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += LENGTHS[text.charCodeAt(i) & 0xff]!;
  return (bits + 7) >>> 3;
}

/**
 * Encodes `text` into `bytes` from `at` on; no character takes more than 30 bits.
 * @returns where it ends
 * @throws RangeError as `checkCharacter`
 */
export function huffmanEncode(bytes: Uint8Array, at: number, text: string): number {
  let held = 0;
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    if (symbol < FIRST_PRINTABLE || symbol > 0xff) checkCharacter(symbol);
    const size = LENGTHS[symbol]!;
    const code = CODES[symbol]!;
    if (size > 24) {
      // Seven bits may wait, and 32 fit.
      held = (held << (size - 8)) | (code >>> 8);
      for (count += size - 8; count >= 8; count -= 8) bytes[at++] = held >>> (count - 8);
      held = (held << 8) | (code & 0xff);
      count += 8;
    } else {
      held = (held << size) | code;
      count += size;
    }
    for (; count >= 8; count -= 8) bytes[at++] = held >>> (count - 8);
  }
  if (count > 0) bytes[at++] = (held << (8 - count)) | (0xff >>> count);
  return at;
}
