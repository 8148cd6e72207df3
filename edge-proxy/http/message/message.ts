/**
 * Heads of HTTP messages (RFC 9110), the same for every version of the protocol. How a message is framed, and whether its
 * connection persists, is known to the codec alone.
 */
import type { HeaderMap } from './header-map.ts';

export type HttpVersion = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';

export interface RequestHead {
  readonly method: string;
  /** Of an absolute-form target or `:scheme`; '' where the message does not say it. */
  readonly scheme: '' | 'http' | 'https';
  /** Host or `:authority`; of CONNECT the target. */
  readonly authority: string;
  /** Path and query; `*` for OPTIONS *; '' for CONNECT. */
  readonly path: string;
  /** Without Host and without pseudo-header fields. */
  readonly headers: HeaderMap;
  /** Bytes of the body; 0: there is none; undefined: known at its end only. */
  readonly bodySize: number | undefined;
  /** Lower-case protocol the client offers or asks for; `connect` for a CONNECT; '' for none. */
  readonly upgrade: string;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly wantsContinue: boolean;
  readonly version: HttpVersion;
}

export interface ResponseHead {
  readonly status: number;
  /** HTTP/1's reason phrase; absent or '': the standard one. */
  readonly reason?: string;
  readonly headers: HeaderMap;
  /** Bytes of the body that follows (0 in an answer to HEAD); undefined: known at its end only. */
  readonly bodySize: number | undefined;
  /** Lower-case protocol that a 101 switches to; '' otherwise. */
  readonly upgrade: string;
  readonly version: HttpVersion;
}
