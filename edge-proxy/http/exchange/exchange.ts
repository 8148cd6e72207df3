/**
 * One request and its response: filters, route, then a reply made here or the router's. Everything ends in `finish`,
 * once. It knows the downstream connection only as a `DownstreamStream`.
 */
import type { RequestHead, ResponseHead } from '../codec/h1/head.ts';
import type { DownstreamStream } from '../downstream/downstream-stream.ts';
import type { ManagerParts } from '../downstream/manager-config.ts';
import type { Filters } from '../filters/chain.ts';
import { isPermit, type Permit, runRequestFilters, type Stopped } from '../filters/permit.ts';
import { removeInternalOnly, removeResponseHopByHop } from '../forward-headers.ts';
import {
  filterFailed,
  payloadTooLarge,
  requestTooLong,
  requestTooSlow,
  responseTooLong,
  responseTooSlow,
  routeNotFound,
  upgradeRefused,
} from '../local-reply.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { ClusterChoice, DirectAction, ForwardAction, RedirectAction } from '../route-table.ts';
import { Router } from '../router/router.ts';
import type { RouterHost } from '../router/router-host.ts';
import type { DownstreamInfo, LocalReply, ResponseFlag, Verdict } from '../stream.ts';
import { composeReply } from './composed-reply.ts';
import { answerOf } from './direct-reply.ts';
import { nameCluster } from './intended-cluster.ts';
import { ProxyRequest } from './proxy-request.ts';
import { normalizeTarget } from './request-target.ts';
import { grantedUpgrade } from './upgrade.ts';

export class Exchange implements RouterHost {
  readonly request: ProxyRequest;
  head: RequestHead;
  readonly parts: ManagerParts;
  private readonly stream: DownstreamStream;
  private router: Router | undefined;
  private choice: ClusterChoice | RedirectAction | DirectAction | undefined;
  /** Body bytes that came before the router was there. */
  private early: Uint8Array[] | undefined;
  private earlyBytes = 0;
  /** The filter that is asked when the body is whole; -1: nobody waits for that. */
  private afterHold = -1;
  private holdBytes = 0;
  /** Bytes of the body kept for sending it again, or while it cannot be sent yet. */
  bufferLimit: number;
  private tunnel = false;
  /** Those of the chain that run for this request's route. */
  private filters: Filters;
  private downstreamEnded = false;
  private upstreamEnded = false;
  requestEnded: boolean;
  responseStarted = false;
  private finished = false;
  /** The stream idle timeout of this request in milliseconds, 0: none. */
  idleTimeoutMs: number;

  constructor(stream: DownstreamStream, head: RequestHead, downstream: DownstreamInfo, parts: ManagerParts) {
    this.stream = stream;
    this.head = head;
    this.parts = parts;
    this.request = new ProxyRequest(head, downstream, parts.runtime.monotonicMs());
    this.idleTimeoutMs = parts.streamIdleMs;
    this.bufferLimit = parts.bufferLimit;
    this.filters = parts.filters.of(undefined);
    // An upgraded request goes on as a tunnel; any other without framing is whole with its head.
    this.requestEnded = head.framing === 'none' && head.upgrade === '' && head.method !== 'CONNECT';
  }

  start(): void {
    try {
      this.admit();
    } catch (error) {
      this.broken(error);
    }
  }

  /** Nothing that goes wrong in compiled config may admit a request, or end the process. */
  private broken(error: unknown): void {
    this.parts.onFault(error);
    this.reply(filterFailed);
  }

  private admit(): void {
    const { request, parts } = this;
    const refused =
      (request.method === 'CONNECT' ? undefined : normalizeTarget(request, parts.normalization)) ??
      parts.headers.request(request);
    if (refused) {
      this.reply(refused);
      return;
    }
    const table = parts.routes();
    removeInternalOnly(request, table);
    this.admitted = true;
    request.route = table?.match(request) ?? null;
    this.filters = parts.filters.of(request.route);
    this.runFilters(0);
  }

  /** Its route may be asked for: path and headers are as policy sees them. */
  private admitted = false;

  private runFilters(from: number): void {
    for (let at = from; ; ) {
      let result: Permit<ProxyRequest> | Stopped;
      try {
        result = runRequestFilters(this.filters, at, this.request);
      } catch (error) {
        this.broken(error);
        return;
      }
      if (isPermit(result)) {
        this.route(result);
        return;
      }
      const { answer, next } = result;
      if (answer instanceof Promise) {
        this.wait(answer, next);
        return;
      }
      if (!('holdBytes' in answer)) {
        this.reply(answer);
        return;
      }
      if (this.hold(answer.holdBytes, next)) return;
      at = next;
    }
  }

