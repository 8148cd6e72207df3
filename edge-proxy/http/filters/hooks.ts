/**
 * What an HTTP filter is: hooks that see one request and its response. Each is optional, and a hook that no filter of a
 * chain has costs nothing. A filter never touches a connection; it answers, and the exchange acts.
 */
import type { HeaderMap } from '../message/header-map.ts';
import type { ResponseHead } from '../message/message.ts';
import type { CancelSignal } from '../request/cancellation.ts';
import type { LocalReply, RequestContext } from '../request/request-context.ts';

/**
 * Wait for the body, then ask this hook again, with `FilterContext.requestBody` or `responseBody`.
 *
 * `reject`: a body of more than `buffer` bytes is answered here (413, of a response 500). `partial`: the hook is asked
 * again as soon as so many bytes are there, or the body is whole; the rest follows.
 */
export interface BufferBody {
  readonly buffer: number;
  readonly whenFull: 'reject' | 'partial';
  /** A whole body continues as it came, with its trailers; default: with its length, and without trailers. */
  readonly keepsFraming?: boolean;
}

/** Continue, and this filter's data hook may give other bytes: the length of the body is no longer announced. */
export interface RewriteBody {
  readonly rewriteBody: true;
}

/** Continue with this body. Only once the whole body was buffered, or where the message has none. */
export interface ReplaceBody {
  readonly replaceBody: Uint8Array;
}

export const REWRITE_BODY: RewriteBody = { rewriteBody: true };

/** undefined: continue. A LocalReply ends the exchange; in the place of a response, it replaces it. */
export type HeadAnswer = undefined | LocalReply | BufferBody | RewriteBody | ReplaceBody;

/** undefined: continue with these bytes. Other bytes only after the head hook answered `REWRITE_BODY`. */
export type RequestDataAnswer = undefined | Uint8Array | LocalReply;
/** The response has begun: it can no longer be replaced. */
export type ResponseDataAnswer = undefined | Uint8Array;
/** Bytes: the rest of a body that is rewritten, in front of the trailers. Only after `REWRITE_BODY`. */
export type RequestTrailersAnswer = undefined | Uint8Array | LocalReply;
export type ResponseTrailersAnswer = undefined | Uint8Array;

/** An answer, or a promise of it. Meanwhile the message waits, and its sender is paused when the buffer is full. */
export type Now<Answer> = Answer | Promise<Answer>;

/** Of a body that was waited for. */
export interface BufferedBody {
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
  /** False: it is longer than what was requested. */
  readonly complete: boolean;
}

/** A place for what a filter keeps of one request. Each instance of a filter makes its own. */
export class StateSlot<State> {
  /** Makes slots of different types different types. */
  declare protected readonly state: State;
}

/**
 * Sees the body of a request as it goes to the upstream, behind all filters, and that of the upstream's response before any
 * filter; it changes nothing. Unlike data hooks it costs nothing where a request has none. Tunnels are bodies here, too.
 */
export interface BodyWatch {
  /** @param bytes valid during the call alone, may be empty */
  onRequestData(bytes: Uint8Array): void;
  /** Of the upstream, not of an answer made here. @param end there is no body */
  onResponseHead(status: number, headers: HeaderMap, end: boolean): void;
  /** @param bytes as of `onRequestData` */
  onResponseData(bytes: Uint8Array): void;
}

export interface FilterContext {
  readonly request: RequestContext;
  /** Aborted when the exchange is over, whatever the reason: the client left, a timeout, a response from elsewhere. */
  readonly signal: CancelSignal;
  /** While `onRequestHead` is asked again. */
  readonly requestBody: BufferedBody | undefined;
  /** While `onResponseHead` is asked again. */
  readonly responseBody: BufferedBody | undefined;
  /**
   * Looks the route up again, by what filters have changed of the request (Envoy's clear_route_cache). Which filters run stays
   * as the first route said, as in Envoy. While the request's head passes; later it throws.
   */
  chooseRoute(): void;
  /** From `onRequestHead`, before it returns or its promise is settled. */
  watchBodies(watch: BodyWatch): void;
  /** @returns undefined before `set` */
  get<State>(slot: StateSlot<State>): State | undefined;
  set<State>(slot: StateSlot<State>, state: State): void;
}

export interface FilterHooks {
  /** @param end the request has no body */
  onRequestHead?(context: FilterContext, end: boolean): Now<HeadAnswer>;
  /**
   * Each piece of the body, after the head has passed this filter. Tunnels: see `seesTunnels`.
   * @param bytes may be empty; not used again by the proxy
   */
  onRequestData?(context: FilterContext, bytes: Uint8Array, end: boolean): Now<RequestDataAnswer>;
  /** May change the trailers. */
  onRequestTrailers?(context: FilterContext, trailers: HeaderMap): Now<RequestTrailersAnswer>;
  /**
   * May change the headers. Filters see responses in the reverse of their order, those made here too.
   * @param end the response has no body: an answer to HEAD, 204, 304, or an empty one
   */
  onResponseHead?(
    context: FilterContext,
    response: Pick<ResponseHead, 'status' | 'headers'>,
    end: boolean,
  ): Now<HeadAnswer>;
  onResponseData?(context: FilterContext, bytes: Uint8Array, end: boolean): Now<ResponseDataAnswer>;
  /** May change the trailers. */
  onResponseTrailers?(context: FilterContext, trailers: HeaderMap): Now<ResponseTrailersAnswer>;
  /** Once for every request whose filters were asked. @param complete the client was sent a whole response */
  onEnd?(context: FilterContext, complete: boolean): void;
  /**
   * Judges again, under this configuration, a request that an earlier one let pass and that is still under way. It changes
   * nothing and waits for nothing. Absent: the filter takes no access away.
   */
  stillAllows?(context: FilterContext): boolean;
  /** Its data hooks see the bytes of upgrades and of CONNECT, too. */
  readonly seesTunnels?: boolean;
}

/** One filter of a listener. */
export interface HttpFilter extends FilterHooks {
  /** As the listener calls it; routes configure it by this name. */
  readonly name: string;
  /** It runs only where the route configures or enables it. */
  readonly disabled?: boolean;
}
