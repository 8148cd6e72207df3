/** What a client may cost beside its requests: each flood ends its connection with ENHANCE_YOUR_CALM, and is counted. */
import type { Http2CounterName } from '../../codec/h2/counters.ts';
import { ERROR_CODES } from '../../codec/h2/error.ts';
import { FLAG, FRAME, frame, SETTING, settingsFrame } from '../../codec/h2/frames.ts';
import { defaultHttp2Options } from '../../codec/h2/options.ts';
import { type ServerBehaviour, serverOutcome } from './outcome.ts';
import { type Case, caseOf, data, get, headers, open, opening, ping, rst, setting, update } from './server-cases.ts';

const joined = (parts: readonly Uint8Array[]): Uint8Array => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};
const times = (count: number, make: (i: number) => Uint8Array | Uint8Array[]): Uint8Array =>
  joined(Array.from({ length: count }, (_, i) => make(i)).flat());
const nth = (i: number) => 2 * i + 1;

function flood(name: string, counter: Http2CounterName, bytes: Uint8Array, behaviour: ServerBehaviour = {}): Case {
  return caseOf(
    name,
    () => serverOutcome([...opening, bytes], behaviour),
    ({ goaway, closed, counters }) =>
      goaway !== ERROR_CODES.ENHANCE_YOUR_CALM
        ? 'GOAWAY is missing'
        : !closed
          ? 'the connection is open'
          : counters[counter].value !== 1 && `${counter} was not counted`,
  );
}

/** The connection serves on. */
function harmless(name: string, bytes: Uint8Array, behaviour: ServerBehaviour = {}): Case {
  return caseOf(
    name,
    () => serverOutcome([...opening, bytes, headers(20_001)], behaviour),
    ({ goaway, ended }) =>
      (goaway !== undefined || !ended.includes(20_001)) && 'the connection does not serve any more',
  );
}

const few = { options: { flood: { ...defaultHttp2Options.flood, outboundFrames: 50 } }, deaf: true };