  /** @returns the body is not whole yet, or too long: somebody else goes on */
  private hold(bytes: number, next: number): boolean {
    // A tunnel has no end to wait for.
    if (this.head.framing === 'none') return false;
    this.bufferLimit = Math.max(bytes, this.bufferLimit);
    if (this.earlyBytes > bytes) {
      this.reply(payloadTooLarge);
      return true;
    }
    if (this.requestEnded) {
      this.knowLength();
      return false;
    }
    this.holdBytes = bytes;
    this.afterHold = next;
    // Whoever waits for permission to send the body would wait for ever.
    this.stream.sendContinue();
    this.stream.resumeRequest();
    return true;
  }

  /** The body is whole and its length known: as Envoy, it needs no chunks any more. */
  private knowLength(): void {
    if (this.head.framing !== 'chunked') return;
    this.head = { ...this.head, framing: 'length', contentLength: this.earlyBytes };
    this.request.headers.set('content-length', String(this.earlyBytes));
  }

  private endHold(): void {
    const next = this.afterHold;
    this.afterHold = -1;
    this.knowLength();
    try {
      this.runFilters(next);
    } catch (error) {
      this.broken(error);
    }
  }

  private wait(verdict: Promise<Verdict>, next: number): void {
    const goOn = (answer: Verdict) => {
      if (this.finished || this.responseStarted) return;
      if (answer) this.reply(answer);
      else this.runFilters(next);
      this.stream.flush();
      this.router?.flush();
    };
    verdict.then(goOn).catch((error: unknown) => this.broken(error));
  }

  private route(permit: Permit<ProxyRequest>): void {
    const { request } = this;
    const { route } = request;
    if (!route) {
      this.reply(routeNotFound);
      return;
    }
    const { action } = route;
    if (action.kind === 'forward') {
      this.forward(permit, action);
      return;
    }
    this.choice = action;
    this.reply(answerOf(action, request, this.parts.runtime.monotonicMs()));
  }

  private forward(permit: Permit<ProxyRequest>, action: ForwardAction): void {
    const { head } = this;
    const upgrade = grantedUpgrade(head, action.upgrades ?? this.parts.upgrades);
    if (upgrade === undefined) {
      this.reply(upgradeRefused);
      return;
    }
    // What offers an upgrade that is passed over is whole with its head.
    if (upgrade === '' && head.framing === 'none') this.requestEnded = true;
    if (action.idleTimeoutMs !== undefined) this.idleTimeoutMs = action.idleTimeoutMs;
    if (!this.parts.proxyContinue) this.stream.sendContinue();
    const choice = action.pick(this.request, this.parts.runtime.random());
    this.choice = choice;
    const router = new Router(permit, this, action, choice, upgrade);
    this.router = router;
    const early = this.early;
    this.early = undefined;
    if (early) {
      for (const bytes of early) router.onRequestBody(bytes);
      this.stream.resumeRequest();
    }
    router.start();
  }

  /** @param bytes valid only during the call */
  onRequestBody(bytes: Uint8Array): void {
    this.request.bytesReceived += bytes.length;
    if (this.finished) return;
    if (this.router) {
      this.router.onRequestBody(bytes);
      return;
    }
    if (this.responseStarted) return;
    this.early ??= [];
    this.early.push(new Uint8Array(bytes));
    this.earlyBytes += bytes.length;
    if (this.afterHold >= 0) {
      if (this.earlyBytes > this.holdBytes) this.reply(payloadTooLarge);
    } else if (this.earlyBytes >= this.parts.bufferLimit) this.stream.pauseRequest();
  }

  onRequestEnd(trailers: HeaderMap | undefined): void {
    // Without framing the request was whole with its head, or goes on as a tunnel.
    if (this.requestEnded || this.head.framing === 'none') return;
    this.requestEnded = true;
    if (this.afterHold >= 0) this.endHold();
    else this.router?.onRequestEnd(this.parts.trailers ? trailers : undefined);
  }

  /** The client sends no more on a tunnel. */
  onTunnelEnd(): void {
    if (this.downstreamEnded) return;
    this.downstreamEnded = true;
    this.router?.endTunnel();
    if (this.upstreamEnded) this.finish();
  }

  onDownstreamDrain(): void {
    this.router?.onDownstreamDrain();
  }

  flushUpstream(): void {
    this.router?.flush();
  }

  /** The client is gone, or sent what cannot be understood. */
  onDownstreamGone(flag: ResponseFlag, details: string): void {
    if (this.finished) return;
    if (!this.tunnel) {
      this.request.flag(flag);
      this.request.details = details;
    }
    this.finish();
  }

  /** Nothing was heard from either side for the stream idle timeout. */
  onIdle(): void {
    if (this.finished) return;
    if (!this.responseStarted) {
      this.reply(this.requestEnded ? responseTooSlow : requestTooSlow);
      return;
    }
    this.fail('SI', 'stream_idle_timeout');
  }

