/** Sequences of frames around requests, in order and out of it (RFC 9113 sections 3.4 to 6, RFC 7541). */
import {
  CODE,
  continuation,
  data,
  FLAG,
  frame,
  goaway,
  headers,
  headersBegin,
  PREFACE,
  ping,
  priority,
  reset,
  SETTING,
  settings,
  settingsAck,
  TYPE,
  trailers,
  windowUpdate,
} from '../../../kit/http2/frames.ts';
import { type Field, indexed, indexedLiteral, literals, tableSize } from '../../../kit/http2/hpack.ts';
import { arrives, caseOf, ends, type Http2Case, leaves, request, type Step, send, type Theme } from '../case.ts';

const f = (name: string, value: string): Field => [name, value];
const block = literals(request({}));
const never = () => {};

/** Frames of a new connection, behind which a request comes that is answered where the connection lives. */
type Spec = [id: string, frames: readonly Uint8Array[]];
const opening: Spec[] = [
  ['none', []],
  ['settings-again', [settings([[SETTING.tableSize, 0]])]],
  ['settings-length', [frame(TYPE.settings, 0, 0, '\0\x03\0\0\0')]],
  ['settings-stream', [frame(TYPE.settings, 0, 1)]],
  ['settings-ack-payload', [frame(TYPE.settings, FLAG.ack, 0, '\0\0\0\0\0\0')]],
  ['settings-ack-unsolicited', [settingsAck(), settingsAck(), settingsAck()]],
  ['settings-push', [settings([[SETTING.push, 1]])]],
  ['settings-push-2', [settings([[SETTING.push, 2]])]],
  ['settings-window-large', [settings([[SETTING.window, 2 ** 31]])]],
  ['settings-frame-small', [settings([[SETTING.frame, 100]])]],
  ['settings-frame-large', [settings([[SETTING.frame, 2 ** 24]])]],
  ['settings-unknown', [settings([[0xfa, 7]])]],
  ['settings-connect-2', [settings([[SETTING.connectProtocol, 2]])]],
  ['settings-streams-0', [settings([[SETTING.streams, 0]])]],
  ['settings-list-small', [settings([[SETTING.headerList, 10]])]],
  ['ping-length', [frame(TYPE.ping, 0, 0, '1234567')]],
  ['ping-stream', [frame(TYPE.ping, 0, 1, '12345678')]],
  ['ping-ack', [ping('12345678', true)]],
  ['goaway-stream', [frame(TYPE.goaway, 0, 1, '\0\0\0\0\0\0\0\0')]],
  ['goaway-short', [frame(TYPE.goaway, 0, 0, '\0\0\0\0')]],
  ['goaway', [goaway(0, CODE.no)]],
  ['goaway-error', [goaway(0, CODE.internal, 'why')]],
  ['window-zero', [windowUpdate(0, 0)]],
  ['window-overflow', [windowUpdate(0, 2 ** 31 - 1)]],
  ['window-length', [frame(TYPE.windowUpdate, 0, 0, '\0\0\x01')]],
  ['window-idle-stream', [windowUpdate(1, 1)]],
  ['rst-zero', [reset(0, CODE.cancel)]],
  ['rst-idle', [reset(1, CODE.cancel)]],
  ['rst-length', [frame(TYPE.rstStream, 0, 1, '\0\0\0')]],
  ['priority', [priority(1, 0)]],
  ['priority-zero', [priority(0, 1)]],
  ['priority-length', [frame(TYPE.priority, 0, 1, '\0\0\0\0')]],
  ['priority-self', [priority(1, 1)]],
  ['data-zero', [data(0, 'a')]],
  ['data-idle', [data(1, 'a')]],
  ['data-even', [data(2, 'a')]],
  ['headers-zero', [headers(0, request({}), true)]],
  ['headers-even', [headers(2, request({}), true)]],
  ['headers-padding', [frame(TYPE.headers, 0xd, 1, Buffer.concat([Buffer.from([200]), block]))]],
  ['headers-self', [frame(TYPE.headers, 0x25, 1, Buffer.concat([Buffer.from([0, 0, 0, 1, 15]), block]))]],
  ['headers-short', [frame(TYPE.headers, 0x2d, 1, '\0')]],
  ['continuation-alone', [continuation(1, block, true)]],
  ['continuation-other', [headersBegin(1, block), continuation(3, '', true)]],
  ['continuation-zero', [headersBegin(1, block), continuation(0, '', true)]],
  ['continuation-ping', [headersBegin(1, block), ping()]],
  ['continuation-data', [headersBegin(1, block), data(1, 'a')]],
  ['continuation-settings', [headersBegin(1, block), settings()]],
  ['continuation-headers', [headersBegin(1, block), headers(3, request({}), true)]],
  ['continuation-unknown', [headersBegin(1, block), frame(0xfa, 0, 1)]],
  ['push', [frame(TYPE.pushPromise, 4, 1, Buffer.concat([Buffer.from([0, 0, 0, 2]), block]))]],
  ['unknown', [frame(0xfa, 0xff, 0, 'x'), frame(0xfb, 0, 7, 'x')]],
  ['priority-update', [frame(0x10, 0, 0, '\0\0\0\x01u=1')]],
  ['priority-update-stream', [frame(0x10, 0, 1, '\0\0\0\x01u=1')]],
  ['priority-update-short', [frame(0x10, 0, 0, '\0\0')]],
  ['altsvc', [frame(0xa, 0, 0, '\0\x01ah3=":443"')]],
  ['origin', [frame(0xc, 0, 0, '\0\x01a')]],
  ['large', [frame(0xfa, 0, 0, 'x'.repeat(16_385))]],
  ['large-headers', [frame(TYPE.headers, 5, 1, 'x'.repeat(16_385))]],
  ['reserved-bit', [frame(TYPE.ping, 0, 2 ** 31, '12345678')]],
  ['flags', [frame(TYPE.ping, 0xf0, 0, '12345678')]],
  ['hpack-index-zero', [frame(TYPE.headers, 5, 1, '\x80')]],
  ['hpack-index-far', [frame(TYPE.headers, 5, 1, indexed(99))]],
  ['hpack-truncated', [frame(TYPE.headers, 5, 1, block.subarray(0, block.length - 3))]],
  ['hpack-table-large', [frame(TYPE.headers, 5, 1, Buffer.concat([tableSize(65_536), block]))]],
  ['hpack-table-late', [frame(TYPE.headers, 5, 1, Buffer.concat([block, tableSize(0)]))]],
  ['hpack-integer', [frame(TYPE.headers, 5, 1, '\xff\xff\xff\xff\xff\xff\xff\xff\x01')]],
  ['hpack-padding', [frame(TYPE.headers, 5, 1, Buffer.concat([block, Buffer.from([0, 1, 97, 0x81, 0x00])]))]],
  ['hpack-eos', [frame(TYPE.headers, 5, 1, Buffer.concat([block, Buffer.from([0, 1, 97, 0x84, 255, 255, 255, 255])]))]],
];

