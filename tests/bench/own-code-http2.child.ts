/**
 * What the proxy's own code costs a request of HTTP/2 on both sides: as own-code.child.ts, on connections that are no
 * sockets. Argument: a bootstrap file whose first listener is asked, and whose clusters speak HTTP/2. Prints CPU
 * nanoseconds per request of the cheapest slice.
 */
import * as z from 'zod';
import { startStaticProxy } from '../../edge-proxy/assemble.ts';
import { ByteBuffer } from '../../edge-proxy/http/codec/h2/byte-buffer.ts';
import {
  CLIENT_PREFACE,
  FLAG,
  FRAME,
  frame,
  SETTING,
  settingsFrame,
  windowUpdateFrame,
} from '../../edge-proxy/http/codec/h2/frames.ts';
import { HpackEncoder } from '../../edge-proxy/http/codec/h2/hpack.ts';
import { currentRuntime } from '../../edge-proxy/runtime/index.ts';
import type { Connection, ConnectionHandler, Runtime } from '../../edge-proxy/runtime/runtime.ts';
import { parseSettings } from '../../edge-proxy/settings/settings.ts';

z.config({ jitless: true });

const CONNECTIONS = 4;
/** Streams of a connection at a time. */
const STREAMS = 16;
const ROUND = CONNECTIONS * STREAMS;
const REQUESTS = 625 * ROUND;
/** Then timers and whatever waits for the event loop have their turn. */
const TURN = 50 * ROUND;
const SLICES = 14;
const SMALLEST = 0x7fff_ffff - 65_535;
const SETTINGS = settingsFrame([
  [SETTING.INITIAL_WINDOW_SIZE, 0x7fff_ffff],
  [SETTING.MAX_CONCURRENT_STREAMS, 1000],
]);
const WINDOW = windowUpdateFrame(0, SMALLEST);
const ACK = frame(FRAME.SETTINGS, FLAG.ACK, 0);
const BODY = Buffer.alloc(1024, 120);
const REQUEST: readonly (readonly [string, string])[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'localhost'],
  [':path', '/'],
  ['user-agent', 'h2load nghttp2/1.59.0'],
];
const RESPONSE: readonly (readonly [string, string])[] = [
  [':status', '200'],
  ['server', 'nginx'],
  ['date', 'Sat, 21 Nov 2026 19:00:00 GMT'],
  ['content-type', 'text/plain'],
  ['content-length', '1024'],
];
const idle: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };

/** The other end of a connection: reads the heads of frames, and writes messages whose fields are indexed after the first. */
class Peer implements Connection {
  handler = idle;
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 40_000;
  readonly localAddress = '127.0.0.1';
  readonly localPort = 80;
  readonly tls = undefined;
  readonly buffered = 0;
  private readonly encoder = new HpackEncoder(4096);
  private readonly fields: readonly (readonly [string, string])[];
  private readonly body: Uint8Array | undefined;
  private readonly out = new ByteBuffer();
  private readonly block = new ByteBuffer();
  /** Bytes of the preface that are to be skipped. */
  private skip: number;
  /** Bytes that this side has received since it gave them back. */
  private received = 0;
  private readonly onStreamEnd: (stream: number) => void;

  constructor(
    fields: readonly (readonly [string, string])[],
    body: Uint8Array | undefined,
    preface: number,
    onStreamEnd: (stream: number) => void,
  ) {
    this.fields = fields;
    this.body = body;
    this.skip = preface;
    this.onStreamEnd = onStreamEnd;
  }

