/**
 * One request and its response: filters, route, then a reply made here or the router's. Data of the request passes
 * `requestData`, data of the response `responseData`. Everything ends in `finish`, once.
 */

import { FilterRun } from '../filters/filter-run.ts';
import type { MessageFlow } from '../filters/message-flow.ts';
import { isPermit, type Permit, runRequestHeads, runResponseHeads, type Stopped } from '../filters/permit.ts';
import { removeInternalOnly, removeResponseHopByHop } from '../headers/forward-headers.ts';
import type { CodecError } from '../message/codec-error.ts';
import { HeaderMap } from '../message/header-map.ts';
import type { RequestHead, ResponseHead } from '../message/message.ts';
import type { DownstreamStream, RequestSink, StreamReset } from '../message/stream.ts';
import {
  filterFailed,
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
import { PendingBody } from '../router/pending-body.ts';
import { Router, type RouterClient } from '../router/router.ts';
import { TunnelConnection } from '../router/tunnel-connection.ts';
import type { ClusterChoice, DirectAction, ForwardAction, RedirectAction } from '../routing/route-table.ts';
import { composeReply } from './composed-reply.ts';
import { answerOf } from './direct-reply.ts';
import type { ExchangeConfig } from './exchange-config.ts';
import { ExchangeLimits, type LimitedExchange } from './exchange-limits.ts';
import {
  type FilteredResponse,
  type LocalResponse,
  type RequestFlowClient,
  type ResponseFlowClient,
  requestFlow,
  responseFlow,
} from './flows.ts';
import { nameCluster } from './intended-cluster.ts';
import { normalizeTarget } from './request-target.ts';
import { isTunnel, replacedHead, unsizedHead } from './response-head.ts';
import { grantedUpgrade } from './upgrade.ts';

const EMPTY = new Uint8Array(0);

/** The session that the exchange belongs to. */
export interface ExchangeOwner {
  /** Called once, before the end of the response is handed to the connection. */
  exchangeEnded(exchange: Exchange): void;
}

export class Exchange
  implements RequestSink, RouterClient, RequestFlowClient, ResponseFlowClient, LimitedExchange, Timed
{
  readonly request: ProxyRequest;
  private readonly config: ExchangeConfig;
  private readonly owner: ExchangeOwner;
  readonly stream: DownstreamStream;
  private readonly limits: ExchangeLimits | undefined;
  /** Runs out when nothing moves. */
  private idle: PooledTimer | undefined;
  private router: Router | TunnelConnection | undefined;
  private choice: ClusterChoice | RedirectAction | DirectAction | undefined;
  /** Data that came before the router was there. */
  private pending: PendingBody | undefined;
  /** Its route may be looked up: path and headers are as policy sees them. */
  private admitted = false;
  private tunnel = false;
  private run: FilterRun<ProxyRequest> | undefined = undefined;
  /** Where the request, or the response, cannot simply pass the filters. */
  private requestFlow: MessageFlow<Permit<ProxyRequest>> | undefined = undefined;
  private responseFlow: MessageFlow<'passed'> | undefined = undefined;
  private responseEnded = false;
  /** The client has sent all of the request. */
  private requestEnded: boolean;
  requestDelivered: boolean;
  responseStarted = false;
  /** The response has begun towards the client. */
  private headSent = false;
  private finished = false;
  private wantsContinue: boolean;
  /** Bytes of the body kept for sending it again, or while it cannot be sent yet. */
  readonly bufferLimit: number;
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
    this.wantsContinue = head.wantsContinue;
    this.requestEnded = requestEnded;
    this.bufferLimit = config.bufferLimit;
    this.requestDelivered = requestEnded;
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

  /** Where the response has begun, it is cut off instead. */
  replyOrCut(made: LocalReply): void {
    if (this.finished) return;
    if (!this.headSent) {
      this.reply(made);
      return;
    }
    this.request.details = made.details;
    this.finish();
    this.stream.reset('local_reset');
  }

  /** Something moved: the idle time begins again. */
  private touch(): void {
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
    config.router.events.routed?.(request);
    this.run = new FilterRun(request, config.filters.of(request.route), config.routes);
    this.filterRequest(this.run);
  }

  private filterRequest(run: FilterRun<ProxyRequest>): void {
    const { request } = this;
    const direction = run.filters.request;
    const end = this.requestEnded;
    const result = runRequestHeads(run, 0, end);
    // An upgrade with a body is served as the request it also is.
    const tunnel = request.upgrade === 'connect' || (request.upgrade !== '' && request.bodySize === 0);
    const seesBody = !end && (tunnel ? direction.seesTunnels : direction.seesBody);
    if (isPermit(result) && !seesBody) {
      this.route(result);
      return;
    }
    const flow = requestFlow(this, run, { end, tunnel, seesBody }, this.config.bufferLimit);
    this.requestFlow = flow;
    flow.start(result);
  }

  requestPassed(permit: Permit<ProxyRequest>, seesBody: boolean): void {
    const flow = this.requestFlow!;
    // What is here goes into `pending`: a body that is whole can be sent, and sent again, at once.
    flow.pump();
    if (this.finished || this.responseStarted) return;
    if (flow.buffered || flow.rewrites) this.sizeRequest(flow);
    this.route(permit);
    if (!flow.empty || seesBody) return;
    this.requestFlow = undefined;
    if (flow.isBlocked) this.stream.pause();
    else this.stream.resume();
  }

  /** As in Envoy, a body that is whole goes upstream with its length, and without trailers. */
  private sizeRequest(flow: MessageFlow<Permit<ProxyRequest>>): void {
    const { request, pending } = this;
    const changed = flow.rewrites || flow.replaced;
    if (this.requestDelivered) {
      if (pending) pending.trailers = undefined;
      if (request.bodySize !== undefined && !changed) return;
      request.bodySize = pending?.bytes ?? 0;
      request.headers.set('content-length', String(request.bodySize));
    } else if (changed && request.bodySize !== 0) request.bodySize = undefined;
  }

  /** Sends `100 Continue` to a client that waits for it, once. */
  permitBody(): void {
    if (!this.wantsContinue) return;
    this.wantsContinue = false;
    this.stream.interim({ status: 100, headers: new HeaderMap(), bodySize: 0, upgrade: '', version: 'HTTP/1.1' });
  }

  private route(permit: Permit<ProxyRequest>): void {
    const { request } = this;
    const { route } = request;
    if (!route) {
      const { serveTunnel } = this.config;
      if (serveTunnel && request.upgrade === 'connect') this.openTunnel(permit, serveTunnel);
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
    const tunnel = new TunnelConnection(permit, this);
    const pending = this.pending?.chunks ?? [];
    this.router = tunnel;
    this.pending = undefined;
    tunnel.open((connection) => serve(connection, this.request.downstream), pending);
  }

  private forward(permit: Permit<ProxyRequest>, action: ForwardAction): void {
    const { request, config } = this;
    const upgrade = grantedUpgrade(request, action.upgrades ?? config.upgrades);
    if (upgrade === undefined) {
      this.reply(upgradeRefused);
      return;
    }
    if (upgrade === '' && request.upgrade !== '' && request.bodySize === 0) {
      this.stream.declineUpgrade();
      this.requestEnded = true;
      this.requestDelivered = true;
    }
    request.upgrade = upgrade;
    if (action.idleTimeoutMs !== undefined) {
      this.idleTimeoutMs = action.idleTimeoutMs;
      this.touch();
    }
    if (!config.router.proxyContinue) this.permitBody();
    const choice = action.pick(request, config.router.random());
    this.choice = choice;
    const router = new Router(permit, this, config.router, action, choice, this.pending);
    this.router = router;
    this.pending = undefined;
    router.start();
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.request.bytesReceived += bytes.length;
    if (this.finished) return;
    this.touch();
    if (end) this.endRequest();
    if (this.requestFlow) this.requestFlow.onData(bytes, end);
    else this.deliver(bytes, end, undefined);
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.finished) return;
    this.endRequest();
    if (this.requestFlow) this.requestFlow.onTrailers(trailers);
    else this.deliver(EMPTY, true, trailers);
  }

  private endRequest(): void {
    this.requestEnded = true;
    this.limits?.requestEnded();
  }

  /** Data that has passed the filters. */
  deliver(bytes: Uint8Array, end: boolean, trailers: HeaderMap | undefined): void {
    if (end) this.requestDelivered = true;
    const { router } = this;
    if (!router) {
      if (this.responseStarted) return;
      this.pending ??= new PendingBody();
      this.pending.add(bytes, trailers);
      return;
    }
    if (trailers) router.onTrailers(trailers);
    else router.onData(bytes, end);
    if (end && this.tunnel && this.responseEnded) this.finish();
  }

  onWritable(): void {
    if (this.responseFlow) this.responseFlow.unblock();
    else this.router?.onDownstreamWritable();
  }

  /** The client gave the request up, or left. */
  onReset(reset: StreamReset): void {
    this.endFor(lossFlag(reset.reason), lossDetails(reset));
  }

  onMalformed(error: CodecError): void {
    if (this.finished) return;
    if (!this.headSent) {
      this.reply({ status: error.status, body: 'Bad Request', details: error.details, flag: 'DPE' });
      return;
    }
    this.endFor('DPE', error.details);
    this.stream.reset('protocol_error');
  }

  /** Ends without a further word to the client. A tunnel that ends in any way has served its purpose. */
  private endFor(flag: ResponseFlag, details: string): void {
    if (this.finished) return;
    if (!this.tunnel) {
      this.request.flag(flag);
      this.request.details = details;
    }
    this.finish();
  }

  /** The stream idle timeout is over. */
  onTimeout(): void {
    if (this.finished) return;
    if (!this.headSent) this.reply(this.requestEnded ? responseTooSlow : requestTooSlow);
    else this.fail('SI', 'stream_idle_timeout');
  }

  onRequestTooSlow(): void {
    this.reply(requestTimeout);
  }

  onTooLong(): void {
    if (this.finished) return;
    if (!this.headSent) this.reply(this.requestEnded ? responseTooLong : requestTooLong);
    else this.fail('DT', 'max_duration_timeout');
  }

  /** Answers here. Without effect once the response has begun towards the client. */
  reply(made: LocalReply): void {
    if (this.finished || this.headSent) return;
    const { request, stream, config } = this;
    // Filters are shown one response of an exchange: what takes the place of another is sent as it is.
    const shown = this.responseStarted;
    this.responseStarted = true;
    this.router?.abandon();
    this.cancelFlows();
    if (made.flag) request.flag(made.flag);
    request.details = made.details;
    if (this.admitted && !request.cluster) {
      nameCluster(request, config.routes(), config.router.clusters, config.router.random, this.choice);
    }
    const { status, headers, body } = composeReply(made, request, config.mapReply);
    if (made.close) stream.endConnection();
    if (!this.requestEnded) stream.abandonRequest();
    const end = body.length === 0 || request.method === 'HEAD';
    const bodySize = end ? 0 : body.length;
    const local: LocalResponse = {
      head: { status, headers, bodySize, upgrade: '', version: 'HTTP/1.1' },
      end,
      body,
    };
    if (shown) this.sendLocal(local);
    else this.filterResponse(local.head, end, local);
  }

  onResponseWritable(): void {
    this.router?.onDownstreamWritable();
  }

  /** A response that is not the last: 100, 102, 103. */
  respondInterim(head: ResponseHead): void {
    if (this.responseStarted || this.finished || this.request.protocol === 'HTTP/1.0') return;
    removeResponseHopByHop(head.headers);
    this.stream.interim(head);
  }

  /** The router has a response head that is to be passed on. */
  respond(head: ResponseHead, end: boolean): void {
    const { request } = this;
    removeResponseHopByHop(head.headers);
    request.details = 'via_upstream';
    request.responseCode = head.status;
    this.responseStarted = true;
    this.filterResponse(head, end, undefined);
  }

  /** @param local the response, where it was made here */
  private filterResponse(head: ResponseHead, end: boolean, local: LocalResponse | undefined): void {
    const { request, config } = this;
    request.responseHeaders = head.headers;
    request.responseStatus = head.status;
    this.run ??= new FilterRun(request, config.filters.of(undefined), config.routes);
    const { run } = this;
    const direction = run.filters.response;
    const tunnel = local === undefined && isTunnel(request.upgrade, head.status);
    const seesBody = !end && (tunnel ? direction.seesTunnels : direction.seesBody);
    let result: 'passed' | Stopped;
    try {
      this.choice?.editResponse(request, head.headers);
      result = runResponseHeads(run, 0, head, end);
      if (result === 'passed' && !seesBody) {
        this.sendHead(head, end, tunnel);
        if (local && !end) this.sendData(local.body, true);
        return;
      }
    } catch (error) {
      this.failResponse(error, local);
      return;
    }
    const flow = responseFlow(this, run, { head, end, tunnel, seesBody, local }, config.bufferLimit);
    this.responseFlow = flow;
    flow.start(result);
    if (local && !end) flow.onData(local.body, true);
  }

  responsePassed({ head, end, tunnel, seesBody }: FilteredResponse): void {
    const flow = this.responseFlow!;
    if (flow.replaced) {
      const replaced = replacedHead(head, flow.size, this.request.method);
      this.sendHead(replaced.head, replaced.end, false);
    } else if (flow.rewrites && !end && !tunnel) this.sendHead(unsizedHead(head), false, false);
    else this.sendHead(head, end, tunnel);
    flow.pump();
    if (flow.empty && !seesBody) this.responseFlow = undefined;
  }

  /** Throws what compiled config throws. */
  private sendHead(head: ResponseHead, end: boolean, tunnel: boolean): void {
    this.config.headers.response(this.request, head.headers);
    this.tunnel = tunnel;
    this.responseHead(head, end);
  }

  /** An answer in the place of another, or whose filters failed: it must not fail for the same. */
  private sendLocal({ head, end, body }: LocalResponse): void {
    this.request.responseHeaders = head.headers;
    this.request.responseStatus = head.status;
    try {
      this.config.headers.response(this.request, head.headers);
    } catch (error) {
      this.config.onInternalError(error);
    }
    this.responseHead(head, end);
    if (!end) this.sendData(body, true);
  }

  failResponse(error: unknown, local: LocalResponse | undefined): void {
    this.config.onInternalError(error);
    this.cancelFlows();
    if (local && !this.headSent) this.sendLocal(local);
    else this.replyOrCut(filterFailed);
  }

  private cancelFlows(): void {
    this.requestFlow?.cancel();
    this.responseFlow?.cancel();
    this.responseFlow = undefined;
  }

  private responseHead(head: ResponseHead, end: boolean): void {
    this.headSent = true;
    this.request.responseCode = head.status;
    this.config.router.events.responseStarted?.(this.request);
    if (end) {
      this.responseEnded = true;
      this.finish();
    }
    this.stream.head(head, end);
  }

  /** @returns false: wait for `onDownstreamWritable` */
  responseData(bytes: Uint8Array, end: boolean): boolean {
    return this.responseFlow ? this.responseFlow.onData(bytes, end) : this.sendData(bytes, end);
  }

  sendData(bytes: Uint8Array, end: boolean): boolean {
    this.request.bytesSent += bytes.length;
    if (end) this.endResponse();
    else this.touch();
    return this.stream.data(bytes, end);
  }

  responseTrailers(trailers: HeaderMap): void {
    if (this.responseFlow) this.responseFlow.onTrailers(trailers);
    else this.sendTrailers(trailers);
  }

  sendTrailers(trailers: HeaderMap): void {
    this.endResponse();
    this.stream.trailers(trailers);
  }

  /** A tunnel lives until its other direction has ended, too. */
  private endResponse(): void {
    this.responseEnded = true;
    if (!this.tunnel || this.requestDelivered) this.finish();
  }

  /** A response that has begun cannot be ended as it should. */
  fail(flag: ResponseFlag, details: string): void {
    if (this.finished) return;
    if (!this.headSent) {
      // A filter holds the response: the client has nothing of it yet.
      this.reply(flag === 'UC' ? responseCut(details) : responseLate(flag, details));
      return;
    }
    if (!this.tunnel || flag !== 'UC') {
      this.request.flag(flag);
      this.request.details = details;
    }
    this.finish();
    this.stream.reset('local_reset');
  }

  pauseRequest(): void {
    if (this.requestFlow) this.requestFlow.block();
    else this.stream.pause();
  }

  resumeRequest(): void {
    if (this.requestFlow) this.requestFlow.unblock();
    else this.stream.resume();
  }

  private finish(): void {
    if (this.finished) return;
    this.finished = true;
    this.limits?.stop();
    this.idle?.release();
    this.idle = undefined;
    this.router?.abandon();
    this.cancelFlows();
    this.pending = undefined;
    this.run?.end(this.responseEnded, this.config.onInternalError);
    this.request.endMs = this.config.router.clock.monotonicMs();
    this.config.router.events.finished?.(this.request);
    this.owner.exchangeEnded(this);
  }
}
