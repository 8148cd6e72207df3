/** The attempt loop: picks an endpoint, sends, retries or fails over, streams the answer back. */
import type { Cluster, Endpoint } from '../upstream/cluster.ts';
import type { ResetReason } from '../upstream/pool.ts';
import type { Hash64 } from '../upstream/xx-hash.ts';
import { headText } from './codec/encoder.ts';
import type { ResponseHead } from './codec/message.ts';
import type { Exchange } from './exchange.ts';
import { rewriteHost } from './forward-headers.ts';
import type { Headers } from './headers.ts';
import {
  badPath,
  clusterNotFound,
  noHealthyUpstream,
  perTryTimeout,
  resetFlag,
  responseTimeout,
  upstreamReset,
} from './local-reply.ts';
import type { RetryDecision } from './retry-state.ts';
import { RetryState } from './retry-state.ts';
import type { ClusterChoice, ForwardAction } from './route-table.ts';
import { Attempt } from './router-attempt.ts';
import { sendMirrors } from './router-mirror.ts';
import type { LocalReply } from './stream.ts';

/** Methods that mean no content. */
const bodiless = new Set(['GET', 'HEAD', 'DELETE', 'CONNECT', 'TRACE']);
const notInPath = /[^\x21-\x7e]/;

export class Router {
  private readonly exchange: Exchange;
  private readonly action: ForwardAction;
  private readonly choice: ClusterChoice;
  /** Lower-case upgrade granted by the route, `connect`, or ''. */
  private readonly upgrade: string;
  private cluster!: Cluster;
  private retries!: RetryState;
  private attempt: Attempt | undefined;
  private previous: Endpoint[] | undefined;
  private hash: Hash64 | undefined;
  /** Set-Cookie of the hash policy, for the response. */
  private cookies: string[] | undefined;
  private backOff: ReturnType<typeof setTimeout> | undefined;
  private timeout: ReturnType<typeof setTimeout> | undefined;
  private perTry: ReturnType<typeof setTimeout> | undefined;
  /** What came of the request body so far, for sending it (again). */
  private body: Uint8Array[] = [];
  private bodyBytes = 0;
  /** `body` is the whole body so far. */
  private replayable = true;
  private keepBody = false;
  private trailers: Headers | undefined;
  private requestEnded: boolean;
  private endedAt = 0;
  private over = false;
  /** No further try: the client was told something of this one. */
  private committed = false;

  constructor(exchange: Exchange, action: ForwardAction, choice: ClusterChoice, upgrade: string) {
    this.exchange = exchange;
    this.action = action;
    this.choice = choice;
    this.upgrade = upgrade;
    this.requestEnded = exchange.requestEnded;
  }

  start(): void {
    const { exchange, action, choice } = this;
    const { request, parts } = exchange;
    const cluster = parts.clusters.get(choice.cluster);
    if (!cluster) {
      const status = action.clusterNotFound ?? 503;
      exchange.reply(status === 503 ? clusterNotFound : { ...clusterNotFound, status });
      return;
    }
    this.cluster = cluster;
    request.cluster = cluster;
    this.retries = new RetryState(this.upgrade === '' ? action.retry : undefined, cluster);
    this.keepBody = this.retries.enabled || action.mirrors.length > 0;
    if (!this.prepareHead()) {
      exchange.reply(badPath);
      return;
    }
    if (action.hash) {
      this.hash = action.hash(request, (value) => {
        this.cookies ??= [];
        this.cookies.push(value);
      });
    }
    this.tryOnce();
    if (this.requestEnded) this.onWholeRequest();
  }

  /** Rewrites and header operations; once, whatever the number of tries. */
  private prepareHead(): boolean {
    const { exchange, action, choice } = this;
    const { request, parts, head } = exchange;
    const { headers } = request;
    const before = request.path;
    choice.editRequest(request);
    action.rewrite(request);
    if (request.method !== 'CONNECT' && notInPath.test(request.path)) return false;
    if (!parts.suppressEnvoyHeaders) {
      if (request.path !== before) headers.set('x-envoy-original-path', before);
      if (action.timeoutMs > 0) headers.set('x-envoy-expected-rq-timeout-ms', String(action.timeoutMs));
    }
    // Framing is this hop's own: no header operation may change what the bytes say.
    headers.remove('transfer-encoding');
    headers.remove('host');
    if (head.framing === 'length') headers.set('content-length', String(head.contentLength));
    else if (head.framing === 'chunked') headers.remove('content-length');
    else if (headers.has('content-length')) headers.set('content-length', '0');
    else if (this.upgrade === '' && !bodiless.has(request.method)) {
      // RFC 9110 section 8.6: methods that mean content say that there is none.
      headers.append('content-length', '0', 'content-length');
    }
    if (head.expectContinue && !parts.proxyContinue) headers.remove('expect');
    return true;
  }

