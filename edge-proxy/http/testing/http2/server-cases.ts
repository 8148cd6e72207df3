/** Frame sequences of clients, and what RFC 9113 has a server do. Each case is a MUST of the section that it names. */
import { ERROR_CODES, type ErrorName } from '../../codec/h2/error.ts';
import { CLIENT_PREFACE, FLAG, FRAME, frame, settingsFrame } from '../../codec/h2/frames.ts';
import { literalBlock } from '../header-blocks.ts';
import type { Outcome, ServerBehaviour } from './outcome.ts';
import { serverOutcome } from './outcome.ts';

export interface Case {
  readonly name: string;
  /** @returns what differs from what is demanded; '' where nothing does */
  readonly run: () => Promise<string>;
}

const END = FLAG.END_HEADERS | FLAG.END_STREAM;
const latin = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const bytes = (...values: number[]) => Uint8Array.from(values);
const zeros = (count: number) => new Uint8Array(count);
const word = (value: number) => bytes(value >>> 24, value >>> 16, value >>> 8, value);
export const get = literalBlock([
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'h'],
  [':path', '/'],
]);
const post = literalBlock([
  [':method', 'POST'],
  [':scheme', 'http'],
  [':authority', 'h'],
  [':path', '/'],
]);
const withField = (...field: [string, string]) => {
  const block = literalBlock([field]);
  const all = new Uint8Array(post.length + block.length);
  all.set(post);
  all.set(block, post.length);
  return all;
};

export const headers = (stream: number, flags: number = END, block: Uint8Array = get) =>
  frame(FRAME.HEADERS, flags, stream, block);
export const open = (stream: number) => headers(stream, FLAG.END_HEADERS, post);
export const data = (stream: number, length: number, flags = 0) => frame(FRAME.DATA, flags, stream, zeros(length));
export const opening = [CLIENT_PREFACE, settingsFrame([]), frame(FRAME.SETTINGS, FLAG.ACK, 0)];
export const ping = (flags = 0, stream = 0, length = 8) => frame(FRAME.PING, flags, stream, zeros(length));
export const update = (stream: number, increment: number) => frame(FRAME.WINDOW_UPDATE, 0, stream, word(increment));
export const rst = (stream: number, code = 8) => frame(FRAME.RST_STREAM, 0, stream, word(code));
/** Shows whether the connection still serves. */
const PROBE = 201;

export function caseOf(name: string, run: () => Promise<Outcome>, differs: (outcome: Outcome) => string | false): Case {
  return {
    name,
    run: async () => {
      const outcome = await run();
      const found = differs(outcome);
      return found === false ? '' : `${found}: ${JSON.stringify({ ...outcome, counters: undefined })}`;
    },
  };
}

function send(frames: readonly Uint8Array[], behaviour?: ServerBehaviour): Promise<Outcome> {
  return serverOutcome([...opening, ...frames, headers(PROBE)], behaviour);
}

/** The connection ends with GOAWAY. */
function connection(name: string, code: ErrorName, frames: readonly Uint8Array[], behaviour?: ServerBehaviour): Case {
  return caseOf(
    name,
    () => send(frames, behaviour),
    ({ goaway, closed, ended }) =>
      goaway !== ERROR_CODES[code]
        ? `GOAWAY ${code} is missing`
        : !closed
          ? 'the connection is open'
          : ended.includes(PROBE) && 'the connection still serves',
  );
}

/** One stream ends with RST_STREAM, the connection serves on. */
function stream(name: string, code: ErrorName, frames: readonly Uint8Array[], behaviour?: ServerBehaviour): Case {
  return caseOf(
    name,
    () => send(frames, behaviour),
    ({ resets, ended, goaway }) =>
      resets[1] !== ERROR_CODES[code]
        ? `RST_STREAM ${code} is missing`
        : (goaway !== undefined || !(ended.includes(PROBE) || behaviour?.waits)) &&
          'the connection does not serve any more',
  );
}

/** Nothing ends, and what is demanded holds. */
function served(
  name: string,
  frames: readonly Uint8Array[],
  holds: (outcome: Outcome) => boolean = ({ ended }) => ended.includes(1),
  behaviour?: ServerBehaviour,
): Case {
  return caseOf(
    name,
    () => send(frames, behaviour),
    (outcome) =>
      !outcome.ended.includes(PROBE)
        ? 'the connection does not serve any more'
        : outcome.goaway !== undefined
          ? 'GOAWAY was sent'
          : !holds(outcome) && 'what is demanded does not hold',
  );
}

