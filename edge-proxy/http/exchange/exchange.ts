/**
 * One request and its response: filters, route, then a reply made here or the router's. What follows the head of the request
 * passes `body`, the response `response`. Everything ends in `finish`, once.
 */

import type { FetchOutcome, PendingFetch } from '../../upstream/fetches.ts';
import { FilterRun } from '../filters/filter-run.ts';
import type { Permit } from '../filters/permit.ts';
import { isGrpcRequest } from '../grpc/status.ts';
import { formatGrpcTimeout } from '../grpc/timeout.ts';
import { removeInternalOnly } from '../headers/forward-headers.ts';
import type { CodecError } from '../message/codec-error.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { RequestHead } from '../message/message.ts';
import type { DownstreamStream, RequestSink, StreamReset } from '../message/stream.ts';
import {
  accessRevoked,
  filterFailed,
  hostNotFetched,
  lossDetails,
  lossFlag,
  requestTimeout,
  requestTooLong,
  requestTooSlow,
  responseCut,
  responseLate,
  responseTooLong,
  responseTooSlow,
  routeNotFound,
  upgradeRefused,
} from '../request/local-reply.ts';
import { ProxyRequest } from '../request/proxy-request.ts';
import type { DownstreamInfo, LocalReply, ResponseFlag } from '../request/request-context.ts';
import type { PooledTimer, Timed } from '../request/timers.ts';
import { Router } from '../router/router.ts';
import type { RouterClient } from '../router/router-client.ts';
import { TunnelConnection } from '../router/tunnel-connection.ts';
import { type StreamDuration, streamDurationMs } from '../routing/request-timeouts.ts';
import type { ClusterChoice, DirectAction, ForwardAction, RedirectAction } from '../routing/route-table.ts';
import { composeReply } from './composed-reply.ts';
import { answerOf } from './direct-reply.ts';
import type { ExchangeConfig } from './exchange-config.ts';
import { ExchangeLimits, type LimitedExchange } from './exchange-limits.ts';
import { nameCluster } from './intended-cluster.ts';
import { stillAllowed } from './judge-again.ts';
import { RequestBody, type RequestBodyOwner } from './request-body.ts';
import { normalizeTarget } from './request-target.ts';
import { ExchangeResponse, type ResponseOwner } from './response.ts';
import { grantedUpgrade } from './upgrade.ts';

/** The session that the exchange belongs to. */
export interface ExchangeOwner {
  /** Called once, before the end of the response is handed to the connection. */
  exchangeEnded(exchange: Exchange): void;
}

export class Exchange implements RequestSink, RouterClient, RequestBodyOwner, ResponseOwner, LimitedExchange, Timed {
  readonly request: ProxyRequest;
  private readonly config: ExchangeConfig;
  private readonly owner: ExchangeOwner;
  readonly stream: DownstreamStream;
  readonly body: RequestBody;
  readonly response: ExchangeResponse;
  private limits: ExchangeLimits | undefined;
  /** Runs out when nothing moves. */
  private idle: PooledTimer | undefined;
  private router: Router | TunnelConnection | undefined;
  choice: ClusterChoice | RedirectAction | DirectAction | undefined;
  /** Its route may be looked up: path and headers are as policy sees them. */
  private admitted = false;
  private run: FilterRun<ProxyRequest> | undefined = undefined;
  finished = false;
  /** The stream idle timeout of this request in milliseconds, 0: none. */
  private idleTimeoutMs: number;

  /** @param requestEnded the request is whole with its head */
  constructor(
    stream: DownstreamStream,
    head: RequestHead,
    requestEnded: boolean,
    downstream: DownstreamInfo,
    config: ExchangeConfig,
    owner: ExchangeOwner,
  ) {
    this.stream = stream;
    this.config = config;
    this.owner = owner;
    this.request = new ProxyRequest(head, downstream, config.router.clock.monotonicMs());
    this.body = new RequestBody(this, config.bufferLimit, requestEnded);
    this.response = new ExchangeResponse(this, config);
    this.idleTimeoutMs = config.streamIdleMs;
    const { maxStreamMs } = config;
    // A tunnel has no end to wait for.
    const requestMs = head.bodySize === 0 ? 0 : config.requestMs;
    this.limits =
      requestMs > 0 || maxStreamMs > 0
        ? new ExchangeLimits(config.router.timers, this, requestMs, maxStreamMs)
        : undefined;
    this.touch();
  }

  start(): void {
    this.config.router.events.started?.(this.request);
    try {
      this.admit();
    } catch (error) {
      this.failInternally(error);
    }
  }

  /** Nothing that goes wrong in compiled config may admit a request, or end the process. */
  failInternally(error: unknown): void {
    this.config.onInternalError(error);
    this.replyOrCut(filterFailed);
  }

  /** Bytes of the body kept for sending it again, or while it cannot be sent yet. */
  get bufferLimit(): number {
    return this.config.bufferLimit;
  }

  get answered(): boolean {
    return this.finished || this.response.started;
  }

