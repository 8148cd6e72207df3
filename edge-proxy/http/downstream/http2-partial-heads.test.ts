/** A head of HTTP/2 that was partly read and is no request leaves the times of its connection as they were. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { CLIENT_PREFACE, FLAG, FRAME, frame, settingsFrame } from '../codec/h2/frames.ts';
import { literalBlock } from '../testing/header-blocks.ts';
import { FramePeer } from '../testing/http2/outcome.ts';
import { closeAll, setup } from '../testing/manager.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  closeAll();
  vi.useRealTimers();
});

const fields = literalBlock([
  [':method', 'POST'],
  [':scheme', 'http'],
  [':authority', 'h'],
  [':path', '/'],
]);

function start(times: object) {
  const server = setup({ options: { config: { statPrefix: 't', generateRequestId: false, ...times } } });
  const { connection } = server.connect();
  const peer = new FramePeer(0);
  connection.handler = peer;
  const send = async (...pieces: Uint8Array[]) => {
    for (const piece of pieces) {
      connection.write(piece);
      await vi.advanceTimersByTimeAsync(0);
    }
  };
  const hello = [settingsFrame([]), frame(FRAME.SETTINGS, FLAG.ACK, 0)];
  return { ...server, send, hello, seen: peer.outcome };
}

it('a preface in two reads: the idle timeout closes the connection', async () => {
  const { send, hello, seen, finished } = start({ commonHttpProtocolOptions: { idleTimeout: '5s' } });
  await send(CLIENT_PREFACE.subarray(0, 10), CLIENT_PREFACE.subarray(10), ...hello);
  await vi.advanceTimersByTimeAsync(4000);
  expect(seen.closed).toBe(false);
  await vi.advanceTimersByTimeAsync(30_000);
  expect(seen.closed).toBe(true);
  expect(finished).toEqual([]);
});

it('a preface that never becomes whole and has no time: the idle timeout closes the connection', async () => {
  const { send, seen } = start({ requestHeadersTimeout: '0s', commonHttpProtocolOptions: { idleTimeout: '5s' } });
  await send(CLIENT_PREFACE.subarray(0, 10));
  await vi.advanceTimersByTimeAsync(30_000);
  expect(seen.closed).toBe(true);
});

it('trailers in two reads: the time of heads does not end the connection', async () => {
  const { send, hello, seen, finished } = start({ requestHeadersTimeout: '2s' });
  const trailers = frame(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, 1, literalBlock([['x-sum', '1']]));
  await send(CLIENT_PREFACE, ...hello, frame(FRAME.HEADERS, FLAG.END_HEADERS, 1, fields));
  await send(trailers.subarray(0, 12), trailers.subarray(12));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(seen.goaway).toBeUndefined();
  expect(finished).toEqual([]);
});

it('a head that does not become whole in its time ends the connection', async () => {
  const { send, hello, seen } = start({ requestHeadersTimeout: '2s' });
  const head = frame(FRAME.HEADERS, FLAG.END_HEADERS, 1, fields);
  await send(CLIENT_PREFACE, ...hello, head.subarray(0, 12));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(seen.goaway).toBe(0);
  expect(seen.closed).toBe(true);
});
