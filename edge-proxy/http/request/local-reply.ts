/** Answers made here, in Envoy's words. */

import type { Located } from '../../upstream/cluster.ts';
import { type FetchOutcome, fetchFailure } from '../../upstream/fetches.ts';
import { percentEncoded } from '../grpc/percent.ts';
import { GRPC, grpcOfHttp } from '../grpc/status.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { ResetReason, StreamReset } from '../message/stream.ts';
import type { AttemptTimeout } from '../routing/request-timeouts.ts';
import type { LocalReply, ResponseFlag } from './request-context.ts';

export function reply(status: number, body: string, details: string, flag?: ResponseFlag): LocalReply {
  return { status, body, details, flag };
}

/** The body of an answer made here, as text for formats and gRPC messages. */
export function bodyText(body: string | Uint8Array): string {
  return typeof body === 'string' ? body : new TextDecoder().decode(body);
}

export function bodyBytes(body: string | Uint8Array): Uint8Array {
  return typeof body === 'string' ? new TextEncoder().encode(body) : body;
}

export const routeNotFound = reply(404, '', 'route_not_found', 'NR');
export const clusterNotFound = reply(503, '', 'cluster_not_found', 'NC');

/** A host that the index has is not here: as Envoy, whose on_demand filter leaves it to the router, with flag NC. */
export function hostNotFetched(name: string, outcome: FetchOutcome): LocalReply {
  const flag = outcome === 'overflow' ? 'UO' : 'NC';
  return reply(503, '', `${fetchFailure(outcome) ?? 'on_demand_fetch_refused'}{${name}}`, flag);
}

export const noHealthyUpstream = reply(503, 'no healthy upstream', 'no_healthy_upstream', 'UH');
/** Envoy's answer, with the reason: most likely the client named the address that it dialled. */
const notRedirected = reply(
  503,
  'no healthy upstream: the request names no service of the mesh as its authority, and its connection was not redirected to this proxy',
  'no_healthy_upstream',
  'UH',
);
const dnsFailure = reply(503, 'DNS resolution failure', 'dns_resolution_failure', 'DF');
const dnsOverflow = reply(503, 'DNS cache overflow', 'dns_cache_overflow', 'UO');
export const responseTimeout = reply(504, 'upstream request timeout', 'response_timeout', 'UT');
const perTryTimeout = reply(504, 'upstream request timeout', 'upstream_per_try_timeout', 'UT');
export const absolutePath = reply(404, '', 'absolute_path_rejected');
const perTryIdleTimeout = reply(504, 'upstream request timeout', 'upstream_per_try_idle_timeout', 'UT');
const upstreamDurationOver = reply(
  504,
  'upstream max stream duration reached',
  'upstream_max_stream_duration_reached',
  'UMSDR',
);

const attemptTimeouts: Readonly<Record<AttemptTimeout, LocalReply>> = {
  attempt: perTryTimeout,
  idle: perTryIdleTimeout,
  duration: upstreamDurationOver,
};

/** The last attempt took too long. @param whole the request had come in full */
export function attemptTimeoutReply(kind: AttemptTimeout, whole: boolean): LocalReply {
  const made = attemptTimeouts[kind];
  return kind === 'duration' && !whole ? { ...made, status: 408 } : made;
}

/** The place that a request names cannot be found. */
export function notLocated(why: Exclude<Located, object>): LocalReply {
  if (why === 'not redirected') return notRedirected;
  if (why === 'unresolved') return dnsFailure;
  return why === 'overflow' ? dnsOverflow : noHealthyUpstream;
}

export const badPath: LocalReply = { ...reply(400, '', 'path_normalization_failed'), close: true };
export const underscoreInName: LocalReply = {
  ...reply(400, 'Bad Request', 'http1.unexpected_underscore', 'DPE'),
  close: true,
};
export const badConnectionHeader: LocalReply = {
  ...reply(400, 'Bad Request', 'http1.connection_header_rejected', 'DPE'),
  close: true,
};
/** Connection names Host: there is none once its fields are gone. */
export const hostStripped: LocalReply = { ...reply(400, '', 'missing_host_header', 'DPE'), close: true };
export const upgradeRefused = reply(403, '', 'upgrade_failed');
export const requestTooSlow = reply(408, 'stream timeout', 'stream_idle_timeout', 'SI');
export const responseTooSlow = reply(504, 'stream timeout', 'stream_idle_timeout', 'SI');
/** The longest a stream may live is over: the client has not asked in full, or was not answered in full. */
export const requestTooLong: LocalReply = {
  ...reply(408, 'downstream duration timeout', 'max_duration_timeout'),
  grpcStatus: GRPC.DEADLINE_EXCEEDED,
};
export const responseTooLong: LocalReply = { ...requestTooLong, status: 504 };
/** A body that must be whole before it continues is longer than may be kept. */
export const payloadTooLarge = reply(413, 'Payload Too Large', 'request_payload_too_large');
export const requestTimeout = reply(408, 'request timeout', 'request_overall_timeout');
/** The listener changed while the head was coming, and has no filter chain left for this connection. A new one has. */
export const configGone = reply(503, 'configuration has changed, connect again', 'filter_chain_replaced');
/** The overload manager takes no more requests. */
export const overloaded = reply(503, 'envoy overloaded', 'overload');
/** A filter that fails admits nothing. Its error stays here: it may hold what a client must not read. */
export const responseTooLarge = reply(500, 'Internal Server Error', 'response_payload_too_large');
/** The upstream gave up a response that a filter here still held. */
export function responseCut(details: string): LocalReply {
  return reply(503, 'upstream connect error or disconnect/reset before the response was whole', details, 'UC');
}

