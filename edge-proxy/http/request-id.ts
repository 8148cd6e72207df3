/**
 * Request ids as Envoy's UUID extension makes them (envoy.extensions.request_id.uuid.v3): random UUIDs of version 4 whose
 * version digit says why the request is traced, so that every proxy behind decides the same.
 */
import type { HttpConnectionManager } from '../../shared/xds/http-connection-manager.ts';
import type { Request } from './exchange-request.ts';
import type { Headers } from './headers.ts';

/** Why a request is traced: it was chosen at random, its client asked with x-client-trace-id, or x-envoy-force-trace did. */
export type TraceReason = 'none' | 'sampled' | 'client' | 'forced';

const ID_LENGTH = 36;
/** Where a UUID has its version. */
const MARK_AT = 14;
const marks = { none: '4', sampled: '9', client: 'b', forced: 'a' } as const;
const reasons: Readonly<Record<string, TraceReason>> = { '9': 'sampled', b: 'client', a: 'forced' };

const hex: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));
/** Random bytes are drawn for many ids at once: one call of the runtime per 256 requests. */
const pool = new Uint8Array(16 * 256);
let used = pool.length;

/** Draws the bytes of the next id. @returns the first four as a number: what sampling goes by */
function drawId(): number {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  const at = used;
  return ((pool[at]! << 24) | (pool[at + 1]! << 16) | (pool[at + 2]! << 8) | pool[at + 3]!) >>> 0;
}

/** The id that was drawn. */
function writeId(mark: string): string {
  const at = used;
  used += 16;
  const b = (i: number) => hex[pool[at + i]!]!;
  const version = hex[pool[at + 6]! & 0x0f]![1]!;
  const variant = hex[(pool[at + 8]! & 0x3f) | 0x80]!;
  return (
    `${b(0)}${b(1)}${b(2)}${b(3)}-${b(4)}${b(5)}-${mark}${version}${b(7)}-${variant}${b(9)}-` +
    `${b(10)}${b(11)}${b(12)}${b(13)}${b(14)}${b(15)}`
  );
}

/** Shares of ten thousand requests, by the number of the id; of a client's wishes, of 1. */
interface Sampling {
  readonly client: number;
  readonly random: number;
  readonly overall: number;
}

/** What one connection manager does to the ids of its requests. */
export class RequestIds {
  private readonly generate: boolean;
  private readonly preserve: boolean;
  private readonly always: boolean;
  private readonly pack: boolean;
  private readonly byId: boolean;
  private readonly sampling: Sampling | undefined;

  constructor(config: HttpConnectionManager) {
    this.generate = config.generateRequestId ?? true;
    this.preserve = config.preserveExternalRequestId ?? false;
    this.always = config.alwaysSetRequestIdInResponse ?? false;
    const extension = config.requestIdExtension?.typedConfig;
    this.pack = extension?.packTraceReason ?? true;
    this.byId = extension?.useRequestIdForTraceSampling ?? true;
    const { tracing } = config;
    this.sampling = tracing && {
      // Cut off, as Envoy does: whole percents of wishes, whole ten-thousandths of requests.
      client: Math.trunc(percent(tracing.clientSampling?.value)) / 100,
      random: Math.trunc(10_000 * (percent(tracing.randomSampling?.value) / 100)),
      overall: Math.trunc(10_000 * (percent(tracing.overallSampling?.value) / 100)),
    };
  }

  /** Gives the request its id, and decides whether it is traced. @param edge it came from outside */
  request(request: Request, edge: boolean): void {
    const { headers } = request;
    const received = headers.joined('x-request-id');
    const { sampling } = this;
    if (this.generate && (received === undefined || received === '' || (edge && !this.preserve))) {
      const number = drawId();
      const reason = sampling ? this.decide(sampling, headers, number, 'none') : 'none';
      request.traceReason = reason;
      const id = writeId(this.byId && this.pack ? marks[reason] : marks.none);
      if (received === undefined) headers.append('x-request-id', id, 'x-request-id');
      else headers.set('x-request-id', id);
      return;
    }
    if (received === undefined) {
      if (sampling && !this.byId) request.traceReason = 'sampled';
      return;
    }
    // Several ids are one that nobody can read.
    if (received !== headers.get('x-request-id')) headers.set('x-request-id', received);
    // Who comes from outside may keep an id, but not decide what is traced.
    const cleared = edge && this.generate && this.pack;
    const before = cleared ? 'none' : markOf(received);
    const number = this.byId ? numberOf(received) : 0;
    const reason = sampling && number >= 0 ? this.decide(sampling, headers, number, before) : 'none';
    request.traceReason = reason;
    if (!this.pack || received.length !== ID_LENGTH) return;
    const decided = sampling !== undefined && number >= 0 && this.byId && reason !== before;
    const mark = decided ? marks[reason] : cleared ? marks.none : received[MARK_AT]!;
    if (mark !== received[MARK_AT]) {
      headers.set('x-request-id', received.slice(0, MARK_AT) + mark + received.slice(MARK_AT + 1));
    }
  }

  /** Envoy's order: what came marked stays so, else the client's wish, a forced trace, chance; then the overall share. */
  private decide(sampling: Sampling, headers: Headers, number: number, before: TraceReason): TraceReason {
    if (!this.byId) return 'sampled';
    const share = number % 10_000;
    let reason = before;
    if (reason === 'none') {
      if (headers.has('x-client-trace-id') && (sampling.client === 1 || Math.random() < sampling.client))
        reason = 'client';
      else if (headers.has('x-envoy-force-trace')) reason = 'forced';
      else if (share < sampling.random) reason = 'sampled';
    }
    return share < sampling.overall ? reason : 'none';
  }

  /** Tells the client the id, where it is to know it or asked for a trace and was allowed to. */
  response(request: Headers, headers: Headers): void {
    if (!this.always && !request.has('x-envoy-force-trace')) return;
    const id = request.get('x-request-id');
    if (id !== undefined) headers.set('x-request-id', id);
  }
}

/** @throws RangeError outside of 0 to 100 */
function percent(value = 100): number {
  if (value < 0 || value > 100) throw new RangeError(`http_connection_manager: tracing: ${value} must be 0 to 100`);
  return value;
}

function markOf(id: string): TraceReason {
  return (id.length === ID_LENGTH ? reasons[id[MARK_AT]!] : undefined) ?? 'none';
}

/** The number an id begins with, eight hexadecimal digits; -1: it does not. */
function numberOf(id: string): number {
  if (id.length < 8) return -1;
  let number = 0;
  for (let i = 0; i < 8; i++) {
    const code = id.charCodeAt(i) | 0x20;
    const digit = code >= 0x30 && code <= 0x39 ? code - 0x30 : code >= 0x61 && code <= 0x66 ? code - 0x57 : -1;
    if (digit < 0) return -1;
    number = number * 16 + digit;
  }
  return number;
}
