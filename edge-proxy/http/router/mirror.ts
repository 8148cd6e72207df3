/**
 * Mirrored requests: the body goes along as it comes, answers are thrown away, and nothing is ever awaited. A mirror that
 * cannot keep up is given up, so that it can hold neither memory nor the request it copies.
 */
import type { Cluster, Endpoint, Located } from '../../upstream/cluster.ts';
import type { ConnectionPools } from '../../upstream/pool.ts';
import type { ResponseHead } from '../codec/h1/head.ts';
import { headText } from '../codec/h1/message-writer.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { ForwardAction } from '../route-table.ts';
import type { RequestContext } from '../stream.ts';
import type { AttemptOwner } from './attempt.ts';
import { Attempt } from './attempt.ts';
import type { RouterHost } from './router-host.ts';

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
export function startMirrors(exchange: RouterHost, mirrors: ForwardAction['mirrors'], timeoutMs: number): Mirror[] {
  const started: Mirror[] = [];
  for (const { cluster: name, share, keepHost } of mirrors) {
    const { parts, request } = exchange;
    if (underWay >= maxMirrors || parts.runtime.random() >= share) continue;
    const cluster = parts.clusters.get(name);
    if (!cluster) continue;
    const chunked = exchange.head.framing === 'chunked';
    const host = keepHost ? request.authority : shadowHost(request.authority);
    let head = headText(`${request.method} ${request.path} HTTP/1.1\r\nhost: ${host}\r\n`, mirrorHeaders(request));
    if (chunked) head += 'transfer-encoding: chunked\r\n';
    const mirror = new Mirror(request.method, host, `${head}\r\n`, chunked, cluster, parts.pools);
    if (timeoutMs > 0) mirror.timeoutMs = timeoutMs;
    mirror.start(
      cluster.locate ? cluster.locate(request.authority, request.headers) : cluster.pick(undefined, undefined),
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
export function shadowHost(authority: string): string {
  const port = /:\d+$/.exec(authority);
  return port ? `${authority.slice(0, port.index)}-shadow${port[0]}` : `${authority}-shadow`;
}

/** One copy of a request on its way to one cluster. */
export class Mirror implements AttemptOwner {
  private readonly method: string;
  private readonly host: string;
  private readonly head: string;
  private readonly chunked: boolean;
  private readonly cluster: Cluster;
  private readonly pools: ConnectionPools;
  private attempt: Attempt | undefined;
  timeoutMs = longestMs;
  private timeout: ReturnType<typeof setTimeout> | undefined;
  private queue: Uint8Array[] = [];
  private queuedBytes = 0;
  /** There is a connection, and it takes more. */
  private writable = false;
  private ended = false;
  private trailers: HeaderMap | undefined;
  private over = false;

  constructor(method: string, host: string, head: string, chunked: boolean, cluster: Cluster, pools: ConnectionPools) {
    this.method = method;
    this.host = host;
    this.head = head;
    this.chunked = chunked;
    this.cluster = cluster;
    this.pools = pools;
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
    const attempt = new Attempt(this, cluster, cluster.secured?.(endpoint, this.host) ?? endpoint);
    this.attempt = attempt;
    attempt.start(this.pools);
  }

  /** @param bytes valid only during the call */
  onRequestBody(bytes: Uint8Array): void {
    if (this.over) return;
    if (this.writable) {
      this.writable = this.attempt!.sendBody(bytes);
      return;
    }
    this.queuedBytes += bytes.length;
    if (this.queuedBytes > maxQueuedBytes) this.end();
    else this.queue.push(new Uint8Array(bytes));
  }

  /** The request is whole: only now the mirror may take as long as it needs, within its own limit. */
  onRequestEnd(trailers: HeaderMap | undefined): void {
    if (this.over) return;
    this.ended = true;
    this.trailers = trailers;
    this.timeout = setTimeout(() => this.end(), Math.min(this.timeoutMs, 0x7fffffff));
    if (this.writable) this.finishRequest();
  }

  flush(): void {
    if (this.writable) this.attempt?.flush();
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

  get whole(): boolean {
    return this.ended;
  }

  onAttemptReady(attempt: Attempt): void {
    attempt.sendHead(this.method, this.head, this.chunked);
    this.attempt = attempt;
    this.onRequestDrain();
  }

  onRequestDrain(): void {
    if (this.over) return;
    this.writable = true;
    while (this.writable && this.queue.length > 0) {
      const bytes = this.queue.shift()!;
      this.queuedBytes -= bytes.length;
      this.writable = this.attempt!.sendBody(bytes);
    }
    if (this.ended && this.queue.length === 0) this.finishRequest();
    this.attempt?.flush();
  }

  private finishRequest(): void {
    this.attempt?.sendEnd(this.trailers);
    this.attempt?.flush();
  }

  onInterim(): void {}

  onResponseHead(attempt: Attempt, head: ResponseHead): void {
    attempt.report(head.status);
  }

  onResponseBody(): void {}

  onResponseEnd(): void {
    this.end();
  }

  onResponseFlush(): void {}

  onReset(attempt: Attempt, reason: Parameters<AttemptOwner['onReset']>[1]): void {
    if (reason !== 'overflow') attempt.report(reason === 'remote_connection_failure' ? 'connect-failure' : 'reset');
    this.end();
  }

  onTryTimeout(): void {
    this.end();
  }
}
