/** The response of an exchange, made here or upstream: through the filters to the client. */
import type { FilterRun } from '../filters/filter-run.ts';
import type { BodyWatch } from '../filters/hooks.ts';
import type { MessageFlow } from '../filters/message-flow.ts';
import { runResponseHeads, type Stopped } from '../filters/permit.ts';
import { removeResponseHopByHop } from '../headers/forward-headers.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { ResponseHead } from '../message/message.ts';
import type { DownstreamStream } from '../message/stream.ts';
import { isTunnel } from '../message/tunnel.ts';
import { filterFailed } from '../request/local-reply.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { LocalReply } from '../request/request-context.ts';
import type { ClusterChoice, DirectAction, RedirectAction } from '../routing/route-table.ts';
import type { ComposedReply } from './composed-reply.ts';
import type { ExchangeConfig } from './exchange-config.ts';
import { type FilteredResponse, type LocalResponse, type ResponseFlowClient, responseFlow } from './flows.ts';
import { replacedHead, unsizedHead } from './response-head.ts';

/** The exchange, as its response sees it. */
export interface ResponseOwner {
  readonly request: ProxyRequest;
  readonly stream: DownstreamStream;
  readonly finished: boolean;
  /** The action of the route, once it was taken. */
  readonly choice: ClusterChoice | RedirectAction | DirectAction | undefined;
  /** Of the request; those of the listener alone where it was answered before its filters were asked. */
  filterRun(): FilterRun<ProxyRequest>;
  /** Something moved: the idle time begins again. */
  touch(): void;
  /** The client has been sent a whole response; a tunnel continues until the request has ended, too. */
  responseEnded(): void;
  onResponseWritable(): void;
  reply(made: LocalReply): void;
  replyOrCut(made: LocalReply): void;
}

type ResponseConfig = Pick<ExchangeConfig, 'headers' | 'decorator' | 'router' | 'bufferLimit' | 'onInternalError'>;

export class ExchangeResponse implements ResponseFlowClient {
  private readonly owner: ResponseOwner;
  private readonly config: ResponseConfig;
  /** Where the response cannot simply pass the filters. */
  private flow: MessageFlow<'passed'> | undefined = undefined;
  private watch: BodyWatch | undefined = undefined;
  /** There is a response; the client may have nothing of it yet. */
  started = false;
  /** It has begun towards the client. */
  headSent = false;
  ended = false;
  /** Both directions continue as bytes. */
  tunnel = false;

  constructor(owner: ResponseOwner, config: ResponseConfig) {
    this.owner = owner;
    this.config = config;
  }

  /** A response that is not the last: 100, 102, 103. */
  interim(head: ResponseHead): void {
    const { owner } = this;
    if (this.started || owner.finished || owner.request.protocol === 'HTTP/1.0') return;
    removeResponseHopByHop(head.headers);
    owner.stream.interim(head);
  }

  /** The head that the router passes on. */
  fromUpstream(head: ResponseHead, end: boolean): void {
    const { request } = this.owner;
    removeResponseHopByHop(head.headers);
    request.details = 'via_upstream';
    request.responseCode = head.status;
    this.started = true;
    this.watch = this.owner.filterRun().watch;
    this.watch?.onResponseHead(head.status, head.headers, end);
    this.filter(head, end, undefined);
  }

  /** A response made here, which takes the place of upstream's where there is one. */
  local({ status, headers, body }: ComposedReply): void {
    // Filters are shown one response of an exchange: what takes the place of another is sent as it is.
    const shown = this.started;
    this.started = true;
    const end = body.length === 0 || this.owner.request.method === 'HEAD';
    const bodySize = end ? 0 : body.length;
    const local: LocalResponse = { head: { status, headers, bodySize, upgrade: '', version: 'HTTP/1.1' }, end, body };
    if (shown) this.sendLocal(local);
    else this.filter(local.head, end, local);
  }

