/**
 * Mirrored requests: sent when the whole request is known and was small enough to keep, never awaited, answers thrown
 * away. Bounded, so that a slow mirror cannot hold memory.
 */
import type { ConnectionPools } from '../upstream/pool.ts';
import { headText } from './codec/encoder.ts';
import type { ResponseHead } from './codec/message.ts';
import type { Exchange } from './exchange.ts';
import type { ForwardAction } from './route-table.ts';
import type { AttemptOwner } from './router-attempt.ts';
import { Attempt } from './router-attempt.ts';

const maxMirrors = 256;
const mirrorTimeoutMs = 15_000;
let underWay = 0;

/** @param body the whole request body */
export function sendMirrors(exchange: Exchange, mirrors: ForwardAction['mirrors'], body: readonly Uint8Array[]): void {
  for (const mirror of mirrors) {
    if (underWay >= maxMirrors || Math.random() >= mirror.share) continue;
    const { parts, request } = exchange;
    const cluster = parts.clusters.get(mirror.cluster);
    if (!cluster || cluster.use.requests >= cluster.limits.maxRequests) continue;
    const endpoint = cluster.pick(undefined, undefined);
    if (!endpoint) continue;
    const host = mirror.keepHost ? request.authority : shadowHost(request.authority);
    let head = headText(`${request.method} ${request.path} HTTP/1.1\r\nhost: ${host}\r\n`, request.headers);
    if (exchange.head.framing === 'chunked') head += 'transfer-encoding: chunked\r\n';
    const sink = new MirrorSink(request.method, `${head}\r\n`, exchange.head.framing === 'chunked', [...body]);
    sink.start(new Attempt(sink, cluster, endpoint), parts.pools);
  }
}

/** `host:port` to `host-shadow:port`, as Envoy. */
export function shadowHost(authority: string): string {
  const port = /:\d+$/.exec(authority);
  return port ? `${authority.slice(0, port.index)}-shadow${port[0]}` : `${authority}-shadow`;
}

class MirrorSink implements AttemptOwner {
  private readonly method: string;
  private readonly head: string;
  private readonly chunked: boolean;
  private readonly body: readonly Uint8Array[];
  private attempt: Attempt | undefined;
  private timeout: ReturnType<typeof setTimeout> | undefined;

  constructor(method: string, head: string, chunked: boolean, body: readonly Uint8Array[]) {
    this.method = method;
    this.head = head;
    this.chunked = chunked;
    this.body = body;
  }

  start(attempt: Attempt, pools: ConnectionPools): void {
    underWay++;
    this.attempt = attempt;
    this.timeout = setTimeout(() => this.end(), mirrorTimeoutMs);
    attempt.start(pools);
  }

  private end(): void {
    if (!this.attempt) return;
    underWay--;
    clearTimeout(this.timeout);
    this.attempt.discard();
    this.attempt = undefined;
  }

  onAttemptReady(attempt: Attempt): void {
    attempt.sendHead(this.method, this.head, this.chunked);
    for (const bytes of this.body) attempt.sendBody(bytes);
    attempt.sendEnd(undefined);
    attempt.flush();
  }

  onResponseHead(attempt: Attempt, head: ResponseHead): void {
    attempt.report(head.status);
  }

  onInterim(): void {}

  onResponseBody(): void {}

  onResponseEnd(): void {
    this.end();
  }

  onResponseFlush(): void {}

  onRequestDrain(): void {}

  onReset(): void {
    this.end();
  }

  onTryTimeout(): void {
    this.end();
  }
}