  private tryOnce(): void {
    const { exchange, cluster } = this;
    const { request, parts } = exchange;
    const endpoint = cluster.pick(this.hash, this.previous, this.retries.hosts);
    if (!endpoint) {
      this.give(noHealthyUpstream);
      return;
    }
    request.attempts++;
    request.upstreamHost = endpoint.id;
    const { autoHost } = this.action;
    if (autoHost && endpoint.hostname !== '' && endpoint.hostname !== request.authority) {
      rewriteHost(request, endpoint.hostname, autoHost.appendForwardedHost);
    }
    if (cluster.use.requests >= cluster.limits.maxRequests) {
      this.give(upstreamReset('overflow', '', 1));
      return;
    }
    if (request.route?.includeAttemptCount) request.headers.set('x-envoy-attempt-count', String(request.attempts));
    const attempt = new Attempt(this, cluster, endpoint);
    this.attempt = attempt;
    const perTryMs = this.action.retry?.perTryTimeoutMs ?? 0;
    if (perTryMs > 0 && this.requestEnded) this.startPerTry(perTryMs);
    attempt.start(parts.pools);
  }

  private startPerTry(ms: number): void {
    clearTimeout(this.perTry);
    this.perTry = setTimeout(() => this.onPerTryTimeout(), ms);
  }

  /** The head as it goes upstream, with its empty line. */
  headText(): string {
    const { request, head } = this.exchange;
    const target = request.method === 'CONNECT' ? request.authority : request.path;
    let text = headText(`${request.method} ${target} HTTP/1.1\r\nhost: ${request.authority}\r\n`, request.headers);
    if (head.framing === 'chunked') text += 'transfer-encoding: chunked\r\n';
    if (this.upgrade !== '' && this.upgrade !== 'connect')
      text += `connection: upgrade\r\nupgrade: ${this.upgrade}\r\n`;
    return `${text}\r\n`;
  }

  /** A connection is there: send what there is of the request. */
  onAttemptReady(attempt: Attempt): void {
    const { request, head } = this.exchange;
    attempt.sendHead(request.method, this.headText(), head.framing === 'chunked');
    let room = true;
    for (const bytes of this.body) room = attempt.sendBody(bytes);
    if (this.requestEnded) attempt.sendEnd(this.trailers);
    attempt.flush();
    if (!this.keepBody) this.dropBody();
    if (room) this.exchange.resumeRequest();
  }

  /** @param bytes valid only during the call */
  onRequestBody(bytes: Uint8Array): void {
    if (this.over) return;
    const attempt = this.attempt;
    const sending = attempt?.ready === true;
    if (this.replayable && (this.keepBody || !sending)) this.keep(bytes, sending);
    else if (!sending) {
      // The body is no longer whole here and no try is sending: only a response that is on its way explains that.
      return;
    }
    if (sending && !attempt.sendBody(bytes)) this.exchange.pauseRequest();
  }

  private keep(bytes: Uint8Array, sending: boolean): void {
    const limit = this.exchange.parts.bufferLimit;
    if (this.bodyBytes + bytes.length > limit) {
      if (sending) {
        this.dropBody();
        return;
      }
      // Not sent yet: it must be kept; the client is held back instead, and retries are off.
      this.keepBody = false;
      this.exchange.pauseRequest();
    }
    this.body.push(new Uint8Array(bytes));
    this.bodyBytes += bytes.length;
  }

  private dropBody(): void {
    if (this.bodyBytes > 0 || this.exchange.head.framing !== 'none') this.replayable = false;
    this.body = [];
  }

  onRequestEnd(trailers: Headers | undefined): void {
    if (this.over || this.requestEnded) return;
    this.requestEnded = true;
    this.trailers = trailers;
    if (this.attempt?.ready) this.attempt.sendEnd(trailers);
    this.onWholeRequest();
  }

  /** Envoy's timeouts run from the end of the request. */
  private onWholeRequest(): void {
    const { exchange, action } = this;
    this.endedAt = exchange.parts.runtime.monotonicMs();
    if (this.over) return;
    if (action.timeoutMs > 0 && this.upgrade === '') {
      this.timeout = setTimeout(() => this.onTimeout(), action.timeoutMs);
    }
    const perTryMs = action.retry?.perTryTimeoutMs ?? 0;
    if (perTryMs > 0 && this.perTry === undefined) this.startPerTry(perTryMs);
    if (action.mirrors.length > 0 && this.replayable) sendMirrors(exchange, action.mirrors, this.body);
  }

