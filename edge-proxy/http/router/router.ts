/** The attempt loop: picks an endpoint, sends, retries or fails over, streams the answer back. */
import type { Cluster, Endpoint, Located } from '../../upstream/cluster.ts';
import type { ResetReason } from '../../upstream/pool.ts';
import type { Hash64 } from '../../upstream/xx-hash.ts';
import type { ResponseHead } from '../codec/h1/head.ts';
import type { ProxyRequest } from '../exchange/proxy-request.ts';
import type { Permit } from '../filters/permit.ts';
import { rewriteHost } from '../forward-headers.ts';
import {
  badPath,
  clusterNotFound,
  durationOver,
  isGrpc,
  noHealthyUpstream,
  notLocated,
  resetFlag,
  responseTimeout,
  tryTimeoutReply,
  upstreamReset,
} from '../local-reply.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { ClusterChoice, ForwardAction } from '../route-table.ts';
import type { LocalReply } from '../stream.ts';
import type { PooledTimer } from '../timers.ts';
import { Attempt, type TryTimeout } from './attempt.ts';
import { BodyBuffer } from './body-buffer.ts';
import { SlowTries } from './hedged-attempts.ts';
import { type Mirror, startMirrors } from './mirror.ts';
import { prepareHead, requestHeadText, tellServiceTime, tellTimeout } from './request-head.ts';
import { type RequestTimeouts, type StreamDuration, streamDurationMs, timeoutsOf } from './request-timeouts.ts';
import { planWithControls } from './retry-plan.ts';
import type { RetryDecision } from './retry-state.ts';
import { RetryState } from './retry-state.ts';
import type { RouterHost } from './router-host.ts';

/** Doing them twice is doing them once (RFC 9110 section 9.2.1): a connection that died idle may be the reason. */
const safe = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);
/** Runtimes hold delays in 31 bits. */
const LONGEST_TIMER_MS = 0x7fffffff;
export class Router {
  private readonly exchange: RouterHost;
  private readonly action: ForwardAction;
  private readonly choice: ClusterChoice;
  /** Lower-case upgrade granted by the route, `connect`, or ''. */
  private readonly upgrade: string;
  private cluster!: Cluster;
  private retries!: RetryState;
  private attempt: Attempt | undefined;
  private previous: Endpoint[] | undefined;
  /** Where the request itself says to go. */
  private located: Endpoint | undefined;
  private mirrors: Mirror[] | undefined;
  private tlsAuthority = '';
  private hash: Hash64 | undefined;
  /** Set-Cookie of the hash policy, for the response. */
  private cookies: string[] | undefined;
  private backOff: ReturnType<typeof setTimeout> | undefined;
  private timeout: PooledTimer | undefined;
  private duration: ReturnType<typeof setTimeout> | undefined;
  private times!: Readonly<RequestTimeouts>;
  /** Earlier tries that were too slow and go on beside `attempt`. */
  private slow: SlowTries | undefined;
  /** For the back-off of a further try. */
  private waiting = false;
  private readonly body: BodyBuffer;
  private trailers: HeaderMap | undefined;
  private requestEnded: boolean;
  private endedAt = 0;
  private over = false;
  /** No further try: the client was told something of this one. */
  private committed = false;

  /**
   * @param permit of the exchange's request: only what every filter let through is forwarded
   * @param upgrade lower-case, `connect`, or ''
   */
  constructor(
    permit: Permit<ProxyRequest>,
    exchange: RouterHost,
    action: ForwardAction,
    choice: ClusterChoice,
    upgrade: string,
  ) {
    if (permit.request !== exchange.request) throw new Error('the permit is for another request');
    this.exchange = exchange;
    this.action = action;
    this.choice = choice;
    this.upgrade = upgrade;
    this.requestEnded = exchange.requestEnded;
    this.body = new BodyBuffer(exchange.bufferLimit);
  }