/** The request behind the frames: on a stream above those that they name. */
const behind = (id: string) => headers(101, request({}, [caseOf(id)]), true);
const connection = ([name, frames]: Spec): Http2Case => {
  const id = `frames-${name}`;
  const silent = name.startsWith('goaway');
  return { id, listener: 'two', awaits: [101], steps: [send(...frames, behind(id))], silent };
};

/** Frames on a stream that has carried a request. */
type OnStream = [id: string, steps: readonly Step[], two?: Http2Case['two'], awaits?: number[]];
const post = (id: string, end = false) => send(headers(1, request({ method: 'POST' }, [caseOf(id)]), end));
const onStream = (name: string, then: readonly Uint8Array[], begins: 'open' | 'sent' | 'answered'): OnStream => {
  const id = `stream-${name}`;
  if (begins === 'answered') return [id, [post(id, true), ends(1), send(...then, behind(id))], undefined, [101]];
  return [id, [post(id, begins === 'sent'), arrives(), send(...then)], never, [1]];
};
const streams: OnStream[] = [
  onStream('window-zero', [windowUpdate(1, 0)], 'open'),
  onStream('window-overflow', [windowUpdate(1, 2 ** 31 - 1)], 'open'),
  onStream('data-padding', [frame(TYPE.data, 8, 1, '\xc8a')], 'open'),
  onStream('data-padding-none', [frame(TYPE.data, 8, 1, '')], 'open'),
  onStream('trailers-open', [headers(1, [f('x-end', 'yes')])], 'open'),
  onStream('trailers-pseudo', [trailers(1, [f(':path', '/')])], 'open'),
  onStream('trailers-upper', [trailers(1, [f('X-End', 'yes')])], 'open'),
  onStream('trailers-connection', [trailers(1, [f('connection', 'close')])], 'open'),
  onStream('trailers-crlf', [trailers(1, [f('x-end', 'a\r\nb: c')])], 'open'),
  onStream('data-half-closed', [data(1, 'a')], 'sent'),
  onStream('headers-half-closed', [headers(1, [f('x-end', 'yes')], true)], 'sent'),
  onStream('data-closed', [data(1, 'a')], 'answered'),
  onStream('headers-closed', [headers(1, request({}), true)], 'answered'),
  onStream('window-closed', [windowUpdate(1, 1)], 'answered'),
  onStream('rst-closed', [reset(1, CODE.cancel)], 'answered'),
  onStream('rst-unknown-code', [reset(1, 0xfa)], 'answered'),
  onStream('priority-closed', [priority(1, 3)], 'answered'),
];
const streamCases = streams.map(
  ([id, steps, two, awaits]): Http2Case => ({ id, listener: 'two', steps, ...(two && { two }), awaits: awaits ?? [1] }),
);

