/**
 * One gzip member (RFC 1952) put together of DEFLATE blocks (RFC 1951) that were made apart: blocks compressed once for all
 * proxies, and stored blocks, which are not compressed. Each begins and ends at a byte, so that they can be concatenated; the
 * check sum of the whole is computed from theirs. It is one member, not one for each block, since `DecompressionStream` takes
 * no more than one.
 */
import { constants, crc32, deflateRawSync } from 'node:zlib';

/** Compressed content. What it holds is not referred to from other blocks. */
export interface DeflatedBlock {
  readonly bytes: Uint8Array;
  /** Of the content. */
  readonly size: number;
  readonly crc: number;
}

export function deflated(content: Uint8Array): DeflatedBlock {
  // Ends with an empty stored block, hence at a byte, and is not marked as the last.
  const written = deflateRawSync(content, { level: 6, finishFlush: constants.Z_SYNC_FLUSH });
  // A copy: what zlib gives is the beginning of 16 KiB, which would be kept with it.
  return { bytes: new Uint8Array(written), size: content.length, crc: crc32(content) };
}

/** No flags, no time, an unknown system. */
const HEAD = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255);
const LAST_BLOCK = [1, 0, 0, 0xff, 0xff] as const;
const MAX_STORED = 0xffff;

/** Gives the bytes of one member, in order: `head`, any blocks, `end`. */
export class GzipMember {
  private crc = 0;
  private size = 0;

  head(): Uint8Array {
    return HEAD;
  }

  block({ bytes, size, crc }: DeflatedBlock): Uint8Array {
    this.crc = combinedCrc(this.crc, crc, size);
    this.size += size;
    return bytes;
  }

  /** The content as it is, in stored blocks. */
  stored(content: Uint8Array): Uint8Array {
    this.crc = crc32(content, this.crc);
    this.size += content.length;
    const blocks = Math.ceil(content.length / MAX_STORED);
    const out = new Uint8Array(content.length + 5 * blocks);
    for (let i = 0; i < blocks; i++) {
      const part = content.subarray(i * MAX_STORED, (i + 1) * MAX_STORED);
      const at = i * (MAX_STORED + 5);
      const { length } = part;
      out.set([0, length & 0xff, length >> 8, ~length & 0xff, (~length >> 8) & 0xff], at);
      out.set(part, at + 5);
    }
    return out;
  }

  end(): Uint8Array {
    const out = new Uint8Array(13);
    out.set(LAST_BLOCK);
    const view = new DataView(out.buffer);
    view.setUint32(5, this.crc >>> 0, true);
    view.setUint32(9, this.size >>> 0, true);
    return out;
  }
}

/** The reversed polynomial of CRC-32 (RFC 1952 section 8). In these numbers the highest bit is the coefficient of x^0. */
const POLYNOMIAL = 0xedb88320;
const ONE = 0x80000000;

/** The CRC of two contents behind each other, from that of each: the first one's is multiplied by x^(8 * size of the second). */
export function combinedCrc(first: number, second: number, secondSize: number): number {
  return (product(first, xToThe(8 * secondSize)) ^ second) >>> 0;
}

/** Of two polynomials over GF(2), modulo CRC-32's. */
function product(a: number, b: number): number {
  let sum = 0;
  let shifted = b;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) sum ^= shifted;
    shifted = (shifted & 1) === 0 ? shifted >>> 1 : (shifted >>> 1) ^ POLYNOMIAL;
  }
  return sum >>> 0;
}

/** x^1, x^2, x^4, x^8 … modulo CRC-32's polynomial. */
const SQUARES = [ONE >>> 1];
for (let i = 1; i < 40; i++) SQUARES.push(product(SQUARES[i - 1]!, SQUARES[i - 1]!));

function xToThe(exponent: number): number {
  let power = ONE;
  let left = exponent;
  for (let i = 0; left > 0; i++) {
    if (left % 2 === 1) power = product(power, SQUARES[i]!);
    left = Math.floor(left / 2);
  }
  return power;
}
