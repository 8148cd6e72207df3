/** One connection through tcp_proxy, as metrics and the access log see it. */
import type { Addresses } from '../http/message/stream.ts';
import type { DownstreamInfo, ResponseFlag } from '../http/stream.ts';
import type { Cluster, Endpoint } from '../upstream/cluster.ts';

export interface TcpConnection {
  readonly downstream: DownstreamInfo;
  /** On the runtime's monotonic clock. */
  readonly startMs: number;
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

/** Hears of connections. `opened` comes when the upstream is there, `closed` once for every connection, last. */
export interface TcpObserver {
  opened(connection: TcpConnection): void;
  closed(connection: TcpConnection): void;
}

export function tcpConnection(downstream: DownstreamInfo, startMs: number): TcpConnection {
  return {
    downstream,
    startMs,
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
