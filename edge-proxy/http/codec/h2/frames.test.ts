import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, fromLatin1 } from '../bytes.ts';
import { Http2Error } from './error.ts';
import {
  FLAG,
  FRAME,
  FrameReader,
  type FrameSink,
  frame,
  goawayFrame,
  headersFrames,
  settingsFrame,
} from './frames.ts';

const limits = { frameSize: 16_384, blockSize: 40_000, continuations: 8 };
const SETTINGS = settingsFrame([]);

/** What a reader reported, as plain text. */
class Log implements FrameSink {
  readonly lines: string[] = [];
  onData(stream: number, data: Uint8Array, counted: number, end: boolean): void {
    this.lines.push(`data ${stream} ${Buffer.from(data)} ${counted} ${end}`);
  }
  onHeaders(stream: number, block: Uint8Array, end: boolean): void {
    this.lines.push(`headers ${stream} ${Buffer.from(block)} ${end}`);
  }
  onReset(stream: number, code: number): void {
    this.lines.push(`reset ${stream} ${code}`);
  }
  onSettings(settings: readonly (readonly [number, number])[]): void {
    this.lines.push(`settings ${JSON.stringify(settings)}`);
  }
  onSettingsAck(): void {
    this.lines.push('settings ack');
  }
  onPing(opaque: Uint8Array, ack: boolean): void {
    this.lines.push(`ping ${Buffer.from(opaque)} ${ack}`);
  }
  onGoaway(last: number, code: number): void {
    this.lines.push(`goaway ${last} ${code}`);
  }
  onWindowUpdate(stream: number, increment: number): void {
    this.lines.push(`window ${stream} ${increment}`);
  }
}

const bytes = (...parts: (string | number[] | Uint8Array)[]) =>
  parts
    .map((part) => (typeof part === 'string' ? fromLatin1(part) : new Uint8Array(part)))
    .reduce((a, b) => concat(a, b), new Uint8Array(0));

function read(...frames: Uint8Array[]): string[] {
  const log = new Log();
  new FrameReader(log, limits).push(bytes(SETTINGS, ...frames));
  return log.lines.slice(1);
}

const codeOf = (...frames: Uint8Array[]): number | undefined => {
  try {
    new FrameReader(new Log(), limits).push(bytes(...frames));
    return undefined;
  } catch (error) {
    if (!(error instanceof Http2Error)) throw error;
    return error.code;
  }
};
const [PROTOCOL, FLOW, SIZE, CALM] = [1, 3, 6, 11];

it('reads every type', () => {
  expect(
    read(
      frame(FRAME.DATA, FLAG.END_STREAM, 1, bytes('abc')),
      frame(FRAME.DATA, FLAG.PADDED, 3, bytes([2], 'abc', [0, 0])),
      frame(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, 1, bytes('block')),
      frame(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.PADDED | FLAG.PRIORITY, 5, bytes([1, 0, 0, 0, 0, 7], 'block', [0])),
      frame(FRAME.HEADERS, FLAG.END_STREAM, 7, bytes('one,')),
      frame(FRAME.CONTINUATION, 0, 7, bytes('two,')),
      frame(FRAME.CONTINUATION, FLAG.END_HEADERS, 7, bytes('three')),
      frame(FRAME.PRIORITY, 0, 1, bytes([0, 0, 0, 0, 1])),
      frame(FRAME.RST_STREAM, 0, 1, bytes([0, 0, 0, 8])),
      frame(FRAME.SETTINGS, FLAG.ACK, 0),
      settingsFrame([
        [3, 100],
        [0xabcd, 0xffffffff],
      ]),
      frame(FRAME.PING, 0, 0, bytes('12345678')),
      frame(FRAME.PING, FLAG.ACK, 0, bytes('12345678')),
      goawayFrame(0x7fffffff, 2),
      frame(FRAME.WINDOW_UPDATE, 0, 0, bytes([0x80, 0, 0, 5])),
      frame(0xfe, 0xff, 9, bytes('unknown')),
    ),
  ).toEqual([
    'data 1 abc 3 true',
    'data 3 abc 6 false',
    'headers 1 block true',
    'headers 5 block false',
    'headers 7 one,two,three true',
    'reset 1 8',
    'settings ack',
    'settings [[3,100],[43981,4294967295]]',
    'ping 12345678 false',
    'ping 12345678 true',
    'goaway 2147483647 2',
    'window 0 5',
  ]);
});

it('a block that is too large for one frame comes back whole', () => {
  const block = bytes('x'.repeat(25));
  const frames = headersFrames(1, block, true, 10);
  expect(frames.map((one) => one.length - 9)).toEqual([10, 10, 5]);
  expect(read(...frames)).toEqual([`headers 1 ${'x'.repeat(25)} true`]);
  expect(read(...headersFrames(1, new Uint8Array(0), false, 10))).toEqual(['headers 1  false']);
});