/** A response that a filter here still held took too long. */
export function responseLate(flag: ResponseFlag, details: string): LocalReply {
  return reply(504, 'upstream request timeout', details, flag);
}

export const filterFailed = reply(500, 'Internal Server Error', 'filter_error');
/** A policy that came while the request was under way takes its access away. */
export const accessRevoked: LocalReply = {
  status: 403,
  body: 'RBAC: access denied',
  details: 'rbac_access_revoked',
};

const words: Record<ResetReason, string> = {
  refused_stream: 'remote refused stream reset',
  local_connection_failure: 'local connection failure',
  remote_connection_failure: 'remote connection failure',
  connection_timeout: 'connection timeout',
  connection_termination: 'connection termination',
  protocol_error: 'protocol error',
  overflow: 'overflow',
  local_reset: 'local reset',
  remote_reset: 'remote reset',
};
const flags: Record<ResetReason, ResponseFlag> = {
  refused_stream: 'UR',
  local_connection_failure: 'UF',
  remote_connection_failure: 'UF',
  connection_timeout: 'UF',
  connection_termination: 'UC',
  protocol_error: 'UPE',
  overflow: 'UO',
  local_reset: 'LR',
  remote_reset: 'UR',
};

/** The headers of an answer to a gRPC request: always 200, the status in its trailers, which come first. */
export function grpcHeaders(status: number, body: string, headers: HeaderMap, grpcStatus?: number): void {
  headers.append('content-type', 'application/grpc', 'content-type');
  headers.append('grpc-status', String(grpcStatus ?? grpcOfHttp(status)), 'grpc-status');
  if (body !== '') headers.append('grpc-message', percentEncoded(body), 'grpc-message');
}

/** Failures of which the log has the transport's words, as in Envoy. */
const failuresWithWords: ReadonlySet<ResetReason> = new Set<ResetReason>([
  'local_connection_failure',
  'remote_connection_failure',
  'connection_timeout',
]);

/** The upstream gave no response head. @param detail the transport's words, goes to the log alone: a client need not learn how this mesh is built */
export function upstreamReset(reason: ResetReason, detail: string, attempts: number): LocalReply {
  const transport = failuresWithWords.has(reason) ? detail : '';
  const retried = attempts > 1 ? 'retried and the latest reset reason' : 'reset reason';
  const body = `upstream connect error or disconnect/reset before headers. ${retried}: ${words[reason]}`;
  const details = `upstream_reset_before_response_started{${resetDetail(reason)}${transport === '' ? '' : `|${transport.replaceAll(' ', '_')}`}}`;
  const made = reply(reason === 'protocol_error' ? 502 : 503, body, details, flags[reason]);
  return reason === 'overflow' ? { ...made, headers: { 'x-envoy-overloaded': 'true' } } : made;
}

/** The reason in %RESPONSE_CODE_DETAILS%. */
export function resetDetail(reason: ResetReason): string {
  return words[reason].replaceAll(' ', '_');
}

/** The flag of a request that its client gave up: a stream of several that was reset is not the end of its connection. */
export function lossFlag(reason: ResetReason): ResponseFlag {
  if (reason === 'remote_reset' || reason === 'refused_stream') return 'DR';
  return reason === 'protocol_error' ? 'DPE' : 'DC';
}

/** Of a request that its client gave up: the codec's words, as in Envoy, where it has any. */
export function lossDetails({ reason, detail }: StreamReset): string {
  if (detail !== '') return detail;
  return `downstream_${reason === 'local_reset' ? 'local' : 'remote'}_disconnect`;
}

export function resetFlag(reason: ResetReason): ResponseFlag {
  return flags[reason];
}
