/** Base64 in pieces, for the text form of gRPC-Web. RFC 4648 with padding, and nothing that it does not allow. */

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const DIGITS: Uint8Array = Uint8Array.from(ALPHABET, (letter) => letter.charCodeAt(0));
const PADDING = '='.charCodeAt(0);
const NO_DIGIT = 255;
const VALUES: Uint8Array = new Uint8Array(256).fill(NO_DIGIT);
DIGITS.forEach((digit, value) => {
  VALUES[digit] = value;
});

/** What is decoded is not base64. */
export class Base64Error extends Error {
  override readonly name = 'Base64Error';
}

/** Decodes groups of four; each may end with padding, so that texts may follow each other (gRPC-Web clients join them). */
export class Base64Decoder {
  private readonly group = new Uint8Array(4);
  private filled = 0;

  /** No group is half read. */
  get atBoundary(): boolean {
    return this.filled === 0;
  }

  /** @throws Base64Error */
  take(text: Uint8Array): Uint8Array {
    const out = new Uint8Array(Math.floor((this.filled + text.length) / 4) * 3);
    let length = 0;
    for (const byte of text) {
      this.group[this.filled++] = byte;
      if (this.filled < 4) continue;
      this.filled = 0;
      length += this.decodeGroup(out, length);
    }
    return out.subarray(0, length);
  }

  private decodeGroup(out: Uint8Array, at: number): number {
    const [a, b, c, d] = this.group as unknown as [number, number, number, number];
    const bytes = d !== PADDING ? 3 : c !== PADDING ? 2 : 1;
    const third = bytes > 1 ? VALUES[c]! : 0;
    const fourth = bytes > 2 ? VALUES[d]! : 0;
    if (VALUES[a] === NO_DIGIT || VALUES[b] === NO_DIGIT || third === NO_DIGIT || fourth === NO_DIGIT)
      throw new Base64Error('a character that is none of base64');
    const bits = (VALUES[a]! << 18) | (VALUES[b]! << 12) | (third << 6) | fourth;
    if ((bytes === 1 && (bits & 0xffff) !== 0) || (bytes === 2 && (bits & 0xff) !== 0))
      throw new Base64Error('bits that no byte has');
    out[at] = bits >> 16;
    if (bytes > 1) out[at + 1] = (bits >> 8) & 0xff;
    if (bytes > 2) out[at + 2] = bits & 0xff;
    return bytes;
  }
}

/** Encodes texts that follow each other; up to two bytes wait for the next. */
export class Base64Encoder {
  private waiting = 0;
  private bits = 0;

  /** @param at where the text goes in `out` @returns where it ends */
  take(bytes: Uint8Array, out: Uint8Array, at: number): number {
    let to = at;
    for (const byte of bytes) {
      this.bits = (this.bits << 8) | byte;
      if (++this.waiting < 3) continue;
      this.waiting = 0;
      to = this.write(out, to, 4);
      this.bits = 0;
    }
    return to;
  }

  /** Ends a text with padding. @returns as `take` */
  end(out: Uint8Array, at: number): number {
    const { waiting } = this;
    if (waiting === 0) return at;
    this.bits <<= 8 * (3 - waiting);
    const to = this.write(out, at, waiting + 1);
    out.fill(PADDING, to, at + 4);
    this.waiting = 0;
    this.bits = 0;
    return at + 4;
  }

  private write(out: Uint8Array, at: number, digits: number): number {
    for (let i = 0; i < digits; i++) out[at + i] = DIGITS[(this.bits >> (18 - 6 * i)) & 63]!;
    return at + digits;
  }
}