function raw(name: string, code: ErrorName, pieces: readonly Uint8Array[]): Case {
  return caseOf(
    name,
    () => serverOutcome(pieces),
    ({ goaway, closed }) => (goaway !== ERROR_CODES[code] ? 'GOAWAY is missing' : !closed && 'the connection is open'),
  );
}

export const setting = (id: number, value: number) => settingsFrame([[id, value]]);
const fragments = [
  headers(1, FLAG.END_STREAM, get.subarray(0, 5)),
  frame(FRAME.CONTINUATION, 0, 1, get.subarray(5, 9)),
  frame(FRAME.CONTINUATION, FLAG.END_HEADERS, 1, get.subarray(9)),
];
const cut = headers(1, FLAG.END_STREAM, get.subarray(0, 5));

export const serverCases: readonly Case[] = [
  raw('3.4: another preface', 'PROTOCOL_ERROR', [latin('GET / HTTP/1.1\r\nHost: a\r\n\r\n')]),
  raw('3.4: a preface without SETTINGS', 'PROTOCOL_ERROR', [CLIENT_PREFACE, ping()]),
  raw('3.4: a preface that ends with an acknowledgement', 'PROTOCOL_ERROR', [
    CLIENT_PREFACE,
    frame(FRAME.SETTINGS, FLAG.ACK, 0),
  ]),
  served('3.4: SETTINGS of the preface are acknowledged', [headers(1)], ({ settingsAcks }) => settingsAcks === 1),
  served('4.1: a frame of an unknown type is ignored', [frame(0xee, 0xff, 3, zeros(20)), headers(1)]),
  served(
    '4.1: unknown flags are ignored',
    [ping(0x80), headers(1, END | 0x50)],
    ({ pings, ended }) => pings === 1 && ended.includes(1),
  ),
  served('4.1: the reserved bit is ignored', [frame(FRAME.HEADERS, END, -0x7fffffff, get)]),
  connection('4.2: a frame above SETTINGS_MAX_FRAME_SIZE', 'FRAME_SIZE_ERROR', [open(1), data(1, 16_385)]),
  served('4.2: a frame of SETTINGS_MAX_FRAME_SIZE', [open(1), data(1, 16_384, FLAG.END_STREAM)]),
  connection('4.3: a header block that cannot be decompressed', 'COMPRESSION_ERROR', [headers(1, END, bytes(0x80))]),
  served('4.3: a header block in fragments', fragments),
  connection('4.3: a frame of the same stream within a header block', 'PROTOCOL_ERROR', [cut, data(1, 1)]),
  connection('4.3: a frame of another stream within a header block', 'PROTOCOL_ERROR', [cut, headers(3)]),
  connection('4.3: an unknown frame within a header block', 'PROTOCOL_ERROR', [cut, frame(0xee, 0, 1)]),
  connection('5.1 idle: DATA', 'PROTOCOL_ERROR', [data(1, 1)]),
  connection('5.1 idle: RST_STREAM', 'PROTOCOL_ERROR', [rst(1)]),
  connection('5.1 idle: WINDOW_UPDATE', 'PROTOCOL_ERROR', [update(1, 1)]),
  served('5.1 idle: PRIORITY', [frame(FRAME.PRIORITY, 0, 1, bytes(0, 0, 0, 0, 1)), headers(1)]),
  stream('5.1 half-closed (remote): DATA', 'STREAM_CLOSED', [headers(1), data(1, 1)], { waits: true }),
  stream('5.1 half-closed (remote): HEADERS', 'STREAM_CLOSED', [headers(1), headers(1)], { waits: true }),
  served('5.1 half-closed (remote): WINDOW_UPDATE', [headers(1), update(1, 5)]),
  connection('5.1 closed by END_STREAM: DATA', 'STREAM_CLOSED', [headers(1), data(1, 1)]),
  connection('5.1 closed by END_STREAM: HEADERS', 'STREAM_CLOSED', [headers(1), headers(1)]),
  served('5.1 closed by END_STREAM: WINDOW_UPDATE and RST_STREAM', [headers(1), update(1, 5), rst(1)]),
  stream('5.1 closed by RST_STREAM of the peer: DATA', 'STREAM_CLOSED', [open(1), rst(1), data(1, 1)]),
  stream('5.1 closed by RST_STREAM of the peer: HEADERS', 'STREAM_CLOSED', [open(1), rst(1), headers(1)]),
  stream('5.1 closed by RST_STREAM of the server: what was on its way is ignored', 'PROTOCOL_ERROR', [
    headers(1, FLAG.END_HEADERS, withField('content-length', '1')),
    data(1, 2),
    data(1, 100),
    headers(1),
    update(1, 7),
    rst(1),
  ]),
  served('5.1 closed: PRIORITY', [headers(1), frame(FRAME.PRIORITY, 0, 1, bytes(0, 0, 0, 3, 1))]),
  connection('5.1.1: an even stream', 'PROTOCOL_ERROR', [headers(2)]),
  connection('5.1.1: a stream below the one before', 'STREAM_CLOSED', [headers(5), headers(3)]),
  caseOf(
    '5.1.2: more streams than SETTINGS_MAX_CONCURRENT_STREAMS',
    () =>
      serverOutcome([...opening, open(1), headers(3), data(1, 1, FLAG.END_STREAM)], {
        options: { maxConcurrentStreams: 1 },
      }),
    ({ resets, ended }) =>
      (resets[3] !== ERROR_CODES.REFUSED_STREAM || !ended.includes(1)) && 'stream 3 was not refused',
  ),
  connection('5.4.1: stream 0', 'PROTOCOL_ERROR', [headers(0)]),
  served('5.5: PRIORITY_UPDATE (RFC 9218) is ignored', [frame(0x10, 0, 0, latin('\0\0\0\x01u=1')), headers(1)]),
  connection('6.1: DATA on stream 0', 'PROTOCOL_ERROR', [data(0, 1)]),
  connection('6.1: padding that is as long as the payload', 'PROTOCOL_ERROR', [
    open(1),
    frame(FRAME.DATA, FLAG.PADDED, 1, bytes(3, 0, 0)),
  ]),
  served(
    '6.1: padding counts for flow control, and is not data',
    [open(1), frame(FRAME.DATA, FLAG.PADDED | FLAG.END_STREAM, 1, bytes(2, 7, 7, 0, 0))],
    ({ events }) => events.includes('data 2'),
  ),
  served('6.2: padding and priority', [
    frame(FRAME.HEADERS, END | FLAG.PADDED | FLAG.PRIORITY, 1, Uint8Array.of(1, 0, 0, 0, 0, 7, ...get, 0)),
  ]),
  connection('6.2: padding that is longer than the payload', 'PROTOCOL_ERROR', [
    frame(FRAME.HEADERS, END | FLAG.PADDED, 1, Uint8Array.of(200, ...get)),
  ]),
  connection('6.2: HEADERS on stream 0', 'PROTOCOL_ERROR', [headers(0)]),
  connection('6.3: PRIORITY on stream 0', 'PROTOCOL_ERROR', [frame(FRAME.PRIORITY, 0, 0, zeros(5))]),
  connection('6.3: PRIORITY of another length', 'FRAME_SIZE_ERROR', [frame(FRAME.PRIORITY, 0, 1, zeros(4))]),
  connection('6.4: RST_STREAM on stream 0', 'PROTOCOL_ERROR', [rst(0)]),
  connection('6.4: RST_STREAM of another length', 'FRAME_SIZE_ERROR', [
    open(1),
    frame(FRAME.RST_STREAM, 0, 1, zeros(3)),
  ]),
  served('6.4: a stream that was reset is gone', [open(1), rst(1)], ({ events }) =>
    events.includes('reset remote_reset http2.remote_reset'),
  ),
  served('6.4: an unknown code means INTERNAL_ERROR', [open(1), rst(1, 0xffff)], ({ events }) =>
    events.includes('reset remote_reset http2.remote_reset'),
  ),
  connection('6.5: SETTINGS with ACK and a payload', 'FRAME_SIZE_ERROR', [
    frame(FRAME.SETTINGS, FLAG.ACK, 0, zeros(6)),
  ]),
  connection('6.5: SETTINGS on a stream', 'PROTOCOL_ERROR', [frame(FRAME.SETTINGS, 0, 1)]),
  connection('6.5: SETTINGS of another length', 'FRAME_SIZE_ERROR', [frame(FRAME.SETTINGS, 0, 0, zeros(5))]),
  connection('6.5.2: ENABLE_PUSH that is neither 0 nor 1', 'PROTOCOL_ERROR', [setting(2, 2)]),
  connection('6.5.2: INITIAL_WINDOW_SIZE above 2^31-1', 'FLOW_CONTROL_ERROR', [setting(4, 0x80000000)]),
  connection('6.5.2: MAX_FRAME_SIZE below 2^14', 'PROTOCOL_ERROR', [setting(5, 16_383)]),
  connection('6.5.2: MAX_FRAME_SIZE above 2^24-1', 'PROTOCOL_ERROR', [setting(5, 0x1000000)]),
  served('6.5.2: an unknown setting is ignored', [setting(0xabcd, 7), headers(1)]),
  served(
    '6.5.3: each SETTINGS is acknowledged',
    [setting(3, 1), setting(3, 2)],
    ({ settingsAcks }) => settingsAcks === 3,
  ),
  served('6.5.3: values are applied in their order', [
    settingsFrame([
      [4, 0],
      [4, 100],
    ]),
    headers(1),
  ]),
  connection('6.6: PUSH_PROMISE of a client', 'PROTOCOL_ERROR', [
    frame(FRAME.PUSH_PROMISE, FLAG.END_HEADERS, 1, word(2)),
  ]),
  served('6.7: PING is acknowledged', [ping()], ({ pings }) => pings === 1),
  served('6.7: an acknowledgement is not', [ping(FLAG.ACK)], ({ pings }) => pings === 0),
  connection('6.7: PING on a stream', 'PROTOCOL_ERROR', [ping(0, 1)]),
  connection('6.7: PING of another length', 'FRAME_SIZE_ERROR', [ping(0, 0, 7)]),
  connection('6.8: GOAWAY on a stream', 'PROTOCOL_ERROR', [frame(FRAME.GOAWAY, 0, 1, zeros(8))]),
  served('6.8: streams continue after the GOAWAY of a client', [frame(FRAME.GOAWAY, 0, 0, zeros(8)), headers(1)]),
  stream('6.9: WINDOW_UPDATE of 0 on a stream', 'PROTOCOL_ERROR', [open(1), update(1, 0)]),
  connection('6.9: WINDOW_UPDATE of 0 on the connection', 'PROTOCOL_ERROR', [update(0, 0)]),
  connection('6.9: WINDOW_UPDATE of another length', 'FRAME_SIZE_ERROR', [frame(FRAME.WINDOW_UPDATE, 0, 0, zeros(3))]),
  stream(
    '6.9.1: more data than the window of the stream',
    'FLOW_CONTROL_ERROR',
    [open(1), ...Array.from({ length: 5 }, () => data(1, 16_384))],
    { pauses: true },
  ),
  caseOf(
    '6.9.1: no more is sent than the window of the stream',
    () => serverOutcome([...opening, setting(4, 3), headers(1)]),
    ({ data: sent, ended }) => (sent[1] !== 3 || ended.length > 0) && 'the window is not kept',
  ),
  caseOf(
    '6.9.2: a window below 0 is filled up first',
    () => serverOutcome([...opening, setting(4, 4), headers(1), setting(4, 0), update(1, 3), update(1, 3)]),
    ({ data: sent, ended }) => (sent[1] !== 6 || ended.length > 0) && 'the window is not kept',
  ),
  connection('6.9.1: a window of the connection above 2^31-1', 'FLOW_CONTROL_ERROR', [update(0, 0x7fffffff)]),
  stream('6.9.1: a window of a stream above 2^31-1', 'FLOW_CONTROL_ERROR', [open(1), update(1, 0x7fffffff)]),
  connection('6.9.2: SETTINGS that makes a window too large', 'FLOW_CONTROL_ERROR', [
    open(1),
    update(1, 0x7fff0000),
    setting(4, 0x7fffffff),
  ]),
  connection('6.10: CONTINUATION of nothing', 'PROTOCOL_ERROR', [frame(FRAME.CONTINUATION, FLAG.END_HEADERS, 1)]),
  connection('6.10: CONTINUATION of a whole block', 'PROTOCOL_ERROR', [
    headers(1),
    frame(FRAME.CONTINUATION, FLAG.END_HEADERS, 1),
  ]),
  connection('6.10: CONTINUATION of another stream', 'PROTOCOL_ERROR', [
    cut,
    frame(FRAME.CONTINUATION, FLAG.END_HEADERS, 3, get.subarray(5)),
  ]),
  connection('6.10: CONTINUATION on stream 0', 'PROTOCOL_ERROR', [cut, frame(FRAME.CONTINUATION, FLAG.END_HEADERS, 0)]),
];