  start(): void {
    const { exchange, action, choice } = this;
    const { request, parts } = exchange;
    const found = parts.clusters.get(choice.cluster);
    const cluster = action.highPriority ? (found?.high ?? found) : found;
    if (!cluster) {
      const status = action.clusterNotFound ?? 503;
      exchange.reply(status === 503 ? clusterNotFound : { ...clusterNotFound, status });
      return;
    }
    this.cluster = cluster;
    request.cluster = cluster;
    const internal = request.headers.get('x-envoy-internal') === 'true';
    const grpc = isGrpc(request.headers.get('content-type'));
    this.times = timeoutsOf(action, request.headers, grpc, internal);
    const plan = internal ? planWithControls(action.retry, request.headers) : action.retry;
    const retried = this.upgrade === '' && (plan?.requestMatches?.(request) ?? true);
    this.retries = new RetryState(retried ? plan : undefined, cluster, () => parts.runtime.random());
    this.body.keep = this.retries.enabled;
    if (action.streamDuration) this.limitDuration(action.streamDuration, grpc);
    // Header operations may name the try.
    request.attempts = 1;
    if (!prepareHead(exchange, action, choice, this.upgrade)) {
      exchange.reply(badPath);
      return;
    }
    // The name that the peer must have is the route's, whatever an endpoint makes of the host.
    if (cluster.secured !== undefined) this.tlsAuthority = request.authority;
    if (action.hash) {
      this.hash = action.hash(request, (value) => {
        this.cookies ??= [];
        this.cookies.push(value);
      });
    }
    if (cluster.locate) this.locate(cluster.locate(request.authority, request.headers));
    else this.tryOnce();
    if (this.requestEnded) this.onWholeRequest();
  }

  /** As in Envoy: when the first endpoint is chosen, and before it makes itself the host; with what came of the body. */
  private mirror(): void {
    this.mirrors = startMirrors(this.exchange, this.action.mirrors, this.times.totalMs);
    for (const mirror of this.mirrors) {
      for (const bytes of this.body.parts) mirror.onRequestBody(bytes);
      if (this.endedAt !== 0) mirror.onRequestEnd(this.trailers);
    }
  }

  /** The cluster has no endpoints but the one this request names. */
  private locate(found: Located | Promise<Located>): void {
    if (found instanceof Promise) {
      void found.then((endpoint) => {
        if (this.over) return;
        this.locate(endpoint);
        this.flush();
      });
      return;
    }
    if (typeof found !== 'object') {
      this.give(notLocated(found));
      return;
    }
    this.located = found;
    this.tryOnce();
  }

  private tryOnce(): void {
    const { exchange, cluster } = this;
    const { request, parts } = exchange;
    const picked = this.located ?? cluster.pick(this.hash, this.previous, this.retries.plan?.hosts);
    if (!picked) {
      this.give(noHealthyUpstream);
      return;
    }
    const endpoint = cluster.secured === undefined ? picked : cluster.secured(picked, this.tlsAuthority);
    request.upstreamHost = endpoint.id;
    request.upstream = undefined;
    if (cluster.use.requests >= cluster.limits.maxRequests) {
      this.give(upstreamReset('overflow', '', 1));
      return;
    }
    if (request.route?.includeAttemptCount) request.headers.set('x-envoy-attempt-count', String(request.attempts));
    if (this.times.totalMs > 0 || this.times.perTryMs > 0) {
      tellTimeout(exchange, this.times, this.endedAt, this.retries.plan?.hedge ?? false);
    }
    if (this.action.mirrors.length > 0 && this.mirrors === undefined && this.upgrade === '') this.mirror();
    const { autoHost } = this.action;
    if (autoHost && endpoint.hostname !== '' && endpoint.hostname !== request.authority) {
      rewriteHost(request, endpoint.hostname, autoHost.appendForwardedHost);
    }
    const attempt = new Attempt(this, cluster, endpoint);
    this.attempt = attempt;
    if (this.upgrade === 'connect' && this.action.terminatesConnect) attempt.startRaw(parts.runtime);
    else attempt.start(parts.pools);
  }

  /** A connection is there: send what there is of the request. */
  onAttemptReady(attempt: Attempt): void {
    const { request, head, parts } = this.exchange;
    request.upstream = attempt.addresses;
    attempt.sendHead(request.method, requestHeadText(this.exchange, this.upgrade), head.framing === 'chunked');
    attempt.startTimers(this.times, this.requestEnded && this.upgrade === '', parts.runtime);
    let room = true;
    for (const bytes of this.body.parts) room = attempt.sendBody(bytes);
    if (this.requestEnded) attempt.sendEnd(this.trailers);
    attempt.flush();
    this.body.sent(head.framing !== 'none');
    if (room) this.exchange.resumeRequest();
  }

