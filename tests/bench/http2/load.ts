/**
 * The load generator for HTTP/2 that h2load is not: client certificates, gRPC with its status, streams of messages, bodies
 * without end. Its argument is a LoadPlan; it prints one line of JSON (LoadResult) when the time is over.
 */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { headers, PREFACE } from '../../kit/http2/frames.ts';
import { type Field, HpackReader } from '../../kit/http2/hpack.ts';
import type { LoadPlan, LoadResult } from '../load.ts';
import { Http2Connection, type Http2Owner } from './connection.ts';

const plan = JSON.parse(process.argv[2]!) as LoadPlan;
const grpc = plan.mode === 'grpc' || plan.mode === 'grpc-stream';
const request: Field[] = [
  [':method', grpc || plan.mode === 'h2-up' ? 'POST' : 'GET'],
  [':scheme', plan.tls ? 'https' : 'http'],
  [':authority', `127.0.0.1:${plan.port}`],
  [':path', grpc ? '/bench.Service/Method' : '/'],
  ...(grpc
    ? ([
        ['content-type', 'application/grpc'],
        ['te', 'trailers'],
      ] as Field[])
    : []),
];
const message = Buffer.alloc(5 + plan.bytes);
message.writeUInt32BE(plan.bytes, 1);
const times = new Float64Array(2_000_000);
let done = 0;
let bytes = 0;
let errors = 0;
let over = false;

const nowUs = () => performance.now() * 1000;

function record(since: number): void {
  if (done < times.length) times[done] = nowUs() - since;
  done++;
}

interface Call {
  readonly since: number;
  status: string;
  grpcStatus: string;
  received: number;
}

/** One connection with its streams. */
class Client implements Http2Owner {
  private readonly hpack = new HpackReader();
  private readonly calls = new Map<number, Call>();
  private readonly connection: Http2Connection;
  private next = 1;

  constructor(socket: net.Socket) {
    this.connection = new Http2Connection(socket, this);
    this.connection.begin(PREFACE);
  }

  start(): void {
    const streams = plan.mode === 'h2-down' || plan.mode === 'h2-up' ? 1 : plan.streams;
    for (let i = 0; i < streams; i++) this.call();
  }

  private call(): void {
    const stream = this.next;
    this.next += 2;
    this.calls.set(stream, { since: nowUs(), status: '', grpcStatus: '', received: 0 });
    const bare = plan.mode === 'h2' || plan.mode === 'h2-down';
    this.connection.send(headers(stream, request, bare));
    if (plan.mode === 'grpc') this.connection.sendSmall(stream, message, true);
    else if (plan.mode === 'grpc-stream') this.connection.sendSmall(stream, message, false);
    else if (plan.mode === 'h2-up')
      this.connection.pump(stream, (sent) => {
        bytes += sent;
      });
  }

  onHead(stream: number, block: Buffer, end: boolean): void {
    const fields = this.hpack.read(block);
    const call = this.calls.get(stream);
    if (!call) return;
    for (const [name, value] of fields) {
      if (name === ':status') call.status = value;
      else if (name === 'grpc-status') call.grpcStatus = value;
    }
    if (call.status !== '' && call.status !== '200') errors++;
    if (end) this.finish(stream, call);
  }

  onData(stream: number, length: number, end: boolean): void {
    const call = this.calls.get(stream);
    if (!call) return;
    bytes += plan.mode === 'h2-up' ? 0 : length;
    call.received += length;
    if (end) this.finish(stream, call);
    else if (plan.mode === 'grpc-stream' && call.received >= message.length) {
      record(call.since);
      this.calls.set(stream, { ...call, since: nowUs(), received: call.received - message.length });
      if (!over) this.connection.sendSmall(stream, message, false);
    }
  }

  onReset(stream: number): void {
    if (!this.calls.delete(stream)) return;
    errors++;
    this.connection.forget(stream);
    if (!over) setTimeout(() => this.call(), 10);
  }

  /** A stream has ended: unless it should have, and with what was asked for, that is an error. */
  private finish(stream: number, call: Call): void {
    this.calls.delete(stream);
    this.connection.forget(stream);
    const size = grpc ? message.length : plan.bytes;
    const whole = call.status === '200' && call.received === size && (!grpc || call.grpcStatus === '0');
    if (whole && (plan.mode === 'grpc' || plan.mode === 'h2')) record(call.since);
    else errors++;
    if (!over) this.call();
  }
}

const secure = plan.tls && {
  cert: readFileSync(plan.tls.cert),
  key: readFileSync(plan.tls.key),
  ca: readFileSync(plan.tls.roots),
  servername: 'outbound_.80_._.server.default.svc.cluster.local',
  // Every proxy under measure has the same certificate; its name is a SPIFFE id, which node:tls does not compare.
  checkServerIdentity: () => undefined,
  ALPNProtocols: ['h2'],
};

const clients: Client[] = [];
for (let i = 0; i < plan.connections; i++) {
  const to = { host: '127.0.0.1', port: plan.port };
  const socket = secure ? tls.connect({ ...to, ...secure }) : net.connect(to);
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.once('close', () => {
    if (over) return;
    process.stderr.write('a connection was closed\n');
    process.exit(1);
  });
  socket.once(secure ? 'secureConnect' : 'connect', () => {
    clients.push(new Client(socket));
    if (clients.length === plan.connections) begin();
  });
}

function begin(): void {
  process.stdout.write('{"ready":true}\n');
  const from = performance.now();
  for (const client of clients) client.start();
  setTimeout(() => report((performance.now() - from) / 1000), plan.seconds * 1000);
}

function report(seconds: number): void {
  over = true;
  const sorted = times.subarray(0, Math.min(done, times.length)).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const result: LoadResult = { done, bytes, errors, seconds, p50Us: at(0.5), p99Us: at(0.99) };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}