const lower: Http2Case = {
  ...{ id: 'stream-lower', listener: 'two', awaits: [3] },
  steps: [send(headers(3, request({}, [caseOf('stream-lower')]), true)), ends(3), send(headers(1, request({}), true))],
};
const resetThenData: Http2Case = {
  ...{ id: 'stream-reset-then-data', listener: 'two', awaits: [101] },
  two: (attempt) => {
    if (attempt.number > 1) attempt.send(headers(attempt.stream, [f(':status', '200')], true));
  },
  steps: [
    post('stream-reset-then-data'),
    arrives(),
    send(reset(1, CODE.cancel), data(1, 'late', true), behind('stream-reset-then-data')),
  ],
};

/** Well-formed, and unusual. */
const odd: Http2Case[] = [
  {
    ...{ id: 'odd-continuations', listener: 'two' },
    steps: [
      send(
        headersBegin(1, block, true),
        continuation(1, '', false),
        continuation(1, literals([f('x-a', '1')]), false),
        continuation(1, literals([caseOf('odd-continuations')]), true),
      ),
    ],
  },
  {
    ...{ id: 'odd-split-field', listener: 'two' },
    steps: [
      send(
        headersBegin(1, block.subarray(0, 7), true),
        continuation(1, block.subarray(7), false),
        continuation(1, literals([caseOf('odd-split-field')]), true),
      ),
    ],
  },
  {
    ...{ id: 'odd-padded', listener: 'two' },
    steps: [
      send(
        frame(
          TYPE.headers,
          FLAG.endHeaders | FLAG.padded,
          1,
          Buffer.concat([
            Buffer.from([4]),
            literals(request({ method: 'POST' }, [caseOf('odd-padded')])),
            Buffer.alloc(4),
          ]),
        ),
        frame(TYPE.data, FLAG.padded | FLAG.end, 1, '\x05hello\0\0\0\0\0'),
      ),
    ],
  },
  {
    ...{ id: 'odd-priority', listener: 'two' },
    steps: [
      send(
        frame(
          TYPE.headers,
          FLAG.endHeaders | FLAG.priority | FLAG.end,
          1,
          Buffer.concat([Buffer.from([0x80, 0, 0, 3, 255]), literals(request({}, [caseOf('odd-priority')]))]),
        ),
      ),
    ],
  },
  {
    ...{ id: 'odd-dynamic-table', listener: 'two', awaits: [1, 3] },
    steps: [
      send(
        frame(
          TYPE.headers,
          5,
          1,
          Buffer.concat([
            literals(request({})),
            indexedLiteral(f('x-a', 'one')),
            indexedLiteral(caseOf('odd-dynamic-table')),
          ]),
        ),
      ),
      ends(1),
      send(frame(TYPE.headers, 5, 3, Buffer.concat([literals(request({})), indexed(62), indexed(63)]))),
    ],
  },
  {
    ...{ id: 'odd-table-size', listener: 'two' },
    steps: [
      send(
        frame(
          TYPE.headers,
          5,
          1,
          Buffer.concat([tableSize(0), tableSize(100), literals(request({}, [caseOf('odd-table-size')]))]),
        ),
      ),
    ],
  },
  {
    ...{ id: 'odd-empty-data', listener: 'two' },
    steps: [send(headers(1, request({ method: 'POST' }, [caseOf('odd-empty-data')])), data(1, 'a'), data(1, '', true))],
  },
  {
    ...{ id: 'odd-trailers-alone', listener: 'two' },
    steps: [
      send(headers(1, request({ method: 'POST' }, [caseOf('odd-trailers-alone')])), trailers(1, [f('x-end', 'yes')])),
    ],
  },
  {
    ...{ id: 'odd-stream-far', listener: 'two', awaits: [2 ** 31 - 1] },
    steps: [send(headers(2 ** 31 - 1, request({}, [caseOf('odd-stream-far')]), true))],
  },
  {
    ...{ id: 'odd-two-at-once', listener: 'two', awaits: [1, 3] },
    steps: [
      send(headers(1, request({ path: '/direct' }, [caseOf('odd-two-at-once')]), true)),
      send(headers(3, request({ path: '/teapot' }, [caseOf('odd-two-at-once')]), true)),
    ],
  },
];

const request101 = (id: string) => headers(1, request({}, [caseOf(id)]), true);
const prefaces: Http2Case[] = [
  ['preface-no-settings', Buffer.concat([PREFACE, request101('preface-no-settings')])],
  ['preface-ping-first', Buffer.concat([PREFACE, ping(), settings(), request101('preface-ping-first')])],
  ['preface-wrong', Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n'), settings()])],
  ['preface-ack-first', Buffer.concat([PREFACE, settingsAck(), request101('preface-ack-first')])],
  ['preface-bad-settings', Buffer.concat([PREFACE, settings([[SETTING.push, 7]]), request101('preface-bad-settings')])],
].map(([id, bytes]): Http2Case => ({ id: id as string, listener: 'two', opening: bytes as Buffer, steps: [] }));
const half: Http2Case = {
  ...{ id: 'preface-half', listener: 'two', opening: PREFACE.subarray(0, 10), awaits: [] },
  steps: [leaves],
};

export const frames: Theme = {
  cases: [...opening.map(connection), ...streamCases, lower, resetThenData, ...odd, ...prefaces, half],
};
