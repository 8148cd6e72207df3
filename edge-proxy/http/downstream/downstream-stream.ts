/** What an exchange asks of the connection it came on. */
import type { HeaderMap } from '../message/header-map.ts';

/** The downstream side of one exchange. HTTP/2 streams will implement it too. */
export interface DownstreamStream {
  /**
   * @param length of the body; undefined: known only at its end
   * @param last this is the whole message
   */
  sendHead(status: number, reason: string, headers: HeaderMap, length: number | undefined, last: boolean): void;
  /** @returns false: wait for `onDownstreamDrain` */
  sendBody(bytes: Uint8Array): boolean;
  sendEnd(trailers: HeaderMap | undefined): void;
  flush(): void;
  /** Sends a 101 (or a CONNECT's 200) and passes all further bytes through. */
  openTunnel(status: number, reason: string, headers: HeaderMap, upgrade: string): void;
  /** Half-closes a tunnel. */
  endTunnel(): void;
  /** @param status 100 to 199, not 101 */
  sendInterim(status: number, reason: string, headers: HeaderMap): void;
  /** The connection takes no request after this one. */
  endWithThis(): void;
  /** Sends `100 Continue`, once, if the client waits for it. */
  sendContinue(): void;
  pauseRequest(): void;
  resumeRequest(): void;
  /** Cuts the response off so that the client cannot take it for whole. */
  abort(): void;
  /** The exchange is over. */
  done(): void;
}

/** The connection manager as its connections see it. */
export interface SessionOwner<Session> {
  readonly sessions: Set<Session>;
  /** Requests under way. */
  activeRequests: number;
}
