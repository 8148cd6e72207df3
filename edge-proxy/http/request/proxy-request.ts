/**
 * The one implementation of RequestContext: a class, so that every request has the same shape. It is also the head that
 * goes upstream.
 */
import type { Cluster } from '../../upstream/cluster.ts';
import type { Peer } from '../../upstream/workload-metadata.ts';
import { isGrpcRequest } from '../grpc/status.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { HttpVersion, RequestHead } from '../message/message.ts';
import type { Addresses } from '../message/stream.ts';
import type { RouteEntry } from '../routing/route-table.ts';
import type { DownstreamInfo, GrpcMessages, RequestContext, ResponseFlag } from './request-context.ts';
import type { TraceReason } from './request-id.ts';

/** HTTP/2 says it; in HTTP/1.1 it is that of the connection. */
function schemeOf({ version, scheme }: RequestHead, { secure }: DownstreamInfo): 'http' | 'https' {
  if (version === 'HTTP/2' && (scheme === 'http' || scheme === 'https')) return scheme;
  return secure ? 'https' : 'http';
}

export class ProxyRequest implements RequestContext, RequestHead {
  readonly downstream: DownstreamInfo;
  method: string;
  path: string;
  authority: string;
  scheme: 'http' | 'https';
  readonly protocol: HttpVersion;
  readonly headers: HeaderMap;
  /** Known once the body was kept until its end. */
  bodySize: number | undefined;
  /** As requested; from the route on as granted, '' where it is not taken. */
  upgrade: string;
  readonly wantsContinue: boolean;
  /** As it was received: a filter may make a gRPC request of another (gRPC-Web). */
  readonly isGrpc: boolean;
  readonly startMs: number;
  endMs = 0;
  remoteIp: string;
  route: RouteEntry | null | undefined = undefined;
  cluster: Cluster | undefined = undefined;
  upstreamHost: string | undefined = undefined;
  upstreamFailure = '';
  attempts = 0;
  upstream: Addresses | undefined = undefined;
  responseCode = 0;
  responseHeaders: HeaderMap | undefined = undefined;
  responseStatus = 0;
  responseTrailers: HeaderMap | undefined = undefined;
  grpcMessages: GrpcMessages | undefined = undefined;
  details = '';
  localReplyBody: string | undefined = undefined;
  readonly flags: ResponseFlag[] = [];
  bytesReceived = 0;
  bytesSent = 0;
  metadata: Record<string, Record<string, unknown>> | undefined = undefined;
  tokenPrincipal: string | undefined = undefined;
  carriesRequests = false;
  downstreamPeer: Peer | undefined = undefined;
  upstreamPeer: Peer | undefined = undefined;
  /** The head that the filters let pass, where the route has changed it since. */
  private judged: Pick<RequestContext, 'path' | 'authority' | 'headers'> | undefined = undefined;
  /** Why it is traced, as its id says to the proxies behind. */
  traceReason: TraceReason = 'none';
  /** Of its trace, in hexadecimal; '': it has none. */
  traceId = '';
  spanId = '';
  /** What the response calls the operation; '': nothing. */
  operation = '';

  constructor(head: RequestHead, downstream: DownstreamInfo, startMs: number) {
    this.downstream = downstream;
    this.method = head.method;
    this.path = head.path;
    this.authority = head.authority;
    this.scheme = schemeOf(head, downstream);
    this.protocol = head.version;
    this.headers = head.headers;
    this.bodySize = head.bodySize;
    this.upgrade = head.upgrade;
    this.wantsContinue = head.wantsContinue;
    this.isGrpc = isGrpcRequest(head.headers);
    this.startMs = startMs;
    this.remoteIp = downstream.remoteAddress;
  }

  get kind(): 'request' {
    return 'request';
  }

  get version(): HttpVersion {
    return this.protocol;
  }

  /** Keeps the head for `asJudged`: the route is about to change it. */
  keepJudged(): void {
    const { path, authority, headers } = this;
    this.judged = { path, authority, headers: headers.copy() };
  }

  /** The request with the head that the filters let pass. What is set on it does not reach the request. */
  asJudged(): ProxyRequest {
    return Object.assign(Object.create(this) as ProxyRequest, this.judged);
  }

  flag(flag: ResponseFlag): void {
    if (!this.flags.includes(flag)) this.flags.push(flag);
  }
}
