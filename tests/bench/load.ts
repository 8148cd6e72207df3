/** Load on one port: wrk and h2load where they are installed and able, else our own clients. */
import { join } from 'node:path';
import { ROOT } from '../kit/environment.ts';
import { type Program, run } from '../kit/process.ts';
import { installed, LOAD_CORE, ownProgram, pinned, start } from './parts.ts';
import type { TlsFiles } from './upstreams.ts';

/** Of HTTP/2: whole answers, gRPC unary and streaming, bodies without end. */
export type Http2Mode = 'h2' | 'grpc' | 'grpc-stream' | 'h2-down' | 'h2-up';
const HTTP2_MODES: readonly string[] = ['h2', 'grpc', 'grpc-stream', 'h2-down', 'h2-up'] satisfies Http2Mode[];
export const isHttp2 = (mode: string): boolean => HTTP2_MODES.includes(mode);

export interface LoadPlan {
  readonly mode: 'http' | 'churn' | 'websocket' | 'download' | 'idle' | Http2Mode;
  readonly port: number;
  readonly connections: number;
  readonly seconds: number;
  /** Of HTTP/2: at a time on each connection. */
  readonly streams: number;
  /** Of each request of HTTP/1.1, besides Host. */
  readonly headers: Readonly<Record<string, string>>;
  /** Size of a message or of an answer. */
  readonly bytes: number;
  /** Requests a second at fixed times; 0: as fast as answers come. */
  readonly rate: number;
  /** The client's certificate; absent: plaintext. */
  readonly tls: TlsFiles | undefined;
}

export interface LoadResult {
  /** Requests answered 200, messages or connections done. */
  readonly done: number;
  /** Bytes received. */
  readonly bytes: number;
  readonly errors: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

const client = (mode: LoadPlan['mode']) =>
  ownProgram(join(ROOT, `tests/bench/${isHttp2(mode) ? 'http2/load' : 'load-client'}.ts`));
const wrk = installed('wrk');
const h2load = installed('h2load');

/**
 * @param onBegin called when the load begins, behind the handshakes where our own client makes it
 * @throws when the load generator fails
 */
export async function load(plan: LoadPlan, onBegin: () => void = () => {}): Promise<LoadResult> {
  if (wrk && plan.mode === 'http' && !plan.tls && plan.rate === 0) {
    onBegin();
    return runWrk(wrk, plan);
  }
  if (h2load && plan.mode === 'h2' && !plan.tls) {
    onBegin();
    return runH2load(h2load, plan);
  }
  const part = start('load', LOAD_CORE, [...client(plan.mode), JSON.stringify(plan)]);
  await part.announcement();
  onBegin();
  const limit = (plan.seconds + 60) * 1000;
  return part.line((line) => (line.startsWith('{"done":') ? (JSON.parse(line) as LoadResult) : undefined), limit);
}

/** Opens the connections of an `idle` plan. @returns once all are open; stop the part to close them */
export async function holdIdle(plan: LoadPlan): Promise<Program> {
  const part = start('idle', LOAD_CORE, [...client(plan.mode), JSON.stringify(plan)]);
  await part.announcement();
  return part;
}

async function runWrk(program: string, plan: LoadPlan): Promise<LoadResult> {
  const url = `http://127.0.0.1:${plan.port}/`;
  const headers = Object.entries(plan.headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const command = [
    program,
    ...['-t1', `-c${plan.connections}`, `-d${Math.ceil(plan.seconds)}`, '--latency'],
    ...headers,
    url,
  ];
  const [first, ...args] = pinned(LOAD_CORE, command);
  const { out, error } = await run(first!, args, { limitMs: (plan.seconds + 60) * 1000 });
  return readWrk(out || error);
}

const SIZES: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };
const TIMES: Readonly<Record<string, number>> = { us: 1, ms: 1000, s: 1e6, m: 60e6 };

/** Reads what wrk printed. @throws Error when it is not wrk's report */
export function readWrk(text: string): LoadResult {
  const total = /(\d+) requests in ([\d.]+)(us|ms|s|m), ([\d.]+)([KMG]?)B read/.exec(text);
  if (!total) throw new Error(`wrk did not report:\n${text}`);
  const latency = (share: string) => {
    const found = new RegExp(`^\\s+${share}%\\s+([\\d.]+)(us|ms|s|m)$`, 'm').exec(text);
    return found ? Number(found[1]) * TIMES[found[2]!]! : 0;
  };
  const refused = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  const socket = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
  return {
    done: Number(total[1]) - refused,
    bytes: Number(total[4]) * SIZES[total[5]!]!,
    errors: refused + (socket ? Number(socket[1]) + Number(socket[2]) + Number(socket[3]) + Number(socket[4]) : 0),
    seconds: (Number(total[2]) * TIMES[total[3]!]!) / 1e6,
    p50Us: latency('50'),
    p99Us: latency('99'),
  };
}

async function runH2load(program: string, plan: LoadPlan): Promise<LoadResult> {
  const streams = [`-c${plan.connections}`, `-m${plan.streams}`, '-t1', '-w30', '-W30'];
  const command = [program, ...streams, '-D', String(Math.ceil(plan.seconds)), `http://127.0.0.1:${plan.port}/`];
  const [first, ...args] = pinned(LOAD_CORE, command);
  const { out, error } = await run(first!, args, { limitMs: (plan.seconds + 60) * 1000 });
  return readH2load(out || error, plan.bytes);
}

/** Reads what h2load printed; it reports no percentiles. @param bytes of an answer @throws Error when it is not h2load's report */
export function readH2load(text: string, bytes: number): LoadResult {
  const requests = /requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored/.exec(
    text,
  );
  const finished = /finished in ([\d.]+)(us|ms|s|m),/.exec(text);
  const traffic = /traffic: .* \((\d+)\) data$/m.exec(text);
  if (!requests || !finished || !traffic) throw new Error(`h2load did not report:\n${text}`);
  const [, , succeeded, failed, errored] = requests.map(Number) as [number, number, number, number, number];
  const received = Number(traffic[1]);
  // Answers under way at the end have part of their data counted and are not among those that succeeded.
  const short = received < succeeded * bytes ? succeeded : 0;
  return {
    ...{ done: succeeded - short, bytes: received, errors: failed + errored + short },
    seconds: (Number(finished[1]) * TIMES[finished[2]!]!) / 1e6,
    ...{ p50Us: 0, p99Us: 0 },
  };
}
