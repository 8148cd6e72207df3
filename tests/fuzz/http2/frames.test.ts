/**
 * Frame sequences, most of them well-formed, through a downstream connection of the proxy: whole and cut into reads, they
 * must mean the same. `TULLE_FUZZ=10000000` sends that many frames instead of a million, `TULLE_FUZZ_SEED` repeats a run; a
 * failure prints its seed.
 */
import { expect, it } from 'vitest';
import { FrameReader } from '../../../edge-proxy/http/codec/h2/connection/frame-reader.ts';
import { HpackDecoder } from '../../../edge-proxy/http/codec/h2/hpack.ts';
import { decodeBlock } from '../../../edge-proxy/http/testing/header-blocks.ts';
import { Random, seed } from '../random.ts';
import { Application } from './application.ts';
import { clientSession, cuts } from './sessions.ts';

const COUNT = Number(process.env['TULLE_FUZZ'] ?? 1_000_000);
/** A tenth of what quiet machines do. */
const PER_SECOND = 3000;

/** What the proxy wrote, frame by frame; window updates, which depend on the reads, are left out. */
function frames(written: readonly Uint8Array[]): string[] {
  const lines: string[] = [];
  const data = new Map<number, number>();
  const decoder = new HpackDecoder({ headerTableSize: 4096, maxHeadBytes: 1 << 16, maxFields: 100 });
  const sink = {
    stream: 0,
    onDataFrame(stream: number) {
      this.stream = stream;
    },
    onDataPart(bytes: Uint8Array, _counted: number, end: boolean) {
      data.set(this.stream, (data.get(this.stream) ?? 0) + bytes.length);
      if (end) lines.push(`data ${this.stream} ${data.get(this.stream)}`);
    },
    onHeaders(stream: number, bytes: Uint8Array, start: number, stop: number, end: boolean) {
      lines.push(`headers ${stream} ${decodeBlock(decoder, bytes.slice(start, stop))} ${end}`);
    },
    onPriority() {},
    onReset: (stream: number, code: number) => void lines.push(`reset ${stream} ${code}`),
    onSetting() {},
    onSettings() {},
    onSettingsAck() {},
    onPing() {},
    onGoaway: (last: number, code: number) => void lines.push(`goaway ${last} ${code}`),
    onWindowUpdate() {},
  };
  const reader = new FrameReader(sink, { blockBytes: 1 << 16, continuations: 10, emptyFrames: 10 }, false);
  for (const bytes of written) reader.push(bytes);
  if (reader.partialHead) throw new Error('a frame that was written is not whole');
  return lines;
}

interface Outcome {
  readonly transcript: string;
  readonly requests: number;
  readonly goaway: boolean;
  /** A response was whole before its request: what is reset then depends on the reads. */
  readonly early: boolean;
}

function run(reads: readonly Uint8Array[]): Outcome {
  const app = new Application();
  for (const bytes of reads) app.connection.handler.onData(bytes);
  const received = app.requests.map(({ request, headers, bodySize, bytes, end, reset }) =>
    // How much came of a body that is not whole depends on the reads.
    [request, bodySize, JSON.stringify(headers), end && bytes, end, reset].join(' '),
  );
  const early = app.refusedEarly || app.requests.some((served) => served.answeredEarly);
  const wasOver = app.connection.ended;
  app.connection.handler.onClose();
  if (app.internal !== undefined) throw app.internal;
  if (app.closings !== 1) throw new Error(`closed ${app.closings} times`);
  // An end for each, be it the connection's.
  const open = app.requests.filter(({ end, reset, answered }) => end === '' && reset === '' && !answered);
  if (open.length > 0) throw new Error(`without an end: ${open.map(({ request }) => request)}`);
  const written = frames(app.connection.written);
  const inOrder = written.filter((line) => !line.startsWith('goaway')).sort();
  const goaway = written.filter((line) => line.startsWith('goaway'));
  const transcript = [...received, ...app.unanswered, ...inOrder, ...goaway, wasOver].join('\n');
  return { transcript, requests: received.length, goaway: goaway.length > 0, early };
}

it(
  `${COUNT} frames, however they are cut, end in requests or in an error of the protocol`,
  () => {
    console.log(`frames: seed ${seed}`);
    // Errors are what is looked for; where they come from is not.
    Error.stackTraceLimit = 0;
    const outcomes = { requests: 0, goaways: 0, sessions: 0, compared: 0 };
    for (let done = 0, at = seed; done < COUNT; at++) {
      const random = new Random(at);
      const session = clientSession(random);
      done += session.frames;
      const describe = (why: string) => `seed ${at}: ${why}\n${Buffer.from(session.bytes).toString('hex')}`;
      let whole: Outcome;
      let cut: Outcome;
      try {
        whole = run([session.bytes.slice()]);
        cut = run(cuts(session.bytes, random));
      } catch (error) {
        throw new Error(describe(error instanceof Error ? error.message : String(error)), { cause: error });
      }
      if (!whole.early && whole.transcript !== cut.transcript)
        throw new Error(describe(`cut:\n${cut.transcript}\n\nwhole:\n${whole.transcript}`));
      outcomes.requests += whole.requests;
      outcomes.goaways += whole.goaway ? 1 : 0;
      outcomes.sessions++;
      if (!whole.early) outcomes.compared++;
    }
    // There must have been something to serve, and something to refuse.
    expect(outcomes.requests).toBeGreaterThan(COUNT / 20);
    expect(outcomes.compared).toBeGreaterThan(outcomes.sessions / 2);
    expect(outcomes.goaways).toBeGreaterThan(outcomes.sessions / 20);
    expect(outcomes.sessions - outcomes.goaways).toBeGreaterThan(outcomes.sessions / 20);
  },
  Math.max(120_000, (COUNT / PER_SECOND) * 1000),
);