  /** @param bytes valid only during the call */
  onRequestBody(bytes: Uint8Array): void {
    if (this.over) return;
    if (this.mirrors) for (const mirror of this.mirrors) mirror.onRequestBody(bytes);
    const attempt = this.attempt;
    const sending = attempt?.ready === true;
    const { body } = this;
    if (body.complete && (body.keep || !sending)) {
      if (body.add(bytes, sending) === 'hold') this.exchange.pauseRequest();
    } else if (!sending) {
      // The body is no longer whole here and no try is sending: only a response that is on its way explains that.
      return;
    }
    if (sending && !attempt.sendBody(bytes)) this.exchange.pauseRequest();
  }

  onRequestEnd(trailers: HeaderMap | undefined): void {
    if (this.over || this.requestEnded) return;
    this.requestEnded = true;
    this.trailers = trailers;
    if (this.attempt?.ready) this.attempt.sendEnd(trailers);
    this.onWholeRequest();
  }

  /** Envoy's timeouts run from the end of the request. */
  private onWholeRequest(): void {
    const { exchange } = this;
    this.endedAt = exchange.parts.runtime.monotonicMs();
    if (this.over) return;
    if (this.times.totalMs > 0 && this.upgrade === '') {
      this.timeout = exchange.parts.timers.take(this, this.times.totalMs);
    }
    this.attempt?.requestWhole();
    if (this.mirrors) for (const mirror of this.mirrors) mirror.onRequestEnd(this.trailers);
  }

  flush(): void {
    if (this.attempt?.ready) this.attempt.flush();
    if (this.mirrors) for (const mirror of this.mirrors) mirror.flush();
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
    if (this.slow !== undefined && this.waitsForBetter(attempt, head)) return;
    const decision = this.retries.onResponse(head.status, head.headers, exchange.parts.runtime.now());
    if (decision === 'retry' && this.retry(attempt)) return;
    this.tell(decision);
    this.attempt = attempt;
    if (upgrade !== '') this.endTimeout();
    if (!exchange.parts.suppressEnvoyHeaders) tellServiceTime(exchange, head, this.endedAt);
    if (this.cookies) for (const value of this.cookies) head.headers.append('set-cookie', value, 'set-cookie');
    exchange.respond(head, upgrade);
  }

  onFault(error: unknown): void {
    this.exchange.parts.onFault(error);
  }

  /** With several tries under way an answer that is worth a retry is not the last word; a good one ends the others. */
  private waitsForBetter(attempt: Attempt, head: ResponseHead): boolean {
    if (this.retries.wouldRetry(head.status, head.headers) && this.dropUnlessLast(attempt)) {
      attempt.discard();
      return true;
    }
    clearTimeout(this.backOff);
    this.waiting = false;
    this.slow?.discard(attempt);
    if (this.attempt !== attempt) this.attempt?.discard();
    this.slow = undefined;
    return false;
  }

  /** maxStreamDuration, from the head on; a gRPC client may ask for less. */
  private limitDuration(rule: StreamDuration, grpc: boolean): void {
    const { request, parts } = this.exchange;
    const asked = streamDurationMs(rule, request.headers, grpc);
    if (asked <= 0) return;
    const left = Math.max(1, asked - (parts.runtime.monotonicMs() - request.startMs));
    this.duration = setTimeout(() => this.onDurationOver(), Math.min(left, LONGEST_TIMER_MS));
  }

