import { crc32, gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { combinedCrc, deflated, GzipMember } from './gzip.ts';

const bytes = fc.uint8Array({ maxLength: 300 });

it('computes the check sum of two contents from theirs', () => {
  fc.assert(
    fc.property(bytes, bytes, (one, two) => {
      expect(combinedCrc(crc32(one), crc32(two), two.length)).toBe(crc32(Buffer.concat([one, two])));
    }),
  );
  const large = new Uint8Array(5_000_000).fill(7);
  expect(combinedCrc(crc32('a'), crc32(large), large.length)).toBe(crc32(large, crc32('a')));
});

it('puts a member together of compressed and stored blocks', () => {
  const parts = fc.array(fc.record({ content: bytes, compress: fc.boolean(), times: fc.constantFrom(1, 1, 1, 900) }));
  fc.assert(
    fc.property(parts, (list) => {
      const member = new GzipMember();
      const out: Uint8Array[] = [member.head()];
      const contents: Uint8Array[] = [];
      for (const { content, compress, times } of list) {
        const whole = Buffer.concat(Array.from({ length: times }, () => content));
        contents.push(whole);
        out.push(compress ? member.block(deflated(whole)) : member.stored(whole));
      }
      out.push(member.end());
      expect(gunzipSync(Buffer.concat(out)).equals(Buffer.concat(contents))).toBe(true);
    }),
  );
});

it('keeps no more memory for a block than its bytes', () => {
  const { bytes: block } = deflated(new Uint8Array(1000));
  expect(block.buffer.byteLength).toBe(block.length);
});
