import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat } from '../codec/bytes.ts';
import { MessageCounter } from './message-counter.ts';
import { framedMessage, MessageError, MessageReader } from './message-reader.ts';

/** Messages, and their bytes in pieces of any size. */
const streams = fc
  .tuple(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), fc.array(fc.nat(50), { maxLength: 10 }))
  .map(([messages, cuts]) => {
    const whole = messages.map(framedMessage).reduce(concat, new Uint8Array(0));
    const at = [0, ...cuts.map((cut) => Math.min(cut, whole.length)).sort((a, b) => a - b), whole.length];
    return { messages, pieces: at.slice(1).map((end, i) => whole.subarray(at[i], end)) };
  });

describe('a stream of gRPC messages', () => {
  it('is read whatever pieces it comes in', () => {
    fc.assert(
      fc.property(streams, ({ messages, pieces }) => {
        const read: Uint8Array[] = [];
        const reader = new MessageReader(40);
        for (const piece of pieces) reader.take(piece, (message) => read.push(message));
        expect(read.map((one) => [...one])).toEqual(messages.map((one) => [...one]));
        expect(reader.atBoundary).toBe(true);
      }),
    );
  });

  it('is counted whatever pieces it comes in', () => {
    fc.assert(
      fc.property(streams, ({ messages, pieces }) => {
        const counter = new MessageCounter();
        for (const piece of pieces) counter.take(piece);
        expect(counter.count).toBe(messages.length);
      }),
    );
  });

  it('counts a message from its first byte on', () => {
    const counter = new MessageCounter();
    counter.take(Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff));
    counter.take(new Uint8Array(100_000));
    expect(counter.count).toBe(1);
  });

  it.each([
    ['compressed', Uint8Array.of(1, 0, 0, 0, 0), false],
    ['longer than it may be', Uint8Array.of(0, 0, 0, 0, 11), true],
  ])('%s: is refused before its bytes are kept', (_, bytes, tooLong) => {
    const reader = new MessageReader(10);
    try {
      reader.take(bytes, () => {});
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(MessageError);
      expect((error as MessageError).tooLong).toBe(tooLong);
    }
  });

  it('does not end within a message', () => {
    const reader = new MessageReader(10);
    reader.take(Uint8Array.of(0, 0, 0), () => {});
    expect(reader.atBoundary).toBe(false);
    reader.take(Uint8Array.of(0, 2, 7), () => {});
    expect(reader.atBoundary).toBe(false);
  });
});
