/** gRPC calls of the proxy's own, as those that make them see them. */
import type { HeaderMap } from '../message/header-map.ts';
import type { CancelSignal } from '../request/cancellation.ts';
import type { SideCallError } from './failure.ts';

/** `/package.Service/Method` */
export type GrpcMethod = `/${string}/${string}`;

export interface GrpcOptions {
  /** Milliseconds, from the call to its status; the server is sent it as grpc-timeout. 0: no limit. */
  readonly timeoutMs: number;
  /** Aborted: the call is no longer wanted. */
  readonly signal?: CancelSignal;
  /** Of one message of the response; a longer one fails the call. */
  readonly maxMessageBytes: number;
  /** Default: the cluster's name. */
  readonly authority?: string;
  /** Beside the fields of gRPC and of the connection. */
  readonly metadata?: HeaderMap;
}

/** How a call ended: by the server, or by the HTTP status of a response that has no status of gRPC. */
export interface GrpcStatus {
  /** grpc-status; 0: OK. */
  readonly status: number;
  /** For the log, never for a client. */
  readonly message: string;
  /** What the status came with; undefined where it came with none. */
  readonly trailers: HeaderMap | undefined;
}

export interface GrpcReply extends GrpcStatus {
  /** Of an OK. */
  readonly response: Uint8Array | undefined;
}

/** What is heard of a call; after `onStatus` or `onFailure` nothing more. */
export interface GrpcEvents {
  /** @param message serialized, without its head; its bytes are not used again */
  onMessage(message: Uint8Array): void;
  /** The connection takes more, after `send` answered false. */
  onWritable?(): void;
  onStatus(status: GrpcStatus): void;
  /** There is no status. */
  onFailure(error: SideCallError): void;
}

/** A call under way. Calls after its end have no effect. */
export interface GrpcStream {
  /** @param message serialized, without its head @returns false: enough waits to be sent, wait for `onWritable` */
  send(message: Uint8Array): boolean;
  /** No message follows. */
  end(): void;
  /** Stops the server once the receive window of the stream is used up; the messages up to there are still delivered. */
  pause(): void;
  resume(): void;
  /** Gives the call up; nothing more is heard of it. */
  cancel(): void;
}
