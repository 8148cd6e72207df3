/** SETTINGS that a client of HTTP/2 does not acknowledge (RFC 9113 section 6.5.3) end its connection after 10 s. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { concat } from '../codec/bytes.ts';
import { ERROR_CODES } from '../codec/h2/error.ts';
import { CLIENT_PREFACE, FLAG, FRAME, frame, settingsFrame } from '../codec/h2/frames.ts';
import { FramePeer } from '../testing/http2/outcome.ts';
import { closeAll, setup } from '../testing/manager.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  closeAll();
  vi.useRealTimers();
});

/** What a client has seen that sent its preface and SETTINGS, and then these frames. */
async function start(...frames: Uint8Array[]) {
  const { connection } = setup({ options: { config: { statPrefix: 't', generateRequestId: false } } }).connect();
  const peer = new FramePeer(0);
  connection.handler = peer;
  connection.write([CLIENT_PREFACE, settingsFrame([]), ...frames].reduce(concat));
  await vi.advanceTimersByTimeAsync(9000);
  expect(peer.outcome.closed).toBe(false);
  await vi.advanceTimersByTimeAsync(11_000);
  return peer.outcome;
}

it('without an acknowledgement the connection ends with SETTINGS_TIMEOUT', async () => {
  expect(await start()).toMatchObject({ goaway: ERROR_CODES.SETTINGS_TIMEOUT, closed: true });
});

it('with an acknowledgement it stays', async () => {
  const { goaway, closed } = await start(frame(FRAME.SETTINGS, FLAG.ACK, 0));
  expect([goaway, closed]).toEqual([undefined, false]);
});
