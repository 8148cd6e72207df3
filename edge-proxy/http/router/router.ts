/** The attempt loop: picks an endpoint, sends, retries or fails over, streams the response back. */

import type { Cluster, Located } from '../../upstream/cluster.ts';
import type { Outcome } from '../../upstream/outlier/outlier-detection.ts';
import type { Permit } from '../filters/permit.ts';
import { httpOfGrpc, isGrpcRequest, readGrpcStatus } from '../grpc/status.ts';
import { rewriteHost } from '../headers/forward-headers.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { ResponseHead } from '../message/message.ts';
import type { StreamReset } from '../message/stream.ts';
import { isTunnel } from '../message/tunnel.ts';
import {
  attemptTimeoutReply,
  badPath,
  clusterNotFound,
  noHealthyUpstream,
  notLocated,
  resetDetail,
  resetFlag,
  responseTimeout,
  upstreamReset,
} from '../request/local-reply.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { LocalReply } from '../request/request-context.ts';
import type { AttemptCause } from '../request/request-observer.ts';
import { type AttemptTimeout, timeoutsOf } from '../routing/request-timeouts.ts';
import { planWithControls } from '../routing/retry-plan.ts';
import type { ClusterChoice, ForwardAction } from '../routing/route-table.ts';
import { Attempt, type AttemptOwner } from './attempt.ts';
import { EarlierAttempts } from './earlier-attempts.ts';
import { EndpointChoice } from './endpoint-choice.ts';
import { startMirrors } from './mirror.ts';
import { OutgoingBody } from './outgoing-body.ts';
import type { PendingBody } from './pending-body.ts';
import { RequestDeadlines } from './request-deadlines.ts';
import { announceServiceTime, announceTimeout, prepareHead } from './request-head.ts';
import { type RetryDecision, RetryState } from './retry-state.ts';
import type { RouterClient } from './router-client.ts';
import type { RouterConfig } from './router-config.ts';

/** Methods that may be repeated (RFC 9110 section 9.2.1) where a connection may have died while it was idle. */
const safe = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);
const EMPTY = new Uint8Array(0);
const PROTOCOL_ERROR: StreamReset = { reason: 'protocol_error', detail: '', sent: 'body', reusedConnection: false };

export class Router implements AttemptOwner {
  private readonly exchange: RouterClient;
  private readonly config: RouterConfig;
  private readonly action: ForwardAction;
  private readonly choice: ClusterChoice;
  private cluster!: Cluster;
  private endpoints!: EndpointChoice;
  private retries!: RetryState;
  private deadlines!: RequestDeadlines;
  private attempt: Attempt | undefined;
  private earlier: EarlierAttempts | undefined;
  private readonly body: OutgoingBody;
  private over = false;
  /** The request is gRPC, as the filters let it pass. */
  private grpc = false;
  /** The upstream agreed to the upgrade, or opened the tunnel of a CONNECT. */
  private tunnelOpen = false;
  /** The status of a gRPC call is to come. */
  private awaitsStatus = false;
  /** No further attempt: the client has part of this one's response. */
  private committed = false;

  /**
   * @param permit of the exchange's request: only what every filter let through is forwarded
   * @param pending what came of the body so far; with `exchange.body.delivered` all of it
   */
  constructor(
    permit: Permit<ProxyRequest>,
    exchange: RouterClient,
    config: RouterConfig,
    action: ForwardAction,
    choice: ClusterChoice,
    pending: PendingBody | undefined,
  ) {
    if (permit.request !== exchange.request) throw new Error('the permit is for another request');
    this.exchange = exchange;
    this.config = config;
    this.action = action;
    this.choice = choice;
    this.body = new OutgoingBody(exchange.bufferLimit, pending, exchange.body.delivered);
  }

  /** Lower-case upgrade granted by the route, `connect`, or ''. */
  private get upgrade(): string {
    return this.exchange.request.upgrade;
  }

  start(): void {
    const { exchange, action, choice, config } = this;
    const { request } = exchange;
    const named = config.clusters.get(choice.cluster);
    const cluster = action.highPriority ? (named?.high ?? named) : named;
    if (!cluster) {
      const status = action.clusterNotFound ?? 503;
      exchange.reply(status === 503 ? clusterNotFound : { ...clusterNotFound, status });
      return;
    }
    this.cluster = cluster;
    request.cluster = cluster;
    const internal = request.headers.get('x-envoy-internal') === 'true';
    this.grpc = isGrpcRequest(request.headers);
    this.deadlines = new RequestDeadlines(this, timeoutsOf(action, request.headers, this.grpc, internal), config);
    const plan = internal ? planWithControls(action.retry, request.headers) : action.retry;
    const retried = this.upgrade !== 'connect' && (plan?.requestMatches?.(request) ?? true);
    this.retries = new RetryState(retried ? plan : undefined, cluster, config.random);
    this.body.keep = this.retries.enabled;
    // Header operations may name the attempt.
    request.attempts = 1;
    if (!prepareHead(request, action, choice, config)) {
      exchange.reply(badPath);
      return;
    }
    this.endpoints = new EndpointChoice(cluster, request, action.hash);
    if (this.endpoints.named) this.awaitEndpoint(this.endpoints.locate(request));
    else this.startAttempt('first');
    if (this.timedFromHead || this.body.ended) this.startTimeout();
  }

