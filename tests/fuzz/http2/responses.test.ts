/**
 * What a server sends, most of it well-formed, through an upstream connection of the proxy with open streams: whole and cut
 * into reads, it must mean the same. `TULLE_FUZZ=10000000` sends a quarter of that many frames, `TULLE_FUZZ_SEED` repeats a run; a failure prints its seed.
 */
import { expect, it } from 'vitest';
import { concat } from '../../../edge-proxy/http/codec/bytes.ts';
import type { UpstreamConnectionOwner } from '../../../edge-proxy/http/codec/codecs.ts';
import type { Field } from '../../../edge-proxy/http/codec/h2/fields.ts';
import {
  FLAG,
  FRAME,
  frame,
  goawayFrame,
  resetFrame,
  settingsFrame,
  windowUpdateFrame,
} from '../../../edge-proxy/http/codec/h2/frames.ts';
import { http2Protocol } from '../../../edge-proxy/http/codec/h2/upstream-connection.ts';
import { HeaderMap } from '../../../edge-proxy/http/message/header-map.ts';
import type { RequestHead, ResponseHead } from '../../../edge-proxy/http/message/message.ts';
import type { ResponseSink, StreamReset } from '../../../edge-proxy/http/message/stream.ts';
import { literalBlock } from '../../../edge-proxy/http/testing/header-blocks.ts';
import { Random, seed } from '../random.ts';
import { OPTIONS, Recorded } from './application.ts';
import { block } from './blocks.ts';
import { cuts } from './sessions.ts';

const COUNT = Number(process.env['TULLE_FUZZ'] ?? 1_000_000) / 4;
/** A tenth of what quiet machines do. */
const PER_SECOND = 3000;
const STREAMS = 4;
const METHODS = ['GET', 'HEAD', 'POST', 'GET'];

const STATUSES = ['200', '204', '304', '404', '100', '103', '101', '0', '20'];
const FIELDS: readonly Field[] = [
  ['content-length', '5'],
  ['content-length', '0'],
  ['server', 'x'],
  ['set-cookie', 'a=b'],
  ['connection', 'close'],
  ['transfer-encoding', 'chunked'],
  ['Upper', 'a'],
  ['x', 'a\r\nb: c'],
  [':status', '200'],
];

function serverSession(random: Random): { readonly bytes: Uint8Array; readonly frames: number } {
  const parts: Uint8Array[] = [];
  if (random.chance(0.98)) parts.push(settingsFrame(random.chance(0.7) ? [] : [[4, random.pick([0, 1, 70_000])]]));
  const stream = () => (random.chance(0.03) ? random.pick([0, 2, 9, 11]) : 1 + 2 * random.below(STREAMS));
  const headers = (fields: readonly Field[], end: boolean, bytes = literalBlock(fields)) =>
    frame(FRAME.HEADERS, FLAG.END_HEADERS | (end ? FLAG.END_STREAM : 0), stream(), bytes);
  for (let left = 2 + random.below(14); left > 0; left--) {
    const kind = random.below(100);
    if (kind < 35) {
      const status = random.chance(0.7) ? '200' : random.pick(STATUSES);
      const more = random.chance(0.4) ? [random.pick(FIELDS)] : [];
      parts.push(headers([[':status', status], ...more], random.chance(0.3)));
    } else if (kind < 65) {
      const size = random.chance(0.4) ? 5 : random.below(300);
      parts.push(frame(FRAME.DATA, random.chance(0.4) ? FLAG.END_STREAM : 0, stream(), new Uint8Array(size)));
    } else if (kind < 75) parts.push(headers([['grpc-status', '0']], random.chance(0.9)));
    else if (kind < 80) parts.push(resetFrame(stream(), random.below(15)));
    else if (kind < 84)
      parts.push(windowUpdateFrame(random.chance(0.5) ? 0 : stream(), random.pick([0, 1, 2 ** 31 - 1])));
    else if (kind < 88) parts.push(frame(FRAME.PING, random.chance(0.5) ? FLAG.ACK : 0, 0, new Uint8Array(8)));
    else if (kind < 90) parts.push(goawayFrame(random.pick([0, 1, 3, 5, 2 ** 31 - 1]), random.below(3)));
    else if (kind < 92) parts.push(frame(FRAME.SETTINGS, FLAG.ACK, 0));
    else if (kind < 94) parts.push(settingsFrame([[random.below(10), random.pick([0, 1, 100, 2 ** 31])]]));
    else if (kind < 97) parts.push(headers([], random.chance(0.5), block(random)));
    else
      parts.push(
        frame(random.below(20), random.below(256), stream(), new Uint8Array(random.below(20)).fill(random.below(256))),
      );
  }
  const bytes = parts.reduce(concat, new Uint8Array(0));
  for (let changes = random.chance(0.2) ? 1 + random.below(3) : 0; changes > 0; changes--)
    bytes[random.below(bytes.length)] = random.below(256);
  return { bytes, frames: parts.length };
}

