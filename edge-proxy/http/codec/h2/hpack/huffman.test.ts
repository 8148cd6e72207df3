import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteBuffer } from '../byte-buffer.ts';
import { huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts';
import { writeString } from './primitives.ts';

function encoded(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 4 + 8);
  return bytes.slice(0, huffmanEncode(bytes, 0, text, bytes.length));
}
const allowed = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).filter((c) => !'\0\r\n'.includes(c));

describe('the Huffman code', () => {
  it('every symbol comes back, alone, among others and repeated', () => {
    for (const text of [allowed.join(''), ...allowed, ...allowed.map((c) => `a${c}${c}${c}0`)]) {
      const bytes = encoded(text);
      expect(bytes.length).toBe(huffmanLength(text));
      expect(huffmanDecode(bytes, 0, bytes.length)).toBe(text);
    }
  });

  it('NUL, CR and LF are decoded, for the rules of fields to refuse them', () => {
    // Their codes (RFC 7541 appendix B), and padding.
    const bits = `${'1'.repeat(10)}000${'1'.repeat(28)}00${'1'.repeat(28)}01${'1'.repeat(7)}`;
    const code = Uint8Array.from(bits.match(/.{8}/g)!, (byte) => Number.parseInt(byte, 2));
    expect(huffmanDecode(code, 0, code.length)).toBe('\0\n\r');
  });

  it('texts of any length come back', () => {
    const text = fc.string({ unit: fc.constantFrom(...allowed), maxLength: 3000 });
    fc.assert(
      fc.property(text, (given) => {
        const bytes = encoded(given);
        expect(huffmanDecode(bytes, 0, bytes.length)).toBe(given);
      }),
    );
    const long = 'aZ\u00ff'.repeat(40_000);
    expect(huffmanDecode(encoded(long), 0, encoded(long).length)).toBe(long);
  });
});

describe('a string literal', () => {
  const written = (text: string) => {
    const out = new ByteBuffer();
    writeString(out, text);
    return out.bytes.slice(0, out.length);
  };

  it('is Huffman-encoded where that is shorter', () => {
    expect(Buffer.from(written('www.example.com')).toString('hex')).toBe('8cf1e3c2e5f23a6ba0ab90f4ff');
    expect([...written('\u00ff')]).toEqual([1, 0xff]);
    expect([...written('')]).toEqual([0]);
    expect(written('a'.repeat(126)).length).toBe(1 + Math.ceil((126 * 5) / 8));
    expect([...written('\u00ff'.repeat(126)).subarray(0, 2)]).toEqual([126, 0xff]);
    expect([...written('\u00ff'.repeat(127)).subarray(0, 3)]).toEqual([127, 0, 0xff]);
    expect([...written('a'.repeat(300)).subarray(0, 3)]).toEqual([0xff, 61, 0x18]);
  });

  it.each([0, 10, 13, 0x100, 0x10a, 0xffff])('is refused with the character %i, wherever it is', (code) => {
    const bad = String.fromCharCode(code);
    for (const text of [
      bad,
      `abc${bad}`,
      `${bad}abc`,
      `\u00ff\u00ff${bad}`,
      'a'.repeat(200) + bad,
      '\u00ff'.repeat(200) + bad,
    ])
      expect(() => written(text)).toThrow(RangeError);
  });
});