  /** As in Envoy: when the first endpoint is chosen, and before its name becomes the host; with what came of the body. */
  private mirror(): void {
    const { exchange, config, action, deadlines } = this;
    this.body.mirrorTo(startMirrors(exchange.request, config, action.mirrors, deadlines.times.totalMs));
  }

  /** The cluster has no endpoints but the one this request names. */
  private awaitEndpoint(found: Located | Promise<Located>): void {
    if (found instanceof Promise) {
      void found.then((endpoint) => {
        if (!this.over) this.awaitEndpoint(endpoint);
      });
      return;
    }
    if (typeof found !== 'object') {
      this.exchange.reply(notLocated(found));
      return;
    }
    this.endpoints.pin(found);
    this.startAttempt('first');
  }

  private startAttempt(cause: AttemptCause): void {
    const { exchange, cluster, config, deadlines } = this;
    const { request } = exchange;
    const endpoint = this.endpoints.pick(this.earlier?.endpoints, this.retries.plan?.hosts);
    if (!endpoint) {
      this.exchange.reply(noHealthyUpstream);
      return;
    }
    request.upstreamHost = endpoint.id;
    request.upstream = undefined;
    if (cluster.use.requests >= cluster.limits.maxRequests) {
      this.exchange.reply(upstreamReset('overflow', '', 1));
      return;
    }
    if (request.route?.includeAttemptCount) request.headers.set('x-envoy-attempt-count', String(request.attempts));
    if (deadlines.any) {
      announceTimeout(request, config, deadlines.times, deadlines.endedAt, this.retries.plan?.hedge ?? false);
    }
    if (this.action.mirrors.length > 0 && !this.body.mirrored && this.upgrade === '') this.mirror();
    const { autoHost } = this.action;
    if (autoHost && endpoint.hostname !== '' && endpoint.hostname !== request.authority) {
      rewriteHost(request, endpoint.hostname, autoHost.appendForwardedHost);
    }
    const attempt = new Attempt(this, cluster, endpoint, request.attempts, cause);
    this.attempt = attempt;
    this.announce(attempt);
    attempt.start(
      config.upstreams,
      this.upgrade === 'connect' && this.action.terminatesConnect ? 'raw' : request.protocol,
    );
  }

  /** A hedged attempt that was started before the last one has the response: what is known of the upstream is of it. */
  private answeredBy(attempt: Attempt): void {
    this.attempt = attempt;
    const { request } = this.exchange;
    request.upstreamHost = attempt.endpoint.id;
    request.upstream = attempt.addresses;
  }

  private announce(attempt: Attempt): void {
    const { events, clock } = this.config;
    if (events.attemptStarted === undefined && events.attemptEnded === undefined) return;
    attempt.startMs = clock.monotonicMs();
    events.attemptStarted?.(this.exchange.request, attempt);
  }

  onAttemptEnded(attempt: Attempt): void {
    const { events, clock } = this.config;
    if (events.attemptEnded === undefined) return;
    attempt.endMs = clock.monotonicMs();
    events.attemptEnded(this.exchange.request, attempt);
  }

  private report(attempt: Attempt, outcome: Outcome): void {
    this.config.events.attemptOutcome?.(this.exchange.request, attempt, outcome);
  }

  /** A stream is there: send what there is of the request. */
  onAttemptReady(attempt: Attempt): void {
    const { exchange, body } = this;
    const { request } = exchange;
    request.upstream = attempt.addresses;
    attempt.head(request, body.empty && this.upgrade === '');
    attempt.startTimers(
      this.deadlines.times,
      this.timedFromHead || (body.ended && this.upgrade === ''),
      this.config.clock,
    );
    if (this.upgrade === '' && body.sendTo(attempt, request.bodySize !== 0)) exchange.body.resume();
  }

