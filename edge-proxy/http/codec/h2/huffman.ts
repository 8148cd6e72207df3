/** The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B). */
import { Http2Error } from './error.ts';

/**
 * Bits of each symbol's code. The code is canonical (codes of one length ascend with their symbols), so the lengths say
 * everything. Symbol 256 is EOS.
 */
const LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
];
const EOS = 256;
const LONGEST = 30;
/** The code is a full binary tree: one inner node fewer than it has leaves. */
const NODES = LENGTHS.length - 1;

const codes = canonicalCodes();
/** Of a node and the next four bits: the node after them. */
const nextNode = new Uint16Array(NODES * 16);
/** The symbol that ends within those four bits (the shortest code has five): NONE, or EOS, which must not come. */
const symbolWithin = new Uint16Array(NODES * 16);
const NONE = 0xffff;
/** Nodes at which a string may end: fewer than eight bits, all ones, behind the last symbol. */
const mayEnd = new Uint8Array(NODES);
buildTables();

function canonicalCodes(): Uint32Array {
  const found = new Uint32Array(LENGTHS.length);
  let code = 0;
  for (let length = 1; length <= LONGEST; length++) {
    LENGTHS.forEach((own, symbol) => {
      if (own === length) found[symbol] = code++;
    });
    code *= 2;
  }
  return found;
}

function buildTables(): void {
  // Children of inner nodes; a leaf is -1 - symbol.
  const children: [number, number][] = [[0, 0]];
  for (let symbol = 0; symbol < LENGTHS.length; symbol++) {
    let node = 0;
    for (let bit = LENGTHS[symbol]! - 1; bit > 0; bit--) {
      const side = (codes[symbol]! >>> bit) & 1;
      if (children[node]![side] === 0) {
        children[node]![side] = children.length;
        children.push([0, 0]);
      }
      node = children[node]![side]!;
    }
    children[node]![codes[symbol]! & 1] = -1 - symbol;
  }
  for (let node = 0; node < NODES; node++)
    for (let nibble = 0; nibble < 16; nibble++) {
      let at = node;
      let symbol = NONE;
      for (let bit = 3; bit >= 0; bit--) {
        const child = children[at]![(nibble >>> bit) & 1]!;
        if (child < 0) symbol = -1 - child;
        at = Math.max(child, 0);
      }
      nextNode[node * 16 + nibble] = at;
      symbolWithin[node * 16 + nibble] = symbol;
    }
  for (let depth = 0, node = 0; depth < 8; depth++) {
    mayEnd[node] = 1;
    node = children[node]![1]!;
  }
}

/**
 * Decodes `bytes[start, end)` to Latin-1 text.
 * @throws Http2Error COMPRESSION_ERROR where it holds EOS or is not padded as it must be
 */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number): string {
  // The shortest code has five bits.
  const out = new Uint8Array(Math.ceil(((end - start) * 8) / 5));
  let length = 0;
  let node = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    for (let half = 0; half < 2; half++) {
      const entry = node * 16 + (half === 0 ? byte >>> 4 : byte & 15);
      const symbol = symbolWithin[entry]!;
      if (symbol === EOS) throw new Http2Error('COMPRESSION_ERROR', 'a Huffman string holds EOS');
      if (symbol !== NONE) out[length++] = symbol;
      node = nextNode[entry]!;
    }
  }
  if (mayEnd[node] === 0) throw new Http2Error('COMPRESSION_ERROR', 'a Huffman string is not padded with ones');
  return latin1Of(out, length);
}

function latin1Of(bytes: Uint8Array, length: number): string {
  let text = '';
  for (let at = 0; at < length; at += 4096)
    text += String.fromCharCode.apply(null, bytes.subarray(at, Math.min(length, at + 4096)) as unknown as number[]);
  return text;
}

/** Bytes that `text` (characters below U+0100) takes when encoded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += LENGTHS[text.charCodeAt(i)]!;
  return (bits + 7) >>> 3;
}

/** Encodes `text`, whose characters are all below U+0100. */
export function huffmanEncode(text: string): Uint8Array {
  const out = new Uint8Array(huffmanLength(text));
  let at = 0;
  let free = 8;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    let left = LENGTHS[symbol]!;
    while (left > 0) {
      const take = Math.min(left, free);
      const part = (codes[symbol]! >>> (left - take)) & (2 ** take - 1);
      out[at]! |= part << (free - take);
      left -= take;
      free -= take;
      if (free === 0) {
        free = 8;
        at++;
      }
    }
  }
  if (free < 8) out[at]! |= 2 ** free - 1;
  return out;
}
