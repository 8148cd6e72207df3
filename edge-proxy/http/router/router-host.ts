/** What the router asks of the exchange it works for. */
import type { RequestHead, ResponseHead } from '../codec/h1/head.ts';
import type { ManagerParts } from '../downstream/manager-config.ts';
import type { ProxyRequest } from '../exchange/proxy-request.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { LocalReply, ResponseFlag } from '../stream.ts';

export interface RouterHost {
  readonly request: ProxyRequest;
  readonly head: RequestHead;
  readonly parts: ManagerParts;
  /** Bytes of the body kept for sending it again, or while it cannot be sent yet. */
  readonly bufferLimit: number;
  readonly requestEnded: boolean;
  readonly responseStarted: boolean;
  /** Answers here. Without effect once a response has begun. */
  reply(made: LocalReply): void;
  /** A response that is not the last: 100, 102, 103. */
  respondInterim(head: ResponseHead): void;
  /** @param upgrade lower-case, `connect`, or '' */
  respond(head: ResponseHead, upgrade: string): void;
  /** @returns false: wait for the drain */
  sendBody(bytes: Uint8Array): boolean;
  endResponse(trailers: HeaderMap | undefined): void;
  flushResponse(): void;
  /** A response that has begun cannot be ended as it should. */
  fail(flag: ResponseFlag, details: string): void;
  pauseRequest(): void;
  resumeRequest(): void;
}