  /** Something moved: the idle time begins again. */
  touch(): void {
    const { config } = this;
    const ms = config.scaledIdleMs(this.idleTimeoutMs);
    if (this.idle) this.idle.set(ms);
    else if (ms > 0) this.idle = config.router.timers.take(this, ms);
  }

  /** Applies the present timer scale to the running idle time. */
  applyTimerScale(): void {
    this.idle?.shorten(this.config.scaledIdleMs(this.idleTimeoutMs));
  }

  private admit(): void {
    const { request, config } = this;
    const refused =
      (request.method === 'CONNECT' ? undefined : normalizeTarget(request, config.normalization)) ??
      config.headers.request(request);
    if (refused) {
      this.reply(refused);
      return;
    }
    const table = config.routes();
    removeInternalOnly(request, table);
    this.admitted = true;
    request.route = table?.match(request) ?? null;
    const fetch = request.route === null ? table?.fetch?.(request.authority) : undefined;
    if (fetch) this.awaitHost(fetch);
    else this.routed();
  }

  private routed(): void {
    const { request, config } = this;
    config.router.events.routed?.(request);
    config.decorator?.request(request);
    this.run = new FilterRun(request, config.filters.of(request.route), config.routes);
    this.body.filter(this.run);
  }

  filterRun(): FilterRun<ProxyRequest> {
    const { config } = this;
    this.run ??= new FilterRun(this.request, config.filters.of(undefined), config.routes);
    return this.run;
  }

  /** The filters depend on the route: they, and the rest of the request, wait with it for its virtual host. */
  private awaitHost(fetch: PendingFetch): void {
    this.body.hold();
    void fetch.done.then((outcome) => {
      if (this.answered) return;
      try {
        this.onHostFetched(fetch.name, outcome);
      } catch (error) {
        this.failInternally(error);
      }
    });
  }

  private onHostFetched(name: string, outcome: FetchOutcome): void {
    const { request, body } = this;
    const table = this.config.routes();
    request.route = table?.match(request) ?? null;
    const isMissing =
      request.route === null && (outcome !== 'changed' || table?.fetch?.(request.authority) !== undefined);
    body.release(() => {
      if (isMissing) this.reply(hostNotFetched(name, outcome));
      else this.routed();
    });
  }

  route(permit: Permit<ProxyRequest>): void {
    const { request } = this;
    const { route } = request;
    if (!route) {
      // A filter chose another host: it can be used once it is here.
      const fetch = this.config.routes()?.fetch?.(request.authority);
      const { serveTunnel } = this.config;
      if (fetch) this.reply(hostNotFetched(fetch.name, 'timeout'));
      else if (serveTunnel && request.upgrade === 'connect') this.openTunnel(permit, serveTunnel);
      else this.reply(routeNotFound);
      return;
    }
    const { action } = route;
    if (action.kind === 'forward') {
      this.forward(permit, action);
      return;
    }
    this.choice = action;
    this.reply(answerOf(action, request, this.config.router.clock.monotonicMs()));
  }

  private openTunnel(permit: Permit<ProxyRequest>, serve: NonNullable<ExchangeConfig['serveTunnel']>): void {
    this.request.carriesRequests = true;
    const tunnel = new TunnelConnection(permit, this);
    const { body } = this;
    const pending = body.takePending()?.chunks ?? [];
    this.router = tunnel;
    body.sendTo(tunnel);
    tunnel.open((connection) => serve(connection, this.request.downstream), pending, body.delivered);
  }

  private forward(permit: Permit<ProxyRequest>, action: ForwardAction): void {
    const { request, config, body } = this;
    const upgrade = grantedUpgrade(request, action.upgrades ?? config.upgrades);
    if (upgrade === undefined) {
      this.reply(upgradeRefused);
      return;
    }
    if (upgrade === '' && request.upgrade !== '' && request.bodySize === 0) body.declineUpgrade();
    request.upgrade = upgrade;
    if (action.idleTimeoutMs !== undefined) {
      this.idleTimeoutMs = action.idleTimeoutMs;
      this.touch();
    }
    if (action.streamDuration) this.limitStream(action.streamDuration);
    if (!config.router.proxyContinue) body.permitBody();
    const choice = action.pick(request, config.router.random());
    this.choice = choice;
    if (!action.keepsHead) request.keepJudged();
    const router = new Router(permit, this, config.router, action, choice, body.takePending());
    this.router = router;
    body.sendTo(router);
    router.start();
  }

