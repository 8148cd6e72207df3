/** One attempt of a request on one endpoint, from the queue of its pool to the end of the response. */
import type { Clock } from '../../runtime/runtime.ts';
import type { Cluster, Endpoint } from '../../upstream/cluster.ts';
import type { Lease, StreamClient, StreamKind, StreamSource } from '../../upstream/stream-client.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { RequestHead, ResponseHead } from '../message/message.ts';
import type { Addresses, StreamReset, UpstreamStream } from '../message/stream.ts';
import type { AttemptCause, AttemptEnd, AttemptRecord } from '../request/request-observer.ts';
import { LazyTimer } from '../request/timers.ts';
import type { AttemptTimeout, RequestTimeouts } from '../routing/request-timeouts.ts';

/** What an attempt tells its owner. */
export interface AttemptOwner {
  onAttemptReady(attempt: Attempt): void;
  onResponseHead(attempt: Attempt, head: ResponseHead, end: boolean): void;
  onInterim(attempt: Attempt, head: ResponseHead): void;
  onResponseData(attempt: Attempt, bytes: Uint8Array, end: boolean): void;
  onResponseTrailers(trailers: HeaderMap): void;
  onUpstreamWritable(): void;
  /** @param headSeen a response head had come */
  onReset(attempt: Attempt, reset: StreamReset, headSeen: boolean): void;
  /** An exception in this proxy; a reset follows. */
  onInternalError(error: unknown): void;
  /** It takes too long; it continues until it is discarded. */
  onAttemptTimeout(attempt: Attempt, kind: AttemptTimeout): void;
  /** Once, last; `end` is known. */
  onAttemptEnded(attempt: Attempt): void;
}

export class Attempt implements StreamClient, AttemptRecord {
  readonly endpoint: Endpoint;
  readonly cluster: Cluster;
  readonly number: number;
  readonly cause: AttemptCause;
  startMs = 0;
  endMs = 0;
  status = 0;
  end: AttemptEnd | undefined = undefined;
  /** Of its connection, once there is a stream, and also after its end. */
  addresses: Addresses | undefined = undefined;
  private readonly owner: AttemptOwner;
  private lease: Lease | undefined;
  private stream: UpstreamStream | undefined;
  private headSeen = false;
  private over = false;
  private perAttemptMs = 0;
  private perAttempt: ReturnType<typeof setTimeout> | undefined;
  private idle: LazyTimer | undefined;
  private idleMs = 0;
  private duration: ReturnType<typeof setTimeout> | undefined;

  constructor(owner: AttemptOwner, cluster: Cluster, endpoint: Endpoint, number: number, cause: AttemptCause) {
    this.owner = owner;
    this.cluster = cluster;
    this.endpoint = endpoint;
    this.number = number;
    this.cause = cause;
    cluster.use.requests++;
    cluster.recent?.add();
    endpoint.active++;
  }

  /** There is a stream, and the head was sent. */
  get ready(): boolean {
    return this.stream !== undefined;
  }

  start(pool: StreamSource, kind: StreamKind): void {
    const lease = pool.open(this.cluster, this.endpoint, this, kind);
    if (!this.over && !this.stream) this.lease = lease;
  }

  /**
   * Begins when there is a stream.
   * @param whole the request is, too: else `requestWhole` follows
   */
  startTimers(times: RequestTimeouts, whole: boolean, clock: Clock): void {
    this.perAttemptMs = times.perAttemptMs;
    if (whole) this.requestWhole();
    if (times.perAttemptIdleMs > 0) {
      this.idleMs = times.perAttemptIdleMs;
      this.idle = new LazyTimer(
        () => clock.monotonicMs(),
        () => this.owner.onAttemptTimeout(this, 'idle'),
      );
      this.idle.set(this.idleMs);
    }
    const longest = this.cluster.maxStreamMs ?? 0;
    if (longest > 0) this.duration = setTimeout(() => this.owner.onAttemptTimeout(this, 'duration'), longest);
  }

  requestWhole(): void {
    if (this.perAttemptMs > 0 && this.stream !== undefined && this.perAttempt === undefined && !this.headSeen)
      this.perAttempt = setTimeout(() => this.owner.onAttemptTimeout(this, 'attempt'), this.perAttemptMs);
  }

  head(head: RequestHead, end: boolean): void {
    this.stream?.head(head, end);
  }

  data(bytes: Uint8Array, end: boolean): boolean {
    return this.stream?.data(bytes, end) ?? true;
  }

  trailers(trailers: HeaderMap): void {
    this.stream?.trailers(trailers);
  }

  pause(): void {
    this.stream?.pause();
  }

  resume(): void {
    this.stream?.resume();
  }

  onStream(stream: UpstreamStream): void {
    this.lease = undefined;
    if (this.over) {
      stream.reset('local_reset');
      return;
    }
    this.stream = stream;
    this.addresses = stream.addresses;
    this.owner.onAttemptReady(this);
  }

  onHead(head: ResponseHead, end: boolean): void {
    this.headSeen = true;
    this.status = head.status;
    if (end) this.end = 'complete';
    clearTimeout(this.perAttempt);
    this.idle?.set(this.idleMs);
    if (!this.over) this.owner.onResponseHead(this, head, end);
  }

  onInterim(head: ResponseHead): void {
    if (!this.over) this.owner.onInterim(this, head);
  }

  onData(bytes: Uint8Array, end: boolean): void {
    if (end) this.end = 'complete';
    this.idle?.set(this.idleMs);
    if (!this.over) this.owner.onResponseData(this, bytes, end);
  }

  onTrailers(trailers: HeaderMap): void {
    this.end = 'complete';
    if (!this.over) this.owner.onResponseTrailers(trailers);
  }

  onWritable(): void {
    if (!this.over) this.owner.onUpstreamWritable();
  }

  onReset(reset: StreamReset): void {
    if (this.over) return;
    this.end ??= reset.reason;
    this.owner.onReset(this, reset, this.headSeen);
    this.discard();
  }

  onInternalError(error: unknown): void {
    this.owner.onInternalError(error);
  }

  /**
   * Gives the attempt up: leaves the queue, or resets the stream unless both its messages are whole.
   * @param end where it did not end by itself
   */
  discard(end: AttemptEnd = 'abandoned'): void {
    if (this.over) return;
    this.over = true;
    this.end ??= end;
    this.owner.onAttemptEnded(this);
    clearTimeout(this.perAttempt);
    clearTimeout(this.duration);
    this.idle?.stop();
    this.cluster.use.requests--;
    this.endpoint.active--;
    this.lease?.cancel();
    this.stream?.reset('local_reset');
    this.stream = undefined;
  }
}