  write(bytes: Uint8Array): boolean {
    let at = this.skip;
    this.skip = 0;
    this.received += bytes.length;
    while (at + 9 <= bytes.length) {
      const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
      const type = bytes[at + 3]!;
      if ((type === FRAME.HEADERS || type === FRAME.DATA) && (bytes[at + 4]! & FLAG.END_STREAM) !== 0)
        this.onStreamEnd(((bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!) >>> 0);
      at += 9 + length;
    }
    // A write holds whole frames.
    if (at !== bytes.length) throw new Error('a frame is cut');
    return true;
  }
  writeLatin1(): boolean {
    throw new Error('text on a connection of HTTP/2');
  }
  writeBoth = this.writeLatin1;
  end(): void {}
  destroy(): void {}
  pause(): void {}
  resume(): void {}

  /** The bytes of a message on each of the streams. */
  messages(streams: readonly number[]): Uint8Array {
    const { out, block } = this;
    out.length = 0;
    if (this.received > 1 << 29) {
      this.received = 0;
      out.append(windowUpdateFrame(0, 1 << 29));
    }
    for (const stream of streams) {
      block.length = 0;
      this.encoder.begin(block);
      for (const [name, value] of this.fields) this.encoder.field(block, name, value);
      const flags = FLAG.END_HEADERS | (this.body ? 0 : FLAG.END_STREAM);
      out.append(frame(FRAME.HEADERS, flags, stream, block.bytes.subarray(0, block.length)));
      if (this.body) out.append(frame(FRAME.DATA, FLAG.END_STREAM, stream, this.body));
    }
    return out.bytes.slice(0, out.length);
  }
}

let accept: ((connection: Connection) => void) | undefined;
let answered = 0;
/** Upstream connections, with the streams that are not answered yet. */
const upstreams = new Map<Peer, number[]>();

const runtime: Runtime = Object.create(currentRuntime(), {
  listen: {
    value: async ({ address }: { address: string }, onConnection: (connection: Connection) => void) => {
      // The first is the proxy's listener, the next the admin server. The upstream is on port 1, which must not be its own.
      accept ??= onConnection;
      return { address, port: 2, close: async () => {} };
    },
  },
  connect: {
    value: (_to: unknown, _tls: unknown, handler: ConnectionHandler, onOpen: (connection: Connection) => void) => {
      const asked: number[] = [];
      const peer = new Peer(RESPONSE, BODY, CLIENT_PREFACE.length, (stream) => asked.push(stream));
      upstreams.set(peer, asked);
      peer.handler = handler;
      queueMicrotask(() => {
        onOpen(peer);
        peer.handler.onData(Buffer.concat([SETTINGS, WINDOW, ACK]));
      });
      return peer;
    },
  },
});

const parsed = parseSettings(['-c', process.argv[2]!, '--admin-port', '0'], {});
if (parsed.kind !== 'static') throw new Error('needs a bootstrap file');
await startStaticProxy(runtime, '0', parsed.settings, { quit: () => {}, hotRestart: async () => undefined });
const clients = Array.from({ length: CONNECTIONS }, () => {
  const peer = new Peer(REQUEST, undefined, 0, () => answered++);
  accept!(peer);
  peer.handler.onData(Buffer.concat([CLIENT_PREFACE, SETTINGS, WINDOW, ACK]));
  return peer;
});
let next = 1;

/** What the clients ask in one round costs them time, which is not the proxy's. */
function requestsOfRound(): Uint8Array[] {
  const streams = Array.from({ length: STREAMS }, (_, i) => next + 2 * i);
  next += 2 * STREAMS;
  return clients.map((client) => client.messages(streams));
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function slice(): Promise<number> {
  const begun = answered;
  let spent = 0;
  for (let sent = 0; sent < REQUESTS; sent += ROUND) {
    const requests = requestsOfRound();
    let before = process.cpuUsage();
    for (let i = 0; i < CONNECTIONS; i++) clients[i]!.handler.onData(requests[i]!);
    while (answered - begun < sent + ROUND) {
      const used = process.cpuUsage(before);
      spent += used.user + used.system;
      const replies = [...upstreams].map(([peer, asked]) => [peer, peer.messages(asked.splice(0))] as const);
      before = process.cpuUsage();
      for (const [peer, bytes] of replies) if (bytes.length > 0) peer.handler.onData(bytes);
      if (upstreams.size === 0 || answered - begun < sent + ROUND || sent % TURN === 0) await turn();
    }
    const used = process.cpuUsage(before);
    spent += used.user + used.system;
  }
  return (spent * 1000) / REQUESTS;
}

let least = Number.POSITIVE_INFINITY;
for (let i = 0; i < SLICES; i++) least = Math.min(least, await slice());
console.log(JSON.stringify({ nsPerRequest: Math.round(least) }));
process.exit(0);