/** One response: a head, then data, and one end. */
class Received implements ResponseSink {
  head = '';
  interim = 0;
  bytes = 0;
  end = '';
  reset = '';

  private check(): void {
    if (this.end !== '' || this.reset !== '') throw new Error(`an event behind the end (${this.end || this.reset})`);
  }

  onHead(head: ResponseHead, end: boolean): void {
    this.check();
    if (this.head !== '') throw new Error('a second head');
    this.head = `${head.status} ${head.headers.keys} ${head.headers.values} ${head.bodySize}`;
    if (end) this.end = 'head';
  }

  onInterim(): void {
    this.check();
    if (this.head !== '') throw new Error('an interim response behind the head');
    this.interim++;
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.check();
    if (this.head === '') throw new Error('data before the head');
    this.bytes += bytes.length;
    if (end) this.end = 'data';
  }

  onTrailers(trailers: HeaderMap): void {
    this.check();
    if (this.head === '') throw new Error('trailers before the head');
    this.end = `trailers ${trailers.keys}`;
  }

  onWritable(): void {}

  onReset(reset: StreamReset): void {
    this.check();
    this.reset = reset.reason;
  }

  onInternalError(error: unknown): void {
    throw error;
  }
}

function request(method: string): RequestHead {
  const headers = new HeaderMap();
  return {
    method,
    scheme: 'http',
    authority: 'a.test',
    path: '/',
    headers,
    bodySize: method === 'POST' ? undefined : 0,
    upgrade: '',
    wantsContinue: false,
    version: 'HTTP/1.1',
  };
}

class Owner implements UpstreamConnectionOwner {
  closings = 0;
  onCapacity(): void {}
  onClosed(): void {
    this.closings++;
  }
}

function run(reads: readonly Uint8Array[]): { readonly transcript: string; readonly whole: number } {
  const wire = new Recorded();
  const owner = new Owner();
  const connection = http2Protocol(OPTIONS).connect(wire, owner);
  const sinks = METHODS.map((method) => {
    const sink = new Received();
    connection.open(sink).head(request(method), method !== 'POST');
    return sink;
  });
  for (const bytes of reads) wire.handler.onData(bytes);
  const lines = sinks.map(({ head, interim, bytes, end, reset }) =>
    // How much came of a body that is not whole depends on the reads.
    [interim, head, end && bytes, end, reset].join(' '),
  );
  const closed = owner.closings;
  wire.handler.onClose();
  if (owner.closings !== 1) throw new Error(`closed ${owner.closings} times`);
  if (sinks.some(({ end, reset }) => end === '' && reset === '')) throw new Error('a response without an end');
  return { transcript: [...lines, closed].join('\n'), whole: sinks.filter(({ end }) => end !== '').length };
}

it(
  `${COUNT} frames of servers, however they are cut, end in responses or in errors of the protocol`,
  () => {
    console.log(`responses: seed ${seed}`);
    // Errors are what is looked for; where they come from is not.
    Error.stackTraceLimit = 0;
    let sessions = 0;
    let whole = 0;
    for (let done = 0, at = seed; done < COUNT; at++, sessions++) {
      const random = new Random(at);
      const session = serverSession(random);
      done += session.frames;
      const describe = (why: string) => `seed ${at}: ${why}\n${Buffer.from(session.bytes).toString('hex')}`;
      let once: ReturnType<typeof run>;
      let cut: ReturnType<typeof run>;
      try {
        once = run([session.bytes.slice()]);
        cut = run(cuts(session.bytes, random));
      } catch (error) {
        throw new Error(describe(error instanceof Error ? error.message : String(error)), { cause: error });
      }
      if (once.transcript !== cut.transcript)
        throw new Error(describe(`cut:\n${cut.transcript}\n\nwhole:\n${once.transcript}`));
      whole += once.whole;
    }
    expect(whole).toBeGreaterThan(sessions / 8);
  },
  Math.max(120_000, (COUNT / PER_SECOND) * 1000),
);
