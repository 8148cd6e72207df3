/**
 * Mirrored requests: the body follows as it comes, responses are discarded, and nothing is ever awaited. A mirror that
 * cannot keep up is given up, so that it can hold neither memory nor the request it copies.
 */
import type { Cluster, Endpoint, Located } from '../../upstream/cluster.ts';
import type { Outcome } from '../../upstream/outlier/outlier-detection.ts';
import type { StreamSource } from '../../upstream/stream-client.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { RequestHead, ResponseHead } from '../message/message.ts';
import type { StreamReset } from '../message/stream.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { ForwardAction } from '../routing/route-table.ts';
import { Attempt, type AttemptOwner } from './attempt.ts';
import type { RouterConfig } from './router-config.ts';

const EMPTY = new Uint8Array(0);
const maxMirrors = 256;
/** For a route without a timeout. */
const longestMs = 15_000;
/** Bytes that wait for a mirror's connection, or for it to read. */
const maxQueuedBytes = 256 * 1024;
let underWay = 0;

/**
 * Begins the mirrors of a request whose head is ready to be sent.
 * @param timeoutMs of the request, from its end on; 0: it has none
 */
export function startMirrors(
  request: RequestContext & RequestHead,
  config: Pick<RouterConfig, 'clusters' | 'upstreams' | 'random' | 'events'>,
  mirrors: ForwardAction['mirrors'],
  timeoutMs: number,
): Mirror[] {
  const started: Mirror[] = [];
  for (const { cluster: name, share, keepHost } of mirrors) {
    if (underWay >= maxMirrors || config.random() >= share) continue;
    const cluster = config.clusters.get(name);
    if (!cluster) continue;
    const authority = keepHost ? request.authority : shadowHost(request.authority);
    const { method, scheme, path, bodySize, upgrade, wantsContinue, version } = request;
    const headers = mirrorHeaders(request);
    const head = { method, scheme, authority, path, headers, bodySize, upgrade, wantsContinue, version };
    const mirror = new Mirror(head, cluster, config.upstreams, (attempt, outcome) =>
      config.events.attemptOutcome?.(request, attempt, outcome),
    );
    if (timeoutMs > 0) mirror.timeoutMs = timeoutMs;
    mirror.start(
      cluster.resolveDestination
        ? cluster.resolveDestination(request.authority, request.headers, request.downstream)
        : cluster.pick(undefined, undefined),
    );
    started.push(mirror);
  }
  return started;
}

/** A request that this proxy makes itself: internal, and with its own address behind the client's. */
function mirrorHeaders(request: RequestContext): HeaderMap {
  const headers = request.headers.copy();
  const before = headers.joined('x-forwarded-for');
  const { localAddress } = request.downstream;
  headers.set('x-forwarded-for', before ? `${before},${localAddress}` : localAddress);
  headers.set('x-envoy-internal', 'true');
  return headers;
}

/** `host:port` to `host-shadow:port`, as Envoy. */
function shadowHost(authority: string): string {
  const port = /:\d+$/.exec(authority);
  return port ? `${authority.slice(0, port.index)}-shadow${port[0]}` : `${authority}-shadow`;
}

type Report = (attempt: Attempt, outcome: Outcome) => void;

/** One copy of a request on its way to one cluster. */
export class Mirror implements AttemptOwner {
  private readonly head: RequestHead;
  private readonly cluster: Cluster;
  private readonly upstreams: StreamSource;
  private readonly report: Report;
  private attempt: Attempt | undefined;
  timeoutMs = longestMs;
  private timeout: ReturnType<typeof setTimeout> | undefined;
  private queue: Uint8Array[] = [];
  private queuedBytes = 0;
  /** There is a connection, and it takes more. */
  private writable = false;
  /** The request it copies is whole. */
  whole = false;
  /** The end of the request was sent. */
  private sent = false;
  private trailers: HeaderMap | undefined;
  private over = false;

  constructor(head: RequestHead, cluster: Cluster, upstreams: StreamSource, report: Report) {
    this.report = report;
    this.head = head;
    this.cluster = cluster;
    this.upstreams = upstreams;
    underWay++;
  }

  start(found: Located | Promise<Located>): void {
    if (found instanceof Promise) {
      void found.then((located) => this.start(located));
      return;
    }
    const { use, limits } = this.cluster;
    if (this.over) return;
    if (typeof found !== 'object' || use.requests >= limits.maxRequests) this.end();
    else this.send(found);
  }

  private send(endpoint: Endpoint): void {
    const { cluster } = this;
    const secured = cluster.secured?.(endpoint, this.head.authority) ?? endpoint;
    const attempt = new Attempt(this, cluster, secured, 1, 'mirror');
    this.attempt = attempt;
    attempt.start(this.upstreams, this.head.version);
  }

  /** @param bytes valid during the call alone */
  onData(bytes: Uint8Array, end: boolean): void {
    if (this.over) return;
    if (this.writable) {
      this.sent = end;
      this.writable = this.attempt!.data(bytes, end);
      if (end) this.onEnd(undefined);
      return;
    }
    this.queuedBytes += bytes.length;
    if (this.queuedBytes > maxQueuedBytes) {
      this.end();
      return;
    }
    if (bytes.length > 0) this.queue.push(new Uint8Array(bytes));
    if (end) this.onEnd(undefined);
  }

  /** The request is whole: only now the mirror may take as long as it needs, within its own limit. */
  onEnd(trailers: HeaderMap | undefined): void {
    if (this.over) return;
    this.whole = true;
    this.trailers = trailers;
    this.timeout = setTimeout(() => this.end(), Math.min(this.timeoutMs, 0x7fffffff));
    if (this.writable) this.sendQueued();
  }

  /** The request it copies was given up, or it did not keep up. */
  end(): void {
    if (this.over) return;
    this.over = true;
    underWay--;
    clearTimeout(this.timeout);
    this.queue = [];
    this.attempt?.discard();
    this.attempt = undefined;
  }

  onAttemptReady(attempt: Attempt): void {
    this.attempt = attempt;
    attempt.head(this.head, this.head.bodySize === 0);
    if (this.head.bodySize === 0) this.sent = true;
    this.onUpstreamWritable();
  }

  onUpstreamWritable(): void {
    if (this.over) return;
    this.writable = true;
    this.sendQueued();
  }

  private sendQueued(): void {
    const { queue } = this;
    while (this.writable && queue.length > 0) {
      const bytes = queue.shift()!;
      this.queuedBytes -= bytes.length;
      this.writable = this.attempt!.data(bytes, false);
    }
    if (!this.whole || this.sent || queue.length > 0) return;
    this.sent = true;
    if (this.trailers) this.attempt?.trailers(this.trailers);
    else this.attempt?.data(EMPTY, true);
  }

  onInterim(): void {}

  onResponseHead(attempt: Attempt, head: ResponseHead, end: boolean): void {
    this.report(attempt, head.status);
    if (end) this.end();
  }

  onResponseData(_attempt: Attempt, _bytes: Uint8Array, end: boolean): void {
    if (end) this.end();
  }

  onResponseTrailers(): void {
    this.end();
  }

  onReset(attempt: Attempt, { reason }: StreamReset): void {
    if (reason !== 'overflow')
      this.report(attempt, reason === 'remote_connection_failure' ? 'connect-failure' : 'reset');
    this.end();
  }

  onInternalError(): void {}

  onAttemptEnded(): void {}

  onAttemptTimeout(): void {
    this.end();
  }
}
