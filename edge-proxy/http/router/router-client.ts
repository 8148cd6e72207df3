/** The exchange, as the router that forwards its request sees it. */
import type { HeaderMap } from '../message/header-map.ts';
import type { ResponseHead } from '../message/message.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { LocalReply, ResponseFlag } from '../request/request-context.ts';

/** The body of the request, as the router controls it. */
export interface RoutedBody {
  /** The request was handed over whole. */
  readonly delivered: boolean;
  pause(): void;
  resume(): void;
}

/** Where the router sends the response. */
export interface RoutedResponse {
  /** A head was handed over by `fromUpstream`, or is sent. */
  readonly started: boolean;
  /** A response that is not the last: 100, 102, 103. */
  interim(head: ResponseHead): void;
  fromUpstream(head: ResponseHead, end: boolean): void;
  /** @returns false: wait for `onDownstreamWritable` */
  data(bytes: Uint8Array, end: boolean): boolean;
  trailers(trailers: HeaderMap): void;
}

export interface RouterClient {
  readonly request: ProxyRequest;
  /** Bytes of the body kept for sending it again, or while it cannot be sent yet. */
  readonly bufferLimit: number;
  readonly body: RoutedBody;
  readonly response: RoutedResponse;
  /** Answers here. Without effect once a response has begun. */
  reply(made: LocalReply): void;
  /** A response that has begun cannot be ended as it should. */
  fail(flag: ResponseFlag, details: string): void;
}
