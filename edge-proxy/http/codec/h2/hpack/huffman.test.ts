import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteBuffer } from '../byte-buffer.ts';
import { huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts';
import { writeCompactString, writeString } from './primitives.ts';

function encoded(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 4 + 8);
  return bytes.slice(0, huffmanEncode(bytes, 0, text));
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
  const written = (write: typeof writeString, text: string) => {
    const out = new ByteBuffer();
    write(out, text);
    return out.bytes.slice(0, out.length);
  };
  const compact = (text: string) => written(writeCompactString, text);

  it('is Huffman-encoded where that is shorter, for what enters a table', () => {
    expect(Buffer.from(compact('www.example.com')).toString('hex')).toBe('8cf1e3c2e5f23a6ba0ab90f4ff');
    expect([...compact('\u00ff')]).toEqual([1, 0xff]);
    expect([...compact('')]).toEqual([0]);
    expect([...compact('\u00ff'.repeat(127)).subarray(0, 3)]).toEqual([127, 0, 0xff]);
    expect([...compact('a'.repeat(300)).subarray(0, 3)]).toEqual([0xff, 61, 0x18]);
    const long = 'a\u00fe'.repeat(500) + 'a'.repeat(9000);
    expect(compact(long).length).toBe(3 + huffmanLength(long));
  });

  it('is written as it is else', () => {
    expect([...written(writeString, 'ab')]).toEqual([2, 0x61, 0x62]);
    expect([...written(writeString, 'a'.repeat(3000)).subarray(0, 4)]).toEqual([127, 0xb9, 0x16, 0x61]);
  });

  it.each([0, 10, 13, 0x100, 0x10a, 0xffff])('is refused with the character %i, wherever it is', (code) => {
    const bad = String.fromCharCode(code);
    for (const text of [
      bad,
      `abc${bad}`,
      `${bad}abc`,
      `\u00ff${bad}`,
      'a'.repeat(200) + bad,
      '\u00ff'.repeat(200) + bad,
    ])
      for (const write of [writeString, writeCompactString]) expect(() => written(write, text)).toThrow(RangeError);
  });
});
