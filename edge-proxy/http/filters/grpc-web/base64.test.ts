import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Base64Decoder, Base64Encoder, Base64Error } from './base64.ts';

const ascii = (text: string) => new TextEncoder().encode(text);
const pieces = (bytes: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));

describe('base64 in pieces', () => {
  it('is what Buffer makes of it, whatever the pieces', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.integer({ min: 1, max: 9 }), (bytes, size) => {
        const out = new Uint8Array(200);
        const encoder = new Base64Encoder();
        let length = 0;
        for (const piece of pieces(bytes, size)) length = encoder.take(piece, out, length);
        const text = out.subarray(0, encoder.end(out, length));
        expect(new TextDecoder().decode(text)).toBe(Buffer.from(bytes).toString('base64'));
        const decoder = new Base64Decoder();
        const decoded = pieces(text, size).flatMap((piece) => [...decoder.take(piece)]);
        expect([decoded, decoder.atBoundary]).toEqual([[...bytes], true]);
      }),
    );
  });
  it('encodes texts that follow each other', () => {
    const out = new Uint8Array(20);
    const encoder = new Base64Encoder();
    let length = encoder.end(out, encoder.take(ascii('a'), out, 0));
    length = encoder.end(out, encoder.take(ascii('bcd'), out, length));
    expect(new TextDecoder().decode(out.subarray(0, length))).toBe('YQ==YmNk');
    expect([...new Base64Decoder().take(out.subarray(0, length))]).toEqual([...ascii('abcd')]);
  });
  it.each(['!AAA', 'A!AA', 'AA!A', 'AAA!', 'A===', '====', 'AA=A', 'AB==', 'AAB=', 'AA\r\n'])('refuses %j', (text) =>
    expect(() => new Base64Decoder().take(ascii(text))).toThrow(Base64Error),
  );
  it('knows when a group is not whole', () => {
    const decoder = new Base64Decoder();
    expect(decoder.take(ascii('AAA'))).toHaveLength(0);
    expect(decoder.atBoundary).toBe(false);
  });
});
