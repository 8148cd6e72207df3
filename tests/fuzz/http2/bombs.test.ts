/**
 * Header blocks that are small on the wire and large in memory, sent over and over: a stream that is refused for them leaves
 * nothing behind, and other streams of the connection are served.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beforeEach, describe, expect, it } from 'vitest';
import { concat } from '../../../edge-proxy/http/codec/bytes.ts';
import { ByteBuffer } from '../../../edge-proxy/http/codec/h2/byte-buffer.ts';
import type { Field } from '../../../edge-proxy/http/codec/h2/fields.ts';
import { CLIENT_PREFACE, headersFrames, settingsFrame } from '../../../edge-proxy/http/codec/h2/frames.ts';
import { writeInteger, writeString } from '../../../edge-proxy/http/codec/h2/hpack/primitives.ts';
import { literalBlock } from '../../../edge-proxy/http/testing/header-blocks.ts';
import { Application, OPTIONS } from './application.ts';

const REQUEST: readonly Field[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/later'],
  [':authority', 'a.test'],
];
const STREAMS = 400;
const MB = 1024 * 1024;
/** How much the heap may differ by chance; the blocks themselves are several times as large. */
const NOISE = 3 * MB;

function concatAll(parts: readonly Uint8Array[]): Uint8Array {
  return parts.reduce(concat);
}

/** An entry of the table that fills it, then references of one byte each to it. */
function bomb(): Uint8Array {
  const out = new ByteBuffer();
  out.append(literalBlock(REQUEST));
  out.push(0x40);
  writeString(out, 'x-large');
  writeString(out, 'v'.repeat(4000));
  for (let i = 0; i < 50_000; i++) writeInteger(out, 0x80, 7, 62);
  return out.bytes.slice(0, out.length);
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heap(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

describe('with the limits of a proxy', () => {
  let app: Application;
  let stream = 1;
  const send = (block: Uint8Array): void => {
    app.connection.handler.onData(concatAll(headersFrames(stream, block, true, 16_384)));
    stream += 2;
    // What was written is not what is measured.
    app.connection.written.length = 0;
  };
  beforeEach(() => {
    const { maxHeadBytes, maxFields } = { maxHeadBytes: 60 * 1024, maxFields: 100 };
    const flood = { ...OPTIONS.flood, earlyEndsPerSecond: Number.POSITIVE_INFINITY };
    app = new Application({ ...OPTIONS, maxHeadBytes, maxFields, flood });
    app.connection.handler.onData(concat(CLIENT_PREFACE, settingsFrame([])));
    stream = 1;
  });

  it.each<[string, () => Uint8Array, RegExp]>([
    ['references to a large entry', bomb, /list_size_too_large/],
    ['empty cookie crumbs', () => literalBlock([...REQUEST, ...Array<Field>(4000).fill(['cookie', ''])]), /too_many/],
    [
      'large cookie crumbs',
      () => literalBlock([...REQUEST, ...Array<Field>(90).fill(['cookie', 'c'.repeat(900)])]),
      /too_large/,
    ],
    [
      'repeated hosts',
      () => literalBlock([...REQUEST, ...Array<Field>(4000).fill(['host', 'a.test'])]),
      /invalid.header/,
    ],
    [
      'names that are new each time',
      () => literalBlock([...REQUEST, ...Array.from({ length: 200 }, (_, i): Field => [`x-${i}`, ''])]),
      /too_many/,
    ],
  ])('%s', (_, make, details) => {
    const block = make();
    send(literalBlock(REQUEST));
    // The first ones fill what is kept for good.
    for (let i = 0; i < 60; i++) send(block);
    const before = heap();
    const cpu = process.cpuUsage();
    for (let i = 0; i < STREAMS; i++) send(block);
    const { user } = process.cpuUsage(cpu);
    app.unanswered.splice(1);
    expect(heap() - before).toBeLessThan(NOISE);
    // A byte costs no more than those of well-formed heads: far below a microsecond, which a machine under load takes.
    expect(user / (STREAMS * block.length)).toBeLessThan(1);
    expect(app.unanswered[0]).toMatch(details);
    expect(app.requests).toHaveLength(1);
    // The connection still serves others.
    send(literalBlock(REQUEST));
    expect(app.requests).toHaveLength(2);
    expect(app.connection.ended).toBe(false);
    app.codec.destroy();
  });
});
