/** One HTTP request on its way through the proxy, as filters, routes and the access log see it. */
import type { Cluster } from '../../upstream/cluster.ts';
import type { Peer } from '../../upstream/workload-metadata.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { Addresses } from '../message/stream.ts';
import type { RouteEntry } from '../routing/route-table.ts';
import type { TraceReason } from './request-id.ts';

/** What is known of the downstream connection. */
export interface DownstreamInfo {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** It was captured: the local address is where the client sent it. */
  readonly redirected?: boolean;
  /** TLS was terminated here. */
  readonly secure: boolean;
  readonly serverName: string;
  /** The peer's verified URI names, its SPIFFE id first. Empty in plaintext. */
  readonly peerUris: readonly string[];
  readonly peerDns: readonly string[];
  readonly peerSubject: string;
  /** SHA-256 of the peer's verified leaf (DER), lower-case hex; absent or '' without one. */
  readonly peerHash?: string;
  /** The peer's certificates as sent, DER, its verified leaf first; absent or empty without one. */
  readonly peerChain?: readonly Uint8Array[];
  /** URI names of this side's own certificate; absent or empty in plaintext. */
  readonly localUris?: readonly string[];
}

/** Envoy's response flags (short forms of the access log). */
export type ResponseFlag =
  | 'UH'
  | 'UF'
  | 'UO'
  | 'NR'
  | 'URX'
  | 'NC'
  | 'DT'
  | 'DC'
  | 'LH'
  | 'UT'
  | 'LR'
  | 'UR'
  | 'UC'
  | 'DI'
  | 'FI'
  | 'RL'
  | 'UAEX'
  | 'RLSE'
  | 'IH'
  | 'SI'
  | 'DPE'
  | 'UPE'
  | 'UMSDR'
  | 'OM'
  | 'DF'
  | 'DO'
  | 'DR';

/** gRPC messages of a request and of its response, so far. */
export interface GrpcMessages {
  readonly request: number;
  readonly response: number;
}

export interface RequestContext {
  readonly kind: 'request';
  readonly downstream: DownstreamInfo;
  method: string;
  /** Path with query, after normalisation. */
  path: string;
  /** Host / :authority. */
  authority: string;
  scheme: 'http' | 'https';
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';
  /** Lower-case protocol that the client asks for; `connect` for a CONNECT; absent or '': none. */
  readonly upgrade?: string;
  /** Request headers without Host, which is `authority`. */
  readonly headers: HeaderMap;
  readonly startMs: number;
  /** 0 until it has ended. */
  endMs: number;
  /** The client's address after x-forwarded-for was judged (trusted hops). */
  remoteIp: string;
  /** `null`: matched none; undefined: not looked up yet. */
  route: RouteEntry | null | undefined;
  cluster: Cluster | undefined;
  upstreamHost: string | undefined;
  /** The connection of the last attempt, once there was one. */
  upstream?: Addresses | undefined;
  /** Why no connection came about, Envoy's %UPSTREAM_TRANSPORT_FAILURE_REASON%; absent or '' where one did. */
  upstreamFailure?: string;
  attempts: number;
  responseCode: number;
  /** The body of an answer made here, before its format; undefined: it came from upstream, or nothing formats it. */
  localReplyBody?: string | undefined;
  /** Envoy's %RESPONSE_CODE_DETAILS%. */
  details: string;
  /** As they went to the client. */
  responseHeaders?: HeaderMap | undefined;
  /** The status that goes with them; 0 or absent: there are none. */
  responseStatus?: number;
  /** As the upstream sent them; absent or undefined: none have come. */
  responseTrailers?: HeaderMap | undefined;
  /** Counted by the grpc_stats filter; absent or undefined: nothing counts them, or there were none. */
  grpcMessages?: GrpcMessages | undefined;
  readonly flags: ResponseFlag[];
  bytesReceived: number;
  bytesSent: number;
  /** Dynamic metadata by filter name (`envoy.filters.http.jwt_authn` …); undefined until a filter writes. */
  metadata: Record<string, Record<string, unknown>> | undefined;
  /** A CONNECT whose tunnel this proxy serves: the requests in it are counted and logged, and it is not. */
  carriesRequests?: boolean;
  /** The workload that sent the request, and the one that answered; undefined until the peer metadata filter finds them. */
  downstreamPeer?: Peer | undefined;
  upstreamPeer?: Peer | undefined;
  /** Why the request is traced; absent: it is not, or nothing has decided yet. */
  readonly traceReason?: TraceReason;
  /** Of its trace, in hexadecimal; absent or '': it has none. */
  readonly traceId?: string;
  readonly spanId?: string;
  /** SPIFFE id proven by a JWT-SVID instead of a client certificate. */
  tokenPrincipal: string | undefined;
}

/** A response made here, not upstream. */
export interface LocalReply {
  readonly status: number;
  /** Text, or bytes as another service gave them. */
  readonly body: string | Uint8Array;
  /** Lower-case name -> value, or values of as many fields; besides content-length and content-type: text/plain. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly flag?: ResponseFlag | undefined;
  readonly details: string;
  /** For gRPC clients, where the status does not say it; default: by the status. */
  readonly grpcStatus?: number;
  /** The connection ends with this answer. */
  readonly close?: boolean;
}
