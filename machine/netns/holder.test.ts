import { describe, expect, it } from 'vitest';
import { fitted } from './holder.ts';

/** A message with one question, for `a.b`, and `more` bytes of records behind it. */
function message(additional: number, more = 0): Buffer {
  const header = Buffer.from([0x12, 0x34, 0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, additional]);
  return Buffer.concat([header, Buffer.from([1, 97, 1, 98, 0, 0, 1, 0, 1]), Buffer.alloc(more)]);
}

describe('answers that are carried to UDP', () => {
  it('are left as they are where they fit', () => {
    const answer = message(0, 400);
    expect(fitted(message(0), answer)).toBe(answer);
    const long = message(0, 1200);
    expect(fitted(message(1), long)).toBe(long);
  });

  it('keep the question alone and ask for TCP where they do not (RFC 2181 9)', () => {
    for (const [query, answer] of [
      [message(0), message(0, 600)],
      [message(1), message(1, 1300)],
    ] as const) {
      const short = fitted(query, answer);
      expect(short.length).toBe(12 + 9);
      expect(short.readUInt16BE(2)).toBe(0x8380);
      expect([4, 6, 8, 10].map((at) => short.readUInt16BE(at))).toEqual([1, 0, 0, 0]);
    }
  });

  it('lose a question that cannot be read', () => {
    const answer = message(0, 600);
    answer[12] = 0xc0;
    expect(fitted(message(0), answer)).toHaveLength(12);
    expect(fitted(message(0), answer).readUInt16BE(4)).toBe(0);
  });
});
