/** HTTP requests of the proxy's own, as those that make them see them. */
import type { HeaderMap } from '../message/header-map.ts';
import type { CancelSignal } from '../request/cancellation.ts';

export interface CallHead {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Host; default: the cluster's name, as Envoy's ext_authz and JWKS requests have it. */
  readonly authority?: string;
  /** Without Host, framing and fields of the connection, which are the proxy's own. */
  readonly headers?: HeaderMap;
}

export interface CallOptions {
  /** Milliseconds, from the call to the last byte of the response. */
  readonly timeoutMs: number;
  /** Aborted: the response is no longer wanted. */
  readonly signal?: CancelSignal;
  /** Of the response; a longer one fails the call. */
  readonly maxBodyBytes: number;
  /** Whether the body of a response of this status is of interest: else it is counted, and the reply has none. Default: it is. */
  readonly keepsBody?: (status: number) => boolean;
  /** It may be sent a second time where a kept connection turns out to be dead. Default: where the method is safe. */
  readonly repeatable?: boolean;
}

export interface CallReply {
  readonly status: number;
  readonly headers: HeaderMap;
  readonly body: Uint8Array;
  readonly trailers: HeaderMap | undefined;
}
