/** What a client sends on a connection: the preface and frames, most of them as they should be, and mutations of all. */
import { concat } from '../../../edge-proxy/http/codec/bytes.ts';
import type { Field } from '../../../edge-proxy/http/codec/h2/fields.ts';
import {
  CLIENT_PREFACE,
  FLAG,
  FRAME,
  frame,
  goawayFrame,
  resetFrame,
  settingsFrame,
  windowUpdateFrame,
} from '../../../edge-proxy/http/codec/h2/frames.ts';
import { literalBlock } from '../../../edge-proxy/http/testing/header-blocks.ts';
import type { Random } from '../random.ts';
import { block } from './blocks.ts';

export interface ClientSession {
  readonly bytes: Uint8Array;
  readonly frames: number;
}

const METHODS = ['GET', 'POST', 'HEAD', 'PUT'];
/** How the application answers: see application.ts. */
const PATHS = ['/now', '/later', '/echo', '/reset', '/trailers', '/now?a=b'];
const FIELDS: readonly Field[] = [
  ['content-length', '5'],
  ['content-length', '0'],
  ['te', 'trailers'],
  ['te', 'gzip'],
  ['cookie', 'a=b'],
  ['host', 'b.test'],
  ['x-a', 'y'.repeat(200)],
  ['X-Upper', 'a'],
  ['x-control', 'a\r\nb: c'],
  ['transfer-encoding', 'chunked'],
  ['expect', '100-continue'],
];
const SETTINGS = [
  [1, 0],
  [1, 100],
  [1, 65_536],
  [2, 0],
  [2, 2],
  [3, 0],
  [3, 100],
  [4, 0],
  [4, 1],
  [4, 65_535],
  [4, 2 ** 31 - 1],
  [4, 2 ** 31],
  [5, 16_384],
  [5, 100],
  [6, 100],
  [8, 1],
  [99, 7],
] as const;
const INCREMENTS = [0, 1, 5, 65_535, 2 ** 31 - 1];

class Client {
  private readonly random: Random;
  private readonly parts: Uint8Array[] = [];
  private next = 1;
  frames = 0;

  constructor(random: Random) {
    this.random = random;
  }

  write(): Uint8Array {
    const { random } = this;
    this.parts.push(random.chance(0.98) ? CLIENT_PREFACE : CLIENT_PREFACE.subarray(0, random.below(24)));
    if (random.chance(0.98)) this.add(settingsFrame(random.chance(0.5) ? [] : [random.pick(SETTINGS)]));
    for (let left = 1 + random.below(12); left > 0; left--) this.anyFrame();
    return this.parts.reduce(concat);
  }

  private add(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.frames++;
  }

  /** Mostly one that was opened. */
  private stream(): number {
    const { random } = this;
    if (random.chance(0.03)) return random.pick([0, 2, this.next + 2, 2 ** 31 - 1]);
    return Math.max(1, this.next - 2 - 2 * random.below(3));
  }

  private anyFrame(): void {
    const { random } = this;
    const kind = random.below(100);
    if (kind < 40) this.request();
    else if (kind < 62) this.data();
    else if (kind < 68) this.headers(this.stream(), literalBlock([random.pick(FIELDS)]), random.chance(0.9));
    else if (kind < 73) this.add(resetFrame(this.stream(), random.below(15)));
    else if (kind < 80) this.add(windowUpdateFrame(random.chance(0.4) ? 0 : this.stream(), random.pick(INCREMENTS)));
    else if (kind < 84) this.add(frame(FRAME.PING, random.chance(0.7) ? 0 : FLAG.ACK, 0, new Uint8Array(8).fill(7)));
    else if (kind < 89) this.add(settingsFrame([random.pick(SETTINGS), random.pick(SETTINGS)]));
    else if (kind < 91) this.add(frame(FRAME.SETTINGS, FLAG.ACK, 0));
    else if (kind < 94) this.add(frame(FRAME.PRIORITY, 0, this.stream(), Uint8Array.of(0, 0, 0, random.below(4), 9)));
    else if (kind < 95) this.add(goawayFrame(0, random.below(3)));
    else if (kind < 97) this.add(frame(random.below(20), random.below(256), this.stream(), noise(random)));
    else this.headers(this.next, block(random), random.chance(0.5));
  }

  private request(): void {
    const { random } = this;
    const fields: Field[] = [
      [':method', random.pick(METHODS)],
      [':scheme', 'http'],
      [':path', random.pick(PATHS)],
      [':authority', 'a.test'],
    ];
    for (let more = random.below(3); more > 0; more--) if (random.chance(0.5)) fields.push(random.pick(FIELDS));
    const stream = this.next;
    this.next += random.chance(0.97) ? 2 : random.below(4);
    this.headers(stream, literalBlock(fields), random.chance(0.5));
  }

  /** One frame, or several of which CONTINUATION frames follow. */
  private headers(stream: number, bytes: Uint8Array, end: boolean): void {
    const { random } = this;
    const cut = random.chance(0.15) ? random.below(bytes.length + 1) : bytes.length;
    const flags = (end ? FLAG.END_STREAM : 0) | (cut === bytes.length ? FLAG.END_HEADERS : 0);
    if (random.chance(0.1)) {
      const padding = random.below(5);
      const head = random.chance(0.5) ? [padding] : [padding, 0, 0, 0, 0, 9];
      const payload = [...head, ...bytes.subarray(0, cut), ...new Uint8Array(padding)];
      const priority = head.length > 1 ? FLAG.PRIORITY : 0;
      this.add(frame(FRAME.HEADERS, flags | FLAG.PADDED | priority, stream, Uint8Array.from(payload)));
    } else this.add(frame(FRAME.HEADERS, flags, stream, bytes.subarray(0, cut)));
    if (cut === bytes.length) return;
    const on = random.chance(0.95) ? stream : stream + 2;
    this.add(frame(FRAME.CONTINUATION, random.chance(0.95) ? FLAG.END_HEADERS : 0, on, bytes.subarray(cut)));
  }

  private data(): void {
    const { random } = this;
    const size = random.chance(0.1) ? 0 : random.chance(0.03) ? 16_384 : random.chance(0.3) ? 5 : random.below(300);
    const end = random.chance(0.4) ? FLAG.END_STREAM : 0;
    if (random.chance(0.1)) {
      const payload = new Uint8Array(size + 1);
      payload[0] = random.below(12);
      this.add(frame(FRAME.DATA, end | FLAG.PADDED, this.stream(), payload));
    } else this.add(frame(FRAME.DATA, end, this.stream(), new Uint8Array(size)));
  }
}

function noise(random: Random): Uint8Array {
  return Uint8Array.from({ length: random.below(20) }, () => random.below(256));
}

export function clientSession(random: Random): ClientSession {
  const client = new Client(random);
  const bytes = client.write();
  for (let changes = random.chance(0.2) ? 1 + random.below(3) : 0; changes > 0; changes--)
    bytes[random.below(bytes.length)] = random.below(256);
  return { bytes, frames: client.frames };
}

/** Where the bytes are cut into reads. */
export function cuts(bytes: Uint8Array, random: Random): Uint8Array[] {
  const places = new Set<number>();
  // Now and then every byte by itself.
  if (random.chance(0.01)) for (let at = 1; at < bytes.length; at++) places.add(at);
  for (let count = 1 + random.below(6); count > 0; count--) places.add(random.below(bytes.length));
  const sorted = [0, ...[...places].filter((at) => at > 0).sort((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((end, i) => bytes.slice(sorted[i], end));
}
