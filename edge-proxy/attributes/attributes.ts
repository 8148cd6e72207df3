/**
 * Facts of a request or a connection by name, read by RBAC, access logs, metrics and expressions. The names and meanings are
 * Envoy's (envoyproxy.io, "Attributes"); `source.ip`, `remote.ip`, `source.principal`, `destination.ip` and
 * `connection.sni` are Istio's (istio.io, "Authorization Policy Conditions"), `upstream.cluster` is Tulle's. An attribute
 * that is not in the table cannot be read here.
 *
 * A reader is looked up once, when configuration is compiled. It allocates nothing unless it has to make a text of several
 * parts, and answers undefined where the record has no such fact: `request.…` and `response.…` of a connection that is not
 * HTTP, for example.
 */

import { grpcStatusOf, isGrpcRequest } from '../http/grpc/status.ts';
import type { DownstreamInfo } from '../http/request/request-context.ts';
import { pathOnly } from '../http/routing/matchers.ts';
import type { WorkloadMetadata } from '../upstream/workload-metadata.ts';
import type { IncomingTraffic, TrafficRecord } from './record.ts';
import { flagBits } from './response-flags.ts';

export type AttributeValue = string | number | boolean | undefined;

/** What a policy may ask before the traffic is let through. */
const incoming = {
  'source.address': (r: IncomingTraffic) => hostPort(sourceIp(r), sourcePort(r)),
  'source.port': (r: IncomingTraffic) => sourcePort(r),
  /** Of the connection's peer, regardless of x-forwarded-for. */
  'source.ip': ({ downstream }: IncomingTraffic) => downstream.remoteAddress,
  /** Of the client, as x-forwarded-for says where it is trusted. */
  'remote.ip': (r: IncomingTraffic) => sourceIp(r),
  /** The SPIFFE id that a JWT-SVID or the peer's certificate proved. */
  'source.principal': (r: IncomingTraffic) => tokenPrincipal(r) ?? r.downstream.peerUris.find(isSpiffe),
  'destination.address': ({ downstream: { localAddress, localPort } }: IncomingTraffic) =>
    hostPort(localAddress, localPort),
  'destination.ip': ({ downstream }: IncomingTraffic) => downstream.localAddress,
  'destination.port': ({ downstream }: IncomingTraffic) => downstream.localPort,
  /** A verified certificate: one that was not verified proves nothing. */
  'connection.mtls': ({ downstream }: IncomingTraffic) => downstream.secure && hasVerifiedPeer(downstream),
  'connection.requested_server_name': ({ downstream }: IncomingTraffic) => some(downstream.serverName),
  /** As `connection.requested_server_name`, '' without one. */
  'connection.sni': ({ downstream }: IncomingTraffic) => downstream.serverName,
  'connection.subject_peer_certificate': ({ downstream }: IncomingTraffic) => some(downstream.peerSubject),
  'connection.dns_san_peer_certificate': ({ downstream }: IncomingTraffic) => downstream.peerDns[0],
  'connection.uri_san_peer_certificate': ({ downstream }: IncomingTraffic) => downstream.peerUris[0],
  'connection.uri_san_local_certificate': ({ downstream }: IncomingTraffic) => downstream.localUris?.[0],
  'connection.sha256_peer_certificate_digest': ({ downstream }: IncomingTraffic) => some(downstream.peerHash),
  /** With the query, as it is now: normalised, and rewritten once a route has done so. */
  'request.path': (r: IncomingTraffic) => (r.kind === 'request' ? some(r.path) : undefined),
  'request.url_path': (r: IncomingTraffic) => (r.kind === 'request' ? pathOnly(r.path) : undefined),
  'request.query': (r: IncomingTraffic) => (r.kind === 'request' ? query(r.path) : undefined),
  'request.host': (r: IncomingTraffic) => (r.kind === 'request' ? some(r.authority) : undefined),
  // Where no head could be read there is no method either.
  'request.scheme': (r: IncomingTraffic) => (r.kind === 'request' && r.method !== '' ? r.scheme : undefined),
  'request.method': (r: IncomingTraffic) => (r.kind === 'request' ? some(r.method) : undefined),
  'request.protocol': (r: IncomingTraffic) => (r.kind === 'request' ? r.protocol : undefined),
  'request.id': (r: IncomingTraffic) => requestHeader(r, 'x-request-id'),
  'request.referer': (r: IncomingTraffic) => requestHeader(r, 'referer'),
  'request.useragent': (r: IncomingTraffic) => requestHeader(r, 'user-agent'),
  'xds.route_name': (r: IncomingTraffic) => (r.kind === 'request' ? some(r.route?.name) : undefined),
  'xds.virtual_host_name': (r: IncomingTraffic) => (r.kind === 'request' ? some(r.route?.virtualHost) : undefined),
} satisfies Record<string, (record: IncomingTraffic) => AttributeValue>;

