/** What one access log line is written from: a finished request, or a finished connection in the same shape. */
import { HeaderMap } from '../http/message/header-map.ts';
import type { RequestContext } from '../http/stream.ts';
import type { TcpConnection } from '../tcp/tcp-connection.ts';

/** A RequestContext is one; text fields that a connection has no value for are ''. */
export interface LogEntry extends Omit<RequestContext, 'protocol' | 'scheme'> {
  readonly protocol: RequestContext['protocol'] | '';
  readonly scheme: RequestContext['scheme'] | '';
  readonly terminationDetails?: string;
}

/** A connection has response code 0 and no request fields, as in Envoy. */
export function connectionEntry(connection: TcpConnection): LogEntry {
  const { downstream } = connection;
  return {
    downstream,
    method: '',
    path: '',
    originalPath: '',
    authority: '',
    scheme: '',
    protocol: '',
    headers: new HeaderMap(),
    startMs: connection.startMs,
    remoteIp: downstream.remoteAddress,
    route: undefined,
    cluster: connection.cluster,
    upstreamHost: connection.endpoint?.id,
    upstream: connection.upstream,
    attempts: connection.attempts,
    responseCode: 0,
    details: connection.details,
    flags: connection.flags,
    bytesReceived: connection.bytesReceived,
    bytesSent: connection.bytesSent,
    metadata: undefined,
    tokenPrincipal: undefined,
    terminationDetails: connection.terminationDetails,
    upstreamFailure: connection.upstreamFailure,
  };
}
