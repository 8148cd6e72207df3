/**
 * One gRPC call of the proxy's own (github.com/grpc/grpc: "gRPC over HTTP2"): messages both ways, and a status at the end. The
 * door of filters and telemetry that speak to a gRPC service; a unary call is one of one message each way (grpc-unary.ts).
 */
import type { Cluster, Endpoint } from '../../upstream/cluster.ts';
import type { UpstreamPool } from '../../upstream/upstream-pool.ts';
import { framedMessage, MessageError, MessageReader } from '../grpc/message-reader.ts';
import { percentDecoded } from '../grpc/percent.ts';
import { GRPC, grpcOfHttp, httpOfGrpc, isGrpcType, readGrpcStatus } from '../grpc/status.ts';
import { formatGrpcTimeout } from '../grpc/timeout.ts';
import { HeaderMap } from '../message/header-map.ts';
import type { RequestHead, ResponseHead } from '../message/message.ts';
import type { StreamReset } from '../message/stream.ts';
import type { TimerPool } from '../request/timers.ts';
import { Attempt, type AttemptOwner } from '../router/attempt.ts';
import { CallLife, type LimitedCall } from './call-life.ts';
import { type CallFailure, SideCallError } from './failure.ts';
import type { GrpcEvents, GrpcMethod, GrpcOptions, GrpcStatus, GrpcStream } from './grpc.ts';
import { type PlacedCall, placeCall } from './placement.ts';

const METHOD = /^\/[\x21-\x2e\x30-\x7e]+\/[\x21-\x2e\x30-\x7e]+$/;
/** Bytes of messages that are kept until there is a connection. */
const MOST_WAITING = 1024 * 1024;

export class GrpcCall implements AttemptOwner, GrpcStream, LimitedCall, PlacedCall {
  private readonly cluster: Cluster;
  private readonly pool: UpstreamPool;
  private readonly timers: TimerPool;
  private readonly method: GrpcMethod;
  private readonly options: GrpcOptions;
  private readonly events: GrpcEvents;
  private readonly reader: MessageReader;
  private head!: RequestHead;
  private life: CallLife | undefined;
  private attempt: Attempt | undefined;
  /** Messages, with their heads, that were given before there was a connection. */
  private waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  private ended = false;
  private responded = false;
  /** It was sent a second time. */
  private repeated = false;
  private paused = false;
  over = false;

  constructor(
    cluster: Cluster,
    pool: UpstreamPool,
    timers: TimerPool,
    method: GrpcMethod,
    options: GrpcOptions,
    events: GrpcEvents,
  ) {
    this.cluster = cluster;
    this.pool = pool;
    this.timers = timers;
    this.method = method;
    this.options = options;
    this.events = events;
    this.reader = new MessageReader(options.maxMessageBytes);
  }

  start(): void {
    if (this.over) return;
    const { timeoutMs, signal, authority = this.cluster.name } = this.options;
    if (signal?.aborted) {
      this.onAbort();
      return;
    }
    if (this.cluster.protocols.forHttp2.name === 'http1') {
      this.fail('unsupported', 'gRPC needs HTTP/2, which the cluster does not speak');
      return;
    }
    if (!METHOD.test(this.method) || !/^[\x21-\x7e]+$/.test(authority)) {
      this.fail('invalid_request', 'method or authority cannot be sent');
      return;
    }
    this.head = this.compose(authority);
    this.life = new CallLife(this, this.timers, timeoutMs, signal);
    placeCall(this.cluster, this.head, this);
  }

  onTimeout(): void {
    this.fail('timeout', `no status within ${this.options.timeoutMs} ms`);
  }

  onAbort(): void {
    this.fail('aborted', 'it is no longer wanted');
  }

  private compose(authority: string): RequestHead {
    const { timeoutMs, metadata } = this.options;
    const headers = new HeaderMap();
    headers.append('te', 'trailers', 'te');
    headers.append('content-type', 'application/grpc', 'content-type');
    headers.append('grpc-accept-encoding', 'identity', 'grpc-accept-encoding');
    if (timeoutMs > 0) headers.append('grpc-timeout', formatGrpcTimeout(Math.max(1, timeoutMs)), 'grpc-timeout');
    if (metadata) appendMetadata(headers, metadata);
    return {
      method: 'POST',
      scheme: 'http',
      authority,
      path: this.method,
      headers,
      bodySize: undefined,
      upgrade: '',
      wantsContinue: false,
      version: 'HTTP/2',
    };
  }

  onPlaced(endpoint: Endpoint): void {
    this.attempt = new Attempt(this, this.cluster, endpoint, this.repeated ? 2 : 1, 'call');
    this.attempt.start(this.pool, 'HTTP/2');
  }

  send(message: Uint8Array): boolean {
    if (this.over || this.ended) return true;
    const bytes = framedMessage(message);
    if (this.attempt?.ready) return this.attempt.data(bytes, false);
    this.waitingBytes += bytes.length;
    if (this.waitingBytes > MOST_WAITING) this.fail('overflow', 'too many messages wait for a connection');
    else this.waiting.push(bytes);
    return false;
  }