export const floodCases: readonly Case[] = [
  flood(
    'rapid reset',
    'early_ends_flood',
    times(300, (i) => [open(nth(i)), rst(nth(i))]),
  ),
  flood(
    'resets that the server is made to send',
    'early_ends_flood',
    times(300, (i) => [open(nth(i)), update(nth(i), 0)]),
  ),
  flood(
    'streams that are too many',
    'early_ends_flood',
    times(300, (i) => [open(nth(i)), data(nth(i), 1), rst(nth(i))]),
  ),
  harmless(
    'resets among as many requests that are answered',
    times(300, (i) => [headers(6 * i + 1), headers(6 * i + 3), open(6 * i + 5), rst(6 * i + 5)]),
  ),
  flood(
    'CONTINUATION without end',
    'inbound_continuation_frames_flood',
    joined([headers(1, 0, get), times(40, () => frame(FRAME.CONTINUATION, 0, 1, Uint8Array.of(0x82)))]),
  ),
  flood(
    'a header block that is too large',
    'header_overflow',
    joined([headers(1, 0, get), times(20, () => frame(FRAME.CONTINUATION, 0, 1, new Uint8Array(16_384).fill(0x82)))]),
  ),
  flood(
    'SETTINGS with more than 32 settings',
    'outbound_control_flood',
    settingsFrame(Array.from({ length: 33 }, (_, i) => [SETTING.INITIAL_WINDOW_SIZE, i])),
  ),
  flood(
    'SETTINGS that are read',
    'outbound_control_flood',
    times(2100, (i) => settingsFrame([[SETTING.INITIAL_WINDOW_SIZE, i]])),
    { options: { flood: { ...defaultHttp2Options.flood, outboundControlFrames: 10_000 } } },
  ),
  harmless(
    'SETTINGS with 32 settings, once for each request',
    times(2100, (i) => [
      headers(nth(i)),
      settingsFrame(Array.from({ length: 32 }, (_, n) => [SETTING.INITIAL_WINDOW_SIZE, 1000 + n])),
    ]),
    { options: { flood: { ...defaultHttp2Options.flood, outboundControlFrames: 10_000 } } },
  ),
  flood(
    'PING that is not read',
    'outbound_control_flood',
    times(1100, () => ping()),
    { deaf: true },
  ),
  flood(
    'SETTINGS that are not read',
    'outbound_control_flood',
    times(1100, () => setting(3, 5)),
    { deaf: true },
  ),
  flood(
    'RST_STREAM that is not read',
    'outbound_control_flood',
    times(1100, (i) => [headers(nth(i))]),
    {
      deaf: true,
      waits: true,
      options: { maxConcurrentStreams: 1, flood: { ...defaultHttp2Options.flood, earlyEndsPerSecond: 10_000 } },
    },
  ),
  flood(
    'responses that are not read',
    'outbound_flood',
    times(40, (i) => [headers(nth(i))]),
    few,
  ),
  harmless(
    'PING that is read',
    times(900, () => ping()),
  ),
  flood(
    'PRIORITY',
    'inbound_priority_frames_flood',
    times(101, () => frame(FRAME.PRIORITY, 0, 1, Uint8Array.of(0, 0, 0, 3, 1))),
  ),
  flood('empty DATA', 'inbound_empty_frames_flood', joined([open(1), times(2, () => data(1, 0))])),
  flood(
    'empty CONTINUATION',
    'inbound_empty_frames_flood',
    joined([headers(1, 0, get), times(2, () => frame(FRAME.CONTINUATION, 0, 1))]),
  ),
  harmless('an empty DATA frame that ends its stream', joined([open(1), data(1, 0), data(1, 0, FLAG.END_STREAM)])),
  flood('WINDOW_UPDATE', 'inbound_window_update_frames_flood', joined([open(1), times(8, () => update(0, 1))])),
  ...[false, true].map((trailers) =>
    caseOf(
      `a response ${trailers ? 'with trailers ' : ''}that meets no window is given up after stream_flush_timeout`,
      () =>
        serverOutcome([...opening, setting(4, 0), headers(1), headers(3)], {
          options: { streamFlushMs: 20 },
          trailers,
          lastMs: 200,
        }),
      ({ resets, counters, goaway }) =>
        (!(1 in resets && 3 in resets) || counters.tx_flush_timeout.value !== 2 || goaway !== undefined) &&
        'the streams were not reset',
    ),
  ),
  caseOf(
    'PING keepalive that is not answered ends the connection',
    () =>
      serverOutcome([...opening, open(1)], {
        options: {
          keepAlive: { intervalMs: 20, timeoutMs: 20, jitterPercent: 0, random: () => 0, idleIntervalMs: 0 },
        },
        lastMs: 300,
      }),
    ({ closed, counters, events }) =>
      (!closed ||
        counters.keepalive_timeout.value !== 1 ||
        !events.includes('reset connection_termination http2.ping_timeout')) &&
      'the connection is open',
  ),
  caseOf(
    'a graceful drain serves what comes before the acknowledgement of its PING',
    () =>
      serverOutcome(
        [
          ...opening,
          open(1),
          headers(3),
          frame(FRAME.PING, FLAG.ACK, 0, Uint8Array.of(0x74, 0x75, 0x6c, 0x6c, 0x65, 0x64, 0x72, 0)),
          headers(5),
          data(1, 1, FLAG.END_STREAM),
        ],
        { before: (piece, connection) => void (piece === 4 && connection.drain()) },
      ),
    ({ lastStreams, ended, resets, closed, goaway }) =>
      (String(lastStreams) !== '2147483647,3' ||
        String(ended) !== '3,1' ||
        resets[5] !== 7 ||
        !closed ||
        goaway !== 0) &&
      'the drain was not graceful',
  ),
  caseOf(
    'a graceful drain of a client that does not answer ends after its time',
    () =>
      serverOutcome([...opening, headers(1)], {
        before: (piece, connection) => void (piece === 3 && connection.drain()),
        options: { drainMs: 20 },
        lastMs: 200,
      }),
    ({ lastStreams, closed }) => (String(lastStreams) !== '2147483647,1' || !closed) && 'the connection is open',
  ),
  caseOf(
    'SETTINGS that are acknowledged twice',
    () => serverOutcome([...opening, frame(FRAME.SETTINGS, FLAG.ACK, 0)]),
    ({ goaway }) => goaway !== ERROR_CODES.PROTOCOL_ERROR && 'GOAWAY is missing',
  ),
];