  flush(): void {
    if (this.attempt?.ready) this.attempt.flush();
  }

  endTunnel(): void {
    this.attempt?.endTunnel();
  }

  onDownstreamDrain(): void {
    this.attempt?.resume();
  }

  onResponseHead(attempt: Attempt, head: ResponseHead): void {
    const { exchange, cluster, upgrade } = this;
    if (head.status === 101 && upgrade === '') {
      // Nobody asked for another protocol: what follows is not HTTP, and must not be taken for it downstream.
      this.onReset(attempt, 'protocol_error', '', false);
      attempt.discard();
      return;
    }
    cluster.report(attempt.endpoint, head.status);
    const decision = this.retries.onResponse(head.status, head.headers);
    if (decision === 'retry' && this.retry(attempt)) return;
    if (decision === 'limit') exchange.request.flag('URX');
    if (decision === 'overflow') exchange.request.flag('UO');
    clearTimeout(this.perTry);
    if (upgrade !== '') clearTimeout(this.timeout);
    if (!exchange.parts.suppressEnvoyHeaders) {
      const since = this.endedAt === 0 ? exchange.request.startMs : this.endedAt;
      const ms = Math.max(0, Math.round(exchange.parts.runtime.monotonicMs() - since));
      head.headers.set('x-envoy-upstream-service-time', String(ms));
    }
    if (this.cookies) for (const value of this.cookies) head.headers.append('set-cookie', value, 'set-cookie');
    exchange.respond(head, upgrade);
  }

  onInterim(_attempt: Attempt, head: ResponseHead): void {
    if (!this.exchange.parts.proxyContinue) return;
    // The client has been told something of this try: another one must not contradict it.
    this.committed = true;
    this.exchange.respondInterim(head);
  }

  onResponseBody(attempt: Attempt, bytes: Uint8Array): void {
    if (!this.exchange.sendBody(bytes)) attempt.pause();
  }

  onResponseEnd(trailers: Headers | undefined): void {
    this.exchange.endResponse(trailers);
  }

  onResponseFlush(): void {
    this.exchange.flushResponse();
  }

  onRequestDrain(): void {
    this.exchange.resumeRequest();
  }

  onReset(attempt: Attempt, reason: ResetReason, detail: string, beforeRequest: boolean): void {
    const { exchange, cluster } = this;
    if (reason !== 'overflow') {
      const connecting = reason === 'remote_connection_failure';
      cluster.report(
        attempt.endpoint,
        connecting ? 'connect-failure' : reason === 'connection_timeout' ? 'timeout' : 'reset',
      );
    }
    if (exchange.responseStarted) {
      exchange.fail(resetFlag(reason), `upstream_reset_after_response_started{${reason}}`);
      return;
    }
    this.orGive(
      attempt,
      this.retries.onReset(reason, beforeRequest),
      upstreamReset(reason, detail, exchange.request.attempts),
    );
  }

  private onPerTryTimeout(): void {
    const attempt = this.attempt;
    if (this.over || !attempt || this.exchange.responseStarted) return;
    this.cluster.report(attempt.endpoint, 'timeout');
    this.orGive(attempt, this.retries.onTryTimeout(), perTryTimeout);
  }

  private onTimeout(): void {
    if (this.over) return;
    if (this.exchange.responseStarted) {
      this.exchange.fail('UT', 'response_timeout');
      return;
    }
    if (this.attempt) this.cluster.report(this.attempt.endpoint, 'timeout');
    this.give(responseTimeout);
  }

  private orGive(attempt: Attempt, decision: RetryDecision, otherwise: LocalReply): void {
    if (decision === 'retry' && this.retry(attempt)) return;
    if (decision === 'limit') this.exchange.request.flag('URX');
    if (decision === 'overflow') this.exchange.request.flag('UO');
    this.give(otherwise);
  }

  /** @returns false when the request cannot be sent again */
  private retry(failed: Attempt): boolean {
    if (!this.replayable || !this.keepBody || this.committed) {
      this.retries.release();
      return false;
    }
    clearTimeout(this.perTry);
    this.perTry = undefined;
    this.previous ??= [];
    this.previous.push(failed.endpoint);
    failed.discard();
    this.attempt = undefined;
    this.backOff = setTimeout(() => this.tryOnce(), this.retries.backOffMs());
    return true;
  }

  private give(made: LocalReply): void {
    this.exchange.reply(made);
    this.exchange.flushResponse();
  }

  /** Ends everything under way; the exchange is finished or answers by itself. */
  abandon(): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timeout);
    clearTimeout(this.perTry);
    clearTimeout(this.backOff);
    this.body = [];
    this.attempt?.discard();
    this.attempt = undefined;
    this.retries?.release();
  }
}
