/** The labels of Istio's standard metrics (istio.io/docs/reference/config/metrics), and the sides that they name. */

import { parseWorkloadId } from '../../shared/identity/spiffe.ts';
import { attributes } from '../attributes/attributes.ts';
import type { RequestContext } from '../http/request/request-context.ts';
import type { Cluster, Endpoint } from '../upstream/cluster.ts';
import {
  endpointWorkloadText,
  type Peer,
  readEndpointWorkload,
  UNKNOWN_WORKLOAD,
  type WorkloadMetadata,
} from '../upstream/workload-metadata.ts';

/** Inbound traffic is reported by the destination, outbound (and a gateway's) by the source. */
export type Direction = 'inbound' | 'outbound';

/** The workload this proxy serves. */
export interface OwnIdentity {
  readonly workload: WorkloadMetadata;
  /** Its SPIFFE id; '' before the first SVID. Read when a series is made. */
  readonly principal: () => string;
}

export const LABELS = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
  'destination_workload',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_service',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_service_name',
  'destination_service_namespace',
  'destination_cluster',
  'request_protocol',
  'response_code',
  'grpc_response_status',
  'response_flags',
  'connection_security_policy',
] as const;
export const TCP_LABELS = LABELS.filter((name) => name !== 'response_code' && name !== 'grpc_response_status');

/** Of messages: what is known while a stream is under way. */
export const MESSAGE_LABELS = TCP_LABELS.filter(
  (name) => !['request_protocol', 'response_flags', 'connection_security_policy'].includes(name),
);

const UNKNOWN = 'unknown';
/** Istio's revision of a workload that names none. */
const LATEST = 'latest';

/** A side of a request or connection. */
export type Identified = Pick<Peer, 'principal' | 'workload'>;

function prefixed(side: 'source' | 'destination', { principal, workload }: Identified): Record<string, string> {
  return {
    [`${side}_workload`]: workload.workload || UNKNOWN,
    // What the certificate says comes first.
    [`${side}_workload_namespace`]: namespaceOf(principal) || workload.namespace || UNKNOWN,
    [`${side}_principal`]: principal || UNKNOWN,
    [`${side}_app`]: workload.app || UNKNOWN,
    [`${side}_version`]: workload.version || UNKNOWN,
    [`${side}_canonical_service`]: workload.service || UNKNOWN,
    [`${side}_canonical_revision`]: workload.revision || LATEST,
    [`${side}_cluster`]: workload.cluster || UNKNOWN,
  };
}

/** '' where the principal is not a workload's. */
export function namespaceOf(principal: string): string {
  try {
    return parseWorkloadId(principal).namespace;
  } catch {
    return '';
  }
}

/**
 * The labels of all metrics but protocol, code and flags, by the names and defaults of Istio's istio_stats filter.
 * @param other the client of inbound traffic, the server of outbound traffic
 * @param secure TLS was terminated here
 */
export function labelsOf(
  own: OwnIdentity,
  direction: Direction,
  to: Destination | undefined,
  other: Identified,
  secure: boolean,
): Record<string, string> {
  const inbound = direction === 'inbound';
  // As documented: principals are set where peer authentication was used.
  const authenticated = other.principal !== '';
  const self: Identified = { workload: own.workload, principal: authenticated ? own.principal() : '' };
  const destination = to?.destination;
  return {
    reporter: inbound ? 'destination' : 'source',
    ...prefixed('source', inbound ? other : self),
    ...prefixed('destination', inbound ? self : other),
    destination_service: destination?.host ?? UNKNOWN,
    destination_service_name: destination?.name ?? to?.name ?? UNKNOWN,
    destination_service_namespace: destination?.namespace ?? UNKNOWN,
    // Only the destination can say; Istio's source reports read `unknown` too.
    connection_security_policy: inbound ? (secure && authenticated ? 'mutual_tls' : 'none') : UNKNOWN,
  };
}

/** What the labels of a destination are made of. */
export type Destination = Pick<Cluster, 'name' | 'destination'>;

/** As istio_stats: a request that the route `block_all` answers is one to BlackHoleCluster. */
const BLOCKED: Destination = { name: 'BlackHoleCluster', destination: undefined };

export function destinationOf({ cluster, route }: RequestContext): Destination | undefined {
  return cluster ?? (route?.name === 'block_all' ? BLOCKED : undefined);
}

/** The other side of a request: what is known of it is one object for as long as it stays the same; a principal, or ''. */
export function peerOf(direction: Direction, request: RequestContext): Peer | string {
  return (direction === 'inbound' ? clientOf(request) : serverOf(request)) ?? '';
}

/** Without metadata of its own, a server is what discovery says of its endpoint. */
export function identified(direction: Direction, request: RequestContext, peer: Peer | string): Identified {
  if (typeof peer !== 'string') return peer;
  const workload = direction === 'inbound' ? UNKNOWN_WORKLOAD : workloadOf(endpointOf(request));
  return { principal: peer, workload };
}

/** Where a token names the client, the metadata is of another: of the proxy that has the connection. */
function clientOf(request: RequestContext): Peer | string | undefined {
  const peer = request.tokenPrincipal === undefined ? request.downstreamPeer : undefined;
  return peer ?? attributes['source.principal'](request);
}

function serverOf(request: RequestContext): Peer | string | undefined {
  return request.upstreamPeer ?? upstreamPrincipal(request);
}

/** Of the server, by its certificate. */
export const upstreamPrincipal = attributes['upstream.uri_san_peer_certificate'];

export function workloadOf(endpoint: Endpoint | undefined): WorkloadMetadata {
  const text = endpointWorkloadText(endpoint);
  return text === undefined ? UNKNOWN_WORKLOAD : readEndpointWorkload(text);
}

function endpointOf({ cluster, upstreamHost }: RequestContext): Endpoint | undefined {
  return cluster?.endpoints().find(({ id }) => id === upstreamHost);
}
