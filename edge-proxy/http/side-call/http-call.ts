/** One request of the proxy's own to one cluster, and its response as a whole. */
import { FRAMING_HEADERS } from '../../../shared/match/framing-headers.ts';
import type { Cluster, Endpoint } from '../../upstream/cluster.ts';
import type { UpstreamPool } from '../../upstream/upstream-pool.ts';
import { joined } from '../codec/bytes.ts';
import { isToken } from '../codec/h1/fields.ts';
import { HeaderMap } from '../message/header-map.ts';
import type { RequestHead, ResponseHead } from '../message/message.ts';
import type { StreamReset } from '../message/stream.ts';
import type { TimerPool } from '../request/timers.ts';
import { Attempt, type AttemptOwner } from '../router/attempt.ts';
import { CallLife, type LimitedCall } from './call-life.ts';
import { type CallFailure, SideCallError } from './failure.ts';
import type { CallHead, CallOptions, CallReply } from './http.ts';
import { type PlacedCall, placeCall } from './placement.ts';

/** What the proxy says itself, of this message and its connection. */
const OWN_FIELDS: ReadonlySet<string> = new Set([...FRAMING_HEADERS, 'host']);
const NOTHING = new Uint8Array(0);
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);
const BODILESS: ReadonlySet<string> = new Set([...SAFE, 'DELETE']);

interface Settle {
  resolve(reply: CallReply): void;
  reject(error: SideCallError): void;
}

export class HttpCall implements AttemptOwner, LimitedCall, PlacedCall {
  private readonly cluster: Cluster;
  private readonly pool: UpstreamPool;
  private readonly timers: TimerPool;
  private readonly options: CallOptions;
  private readonly settle: Settle;
  private readonly asked: CallHead;
  private readonly body: Uint8Array | undefined;
  private head: RequestHead | undefined;
  private attempt: Attempt | undefined;
  private response: ResponseHead | undefined;
  private chunks: Uint8Array[] | undefined;
  private bytes = 0;
  private repeated = false;
  private life: CallLife | undefined;
  over = false;

  constructor(
    cluster: Cluster,
    pool: UpstreamPool,
    timers: TimerPool,
    head: CallHead,
    body: Uint8Array | undefined,
    options: CallOptions,
    settle: Settle,
  ) {
    this.cluster = cluster;
    this.pool = pool;
    this.timers = timers;
    this.asked = head;
    this.body = body;
    this.options = options;
    this.settle = settle;
  }

  start(): void {
    const { timeoutMs, signal } = this.options;
    if (signal?.aborted) {
      this.onAbort();
      return;
    }
    const head = this.compose();
    if (head === undefined) {
      this.fail('invalid_request', 'method, path or authority cannot be sent');
      return;
    }
    this.head = head;
    this.life = new CallLife(this, this.timers, timeoutMs, signal);
    placeCall(this.cluster, head, this);
  }

  onTimeout(): void {
    this.fail('timeout', `no whole response within ${this.options.timeoutMs} ms`);
  }

  onAbort(): void {
    this.fail('aborted', 'it is no longer wanted');
  }

  /** @returns undefined: it would not be one request */
  private compose(): RequestHead | undefined {
    const { method, path, authority = this.cluster.name, headers: given } = this.asked;
    const isTarget = /^\/[\x21-\x7e]*$/.test(path) || (method === 'OPTIONS' && path === '*');
    if (!isToken(method) || method === 'CONNECT' || !isTarget || !/^[\x21-\x7e]+$/.test(authority)) return undefined;
    const headers = new HeaderMap();
    if (given) appendGiven(headers, given);
    const bodySize = this.body?.length ?? 0;
    if (bodySize > 0 || !BODILESS.has(method)) headers.set('content-length', String(bodySize));
    return {
      method,
      scheme: 'http',
      authority,
      path,
      headers,
      bodySize,
      upgrade: '',
      wantsContinue: false,
      version: 'HTTP/1.1',
    };
  }

  onPlaced(endpoint: Endpoint): void {
    this.attempt = new Attempt(this, this.cluster, endpoint, this.repeated ? 2 : 1, 'call');
    this.attempt.start(this.pool, 'HTTP/1.1');
  }

  onAttemptReady(attempt: Attempt): void {
    const { body } = this;
    const bodyless = body === undefined || body.length === 0;
    attempt.head(this.head!, bodyless);
    if (!bodyless) attempt.data(body, true);
  }

  onUpstreamWritable(): void {}

  onAttemptEnded(): void {}

  onInterim(): void {}

  onResponseHead(attempt: Attempt, head: ResponseHead, end: boolean): void {
    if (head.status === 101) {
      this.fail('reset', 'the upstream switches protocols without being asked');
      return;
    }
    this.cluster.report(attempt.endpoint, head.status);
    this.response = head;
    if ((head.bodySize ?? 0) > this.options.maxBodyBytes) this.tooLarge();
    else if (end) this.finish(undefined);
  }

  onResponseData(_attempt: Attempt, bytes: Uint8Array, end: boolean): void {
    this.bytes += bytes.length;
    if (this.bytes > this.options.maxBodyBytes) {
      this.tooLarge();
      return;
    }
    if (bytes.length > 0 && this.keepsBody) (this.chunks ??= []).push(new Uint8Array(bytes));
    if (end) this.finish(undefined);
  }

  onResponseTrailers(trailers: HeaderMap): void {
    this.finish(trailers);
  }

  onReset(attempt: Attempt, reset: StreamReset, headSeen: boolean): void {
    const { reason, detail } = reset;
    if (reason !== 'overflow') {
      this.cluster.report(attempt.endpoint, reason === 'remote_connection_failure' ? 'connect-failure' : 'reset');
    }
    if (!headSeen && this.mayRepeat(reset)) {
      this.repeated = true;
      attempt.discard();
      placeCall(this.cluster, this.head!, this);
      return;
    }
    this.fail(reason === 'overflow' ? 'overflow' : 'reset', detail === '' ? reason : `${reason}: ${detail}`);
  }

  /** Once: where the peer refused it unprocessed, or a kept connection turned out to be dead. */
  private mayRepeat({ reason, sent, reusedConnection }: StreamReset): boolean {
    if (this.repeated) return false;
    if (reason === 'refused_stream') return true;
    const repeatable = this.options.repeatable ?? SAFE.has(this.asked.method);
    return reusedConnection && (sent === 'nothing' || repeatable);
  }

  onInternalError(): void {}

  onAttemptTimeout(): void {}

  private get keepsBody(): boolean {
    return this.options.keepsBody?.(this.response!.status) ?? true;
  }

  private tooLarge(): void {
    this.fail('response_too_large', `the response is longer than ${this.options.maxBodyBytes} bytes`);
  }

  private finish(trailers: HeaderMap | undefined): void {
    if (this.over) return;
    const { status, headers } = this.response!;
    this.end();
    this.settle.resolve({ status, headers, body: this.chunks ? joined(this.chunks, this.bytes) : NOTHING, trailers });
  }

  fail(reason: CallFailure, detail: string): void {
    if (this.over) return;
    this.end();
    this.settle.reject(new SideCallError(reason, this.cluster.name, detail));
  }

  private end(): void {
    this.over = true;
    this.life?.end();
    this.attempt?.discard();
    this.attempt = undefined;
  }
}

function appendGiven(headers: HeaderMap, given: HeaderMap): void {
  const { names, keys, values } = given;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    if (!OWN_FIELDS.has(key)) headers.append(names[i]!, values[i]!, key);
  }
  headers.neverIndexed = given.neverIndexed;
}
