/** The request of an exchange behind its head: through the filters to the router, or kept until there is one. */
import type { FilterRun } from '../filters/filter-run.ts';
import type { MessageFlow } from '../filters/message-flow.ts';
import { isPermit, type Permit, runRequestHeads } from '../filters/permit.ts';
import { HeaderMap } from '../message/header-map.ts';
import type { DownstreamStream } from '../message/stream.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { LocalReply } from '../request/request-context.ts';
import { PendingBody } from '../router/pending-body.ts';
import { type RequestFlowClient, requestFlow } from './flows.ts';
import { HeldEvents } from './held-events.ts';

const EMPTY = new Uint8Array(0);

/** The exchange, as the body of its request sees it. */
export interface RequestBodyOwner {
  readonly request: ProxyRequest;
  readonly stream: DownstreamStream;
  readonly finished: boolean;
  /** The request is answered, or about to be: what comes of its body is not sent. */
  readonly answered: boolean;
  /** All filters let the head pass. */
  route(permit: Permit<ProxyRequest>): void;
  /** The whole request has passed the filters. */
  requestDelivered(): void;
  replyOrCut(made: LocalReply): void;
  failInternally(error: unknown): void;
}

/** The router, as the body sees it. */
export interface BodyReceiver {
  /** @param bytes valid during the call alone */
  onData(bytes: Uint8Array, end: boolean): void;
  onTrailers(trailers: HeaderMap): void;
}

export class RequestBody implements RequestFlowClient {
  readonly stream: DownstreamStream;
  private readonly owner: RequestBodyOwner;
  /** Bytes that may be kept for filters. */
  private readonly limit: number;
  /** Where the request cannot simply pass the filters. */
  private flow: MessageFlow<Permit<ProxyRequest>> | undefined = undefined;
  private receiver: BodyReceiver | undefined = undefined;
  /** What came before the filters were known. */
  private held: HeldEvents | undefined = undefined;
  /** Data that came before the receiver was there. */
  private pending: PendingBody | undefined = undefined;
  /** The client has sent all of the request; what is held has not been seen. */
  ended: boolean;
  /** All of it has passed the filters. */
  delivered: boolean;
  private wantsContinue: boolean;
  private run: FilterRun<ProxyRequest> | undefined = undefined;

  /** @param ended the request is whole with its head */
  constructor(owner: RequestBodyOwner, limit: number, ended: boolean) {
    this.owner = owner;
    this.stream = owner.stream;
    this.limit = limit;
    this.ended = ended;
    this.delivered = ended;
    this.wantsContinue = owner.request.wantsContinue;
  }

  /** Shows the request to its filters; `owner.route` follows where they let it pass. Throws what a filter throws. */
  filter(run: FilterRun<ProxyRequest>): void {
    const { owner } = this;
    const { request } = owner;
    const direction = run.filters.request;
    this.run = run;
    const end = this.ended;
    const result = runRequestHeads(run, 0, end);
    // An upgrade with a body is served as the request it also is.
    const tunnel = request.upgrade === 'connect' || (request.upgrade !== '' && request.bodySize === 0);
    const seesBody = !end && (tunnel ? direction.seesTunnels : direction.seesBody);
    if (isPermit(result) && !seesBody) {
      owner.route(result);
      return;
    }
    const flow = requestFlow(this, run, { end, tunnel, seesBody }, this.limit);
    this.flow = flow;
    flow.start(result);
  }

  requestPassed(permit: Permit<ProxyRequest>, seesBody: boolean): void {
    const { owner, stream } = this;
    const flow = this.flow!;
    // What is here goes into `pending`: a body that is whole can be sent, and sent again, at once.
    flow.pump();
    if (owner.answered) return;
    if (flow.buffered || flow.rewrites) this.setSize(flow);
    owner.route(permit);
    if (!flow.empty || seesBody) return;
    this.flow = undefined;
    if (flow.isBlocked) stream.pause();
    else stream.resume();
  }

  /** As in Envoy, a body that is whole goes upstream with its length, and without trailers. */
  private setSize(flow: MessageFlow<Permit<ProxyRequest>>): void {
    const { pending } = this;
    const { request } = this.owner;
    const changed = flow.rewrites || flow.replaced;
    if (this.delivered) {
      if (pending) pending.trailers = undefined;
      if (request.bodySize !== undefined && !changed) return;
      request.bodySize = pending?.bytes ?? 0;
      request.headers.set('content-length', String(request.bodySize));
    } else if (changed && request.bodySize !== 0) request.bodySize = undefined;
  }

  replyOrCut(made: LocalReply): void {
    this.owner.replyOrCut(made);
  }

  failInternally(error: unknown): void {
    this.owner.failInternally(error);
  }

  /** Sends `100 Continue` to a client that waits for it, once. */
  permitBody(): void {
    if (!this.wantsContinue) return;
    this.wantsContinue = false;
    this.stream.interim({ status: 100, headers: new HeaderMap(), bodySize: 0, upgrade: '', version: 'HTTP/1.1' });
  }

  /** The upgrade that the request offered is not taken: it is an ordinary request without a body. */
  declineUpgrade(): void {
    this.stream.declineUpgrade();
    this.ended = true;
    this.delivered = true;
  }

  /** What came before there was a receiver. */
  takePending(): PendingBody | undefined {
    const { pending } = this;
    this.pending = undefined;
    return pending;
  }

  /** From now on data goes there. */
  sendTo(receiver: BodyReceiver): void {
    this.receiver = receiver;
  }

  /** Keeps what comes, which is little: the stream is paused. The filters are not known yet. */
  hold(): void {
    this.held = new HeldEvents();
    this.stream.pause();
  }

  /** @param act answers, or begins with the filters; what was held follows it, and what comes meanwhile */
  release(act: () => void): void {
    const { held } = this;
    if (!held) return;
    this.stream.resume();
    act();
    held.replay(
      (bytes, end) => this.take(bytes, end),
      (trailers) => this.takeTrailers(trailers),
    );
    this.held = undefined;
  }

  /** From the client. @param bytes valid during the call alone */
  onData(bytes: Uint8Array, end: boolean): void {
    if (this.held) this.held.addData(bytes, end);
    else this.take(bytes, end);
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.held) this.held.addTrailers(trailers);
    else this.takeTrailers(trailers);
  }

  private take(bytes: Uint8Array, end: boolean): void {
    if (end) this.ended = true;
    if (this.flow) this.flow.onData(bytes, end);
    else this.deliver(bytes, end, undefined);
  }

  private takeTrailers(trailers: HeaderMap): void {
    this.ended = true;
    if (this.flow) this.flow.onTrailers(trailers);
    else this.deliver(EMPTY, true, trailers);
  }

  /** Data that has passed the filters. */
  deliver(bytes: Uint8Array, end: boolean, trailers: HeaderMap | undefined): void {
    if (end) this.delivered = true;
    this.run?.watch?.onRequestData(bytes);
    const { receiver, owner } = this;
    if (!receiver) {
      if (owner.answered) return;
      this.pending ??= new PendingBody();
      this.pending.add(bytes, trailers);
      return;
    }
    if (trailers) receiver.onTrailers(trailers);
    else receiver.onData(bytes, end);
    if (end) owner.requestDelivered();
  }

  pause(): void {
    if (this.flow) this.flow.block();
    else this.stream.pause();
  }

  resume(): void {
    if (this.flow) this.flow.unblock();
    else this.stream.resume();
  }

  /** Nothing of it is wanted any more. */
  cancel(): void {
    this.flow?.cancel();
    this.pending = undefined;
  }
}