  /** @param local the response, where it was made here */
  private filter(head: ResponseHead, end: boolean, local: LocalResponse | undefined): void {
    const { owner } = this;
    const { request } = owner;
    request.responseHeaders = head.headers;
    request.responseStatus = head.status;
    const run = owner.filterRun();
    const direction = run.filters.response;
    const tunnel = local === undefined && isTunnel(request.upgrade, head.status);
    const seesBody = !end && (tunnel ? direction.seesTunnels : direction.seesBody);
    let result: 'passed' | Stopped;
    try {
      owner.choice?.editResponse(request, head.headers);
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
    const flow = responseFlow(this, run, { head, end, tunnel, seesBody, local }, this.config.bufferLimit);
    this.flow = flow;
    flow.start(result);
    if (local && !end) flow.onData(local.body, true);
  }

  responsePassed({ head, end, tunnel, seesBody }: FilteredResponse): void {
    const flow = this.flow!;
    if (flow.replaced) {
      const replaced = replacedHead(head, flow.size, this.owner.request.method);
      this.sendHead(replaced.head, replaced.end, false);
    } else if (flow.rewrites && !end && !tunnel) this.sendHead(unsizedHead(head), false, false);
    else this.sendHead(head, end, tunnel);
    flow.pump();
    if (flow.empty && !seesBody) this.flow = undefined;
  }

  /** Throws what compiled config throws. */
  private sendHead(head: ResponseHead, end: boolean, tunnel: boolean): void {
    this.config.headers.response(this.owner.request, head.headers);
    this.config.decorator?.response(this.owner.request, head.headers);
    this.tunnel = tunnel;
    this.writeHead(head, end);
  }

  /** An answer in the place of another, or whose filters failed: it must not fail for the same. */
  private sendLocal({ head, end, body }: LocalResponse): void {
    const { request } = this.owner;
    request.responseHeaders = head.headers;
    request.responseStatus = head.status;
    try {
      this.config.headers.response(request, head.headers);
      this.config.decorator?.response(request, head.headers);
    } catch (error) {
      this.config.onInternalError(error);
    }
    this.writeHead(head, end);
    if (!end) this.sendData(body, true);
  }

  failResponse(error: unknown, local: LocalResponse | undefined): void {
    this.config.onInternalError(error);
    this.cancel();
    if (local && !this.headSent) this.sendLocal(local);
    else this.owner.replyOrCut(filterFailed);
  }

  private writeHead(head: ResponseHead, end: boolean): void {
    const { request, stream } = this.owner;
    this.headSent = true;
    request.responseCode = head.status;
    this.config.router.events.responseStarted?.(request);
    if (end) this.end();
    stream.head(head, end);
  }

  /** From upstream. @returns false: wait for `onDownstreamWritable` */
  data(bytes: Uint8Array, end: boolean): boolean {
    this.watch?.onResponseData(bytes);
    return this.flow ? this.flow.onData(bytes, end) : this.sendData(bytes, end);
  }

  sendData(bytes: Uint8Array, end: boolean): boolean {
    const { owner } = this;
    owner.request.bytesSent += bytes.length;
    if (end) this.end();
    else owner.touch();
    return owner.stream.data(bytes, end);
  }

  /** From upstream. */
  trailers(trailers: HeaderMap): void {
    this.owner.request.responseTrailers = trailers;
    if (this.flow) this.flow.onTrailers(trailers);
    else this.sendTrailers(trailers);
  }

  sendTrailers(trailers: HeaderMap): void {
    this.end();
    this.owner.stream.trailers(trailers);
  }

  private end(): void {
    this.ended = true;
    this.owner.responseEnded();
  }

  /** The client takes more. @returns false: no filter holds the response, the router continues it */
  unblock(): boolean {
    const { flow } = this;
    flow?.unblock();
    return flow !== undefined;
  }

  onResponseWritable(): void {
    this.owner.onResponseWritable();
  }

  reply(made: LocalReply): void {
    this.owner.reply(made);
  }

  replyOrCut(made: LocalReply): void {
    this.owner.replyOrCut(made);
  }

  /** What its filters hold is not wanted any more. */
  cancel(): void {
    this.flow?.cancel();
    this.flow = undefined;
  }
}