  /** The longest a stream may live is over. */
  onTooLong(): void {
    if (this.finished) return;
    if (!this.responseStarted) this.reply(this.requestEnded ? responseTooLong : requestTooLong);
    else this.fail('DT', 'max_duration_timeout');
    this.stream.flush();
  }

  /** The response is one made here, whatever is left of the request. */
  local = false;

  /** Answers here. Without effect once a response has begun. */
  reply(made: LocalReply): void {
    if (this.finished || this.responseStarted) return;
    this.local = true;
    this.router?.abandon();
    if (made.flag) this.request.flag(made.flag);
    this.request.details = made.details;
    if (this.admitted && !this.request.cluster) nameCluster(this.request, this.parts, this.choice);
    const { status, headers, body } = composeReply(made, this.request, this.parts.mapReply);
    if (made.close) this.stream.endWithThis();
    // An answer to a fault of our own must not fail for the same fault: it goes out as it is.
    this.editResponse(status, headers);
    const bodyless = body.length === 0 || this.request.method === 'HEAD';
    this.begin(status);
    this.stream.sendHead(status, '', headers, body.length, bodyless);
    if (!bodyless) {
      this.sendBody(body);
      this.stream.sendEnd(undefined);
    }
    this.finish();
  }

  /** A response that is not the last: 100, 102, 103. */
  respondInterim(head: ResponseHead): void {
    if (this.responseStarted || this.finished || this.request.protocol === 'HTTP/1.0') return;
    removeResponseHopByHop(head.headers);
    this.stream.sendInterim(head.status, head.reason, head.headers);
  }

  /** The router has a response head that is to be passed on. @returns whether a body follows */
  respond(head: ResponseHead, upgrade: string): void {
    const { headers } = head;
    removeResponseHopByHop(headers);
    this.request.details = 'via_upstream';
    this.request.responseCode = head.status;
    if (!this.editResponse(head.status, headers)) {
      this.reply(filterFailed);
      return;
    }
    this.begin(head.status);
    if (upgrade !== '' && (head.status === 101 || (upgrade === 'connect' && head.status < 300))) {
      this.tunnel = true;
      this.stream.openTunnel(head.status, head.reason, headers, head.upgrade);
      return;
    }
    const known = head.framing === 'length' ? head.contentLength : head.framing === 'none' ? 0 : undefined;
    if (known === undefined) headers.remove('content-length');
    this.stream.sendHead(head.status, head.reason, headers, known, head.framing === 'none');
  }

  private begin(status: number): void {
    this.responseStarted = true;
    this.request.responseCode = status;
  }

  /** @returns false: something went wrong in compiled config, and what was to be done is done in part */
  private editResponse(status: number, headers: HeaderMap): boolean {
    const { request, parts } = this;
    request.responseHeaders = headers;
    request.responseStatus = status;
    try {
      this.choice?.editResponse(request, headers);
      for (let i = this.filters.length - 1; i >= 0; i--) this.filters[i]!.onResponse?.(request, status, headers);
      parts.headers.response(request, headers);
      return true;
    } catch (error) {
      parts.onFault(error);
      return false;
    }
  }

  /** @returns false: wait for the drain */
  sendBody(bytes: Uint8Array): boolean {
    this.request.bytesSent += bytes.length;
    return this.stream.sendBody(bytes);
  }

  endResponse(trailers: HeaderMap | undefined): void {
    if (this.tunnel) {
      this.upstreamEnded = true;
      this.stream.endTunnel();
      if (this.downstreamEnded) this.finish();
      return;
    }
    // A bodyless response was whole with its head.
    this.stream.sendEnd(this.parts.trailers ? trailers : undefined);
    this.finish();
  }

  flushResponse(): void {
    this.stream.flush();
  }

  /** A response that has begun cannot be ended as it should. */
  fail(flag: ResponseFlag, details: string): void {
    if (this.finished) return;
    if (this.tunnel && flag === 'UC') {
      this.finish(true);
      return;
    }
    this.request.flag(flag);
    this.request.details = details;
    this.finish(true);
  }

  pauseRequest(): void {
    this.stream.pauseRequest();
  }

  resumeRequest(): void {
    this.stream.resumeRequest();
  }

  private finish(abort = false): void {
    if (this.finished) return;
    this.finished = true;
    this.router?.abandon();
    this.early = undefined;
    try {
      this.parts.onFinished(this.request);
    } catch (error) {
      // A fault of the log must not take the connection, or the process, with it.
      this.parts.onFault(error);
    }
    if (abort) this.stream.abort();
    this.stream.done();
  }
}