/** What is known later. */
const outcome = {
  /** Bytes of the body: the announced length, else what has come. */
  'request.size': (r: TrafficRecord) =>
    r.kind === 'request' ? (announcedSize(r.headers.get('content-length')) ?? r.bytesReceived) : undefined,
  /** Milliseconds; once the request has ended. */
  'request.duration': (r: TrafficRecord) =>
    r.kind === 'request' && r.endMs > 0 ? Math.max(0, r.endMs - r.startMs) : undefined,
  'response.code': (r: TrafficRecord) => (r.kind === 'request' && r.responseCode > 0 ? r.responseCode : undefined),
  'response.code_details': (r: TrafficRecord) => some(r.details),
  /** Of a gRPC request: of the trailers, else of the head, else by the HTTP status. */
  'response.grpc_status': (r: TrafficRecord) =>
    r.kind === 'request' && isGrpcRequest(r.headers)
      ? grpcStatusOf(r.responseTrailers, r.responseHeaders, r.responseCode)
      : undefined,
  /** As a bit vector. */
  'response.flags': (r: TrafficRecord) => flagBits(r.flags),
  /** Bytes of the body that went to the client. */
  'response.size': (r: TrafficRecord) => (r.kind === 'request' ? r.bytesSent : undefined),
  'connection.termination_details': (r: TrafficRecord) =>
    r.kind === 'connection' ? some(r.terminationDetails) : undefined,
  /** Of the endpoint chosen last. */
  'upstream.address': (r: TrafficRecord) => (r.kind === 'request' ? r.upstreamHost : r.endpoint?.id),
  'upstream.port': (r: TrafficRecord) => r.upstream?.remotePort,
  'upstream.local_address': (r: TrafficRecord) => r.upstream && hostPort(r.upstream.localAddress, r.upstream.localPort),
  'upstream.uri_san_peer_certificate': (r: TrafficRecord) => r.upstream?.tls?.peerUris[0],
  'upstream.transport_failure_reason': (r: TrafficRecord) => some(r.upstreamFailure),
  'upstream.request_attempt_count': (r: TrafficRecord) => r.attempts,
  'upstream.cluster': (r: TrafficRecord) => r.cluster?.name,
  'xds.cluster_name': (r: TrafficRecord) => r.cluster?.name,
} satisfies Record<string, (record: TrafficRecord) => AttributeValue>;

export const attributes = { ...incoming, ...outcome } as const;

export type AttributeName = keyof typeof attributes;

/** The fields of Istio's `downstream_peer` and `upstream_peer`. */
export const PEER_FIELDS = {
  name: 'name',
  namespace: 'namespace',
  workload: 'workload',
  cluster: 'cluster',
  service: 'service',
  revision: 'revision',
  app: 'app',
  version: 'version',
  type: 'type',
  region: 'region',
  availability_zone: 'availabilityZone',
} as const satisfies Record<string, keyof WorkloadMetadata>;

export type PeerField = keyof typeof PEER_FIELDS;

/** Attributes that are maps: a key gives the reader of its value. Keys of headers are lower-case names. */
export const attributeMaps = {
  /** Several values of one name are joined with a comma, as in Envoy. */
  'request.headers': (name: string) => (r: IncomingTraffic) => requestHeader(r, name),
  'response.headers': (name: string) => (r: TrafficRecord) =>
    r.kind === 'request' ? r.responseHeaders?.joined(name) : undefined,
  'response.trailers': (name: string) => (r: TrafficRecord) =>
    r.kind === 'request' ? r.responseTrailers?.joined(name) : undefined,
  /** Dynamic metadata by the name of the filter that wrote it. */
  metadata: (filter: string) => (r: IncomingTraffic) => {
    const { metadata } = r;
    return metadata !== undefined && Object.hasOwn(metadata, filter) ? metadata[filter] : undefined;
  },
  /** Of the workload that sent the request, by the names of Istio's `downstream_peer` (`PEER_FIELDS`). */
  downstream_peer: (field: PeerField) => (r: IncomingTraffic) =>
    r.kind === 'request' ? some(r.downstreamPeer?.workload[PEER_FIELDS[field]]) : undefined,
  /** Of the workload that answered. */
  upstream_peer: (field: PeerField) => (r: TrafficRecord) =>
    r.kind === 'request' ? some(r.upstreamPeer?.workload[PEER_FIELDS[field]]) : undefined,
} as const;

/**
 * Whether one of the SPIFFE ids of the peer matches: those of its certificate, and the one that a JWT-SVID proved. No other
 * name of a certificate counts.
 */
export function anyPrincipal(record: IncomingTraffic, matches: (principal: string) => boolean): boolean {
  for (const uri of record.downstream.peerUris) if (isSpiffe(uri) && matches(uri)) return true;
  const proven = tokenPrincipal(record);
  return proven !== undefined && matches(proven);
}

/** `10.0.0.1:80`, `[::1]:80`. */
export function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

const some = (value: string | undefined): string | undefined => (value === '' ? undefined : value);
const isSpiffe = (uri: string): boolean => uri.startsWith('spiffe://');
const tokenPrincipal = (r: IncomingTraffic) => (r.kind === 'request' ? r.tokenPrincipal : undefined);
const sourceIp = (r: IncomingTraffic) => (r.kind === 'request' ? r.remoteIp : r.downstream.remoteAddress);

/** An address that a header names has no port: 0, as in Envoy. */
function sourcePort(r: IncomingTraffic): number {
  return sourceIp(r) === r.downstream.remoteAddress ? r.downstream.remotePort : 0;
}

function hasVerifiedPeer({ peerHash, peerSubject, peerUris }: DownstreamInfo): boolean {
  return (peerHash !== undefined && peerHash !== '') || peerSubject !== '' || peerUris.length > 0;
}

function requestHeader(r: IncomingTraffic, name: string): string | undefined {
  return r.kind === 'request' ? r.headers.joined(name) : undefined;
}

function query(path: string): string {
  const question = path.indexOf('?');
  return question < 0 ? '' : path.slice(question + 1);
}

function announcedSize(contentLength: string | undefined): number | undefined {
  return contentLength !== undefined && /^\d{1,15}$/.test(contentLength) ? Number(contentLength) : undefined;
}
