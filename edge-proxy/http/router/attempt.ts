/** One try of a request on one endpoint, from the queue of its pool to the end of the response. */
import type { Runtime } from '../../runtime/runtime.ts';
import type { Cluster, Endpoint } from '../../upstream/cluster.ts';
import type { ConnectionPools, Lease, ResetReason, StreamOwner, UpstreamStream } from '../../upstream/pool.ts';
import { dialRaw } from '../../upstream/raw-stream.ts';
import type { ResponseHead } from '../codec/h1/head.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { Addresses } from '../message/stream.ts';
import { LazyTimer } from '../timers.ts';
import type { RequestTimeouts } from './request-timeouts.ts';

/** Who hears of a try. */
export interface AttemptOwner {
  onAttemptReady(attempt: Attempt): void;
  onResponseHead(attempt: Attempt, head: ResponseHead): void;
  onInterim(attempt: Attempt, head: ResponseHead): void;
  onResponseBody(attempt: Attempt, bytes: Uint8Array): void;
  onResponseEnd(trailers: HeaderMap | undefined): void;
  onResponseFlush(): void;
  onRequestDrain(): void;
  /** @param beforeRequest the connection had been idle and died before it answered anything */
  onReset(attempt: Attempt, reason: ResetReason, detail: string, beforeRequest: boolean): void;
  /** A fault of our own; a reset follows. */
  onFault?(error: unknown): void;
  /** It takes too long; it goes on until it is discarded. */
  onTryTimeout(attempt: Attempt, kind: TryTimeout): void;
}

/** A whole try, one in which nothing moves, the cluster's longest stream. */
export type TryTimeout = 'try' | 'idle' | 'duration';

export class Attempt implements StreamOwner {
  readonly endpoint: Endpoint;
  private readonly owner: AttemptOwner;
  private readonly cluster: Cluster;
  private lease: Lease | undefined;
  private stream: UpstreamStream | undefined;
  private headSeen = false;
  private over = false;
  private perTryMs = 0;
  private perTry: ReturnType<typeof setTimeout> | undefined;
  private idle: LazyTimer | undefined;
  private idleMs = 0;
  private duration: ReturnType<typeof setTimeout> | undefined;

  constructor(owner: AttemptOwner, cluster: Cluster, endpoint: Endpoint) {
    this.owner = owner;
    this.cluster = cluster;
    this.endpoint = endpoint;
    cluster.use.requests++;
    endpoint.active++;
  }

  /** A connection is there and the head was sent. */
  get ready(): boolean {
    return this.stream !== undefined;
  }

  get addresses(): Addresses | undefined {
    return this.stream?.addresses;
  }

  /** Tells outlier detection what became of it. */
  report(outcome: Parameters<Cluster['report']>[1]): void {
    this.cluster.report(this.endpoint, outcome);
  }

  start(pools: ConnectionPools): void {
    const lease = pools.acquire(this.cluster, this.endpoint, this);
    if (!this.over && !this.stream) this.lease = lease;
  }

  /** As `start`, for a CONNECT that ends here: a byte stream to the endpoint instead of a request. */
  startRaw(runtime: Runtime): void {
    const lease = dialRaw(runtime, this.cluster, this.endpoint, this);
    if (!this.over && !this.stream) this.lease = lease;
  }

  /**
   * Begins when a connection is there.
   * @param whole the request is, too: else `requestWhole` follows
   */
  startTimers(times: RequestTimeouts, whole: boolean, runtime: Pick<Runtime, 'monotonicMs'>): void {
    this.perTryMs = times.perTryMs;
    if (whole) this.requestWhole();
    if (times.perTryIdleMs > 0) {
      this.idleMs = times.perTryIdleMs;
      this.idle = new LazyTimer(
        () => runtime.monotonicMs(),
        () => this.owner.onTryTimeout(this, 'idle'),
      );
      this.idle.set(this.idleMs);
    }
    const longest = this.cluster.maxStreamMs ?? 0;
    if (longest > 0) this.duration = setTimeout(() => this.owner.onTryTimeout(this, 'duration'), longest);
  }

  requestWhole(): void {
    if (this.perTryMs > 0 && this.stream !== undefined && this.perTry === undefined && !this.headSeen)
      this.perTry = setTimeout(() => this.owner.onTryTimeout(this, 'try'), this.perTryMs);
  }

  sendHead(method: string, head: string, chunked: boolean): void {
    this.stream?.sendHead(method, head, chunked);
  }

  sendBody(bytes: Uint8Array): boolean {
    return this.stream?.sendBody(bytes) ?? true;
  }

  sendEnd(trailers: HeaderMap | undefined): void {
    this.stream?.sendEnd(trailers);
  }

  flush(): void {
    this.stream?.flush();
  }

  endTunnel(): void {
    this.stream?.endTunnel();
  }

  pause(): void {
    this.stream?.pause();
  }

  resume(): void {
    this.stream?.resume();
  }

  onReady(stream: UpstreamStream): void {
    this.lease = undefined;
    if (this.over) {
      stream.release(this);
      return;
    }
    this.stream = stream;
    this.owner.onAttemptReady(this);
  }

  onResponseHead(head: ResponseHead): void {
    this.headSeen = true;
    clearTimeout(this.perTry);
    this.idle?.set(this.idleMs);
    if (!this.over) this.owner.onResponseHead(this, head);
  }

  onInterim(head: ResponseHead): void {
    if (!this.over) this.owner.onInterim(this, head);
  }

  onResponseBody(bytes: Uint8Array): void {
    this.idle?.set(this.idleMs);
    if (!this.over) this.owner.onResponseBody(this, bytes);
  }

  onResponseEnd(trailers: HeaderMap | undefined): void {
    if (!this.over) this.owner.onResponseEnd(trailers);
  }

  onResponseFlush(): void {
    if (!this.over) this.owner.onResponseFlush();
  }

  onRequestDrain(): void {
    if (!this.over) this.owner.onRequestDrain();
  }

  onReset(reason: ResetReason, detail: string): void {
    if (this.over) return;
    const stale = this.stream?.reused === true && !this.headSeen && reason === 'connection_termination';
    this.owner.onReset(this, reason, detail, stale);
    this.discard();
  }

  onFault(error: unknown): void {
    this.owner.onFault?.(error);
  }

  /** Gives the try up: leaves the queue, or closes the connection unless its response is whole. */
  discard(): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.perTry);
    clearTimeout(this.duration);
    this.idle?.stop();
    this.cluster.use.requests--;
    this.endpoint.active--;
    this.lease?.cancel();
    this.stream?.release(this);
    this.stream = undefined;
  }
}