  /** By the route instead of the listener. A gRPC upstream is sent the deadline that is in force. */
  private limitStream(rule: StreamDuration): void {
    const { request, config } = this;
    const { headers, startMs } = request;
    const ms = streamDurationMs(rule, headers);
    if (ms === undefined) return;
    this.limits ??= new ExchangeLimits(config.router.timers, this, 0, 0);
    if (isGrpcRequest(headers)) {
      if (ms < Number.POSITIVE_INFINITY) headers.set('grpc-timeout', formatGrpcTimeout(ms));
      else if (this.limits.limitsStream) headers.remove('grpc-timeout');
    }
    this.limits.limitStream(Math.max(1, ms - (config.router.clock.monotonicMs() - startMs)));
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.request.bytesReceived += bytes.length;
    if (this.finished) return;
    this.touch();
    if (end) this.limits?.requestEnded();
    this.body.onData(bytes, end);
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.finished) return;
    this.limits?.requestEnded();
    this.body.onTrailers(trailers);
  }

  requestDelivered(): void {
    if (this.response.tunnel && this.response.ended) this.finish();
  }

  onWritable(): void {
    if (!this.response.unblock()) this.router?.onDownstreamWritable();
  }

  onResponseWritable(): void {
    this.router?.onDownstreamWritable();
  }

  /** The client gave the request up, or left. */
  onReset(reset: StreamReset): void {
    this.endFor(lossFlag(reset.reason), lossDetails(reset));
  }

  onMalformed(error: CodecError): void {
    if (this.finished) return;
    if (!this.response.headSent) {
      this.reply({ status: error.status, body: 'Bad Request', details: error.details, flag: 'DPE' });
      return;
    }
    this.endFor('DPE', error.details);
    this.stream.reset('protocol_error');
  }

  /** Ends without a further word to the client. A tunnel has served its purpose, unless its stream was reset (HTTP/2). */
  private endFor(flag: ResponseFlag, details: string): void {
    if (this.finished) return;
    if (!this.response.tunnel || flag === 'DR') {
      this.request.flag(flag);
      this.request.details = details;
    }
    this.nameCluster();
    this.finish();
  }

  /** The stream idle timeout is over. */
  onTimeout(): void {
    if (this.finished) return;
    if (!this.response.headSent) this.reply(this.body.ended ? responseTooSlow : requestTooSlow);
    else this.fail('SI', 'stream_idle_timeout');
  }

  onRequestTooSlow(): void {
    this.reply(requestTimeout);
  }

  onTooLong(): void {
    if (this.finished) return;
    if (!this.response.headSent) this.reply(this.body.ended ? responseTooLong : requestTooLong);
    else this.fail('DT', 'max_duration_timeout');
  }

  /** Answers here. Without effect once the response has begun towards the client. */
  reply(made: LocalReply): void {
    const { request, stream, config, response } = this;
    if (this.finished || response.headSent) return;
    this.stopForwarding();
    if (made.flag) request.flag(made.flag);
    request.details = made.details;
    this.nameCluster();
    const composed = composeReply(made, request, config.mapReply);
    if (made.close) stream.endConnection();
    if (!this.body.ended) stream.abandonRequest();
    response.local(composed);
  }

  /** For the log and metrics, where the router has not come to it. */
  private nameCluster(): void {
    const { request, config } = this;
    if (!this.admitted || request.cluster) return;
    nameCluster(request, config.routes(), config.router.clusters, config.router.random, this.choice);
  }

  /** Where the response has begun, it is cut off instead. */
  replyOrCut(made: LocalReply): void {
    if (this.finished) return;
    if (!this.response.headSent) {
      this.reply(made);
      return;
    }
    this.request.details = made.details;
    this.finish();
    this.stream.reset('local_reset');
  }

  /** A response that has begun cannot be ended as it should. */
  fail(flag: ResponseFlag, details: string): void {
    if (this.finished) return;
    if (!this.response.headSent) {
      // A filter holds the response: the client has nothing of it yet.
      this.reply(flag === 'UC' ? responseCut(details) : responseLate(flag, details));
      return;
    }
    if (!this.response.tunnel || flag !== 'UC') {
      this.request.flag(flag);
      this.request.details = details;
    }
    const { tunnel } = this.response;
    this.finish();
    // As in Envoy, a tunnel whose other end has closed could not be connected (RFC 9113 section 8.5).
    this.stream.reset(tunnel && flag === 'UC' ? 'connection_termination' : 'local_reset');
  }

  /** A tunnel lives until its other direction has ended, too. */
  responseEnded(): void {
    if (!this.response.tunnel || this.body.delivered) this.finish();
  }

  /**
   * Ends an exchange that the filters of `config` would not let pass, be its response under way: policies that came since it
   * began hold for it, too.
   */
  judgeAgain(config: Pick<ExchangeConfig, 'filters' | 'routes'>): void {
    if (this.finished) return;
    let allowed = false;
    try {
      allowed = stillAllowed(this.request, config);
    } catch (error) {
      this.config.onInternalError(error);
    }
    if (!allowed) this.replyOrCut(accessRevoked);
  }

  private stopForwarding(): void {
    this.router?.abandon();
    this.body.cancel();
    this.response.cancel();
  }

  private finish(): void {
    if (this.finished) return;
    this.finished = true;
    this.limits?.stop();
    this.idle?.release();
    this.idle = undefined;
    this.stopForwarding();
    this.run?.end(this.response.ended, this.config.onInternalError);
    this.request.endMs = this.config.router.clock.monotonicMs();
    this.config.router.events.finished?.(this.request);
    this.owner.exchangeEnded(this);
  }
}
