/**
 * Random sequences of frames against connections of both sides, in memory: most are valid or nearly so, some are noise, cut
 * into reads anywhere. Nothing may throw, hang, or serve on after it has sent GOAWAY.
 */
import { joined } from '../../../edge-proxy/http/codec/bytes.ts';
import { FLAG, FRAME, frame, settingsFrame } from '../../../edge-proxy/http/codec/h2/frames.ts';
import { literalBlock } from '../../../edge-proxy/http/testing/header-blocks.ts';
import { clientOutcome, type Outcome, serverOutcome } from '../../../edge-proxy/http/testing/http2/outcome.ts';
import { opening } from '../../../edge-proxy/http/testing/http2/server-cases.ts';
import { Random } from '../random.ts';

const FRAMES = 40;
const noise = (random: Random, most: number) =>
  Uint8Array.from({ length: random.below(most) }, () => random.below(256));
const word = (value: number) => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
const request = literalBlock([
  [':method', 'POST'],
  [':scheme', 'http'],
  [':authority', 'h'],
  [':path', '/'],
]);
const response = literalBlock([[':status', '200']]);
const interim = literalBlock([[':status', '103']]);
const trailers = literalBlock([['x-sum', '1']]);
const sized = literalBlock([
  [':status', '200'],
  ['content-length', '7'],
]);

/** A block that is whole, cut, or nonsense. */
function block(random: Random): Uint8Array {
  const whole = random.pick([request, request, response, response, interim, trailers, sized]);
  if (random.chance(0.05)) return noise(random, 30);
  return random.chance(0.05) ? whole.subarray(0, random.below(whole.length)) : whole;
}

function anyFrame(random: Random, streams: readonly number[]): Uint8Array {
  const stream = random.chance(0.04) ? random.below(12) : random.pick(streams);
  const end = random.chance(0.4) ? FLAG.END_STREAM : 0;
  switch (random.below(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return frame(FRAME.DATA, end, stream, new Uint8Array(random.below(random.chance(0.1) ? 20_000 : 40)));
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
      return frame(FRAME.HEADERS, end | (random.chance(0.95) ? FLAG.END_HEADERS : 0), stream, block(random));
    case 9:
      return frame(FRAME.CONTINUATION, random.chance(0.8) ? FLAG.END_HEADERS : 0, stream, block(random));
    case 10:
      return frame(FRAME.RST_STREAM, 0, stream, word(random.below(14)));
    case 11:
      return frame(FRAME.WINDOW_UPDATE, 0, random.chance(0.3) ? 0 : stream, word(random.below(100_000)));
    case 12:
      return settingsFrame([[random.below(9), random.pick([0, 1, 100, 65_535, 0x7fffffff])]]);
    case 13:
      return frame(FRAME.PING, random.chance(0.5) ? FLAG.ACK : 0, 0, new Uint8Array(8));
    case 14:
      return random.chance(0.2)
        ? frame(FRAME.GOAWAY, 0, 0, Uint8Array.of(...word(random.below(9)), ...word(random.below(3))))
        : frame(FRAME.PRIORITY, 0, stream, Uint8Array.of(...word(random.below(9)), 1));
    default:
      return frame(random.below(20), random.below(256), stream, noise(random, 12));
  }
}

/** The bytes, in reads. */
function cut(random: Random, bytes: readonly Uint8Array[]): Uint8Array[] {
  const all = joined(
    bytes,
    bytes.reduce((sum, part) => sum + part.length, 0),
  );
  if (random.chance(0.5)) return [all];
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < all.length; ) {
    const size = 1 + random.below(random.chance(0.3) ? 10 : 400);
    pieces.push(all.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

export interface SequenceResult {
  /** Frames that were sent. */
  readonly frames: number;
  /** What must not happen; '' where it did not. */
  readonly failure: string;
  readonly outcome: Outcome;
}

/** One connection. @param number of the sequence: the same number gives the same frames */
export async function runSequence(number: number): Promise<SequenceResult> {
  const random = new Random(number);
  const isServer = random.chance(0.6);
  const count = 1 + random.below(FRAMES);
  const streams = isServer ? [1, 1, 3, 3, 5, 7, 9] : [1, 1, 1, 3, 3, 5];
  const frames = Array.from({ length: count }, () => anyFrame(random, streams));
  const strict = { options: { resetsStreamOnMalformed: random.chance(0.5) } };
  const outcome = isServer
    ? await serverOutcome([...opening, ...cut(random, frames)], {
        ...strict,
        waits: random.chance(0.2),
        pauses: random.chance(0.2),
      })
    : await clientOutcome([...cut(random, [settingsFrame([]), frame(FRAME.SETTINGS, FLAG.ACK, 0), ...frames])], {
        ...strict,
        streams: 3,
        pauses: random.chance(0.2),
      });
  return { frames: count, failure: failureOf(outcome), outcome };
}

function failureOf({ events, goaway, closed, ended }: Outcome): string {
  const internal = events.find((event) => event.includes('internal'));
  if (internal !== undefined) return internal;
  if (goaway !== undefined && !closed && goaway !== 0) return 'GOAWAY with an error left the connection open';
  if (new Set(ended).size !== ended.length) return 'a stream was ended twice';
  return '';
}
