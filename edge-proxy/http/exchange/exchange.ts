/**
 * One request and its response: filters, route, then a reply made here or the router's. Data of the request passes
 * `requestData`, data of the response `responseData`. Everything ends in `finish`, once.
 */
import type { CodecError } from '../codec/error.ts';
import { removeInternalOnly, removeResponseHopByHop } from '../forward-headers.ts';
import {
  filterFailed,
  payloadTooLarge,
  requestTimeout,
  requestTooLong,
  requestTooSlow,
  responseTooLong,
  responseTooSlow,
  routeNotFound,
  upgradeRefused,
} from '../local-reply.ts';
import { HeaderMap } from '../message/header-map.ts';
import type { RequestHead, ResponseHead } from '../message/message.ts';
import type { DownstreamStream, RequestSink, StreamReset } from '../message/stream.ts';
import type { ClusterChoice, DirectAction, ForwardAction, RedirectAction } from '../route-table.ts';
import { Router, type RouterClient } from '../router/router.ts';
import type { DownstreamInfo, Hold, LocalReply, ResponseFlag, Verdict } from '../stream.ts';
import type { PooledTimer, Timed } from '../timers.ts';
import { composeReply } from './composed-reply.ts';
import { answerOf } from './direct-reply.ts';
import type { ExchangeConfig } from './exchange-config.ts';
import { ExchangeLimits, type LimitedExchange } from './exchange-limits.ts';
import { nameCluster } from './intended-cluster.ts';
import { PendingBody } from './pending-body.ts';
import { ProxyRequest } from './proxy-request.ts';
import { normalizeTarget } from './request-target.ts';
import { grantedUpgrade } from './upgrade.ts';

const EMPTY = new Uint8Array(0);

/** The session that the exchange belongs to. */
export interface ExchangeOwner {
  /** Called once, before the end of the response is handed to the connection. */
  exchangeEnded(exchange: Exchange): void;
}

