/**
 * Request ids as Envoy's UUID extension makes them (envoy.extensions.request_id.uuid.v3): random UUIDs of version 4 whose
 * version digit says why the request is traced, so that every proxy behind decides the same.
 */
import type { HttpConnectionManager } from '../../shared/xds/http-connection-manager.ts';
import type { HeaderMap } from './message/header-map.ts';

/** Why a request is traced: it was chosen at random, its client asked with x-client-trace-id, or x-envoy-force-trace did. */
export type TraceReason = 'none' | 'sampled' | 'client' | 'forced';

/** What of a request is read and written. */
export interface Traced {
  readonly headers: HeaderMap;
  traceReason: TraceReason;
}

const ID_LENGTH = 36;
/** Where a UUID has its version. */
const MARK_AT = 14;
const marks = { none: '4', sampled: '9', client: 'b', forced: 'a' } as const;
const reasons: Readonly<Record<string, TraceReason>> = { '9': 'sampled', b: 'client', a: 'forced' };

/** Ids are made many at once, as one text of which each request takes its slice: one call of the runtime per 256 requests. */
const BATCH = 256;
const random = new Uint8Array(16 * BATCH);
const digits = new Uint8Array(ID_LENGTH * BATCH).fill(0x2d);
/** Where in an id the two digits of each of its 16 bytes stand; between them are dashes. */
const places = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const;
const hexDigits = new TextEncoder().encode('0123456789abcdef');
const decoder = new TextDecoder();
let text = '';
let used = BATCH;

function refill(): void {
  crypto.getRandomValues(random);
  for (let id = 0; id < BATCH; id++) {
    const from = id * 16;
    // Version 4, variant 1 (RFC 9562 section 5.4).
    random[from + 6] = (random[from + 6]! & 0x0f) | 0x40;
    random[from + 8] = (random[from + 8]! & 0x3f) | 0x80;
    for (let i = 0; i < 16; i++) {
      const byte = random[from + i]!;
      const at = id * ID_LENGTH + places[i]!;
      digits[at] = hexDigits[byte >> 4]!;
      digits[at + 1] = hexDigits[byte & 0x0f]!;
    }
  }
  text = decoder.decode(digits);
  used = 0;
}

/** Draws the next id. @returns its first four bytes as a number: what sampling goes by */
function drawId(): number {
  if (used === BATCH) refill();
  const at = used * 16;
  return ((random[at]! << 24) | (random[at + 1]! << 16) | (random[at + 2]! << 8) | random[at + 3]!) >>> 0;
}

/** The id that was drawn. */
function writeId(mark: string): string {
  const at = used++ * ID_LENGTH;
  if (mark === marks.none) return text.slice(at, at + ID_LENGTH);
  return text.slice(at, at + MARK_AT) + mark + text.slice(at + MARK_AT + 1, at + ID_LENGTH);
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
  private readonly random: () => number;

  /** @param random [0, 1) */
  constructor(config: HttpConnectionManager, random: () => number) {
    this.random = random;
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
  request(request: Traced, edge: boolean): void {
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
  private decide(sampling: Sampling, headers: HeaderMap, number: number, before: TraceReason): TraceReason {
    if (!this.byId) return 'sampled';
    const share = number % 10_000;
    let reason = before;
    if (reason === 'none') {
      if (headers.has('x-client-trace-id') && (sampling.client === 1 || this.random() < sampling.client))
        reason = 'client';
      else if (headers.has('x-envoy-force-trace')) reason = 'forced';
      else if (share < sampling.random) reason = 'sampled';
    }
    return share < sampling.overall ? reason : 'none';
  }

  /** Tells the client the id, where it is to know it or asked for a trace and was allowed to. */
  response(request: HeaderMap, headers: HeaderMap): void {
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
