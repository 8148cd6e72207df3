/** One connection whose bytes are not read as HTTP, as policies, metrics and the access log see it, and its events. */

import { type Handler, joinHandlers } from '../event.ts';
import type { Addresses } from '../http/message/stream.ts';
import type { DownstreamInfo, ResponseFlag } from '../http/request/request-context.ts';
import type { Cluster, Endpoint } from '../upstream/cluster.ts';

/** A connection before anything was done with it. */
export interface AcceptedConnection {
  readonly kind: 'connection';
  readonly downstream: DownstreamInfo;
  /** Dynamic metadata by the name of the network filter that wrote it; absent or undefined: none has. */
  metadata?: Record<string, Record<string, unknown>> | undefined;
}

export interface ConnectionRecord extends AcceptedConnection {
  /** On the runtime's monotonic clock. */
  readonly startMs: number;
  /** 0 until it has ended. */
  endMs: number;
  cluster: Cluster | undefined;
  /** The endpoint dialled last. */
  endpoint: Endpoint | undefined;
  /** The connection to it, once it is open. */
  upstream: Addresses | undefined;
  attempts: number;
  /** From and to downstream. */
  bytesReceived: number;
  bytesSent: number;
  readonly flags: ResponseFlag[];
  /** Envoy's %RESPONSE_CODE_DETAILS%, '' without any. */
  details: string;
  /** Envoy's %CONNECTION_TERMINATION_DETAILS%, '' without any. */
  terminationDetails: string;
  /** Envoy's %UPSTREAM_TRANSPORT_FAILURE_REASON%, '' without any. */
  upstreamFailure: string;
}

export interface ConnectionObserver {
  /** The upstream connection is open. */
  opened?(connection: ConnectionRecord): void;
  /** Last, and once for every connection that reached tcp_proxy, refused ones too. `connection.endMs` is set. */
  closed?(connection: ConnectionRecord): void;
}

/** The observers of one tcp_proxy, joined per event; undefined: no subscriber. */
export interface ConnectionEvents {
  readonly opened: Handler<ConnectionRecord> | undefined;
  readonly closed: Handler<ConnectionRecord> | undefined;
}

/** @param onError reports an exception in an observer */
export function compileConnectionObservers(
  observers: readonly ConnectionObserver[],
  onError: (error: unknown) => void,
): ConnectionEvents {
  return {
    opened: joinHandlers(
      observers.map((one) => one.opened?.bind(one)),
      onError,
    ),
    closed: joinHandlers(
      observers.map((one) => one.closed?.bind(one)),
      onError,
    ),
  };
}

export function connectionRecord(downstream: DownstreamInfo, startMs: number): ConnectionRecord {
  return {
    kind: 'connection',
    downstream,
    startMs,
    endMs: 0,
    cluster: undefined,
    endpoint: undefined,
    upstream: undefined,
    attempts: 0,
    bytesReceived: 0,
    bytesSent: 0,
    flags: [],
    details: '',
    terminationDetails: '',
    upstreamFailure: '',
  };
}