describe('refused', () => {
  const headers = frame(FRAME.HEADERS, 0, 1, bytes('a'));
  const go = (type: number, flags: number, stream: number, payload: Uint8Array = bytes()) =>
    frame(type, flags, stream, payload);
  it.each<[string, Uint8Array[], number]>([
    ['DATA on stream 0', [go(FRAME.DATA, 0, 0)], PROTOCOL],
    ['HEADERS on stream 0', [go(FRAME.HEADERS, FLAG.END_HEADERS, 0)], PROTOCOL],
    ['PRIORITY on stream 0', [go(FRAME.PRIORITY, 0, 0, bytes([0, 0, 0, 0, 1]))], PROTOCOL],
    ['a short PRIORITY', [go(FRAME.PRIORITY, 0, 1, bytes([0]))], SIZE],
    ['RST_STREAM on stream 0', [go(FRAME.RST_STREAM, 0, 0, bytes([0, 0, 0, 0]))], PROTOCOL],
    ['a long RST_STREAM', [go(FRAME.RST_STREAM, 0, 1, bytes([0, 0, 0, 0, 0]))], SIZE],
    ['SETTINGS on a stream', [go(FRAME.SETTINGS, 0, 1)], PROTOCOL],
    ['an odd SETTINGS', [go(FRAME.SETTINGS, 0, 0, bytes([0]))], SIZE],
    ['SETTINGS with ACK and payload', [go(FRAME.SETTINGS, FLAG.ACK, 0, bytes([0, 1, 0, 0, 0, 0]))], SIZE],
    ['a push setting of 2', [settingsFrame([[2, 2]])], PROTOCOL],
    ['a window setting that is too large', [settingsFrame([[4, 0x80000000]])], FLOW],
    ['a frame size setting that is too small', [settingsFrame([[5, 16_383]])], PROTOCOL],
    ['a frame size setting that is too large', [settingsFrame([[5, 0x1000000]])], PROTOCOL],
    ['PUSH_PROMISE', [go(FRAME.PUSH_PROMISE, FLAG.END_HEADERS, 1, bytes([0, 0, 0, 2]))], PROTOCOL],
    ['PING on a stream', [go(FRAME.PING, 0, 1, bytes('12345678'))], PROTOCOL],
    ['a short PING', [go(FRAME.PING, 0, 0, bytes('1234567'))], SIZE],
    ['GOAWAY on a stream', [go(FRAME.GOAWAY, 0, 1, bytes('12345678'))], PROTOCOL],
    ['a short GOAWAY', [go(FRAME.GOAWAY, 0, 0, bytes('1234567'))], SIZE],
    ['a short WINDOW_UPDATE', [go(FRAME.WINDOW_UPDATE, 0, 1, bytes([1]))], SIZE],
    ['WINDOW_UPDATE of nothing', [go(FRAME.WINDOW_UPDATE, 0, 1, bytes([0x80, 0, 0, 0]))], PROTOCOL],
    ['CONTINUATION of nothing', [go(FRAME.CONTINUATION, FLAG.END_HEADERS, 1)], PROTOCOL],
    ['CONTINUATION of another stream', [headers, go(FRAME.CONTINUATION, FLAG.END_HEADERS, 3)], PROTOCOL],
    ['a frame amid a header block', [headers, go(FRAME.PING, 0, 0, bytes('12345678'))], PROTOCOL],
    ['an unknown frame amid a header block', [headers, go(0xfe, 0, 1)], PROTOCOL],
    ['padding as long as its frame', [go(FRAME.DATA, FLAG.PADDED, 1, bytes([3, 0, 0]))], PROTOCOL],
    ['padding without length', [go(FRAME.DATA, FLAG.PADDED, 1)], SIZE],
    ['HEADERS too short for its priority', [go(FRAME.HEADERS, FLAG.PRIORITY, 1, bytes([0]))], SIZE],
    ['too many CONTINUATION frames', [headers, ...Array.from({ length: 9 }, () => go(FRAME.CONTINUATION, 0, 1))], CALM],
    [
      'a header block that is too large',
      [headers, ...Array.from({ length: 3 }, () => go(FRAME.CONTINUATION, 0, 1, new Uint8Array(16_000)))],
      CALM,
    ],
    ['a frame that is too large', [go(FRAME.DATA, 0, 1, new Uint8Array(16_385))], SIZE],
  ])('%s', (_, frames, wanted) => {
    expect(codeOf(SETTINGS, ...frames)).toBe(wanted);
  });

  it.each([
    ['another first frame', frame(FRAME.PING, 0, 0, bytes('12345678'))],
    ['an acknowledgement as first frame', frame(FRAME.SETTINGS, FLAG.ACK, 0)],
  ])('%s', (_, first) => {
    expect(codeOf(first)).toBe(PROTOCOL);
    expect(codeOf(first.subarray(0, 9))).toBe(PROTOCOL);
  });

  it('another protocol, before its first "frame" is whole', () => {
    expect(codeOf(bytes('HTTP/1.1 400 Bad Request\r\n'))).toBe(SIZE);
  });
});

describe('in pieces', () => {
  const anyFrame = fc
    .tuple(
      fc.integer({ min: 0, max: 10 }),
      fc.constantFrom(0, 1, 4, 5, 8, 12, 37, 255),
      fc.constantFrom(0, 1, 2, 3),
      fc.uint8Array({ maxLength: 16 }),
    )
    .map(([type, flags, stream, payload]) => frame(type, flags, stream, payload));
  const stream = fc.array(fc.oneof({ weight: 9, arbitrary: anyFrame }, fc.uint8Array({ maxLength: 12 })), {
    maxLength: 12,
  });

  /** Lines and, last, the code of the error. */
  const outcome = (parts: Uint8Array[]) => {
    const log = new Log();
    const reader = new FrameReader(log, limits);
    try {
      for (const part of parts) reader.push(part);
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error;
      return [...log.lines, error.code];
    }
    return log.lines;
  };

  it('any bytes say the same however they are cut, and throw nothing but Http2Error', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(300), { maxLength: 8 }), (frames, cuts) => {
        const all = bytes(SETTINGS, ...frames);
        const places = [0, ...cuts.map((cut) => Math.min(cut, all.length)).sort((a, b) => a - b), all.length];
        const parts = places.slice(1).map((end, i) => all.slice(places[i], end));
        expect(outcome(parts)).toEqual(outcome([all]));
      }),
      { numRuns: 3000 },
    );
  });
});
