/** Frame sequences of servers, and what RFC 9113 has a client do. */
import { ERROR_CODES, type ErrorName } from '../../codec/h2/error.ts';
import { FLAG, FRAME, frame, goawayFrame, settingsFrame } from '../../codec/h2/frames.ts';
import { literalBlock } from '../header-blocks.ts';
import { type ClientBehaviour, clientOutcome, type Outcome } from './outcome.ts';
import type { Case } from './server-cases.ts';

const opening = [settingsFrame([]), frame(FRAME.SETTINGS, FLAG.ACK, 0)];
const END = FLAG.END_HEADERS | FLAG.END_STREAM;
const block = (status: string, ...fields: [string, string][]) => literalBlock([[':status', status], ...fields]);
const head = (stream: number, flags: number = FLAG.END_HEADERS, status = '200', ...fields: [string, string][]) =>
  frame(FRAME.HEADERS, flags, stream, block(status, ...fields));
const data = (stream: number, length: number, flags = 0) => frame(FRAME.DATA, flags, stream, new Uint8Array(length));
const trailers = (stream: number, flags: number = END) =>
  frame(FRAME.HEADERS, flags, stream, literalBlock([['x-sum', '1']]));
const word = (value: number) => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);

function caseOf(
  name: string,
  frames: readonly Uint8Array[],
  holds: (outcome: Outcome) => boolean,
  behaviour?: ClientBehaviour,
): Case {
  return {
    name,
    run: async () => {
      const outcome = await clientOutcome([...opening, ...frames], behaviour);
      return holds(outcome) ? '' : JSON.stringify({ ...outcome, counters: undefined });
    },
  };
}

const saw =
  (...lines: string[]) =>
  ({ events }: Outcome) =>
    lines.every((line) => events.includes(line));
/** The connection ends, and all its streams. */
const connection = (name: string, code: ErrorName, frames: readonly Uint8Array[]) =>
  caseOf(
    name,
    frames,
    (outcome) => outcome.goaway === ERROR_CODES[code] && outcome.closed && saw('1: protocol_error sent head')(outcome),
  );
/** The stream ends alone. */
const stream = (name: string, code: ErrorName, frames: readonly Uint8Array[]) =>
  caseOf(
    name,
    frames,
    (outcome) =>
      outcome.resets[1] === ERROR_CODES[code] &&
      outcome.goaway === undefined &&
      saw('1: protocol_error sent head')(outcome),
  );

export const clientCases: readonly Case[] = [
  {
    name: '3.4: another protocol',
    run: async () => {
      const outcome = await clientOutcome([
        Uint8Array.from('HTTP/1.1 400 Bad Request\r\n\r\n', (c) => c.charCodeAt(0)),
      ]);
      return outcome.goaway === ERROR_CODES.PROTOCOL_ERROR ? '' : JSON.stringify(outcome);
    },
  },
  caseOf(
    '8.1: head, data, trailers',
    [head(1), data(1, 5), trailers(1)],
    saw('1: 200', '1: data 5', '1: trailers x-sum'),
  ),
  caseOf('8.1: a head alone', [head(1, END, '204')], saw('1: 204 end', 'streams 0 of 1024')),
  caseOf(
    '8.1: interim responses',
    [head(1, FLAG.END_HEADERS, '103'), head(1, END)],
    saw('1: interim 103', '1: 200 end'),
  ),
  stream('8.1: an interim response that ends the stream', 'PROTOCOL_ERROR', [head(1, END, '103')]),
  stream('8.1: data before a head', 'PROTOCOL_ERROR', [data(1, 5)]),
  stream('8.1: trailers that do not end the stream', 'PROTOCOL_ERROR', [head(1), trailers(1, FLAG.END_HEADERS)]),
  stream('8.1.1: less data than content-length', 'PROTOCOL_ERROR', [
    head(1, FLAG.END_HEADERS, '200', ['content-length', '9']),
    data(1, 5, FLAG.END_STREAM),
  ]),
  stream('8.1.1: more data than content-length', 'PROTOCOL_ERROR', [
    head(1, FLAG.END_HEADERS, '200', ['content-length', '4']),
    data(1, 5),
  ]),
  stream('8.1.1: a body of 204', 'PROTOCOL_ERROR', [head(1, FLAG.END_HEADERS, '204'), data(1, 5)]),
  stream('8.6: a status 101', 'PROTOCOL_ERROR', [head(1, FLAG.END_HEADERS, '101')]),
  connection('8.4: a push, which was not allowed', 'PROTOCOL_ERROR', [
    frame(FRAME.PUSH_PROMISE, FLAG.END_HEADERS, 1, word(2)),
  ]),
  connection('5.1: a stream that was not opened', 'PROTOCOL_ERROR', [head(3)]),
  connection('5.1: a stream of the server', 'PROTOCOL_ERROR', [head(2)]),
  caseOf(
    '5.1: a frame behind END_STREAM',
    [head(1, END), data(1, 1)],
    ({ goaway }) => goaway === ERROR_CODES.STREAM_CLOSED,
  ),
  caseOf(
    '6.4: RST_STREAM',
    [frame(FRAME.RST_STREAM, 0, 1, word(ERROR_CODES.CANCEL))],
    saw('1: remote_reset sent head', 'streams 0 of 1024'),
  ),
  caseOf(
    '6.4: REFUSED_STREAM says that nothing was processed',
    [frame(FRAME.RST_STREAM, 0, 1, word(ERROR_CODES.REFUSED_STREAM))],
    saw('1: refused_stream sent head'),
  ),
  caseOf('6.5.2: MAX_CONCURRENT_STREAMS is kept', [settingsFrame([[3, 7]])], saw('streams 1 of 7')),
  caseOf(
    '6.8: streams above the last one of GOAWAY are refused, the others continue',
    [goawayFrame(1, 0), head(1, END)],
    saw('3: refused_stream sent head', '1: 200 end', 'closed', 'streams 0 of 0'),
    { streams: 2 },
  ),
  caseOf(
    '6.8: a graceful GOAWAY ends no stream',
    [goawayFrame(0x7fffffff, 0), head(3, END), head(1, END)],
    saw('3: 200 end', '1: 200 end', 'closed'),
    { streams: 2 },
  ),
  caseOf(
    '6.8: streams up to the last one continue after a GOAWAY with an error',
    [goawayFrame(1, ERROR_CODES.INTERNAL_ERROR), head(1), data(1, 5, FLAG.END_STREAM)],
    saw('3: refused_stream sent head', '1: 200', '1: data 5 end', 'closed', 'streams 0 of 0'),
    { streams: 2 },
  ),
  connection('6.8: a GOAWAY that takes more than the one before', 'PROTOCOL_ERROR', [
    goawayFrame(1, 0),
    goawayFrame(3, 0),
  ]),
  caseOf(
    '6.9.1: more data than the window of the stream',
    [head(1), ...Array.from({ length: 5 }, () => data(1, 16_384))],
    ({ resets }) => resets[1] === ERROR_CODES.FLOW_CONTROL_ERROR,
    { pauses: true },
  ),
];
