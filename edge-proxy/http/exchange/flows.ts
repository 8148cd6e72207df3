/** The two directions of an exchange as flows through its filters: which hooks are asked, and what becomes of answers. */
import type { FilterRun } from '../filters/filter-run.ts';
import type { BufferedBody, HeadAnswer, HttpFilter, Now } from '../filters/hooks.ts';
import { type FlowItem, type FlowOwner, MessageFlow } from '../filters/message-flow.ts';
import { type Permit, runRequestHeads, runResponseHeads, type Stopped } from '../filters/permit.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { ResponseHead } from '../message/message.ts';
import type { DownstreamStream } from '../message/stream.ts';
import { payloadTooLarge, responseTooLarge } from '../request/local-reply.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { LocalReply } from '../request/request-context.ts';

const EMPTY = new Uint8Array(0);

/** What is known of a message before its filters were asked. */
interface Filtered {
  /** It has no body. */
  readonly end: boolean;
  /** What follows the head is the bytes of an upgrade or of CONNECT: there is no end to wait for. */
  readonly tunnel: boolean;
  /** A filter has hooks for what follows the head. */
  readonly seesBody: boolean;
}

/** A response made here. */
export interface LocalResponse {
  readonly head: ResponseHead;
  readonly end: boolean;
  readonly body: Uint8Array;
}

export interface FilteredResponse extends Filtered {
  readonly head: ResponseHead;
  /** Undefined: it came from upstream. */
  readonly local: LocalResponse | undefined;
}

/** The exchange, as its request flows through the filters. */
export interface RequestFlowClient {
  readonly stream: DownstreamStream;
  /** All filters let the head pass. */
  requestPassed(permit: Permit<ProxyRequest>, seesBody: boolean): void;
  /** Takes data that has passed the filters. */
  deliver(bytes: Uint8Array, end: boolean, trailers: HeaderMap | undefined): void;
  replyOrCut(made: LocalReply): void;
  failInternally(error: unknown): void;
  /** Sends `100 Continue` to a client that waits for it. */
  permitBody(): void;
}

export function requestFlow(
  client: RequestFlowClient,
  run: FilterRun<ProxyRequest>,
  filtered: Filtered,
  limit: number,
): MessageFlow<Permit<ProxyRequest>> {
  const owner = new RequestFlowOwner(client, run, filtered);
  return new MessageFlow(run.filters.request.filters, owner, limit, filtered.end || filtered.tunnel);
}

/** A class and no object of closures: each request that waits for a service has one. */
class RequestFlowOwner implements FlowOwner<Permit<ProxyRequest>> {
  private readonly client: RequestFlowClient;
  private readonly run: FilterRun<ProxyRequest>;
  private readonly filtered: Filtered;

  constructor(client: RequestFlowClient, run: FilterRun<ProxyRequest>, filtered: Filtered) {
    this.client = client;
    this.run = run;
    this.filtered = filtered;
  }

  heads(from: number): Permit<ProxyRequest> | Stopped {
    this.run.requestBody = undefined;
    return runRequestHeads(this.run, from, this.filtered.end);
  }

  again(filter: HttpFilter, body: BufferedBody): Now<HeadAnswer> {
    this.run.requestBody = body;
    return filter.onRequestHead!(this.run, this.filtered.end);
  }

  hook(filter: HttpFilter, { bytes, end, trailers }: FlowItem): Now<undefined | Uint8Array | LocalReply> {
    if (this.filtered.tunnel && !filter.seesTunnels) return undefined;
    return trailers ? filter.onRequestTrailers?.(this.run, trailers) : filter.onRequestData?.(this.run, bytes, end);
  }

  passed(permit: Permit<ProxyRequest>): void {
    this.client.requestPassed(permit, this.filtered.seesBody);
  }

  data(bytes: Uint8Array, end: boolean): boolean {
    this.client.deliver(bytes, end, undefined);
    return true;
  }

  trailers(trailers: HeaderMap): void {
    this.client.deliver(EMPTY, true, trailers);
  }

  reply(made: LocalReply): void {
    this.client.replyOrCut(made);
  }

  tooLong(): void {
    // As in Envoy, also where the last bytes are the ones too many.
    this.client.stream.abandonRequest();
    this.client.replyOrCut(payloadTooLarge);
  }

  failed(error: unknown): void {
    this.client.failInternally(error);
  }

  wantsBody(): void {
    this.client.permitBody();
  }

  pause(): void {
    this.client.stream.pause();
  }

  resume(): void {
    this.client.stream.resume();
  }
}

/** The exchange, as its response flows through the filters. */
export interface ResponseFlowClient {
  /** All filters let the head pass. */
  responsePassed(response: FilteredResponse): void;
  sendData(bytes: Uint8Array, end: boolean): boolean;
  sendTrailers(trailers: HeaderMap): void;
  reply(made: LocalReply): void;
  /** Answers, or cuts off a response that has begun. */
  replyOrCut(made: LocalReply): void;
  failResponse(error: unknown, local: LocalResponse | undefined): void;
  /** There is room for more of the upstream's response. */
  onResponseWritable(): void;
}

export function responseFlow(
  client: ResponseFlowClient,
  run: FilterRun<ProxyRequest>,
  response: FilteredResponse,
  limit: number,
): MessageFlow<'passed'> {
  const { head, end, tunnel, local } = response;
  const owner: FlowOwner<'passed'> = {
    heads: (from) => {
      run.responseBody = undefined;
      return runResponseHeads(run, from, head, end);
    },
    again: (filter, body) => {
      run.responseBody = body;
      return filter.onResponseHead!(run, head, end);
    },
    hook: (filter, { bytes, end: last, trailers }) => {
      if (tunnel && !filter.seesTunnels) return undefined;
      return trailers ? filter.onResponseTrailers?.(run, trailers) : filter.onResponseData?.(run, bytes, last);
    },
    passed: () => client.responsePassed(response),
    data: (bytes, last) => client.sendData(bytes, last),
    trailers: (trailers) => client.sendTrailers(trailers),
    reply: (made) => client.replyOrCut(made),
    tooLong: () => client.reply(responseTooLarge),
    failed: (error) => client.failResponse(error, local),
    wantsBody: () => {},
    // The router learns it from what `responseData` returns.
    pause: () => {},
    resume: () => client.onResponseWritable(),
  };
  return new MessageFlow(run.filters.response.filters, owner, limit, end || tunnel);
}
