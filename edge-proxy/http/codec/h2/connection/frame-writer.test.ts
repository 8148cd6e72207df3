import { describe, expect, it } from 'vitest';
import type { Connection } from '../../../../runtime/runtime.ts';
import { FrameWriter } from './frame-writer.ts';

const limits = { outboundFrames: 100, outboundControlFrames: 10 };
const FRAME_BYTES = 13;

/** A connection that holds the last `held` bytes of what it was given. */
function writerTo(held: { bytes: number }) {
  const pieces: Uint8Array[] = [];
  const connection = {
    write(bytes: Uint8Array) {
      pieces.push(bytes);
      return true;
    },
    get buffered() {
      return held.bytes;
    },
  };
  return { writer: new FrameWriter(connection as unknown as Connection, limits), pieces };
}

describe('frames that wait to be written', () => {
  it('are those that have not gone out, also of a connection that is never empty', () => {
    const { writer } = writerTo({ bytes: FRAME_BYTES });
    for (let i = 0; i < 1000; i++) {
      writer.reset(1, 8);
      writer.flush();
      writer.check();
    }
  });

  it('are limited where the peer reads nothing', () => {
    const held = { bytes: 0 };
    const { writer } = writerTo(held);
    const write = () => {
      writer.reset(1, 8);
      held.bytes += FRAME_BYTES;
      writer.flush();
      writer.check();
    };
    for (let i = 0; i < limits.outboundControlFrames; i++) write();
    expect(write).toThrow('too many control frames');
    held.bytes = 0;
    expect(() => writer.check()).not.toThrow();
  });

  it('keep their memory until then', () => {
    const held = { bytes: FRAME_BYTES };
    const { writer, pieces } = writerTo(held);
    writer.reset(1, 8);
    writer.flush();
    const first = pieces[0]!.slice();
    writer.windowUpdate(3, 7);
    held.bytes += FRAME_BYTES;
    writer.flush();
    expect(pieces[0]).toEqual(first);
    expect(pieces[1]!.buffer).not.toBe(pieces[0]!.buffer);
  });
});