export class Exchange implements RequestSink, RouterClient, LimitedExchange, Timed {
  readonly request: ProxyRequest;
  private readonly config: ExchangeConfig;
  private readonly owner: ExchangeOwner;
  private readonly stream: DownstreamStream;
  private readonly limits: ExchangeLimits | undefined;
  /** Runs out when nothing moves. */
  private idle: PooledTimer | undefined;
  private router: Router | undefined;
  private choice: ClusterChoice | RedirectAction | DirectAction | undefined;
  /** Data that came before the router was there. */
  private pending: PendingBody | undefined;
  /** The filter that is asked when the body is whole; -1: none waits for that. */
  private afterHold = -1;
  /** Its route may be looked up: path and headers are as policy sees them. */
  private admitted = false;
  private tunnel = false;
  private responseEnded = false;
  requestEnded: boolean;
  responseStarted = false;
  private finished = false;
  private wantsContinue: boolean;
  /** Bytes of the body kept for sending it again, or while it cannot be sent yet. */
  bufferLimit: number;
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
    try {
      this.admit();
    } catch (error) {
      this.failInternally(error);
    }
  }

  /** Nothing that goes wrong in compiled config may admit a request, or end the process. */
  private failInternally(error: unknown): void {
    this.config.onInternalError(error);
    this.reply(filterFailed);
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
    removeInternalOnly(request, config.routes());
    this.admitted = true;
    this.runFilters(0);
  }

  private runFilters(from: number): void {
    const { filters } = this.config;
    for (let i = from; i < filters.length; i++) {
      let verdict: Verdict | Hold | Promise<Verdict>;
      try {
        verdict = filters[i]!.onRequest?.(this.request);
      } catch (error) {
        this.failInternally(error);
        return;
      }
      if (verdict === undefined) continue;
      if (verdict instanceof Promise) {
        this.wait(verdict, i + 1);
        return;
      }
      if (!('holdBytes' in verdict)) {
        this.reply(verdict);
        return;
      }
      if (this.hold(verdict.holdBytes, i + 1)) return;
    }
    this.route();
  }

  private wait(verdict: Promise<Verdict>, next: number): void {
    const proceed = (answer: Verdict) => {
      if (this.finished || this.responseStarted) return;
      if (answer) this.reply(answer);
      else this.runFilters(next);
    };
    verdict.then(proceed).catch((error: unknown) => this.failInternally(error));
  }

  /** @returns the body is not whole yet, or too long: the filters proceed later, or not at all */
  private hold(bytes: number, next: number): boolean {
    // A tunnel has no end to wait for.
    if (this.request.bodySize === 0) return false;
    this.bufferLimit = Math.max(bytes, this.bufferLimit);
    this.pending ??= new PendingBody();
    this.pending.limit = bytes;
    if (this.pending.tooLong) {
      this.reply(payloadTooLarge);
      return true;
    }
    if (this.requestEnded) {
      this.knowSize(this.pending);
      return false;
    }
    this.afterHold = next;
    // A client that waits for permission to send the body would wait without end.
    this.permitBody();
    this.stream.resume();
    return true;
  }

  /** The body is whole: as in Envoy, it goes upstream with its length, and without trailers. */
  private knowSize(pending: PendingBody): void {
    pending.trailers = undefined;
    if (this.request.bodySize !== undefined) return;
    this.request.bodySize = pending.bytes;
    this.request.headers.set('content-length', String(pending.bytes));
  }

  private endHold(pending: PendingBody): void {
    const next = this.afterHold;
    this.afterHold = -1;
    this.knowSize(pending);
    try {
      this.runFilters(next);
    } catch (error) {
      this.failInternally(error);
    }
  }

  /** Sends `100 Continue` to a client that waits for it, once. */
  private permitBody(): void {
    if (!this.wantsContinue) return;
    this.wantsContinue = false;
    this.stream.interim({ status: 100, headers: new HeaderMap(), bodySize: 0, upgrade: '', version: 'HTTP/1.1' });
  }

  private route(): void {
    const { request } = this;
    // Filters look the route up too; the table is read once per request.
    if (request.route === undefined) request.route = this.config.routes()?.match(request) ?? null;
    const route = request.route;
    if (!route) {
      this.reply(routeNotFound);
      return;
    }
    const { action } = route;
    if (action.kind === 'forward') {
      this.forward(action);
      return;
    }
    this.choice = action;
    this.reply(answerOf(action, request, this.config.router.clock.monotonicMs()));
  }

  private forward(action: ForwardAction): void {
    const { request, config } = this;
    const upgrade = grantedUpgrade(request, action.upgrades ?? config.upgrades);
    if (upgrade === undefined) {
      this.reply(upgradeRefused);
      return;
    }
    if (upgrade === '' && request.upgrade !== '' && request.bodySize === 0) {
      this.stream.declineUpgrade();
      this.requestEnded = true;
    }
    request.upgrade = upgrade;
    if (action.idleTimeoutMs !== undefined) {
      this.idleTimeoutMs = action.idleTimeoutMs;
      this.touch();
    }
    if (!config.router.proxyContinue) this.permitBody();
    const choice = action.pick(request, config.router.random());
    this.choice = choice;
    const router = new Router(this, config.router, action, choice, this.pending);
    this.router = router;
    if (this.pending) {
      this.pending = undefined;
      this.stream.resume();
    }
    router.start();
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.request.bytesReceived += bytes.length;
    if (this.finished) return;
    this.touch();
    if (end) this.endRequest();
    this.requestData(bytes, end);
    if (end && this.tunnel && this.responseEnded) this.finish();
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.finished) return;
    this.endRequest();
    const passed = this.config.trailers ? trailers : undefined;
    if (passed === undefined) this.requestData(EMPTY, true);
    else if (this.router) this.router.onTrailers(passed);
    else this.keep(EMPTY, true, passed);
  }

  private endRequest(): void {
    this.requestEnded = true;
    this.limits?.requestEnded();
  }

  private requestData(bytes: Uint8Array, end: boolean): void {
    if (this.router) this.router.onData(bytes, end);
    else this.keep(bytes, end, undefined);
  }

  private keep(bytes: Uint8Array, end: boolean, trailers: HeaderMap | undefined): void {
    if (this.responseStarted) return;
    this.pending ??= new PendingBody();
    const { pending } = this;
    pending.add(bytes, trailers);
    if (this.afterHold < 0) {
      if (pending.bytes >= this.config.bufferLimit) this.stream.pause();
    } else if (pending.tooLong) {
      // As in Envoy, also where the last bytes are the ones too many.
      this.stream.abandonRequest();
      this.reply(payloadTooLarge);
    } else if (end) this.endHold(pending);
  }

  onWritable(): void {
    this.router?.onDownstreamWritable();
  }

  /** The client is gone. */
  onReset({ reason }: StreamReset): void {
    const side = reason === 'local_reset' ? 'local' : 'remote';
    this.endFor('DC', `downstream_${side}_disconnect`);
  }

  onMalformed(error: CodecError): void {
    if (this.finished) return;
    if (!this.responseStarted) {
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
    if (!this.responseStarted) this.reply(this.requestEnded ? responseTooSlow : requestTooSlow);
    else this.fail('SI', 'stream_idle_timeout');
  }

  onRequestTooSlow(): void {
    this.reply(requestTimeout);
  }

  onTooLong(): void {
    if (this.finished) return;
    if (!this.responseStarted) this.reply(this.requestEnded ? responseTooLong : requestTooLong);
    else this.fail('DT', 'max_duration_timeout');
  }

  /** Answers here. Without effect once a response has begun. */
  reply(made: LocalReply): void {
    if (this.finished || this.responseStarted) return;
    const { request, stream, config } = this;
    this.router?.abandon();
    if (made.flag) request.flag(made.flag);
    request.details = made.details;
    if (this.admitted && !request.cluster) {
      nameCluster(request, config.routes(), config.router.clusters, config.router.random, this.choice);
    }
    const { status, headers, body } = composeReply(made, request, config.mapReply);
    if (made.close) stream.endConnection();
    if (!this.requestEnded) stream.abandonRequest();
    // An answer to an exception in a response filter must not fail for the same: it goes out as it is.
    this.editResponse(status, headers);
    const bodyless = body.length === 0 || request.method === 'HEAD';
    this.responseHead(
      { status, headers, bodySize: bodyless ? 0 : body.length, upgrade: '', version: 'HTTP/1.1' },
      bodyless,
    );
    if (!bodyless) this.responseData(body, true);
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
    if (!this.editResponse(head.status, head.headers)) {
      this.reply(filterFailed);
      return;
    }
    const { upgrade } = request;
    this.tunnel = upgrade !== '' && (head.status === 101 || (upgrade === 'connect' && head.status < 300));
    this.responseHead(head, end);
  }

  private responseHead(head: ResponseHead, end: boolean): void {
    this.responseStarted = true;
    this.request.responseCode = head.status;
    if (end) this.finish();
    this.stream.head(head, end);
  }

  /** @returns false: something went wrong in compiled config, and what was to be done is done in part */
  private editResponse(status: number, headers: HeaderMap): boolean {
    const { request, config } = this;
    request.responseHeaders = headers;
    request.responseStatus = status;
    try {
      this.choice?.editResponse(request, headers);
      for (let i = config.filters.length - 1; i >= 0; i--) config.filters[i]!.onResponse?.(request, status, headers);
      config.headers.response(request, headers);
      return true;
    } catch (error) {
      config.onInternalError(error);
      return false;
    }
  }

  /** @returns false: wait for `onDownstreamWritable` */
  responseData(bytes: Uint8Array, end: boolean): boolean {
    this.request.bytesSent += bytes.length;
    if (end) this.endResponse();
    else this.touch();
    return this.stream.data(bytes, end);
  }

  responseTrailers(trailers: HeaderMap): void {
    if (!this.config.trailers) {
      this.responseData(EMPTY, true);
      return;
    }
    this.endResponse();
    this.stream.trailers(trailers);
  }

  /** A tunnel lives until its other direction has ended, too. */
  private endResponse(): void {
    this.responseEnded = true;
    if (!this.tunnel || this.requestEnded) this.finish();
  }

  /** A response that has begun cannot be ended as it should. */
  fail(flag: ResponseFlag, details: string): void {
    if (this.finished) return;
    if (!this.tunnel || flag !== 'UC') {
      this.request.flag(flag);
      this.request.details = details;
    }
    this.finish();
    this.stream.reset('local_reset');
  }

  pauseRequest(): void {
    this.stream.pause();
  }

  resumeRequest(): void {
    this.stream.resume();
  }

  private finish(): void {
    if (this.finished) return;
    this.finished = true;
    this.limits?.stop();
    this.idle?.release();
    this.idle = undefined;
    this.router?.abandon();
    this.pending = undefined;
    try {
      this.config.onFinished(this.request);
    } catch (error) {
      // An exception in a log must not take the connection, or the process, with it.
      this.config.onInternalError(error);
    }
    this.owner.exchangeEnded(this);
  }
}
