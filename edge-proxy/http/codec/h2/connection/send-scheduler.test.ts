import { describe, expect, it } from 'vitest';
import { literalBlock } from '../../../testing/header-blocks.ts';
import { serverOutcome } from '../../../testing/http2/outcome.ts';
import { CLIENT_PREFACE, DEFAULT_WINDOW, FLAG, FRAME, frame, settingsFrame } from '../frames.ts';
import type { FrameWriter } from './frame-writer.ts';
import { type Sender, SendScheduler } from './send-scheduler.ts';

function senderOf(id: number): Sender {
  return {
    id,
    sendWindow: DEFAULT_WINDOW,
    sendQueue: undefined,
    ending: false,
    owesWritable: false,
    listed: false,
    previousListed: undefined,
    nextListed: undefined,
    endsWithTrailers: false,
    onSendEnded() {},
    onWritable() {},
    onSendProgress() {},
  };
}

describe('streams that are removed while they wait', () => {
  it.each([
    ['the first', [1]],
    ['one between', [2]],
    ['the last', [3]],
    ['all', [1, 2, 3]],
  ])('%s: the others are served in turn', (_, removed) => {
    const served: number[] = [];
    const writer = { blocked: true, data: (stream: number) => void served.push(stream) };
    const scheduler = new SendScheduler(writer as unknown as FrameWriter);
    const streams = [1, 2, 3].map(senderOf);
    for (const stream of streams) scheduler.send(stream, new Uint8Array(5), true);
    for (const stream of streams) if (removed.includes(stream.id)) scheduler.remove(stream);
    const late = senderOf(4);
    scheduler.send(late, new Uint8Array(5), true);
    writer.blocked = false;
    scheduler.run();
    expect(served).toEqual([1, 2, 3, 4].filter((id) => !removed.includes(id)));
  });

  it('are not kept by a connection whose window the client leaves at 0', async () => {
    const block = literalBlock([
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'h'],
      [':path', '/'],
    ]);
    const get = (id: number) => frame(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, id, block);
    const cancel = (id: number) => frame(FRAME.RST_STREAM, 0, id, Uint8Array.of(0, 0, 0, 8));
    const kept: unknown[] = [];
    await serverOutcome(
      [CLIENT_PREFACE, settingsFrame([[4, 2 ** 30]]), get(1), get(3), get(5), cancel(3), cancel(5), cancel(1), get(7)],
      {
        body: new Uint8Array(DEFAULT_WINDOW + 1),
        before: (_, connection) => {
          const waiting: number[] = [];
          for (let one = connection.scheduler['first']; one; one = one.nextListed) waiting.push(one.id);
          kept.push(waiting);
        },
      },
    );
    expect(kept).toEqual([[], [], [], [1], [1, 3], [1, 3, 5], [1, 5], [1], []]);
  });
});
