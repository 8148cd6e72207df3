/** One try of a request on one endpoint, from the queue of its pool to the end of the response. */
import type { Cluster, Endpoint } from '../upstream/cluster.ts';
import type { ConnectionPools, Lease, ResetReason, StreamOwner, UpstreamStream } from '../upstream/pool.ts';
import type { ResponseHead } from './codec/message.ts';
import type { Headers } from './headers.ts';

/** Who hears of a try. */
export interface AttemptOwner {
  onAttemptReady(attempt: Attempt): void;
  onResponseHead(attempt: Attempt, head: ResponseHead): void;
  onInterim(attempt: Attempt, head: ResponseHead): void;
  onResponseBody(attempt: Attempt, bytes: Uint8Array): void;
  onResponseEnd(trailers: Headers | undefined): void;
  onResponseFlush(): void;
  onRequestDrain(): void;
  /** @param beforeRequest the connection had been idle and died before it answered anything */
  onReset(attempt: Attempt, reason: ResetReason, detail: string, beforeRequest: boolean): void;
}

export class Attempt implements StreamOwner {
  readonly endpoint: Endpoint;
  private readonly owner: AttemptOwner;
  private readonly cluster: Cluster;
  private lease: Lease | undefined;
  private stream: UpstreamStream | undefined;
  private headSeen = false;
  private over = false;

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

  /** Tells outlier detection what became of it. */
  report(outcome: Parameters<Cluster['report']>[1]): void {
    this.cluster.report(this.endpoint, outcome);
  }

  start(pools: ConnectionPools): void {
    const lease = pools.acquire(this.cluster, this.endpoint, this);
    if (!this.over && !this.stream) this.lease = lease;
  }

  sendHead(method: string, head: string, chunked: boolean): void {
    this.stream?.sendHead(method, head, chunked);
  }

  sendBody(bytes: Uint8Array): boolean {
    return this.stream?.sendBody(bytes) ?? true;
  }

  sendEnd(trailers: Headers | undefined): void {
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
    if (!this.over) this.owner.onResponseHead(this, head);
  }

  onInterim(head: ResponseHead): void {
    if (!this.over) this.owner.onInterim(this, head);
  }

  onResponseBody(bytes: Uint8Array): void {
    if (!this.over) this.owner.onResponseBody(this, bytes);
  }

  onResponseEnd(trailers: Headers | undefined): void {
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

  /** Gives the try up: leaves the queue, or closes the connection unless its response is whole. */
  discard(): void {
    if (this.over) return;
    this.over = true;
    this.cluster.use.requests--;
    this.endpoint.active--;
    this.lease?.cancel();
    this.stream?.release(this);
    this.stream = undefined;
  }
}