  end(): void {
    if (this.over || this.ended) return;
    this.ended = true;
    if (this.attempt?.ready) this.attempt.data(new Uint8Array(0), true);
  }

  pause(): void {
    this.paused = true;
    this.attempt?.pause();
  }

  resume(): void {
    this.paused = false;
    this.attempt?.resume();
  }

  cancel(): void {
    this.finish();
  }

  onAttemptReady(attempt: Attempt): void {
    attempt.head(this.head, false);
    if (this.paused) attempt.pause();
    const { waiting } = this;
    if (!this.keepsRequest) this.waiting = [];
    let isWritable = true;
    waiting.forEach((bytes, i) => {
      isWritable = attempt.data(bytes, this.ended && i === waiting.length - 1);
    });
    if (this.ended && waiting.length === 0) attempt.data(new Uint8Array(0), true);
    if (isWritable && !this.ended) this.onUpstreamWritable();
  }

  /** A request that was whole before it was sent can be sent again. */
  private get keepsRequest(): boolean {
    return this.ended && !this.repeated;
  }

  onUpstreamWritable(): void {
    if (!this.over && !this.ended) this.events.onWritable?.();
  }

  onAttemptEnded(): void {}

  onInterim(): void {}

  onResponseHead(attempt: Attempt, head: ResponseHead, end: boolean): void {
    this.responded = true;
    this.waiting = [];
    const { status, headers } = head;
    const own = readGrpcStatus(headers);
    this.cluster.report(attempt.endpoint, own === undefined ? status : httpOfGrpc(own));
    if (end && own !== undefined) this.settle(headers);
    else if (status !== 200) this.settleAs(grpcOfHttp(status), `HTTP status ${status}`);
    else if (end) this.settleAs(GRPC.UNKNOWN, 'the response has no grpc-status');
    else if (!isGrpcType(headers.get('content-type'))) this.settleAs(GRPC.UNKNOWN, 'the response is not gRPC');
  }

  onResponseData(_attempt: Attempt, bytes: Uint8Array, end: boolean): void {
    if (!this.read(bytes)) return;
    if (end && !this.over) this.settleAs(GRPC.UNKNOWN, 'the response ends without a grpc-status');
  }

  /** @returns false: the call has failed */
  private read(bytes: Uint8Array): boolean {
    try {
      this.reader.take(bytes, (message) => {
        if (!this.over) this.events.onMessage(message);
      });
      return true;
    } catch (error) {
      if (!(error instanceof MessageError)) throw error;
      this.fail(error.tooLong ? 'response_too_large' : 'invalid_response', error.message);
      return false;
    }
  }

  onResponseTrailers(trailers: HeaderMap): void {
    if (readGrpcStatus(trailers) === undefined) this.settleAs(GRPC.UNKNOWN, 'the trailers have no grpc-status');
    else if (!this.reader.atBoundary) this.fail('invalid_response', 'the response ends within a message');
    else this.settle(trailers);
  }

  onReset(attempt: Attempt, reset: StreamReset): void {
    const { reason, detail, sent, reusedConnection } = reset;
    if (reason !== 'overflow')
      this.cluster.report(attempt.endpoint, reason === 'remote_connection_failure' ? 'connect-failure' : 'reset');
    const unread = reason === 'refused_stream' || (reusedConnection && sent === 'nothing');
    if (unread && !this.responded && !this.repeated && (sent === 'nothing' || this.keepsRequest)) {
      this.repeated = true;
      attempt.discard();
      placeCall(this.cluster, this.head, this);
      return;
    }
    this.fail(reason === 'overflow' ? 'overflow' : 'reset', detail === '' ? reason : `${reason}: ${detail}`);
  }

  onInternalError(): void {}

  onAttemptTimeout(): void {}

  private settle(fields: HeaderMap): void {
    const status = readGrpcStatus(fields)!;
    const message = percentDecoded(fields.get('grpc-message') ?? '');
    this.finishWith({ status: status < 0 ? GRPC.UNKNOWN : status, message, trailers: fields });
  }

  private settleAs(status: number, message: string): void {
    this.finishWith({ status, message, trailers: undefined });
  }

  private finishWith(status: GrpcStatus): void {
    if (this.over) return;
    this.finish();
    this.events.onStatus(status);
  }

  fail(reason: CallFailure, detail: string): void {
    if (this.over) return;
    this.finish();
    this.events.onFailure(new SideCallError(reason, this.cluster.name, detail));
  }

  private finish(): void {
    this.over = true;
    this.life?.end();
    this.waiting = [];
    this.attempt?.discard();
    this.attempt = undefined;
  }
}

/** Fields that this side decides. */
const OWN =
  /^(?:grpc-|:|content-type$|content-length$|te$|host$|connection$|transfer-encoding$|upgrade$|keep-alive$|proxy-connection$|expect$|trailer$)/;

function appendMetadata(headers: HeaderMap, metadata: HeaderMap): void {
  const { keys, values } = metadata;
  keys.forEach((key, i) => {
    if (!OWN.test(key)) headers.append(key, values[i]!, key);
  });
}
