/** The two directions of an exchange as flows through its filters: which hooks are asked, and what becomes of answers. */
import type { FilterRun } from '../filters/filter-run.ts';
import { type FlowOwner, MessageFlow } from '../filters/message-flow.ts';
import { type Permit, runRequestHeads, runResponseHeads } from '../filters/permit.ts';
import { payloadTooLarge, responseTooLarge } from '../local-reply.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { ResponseHead } from '../message/message.ts';
import type { DownstreamStream } from '../message/stream.ts';
import type { LocalReply } from '../stream.ts';
import type { ProxyRequest } from './proxy-request.ts';

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
  { end, tunnel, seesBody }: Filtered,
  limit: number,
): MessageFlow<Permit<ProxyRequest>> {
  const { stream } = client;
  const owner: FlowOwner<Permit<ProxyRequest>> = {
    heads: (from) => {
      run.requestBody = undefined;
      return runRequestHeads(run, from, end);
    },
    again: (filter, body) => {
      run.requestBody = body;
      return filter.onRequestHead!(run, end);
    },
    hook: (filter, { bytes, end: last, trailers }) => {
      if (tunnel && !filter.seesTunnels) return undefined;
      return trailers ? filter.onRequestTrailers?.(run, trailers) : filter.onRequestData?.(run, bytes, last);
    },
    passed: (permit) => client.requestPassed(permit, seesBody),
    data: (bytes, last) => {
      client.deliver(bytes, last, undefined);
      return true;
    },
    trailers: (trailers) => client.deliver(EMPTY, true, trailers),
    reply: (made) => client.replyOrCut(made),
    tooLong: () => {
      // As in Envoy, also where the last bytes are the ones too many.
      stream.abandonRequest();
      client.replyOrCut(payloadTooLarge);
    },
    failed: (error) => client.failInternally(error),
    wantsBody: () => client.permitBody(),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
  };
  return new MessageFlow(run.filters.request.filters, owner, limit, end || tunnel);
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