  private onDurationOver(): void {
    if (this.over) return;
    if (this.exchange.responseStarted) this.exchange.fail('DT', 'max_duration_timeout');
    else this.give(this.requestEnded ? durationOver : { ...durationOver, status: 408 });
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

  onResponseEnd(trailers: HeaderMap | undefined): void {
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
      if (connecting) exchange.request.upstreamFailure = detail.replace(/\s/g, '_');
      cluster.report(
        attempt.endpoint,
        connecting ? 'connect-failure' : reason === 'connection_timeout' ? 'timeout' : 'reset',
      );
    }
    if (exchange.responseStarted) {
      exchange.fail(resetFlag(reason), `upstream_reset_after_response_started{${reason}}`);
      return;
    }
    const decision = this.isHedged(attempt)
      ? 'no'
      : this.retries.onReset(reason, beforeRequest && safe.has(exchange.request.method));
    this.orGive(attempt, decision, upstreamReset(reason, detail, exchange.request.attempts));
  }

  onTryTimeout(attempt: Attempt, kind: TryTimeout): void {
    if (this.over || this.exchange.responseStarted) return;
    this.cluster.report(attempt.endpoint, 'timeout');
    if (kind !== 'duration' && this.retries.plan?.hedge && !this.isHedged(attempt)) {
      this.hedge(attempt);
      return;
    }
    const decision = this.isHedged(attempt) ? 'no' : this.retries.onTryTimeout();
    attempt.discard();
    this.orGive(attempt, decision, tryTimeoutReply(kind, this.requestEnded));
  }

  /** Leaves a try that takes too long running and begins another beside it. */
  private hedge(slow: Attempt): void {
    const decision = this.retries.onHedge();
    this.tell(decision);
    if (decision !== 'retry' || !this.body.replayable || this.committed) return;
    this.slow ??= new SlowTries();
    this.slow.add(slow);
    this.attempt = undefined;
    this.tryLater(slow);
  }

  private isHedged(attempt: Attempt): boolean {
    return this.slow?.has(attempt) ?? false;
  }

  /** @returns another try is under way or about to begin, which may yet answer */
  private dropUnlessLast(attempt: Attempt): boolean {
    if (this.slow === undefined) return false;
    if (!this.slow.remove(attempt) && this.attempt === attempt) this.attempt = undefined;
    return this.slow.any || this.attempt !== undefined || this.waiting;
  }

  private endTimeout(): void {
    this.timeout?.release();
    this.timeout = undefined;
  }

  /** The route's timeout is over. */
  onTimeout(): void {
    if (this.over) return;
    if (this.exchange.responseStarted) {
      this.exchange.fail('UT', 'response_timeout');
      return;
    }
    if (this.attempt) this.cluster.report(this.attempt.endpoint, 'timeout');
    this.give(responseTimeout);
  }

  /** Why there is no further try, for the log. */
  private tell(decision: RetryDecision): void {
    if (decision === 'limit') this.exchange.request.flag('URX');
    else if (decision === 'overflow') this.exchange.request.flag('UO');
  }

  private orGive(attempt: Attempt, decision: RetryDecision, otherwise: LocalReply): void {
    if (decision === 'retry' && this.retry(attempt)) return;
    this.tell(decision);
    if (!this.dropUnlessLast(attempt)) this.give(otherwise);
  }

  /** @returns false when the request cannot be sent again */
  private retry(failed: Attempt): boolean {
    if (!this.body.replayable || this.committed) {
      this.retries.release();
      return false;
    }
    failed.discard();
    this.attempt = undefined;
    this.tryLater(failed);
    return true;
  }

  private tryLater(failed: Attempt): void {
    this.previous ??= [];
    this.previous.push(failed.endpoint);
    this.waiting = true;
    this.backOff = setTimeout(() => {
      this.waiting = false;
      this.exchange.request.attempts++;
      this.tryOnce();
    }, this.retries.backOffMs());
  }

  private give(made: LocalReply): void {
    this.exchange.reply(made);
    this.exchange.flushResponse();
  }

  /** Ends everything under way; the exchange is finished or answers by itself. */
  abandon(): void {
    if (this.over) return;
    this.over = true;
    this.endTimeout();
    clearTimeout(this.duration);
    clearTimeout(this.backOff);
    this.slow?.discard();
    this.slow = undefined;
    this.body.clear();
    // Those that have the whole request go on alone.
    if (this.mirrors) for (const mirror of this.mirrors) if (!mirror.whole) mirror.end();
    this.attempt?.discard();
    this.attempt = undefined;
    this.retries?.release();
  }
}