  /**
   * What comes behind the head of an upgrade waits for the answer: an upstream that refuses would take it for requests, which
   * were not judged.
   */
  private onUpgradeAnswered(attempt: Attempt, status: number): void {
    const { exchange, body } = this;
    this.tunnelOpen = isTunnel(this.upgrade, status);
    if (!this.tunnelOpen) body.discard();
    else if (body.empty) attempt.data(EMPTY, true);
    if (!this.tunnelOpen || body.sendTo(attempt, true)) exchange.body.resume();
  }

  /** @param bytes valid during the call alone */
  onData(bytes: Uint8Array, end: boolean): void {
    if (this.over) return;
    if (!this.body.onData(bytes, end, this.sendingAttempt)) this.exchange.body.pause();
    if (end && this.upgrade === '') this.startTimeout();
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.over) return;
    this.body.onTrailers(trailers, this.sendingAttempt);
    this.startTimeout();
  }

  /** The one whose stream takes data. */
  private get sendingAttempt(): Attempt | undefined {
    return this.attempt?.ready && (this.upgrade === '' || this.tunnelOpen) ? this.attempt : undefined;
  }

  /** As in Envoy: nothing of an upgrade but its head is waited for. A tunnel through CONNECT has no timeout at all. */
  private get timedFromHead(): boolean {
    return this.upgrade !== '' && this.upgrade !== 'connect';
  }

  /** The timeouts of the route run from the end of the request. */
  private startTimeout(): void {
    if (this.over || this.upgrade === 'connect') return;
    this.deadlines.start();
    this.attempt?.requestWhole();
  }

  onDownstreamWritable(): void {
    this.attempt?.resume();
  }

  onResponseHead(attempt: Attempt, head: ResponseHead, end: boolean): void {
    const { exchange, upgrade, config } = this;
    if (head.status === 101 && upgrade === '') {
      // No upgrade was requested: what follows is not HTTP, and must not be taken for it downstream.
      this.onReset(attempt, PROTOCOL_ERROR, false);
      attempt.discard('protocol_error');
      return;
    }
    const judged = this.judgedStatus(head);
    this.report(attempt, judged);
    if (this.earlier?.hedging && this.waitsForBetter(attempt, head)) return;
    const decision = this.retries.onResponse(head.status, head.headers, config.clock.now());
    if (decision === 'retry' && this.retry(attempt)) return;
    this.flagLimit(decision);
    if (this.attempt !== attempt) this.answeredBy(attempt);
    if (head.status === 101) this.deadlines.endTimeout();
    if (!config.suppressEnvoyHeaders) announceServiceTime(exchange.request, config.clock, head, this.deadlines.endedAt);
    this.endpoints.setCookies(head.headers);
    this.awaitsStatus = this.grpc && judged < 500 && !head.headers.has('grpc-status');
    if (end) this.settleStatus(undefined);
    exchange.response.fromUpstream(head, end);
    if (upgrade !== '' && !this.over) this.onUpgradeAnswered(attempt, head.status);
  }

  /** As in Envoy, a gRPC call has succeeded once its status says so. @param trailers undefined: it ends without */
  private settleStatus(trailers: HeaderMap | undefined): void {
    if (!this.awaitsStatus) return;
    this.awaitsStatus = false;
    const status = readGrpcStatus(trailers);
    if (this.attempt && (status === undefined || httpOfGrpc(status) >= 500))
      this.cluster.onGrpcFailure?.(this.attempt.endpoint);
  }

  onInternalError(error: unknown): void {
    this.config.onInternalError(error);
  }

  /** With several attempts under way a response that is worth a retry is passed over; a good one ends the others. */
  private waitsForBetter(attempt: Attempt, head: ResponseHead): boolean {
    if (this.retries.wouldRetry(head.status, head.headers) && this.dropUnlessLast(attempt)) {
      attempt.discard('discarded');
      return true;
    }
    this.earlier?.end(attempt);
    if (this.attempt !== attempt) this.attempt?.discard();
    return false;
  }

  /** What outlier detection makes of a response: as in Envoy a gRPC status in its head, not in its trailers. */
  private judgedStatus({ status, headers }: ResponseHead): number {
    const grpcStatus = this.grpc ? readGrpcStatus(headers) : undefined;
    return grpcStatus === undefined ? status : httpOfGrpc(grpcStatus);
  }

  onInterim(_attempt: Attempt, head: ResponseHead): void {
    if (!this.config.proxyContinue) return;
    // The client has part of this response: another attempt must not contradict it.
    this.committed = true;
    this.exchange.response.interim(head);
  }

  onResponseData(attempt: Attempt, bytes: Uint8Array, end: boolean): void {
    if (end) this.settleStatus(undefined);
    if (!this.exchange.response.data(bytes, end)) attempt.pause();
  }

  onResponseTrailers(trailers: HeaderMap): void {
    this.settleStatus(trailers);
    this.exchange.response.trailers(trailers);
  }

  onUpstreamWritable(): void {
    this.exchange.body.resume();
  }

  onReset(attempt: Attempt, reset: StreamReset, headSeen: boolean): void {
    const { exchange } = this;
    const { reason, detail } = reset;
    if (reason !== 'overflow') {
      const connecting = reason === 'remote_connection_failure';
      if (connecting) exchange.request.upstreamFailure = detail.replace(/\s/g, '_');
      this.report(attempt, connecting ? 'connect-failure' : reason === 'connection_timeout' ? 'timeout' : 'reset');
    }
    if (exchange.response.started) {
      exchange.fail(resetFlag(reason), `upstream_reset_after_response_started{${resetDetail(reason)}}`);
      return;
    }
    const stale = reset.reusedConnection && !headSeen && reason === 'connection_termination';
    // What the peer refused it has not processed, whatever its method (RFC 9113 section 8.7).
    const beforeRequest = reason === 'refused_stream' || (stale && safe.has(exchange.request.method));
    const decision = this.isHedged(attempt) ? 'no' : this.retries.onReset(reason, beforeRequest);
    this.retryOrReply(attempt, decision, upstreamReset(reason, detail, exchange.request.attempts));
  }

  onAttemptTimeout(attempt: Attempt, kind: AttemptTimeout): void {
    if (this.over || this.exchange.response.started) return;
    this.report(attempt, 'timeout');
    if (kind !== 'duration' && this.retries.plan?.hedge && !this.isHedged(attempt)) {
      this.hedge(attempt);
      return;
    }
    const decision = this.isHedged(attempt) ? 'no' : this.retries.onAttemptTimeout();
    attempt.discard('timeout');
    this.retryOrReply(attempt, decision, attemptTimeoutReply(kind, this.body.ended));
  }

  /** Leaves an attempt that takes too long running and begins another beside it. */
  private hedge(slow: Attempt): void {
    const decision = this.retries.onHedge();
    this.flagLimit(decision);
    if (decision !== 'retry' || !this.body.replayable || this.committed) return;
    this.earlier ??= new EarlierAttempts();
    this.earlier.addHedged(slow);
    this.attempt = undefined;
    this.startAttemptLater(slow, 'hedge');
  }

  private isHedged(attempt: Attempt): boolean {
    return this.earlier?.isHedged(attempt) ?? false;
  }

  /** @returns another attempt is under way or about to begin, which may yet answer */
  private dropUnlessLast(attempt: Attempt): boolean {
    const { earlier } = this;
    if (!earlier?.hedging) return false;
    if (!earlier.removeHedged(attempt) && this.attempt === attempt) this.attempt = undefined;
    return earlier.pending || this.attempt !== undefined;
  }

  /** The route's timeout is over. */
  onTimeout(): void {
    if (this.over) return;
    if (this.exchange.response.started) {
      this.exchange.fail('UT', 'response_timeout');
      return;
    }
    if (this.attempt) this.report(this.attempt, 'timeout');
    this.exchange.reply(responseTimeout);
  }

  /** Why there is no further attempt, for the log. */
  private flagLimit(decision: RetryDecision): void {
    if (decision === 'limit') this.exchange.request.flag('URX');
    else if (decision === 'overflow') this.exchange.request.flag('UO');
  }

  private retryOrReply(attempt: Attempt, decision: RetryDecision, otherwise: LocalReply): void {
    if (decision === 'retry' && this.retry(attempt)) return;
    this.flagLimit(decision);
    if (!this.dropUnlessLast(attempt)) this.exchange.reply(otherwise);
  }

  /** @returns false when the request cannot be sent again */
  private retry(failed: Attempt): boolean {
    if (!this.body.replayable || this.committed) {
      this.retries.release();
      return false;
    }
    failed.discard('discarded');
    this.attempt = undefined;
    this.startAttemptLater(failed, 'retry');
    return true;
  }

  private startAttemptLater(failed: Attempt, cause: AttemptCause): void {
    this.earlier ??= new EarlierAttempts();
    this.earlier.scheduleNext(failed.endpoint, this.retries.backOffMs(), () => {
      this.exchange.request.attempts++;
      this.startAttempt(cause);
    });
  }

  /** Ends everything under way; the exchange has finished or answers by itself. */
  abandon(): void {
    if (this.over) return;
    this.over = true;
    this.deadlines?.endTimeout();
    this.earlier?.end(undefined);
    this.body.clear();
    this.attempt?.discard();
    this.attempt = undefined;
    this.retries?.release();
  }
}
