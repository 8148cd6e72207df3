/** Answers made here, in Envoy's words. */

import type { ResetReason } from '../upstream/pool.ts';
import type { LocalReply, ResponseFlag } from './stream.ts';

export function reply(status: number, body: string, details: string, flag?: ResponseFlag): LocalReply {
  return { status, body, details, flag };
}

export const routeNotFound = reply(404, '', 'route_not_found', 'NR');
export const clusterNotFound = reply(503, '', 'cluster_not_found', 'NC');
export const noHealthyUpstream = reply(503, 'no healthy upstream', 'no_healthy_upstream', 'UH');
export const responseTimeout = reply(504, 'upstream request timeout', 'response_timeout', 'UT');
export const perTryTimeout = reply(504, 'upstream request timeout', 'upstream_per_try_timeout', 'UT');
export const badPath = reply(400, '', 'path_normalization_failed');
export const badConnectionHeader = reply(400, 'Bad Request', 'http1.connection_header_rejected', 'DPE');
export const upgradeRefused = reply(403, '', 'upgrade_failed');
export const requestTooSlow = reply(408, 'stream timeout', 'stream_idle_timeout', 'SI');
export const responseTooSlow = reply(504, 'stream timeout', 'stream_idle_timeout', 'SI');
export const requestTimeout = reply(408, 'request timeout', 'request_overall_timeout');
/** A filter that fails admits nothing. Its error stays here: it may hold what a client must not read. */
export const filterFailed = reply(500, 'Internal Server Error', 'filter_error');

const words: Record<ResetReason, string> = {
  remote_connection_failure: 'remote connection failure',
  connection_timeout: 'connection timeout',
  connection_termination: 'connection termination',
  protocol_error: 'protocol error',
  overflow: 'overflow',
};
const flags: Record<ResetReason, ResponseFlag> = {
  remote_connection_failure: 'UF',
  connection_timeout: 'UF',
  connection_termination: 'UC',
  protocol_error: 'UPE',
  overflow: 'UO',
};

/** The upstream gave no response head. @param detail the transport's words, goes to the log alone: a client need not learn how this mesh is built */
export function upstreamReset(reason: ResetReason, detail: string, attempts: number): LocalReply {
  const transport = detail === '' || reason === 'connection_termination' || reason === 'protocol_error' ? '' : detail;
  const retried = attempts > 1 ? 'retried and the latest reset reason' : 'reset reason';
  const body = `upstream connect error or disconnect/reset before headers. ${retried}: ${words[reason]}`;
  const details = `upstream_reset_before_response_started{${reason}${transport === '' ? '' : `|${transport.replaceAll(' ', '_')}`}}`;
  const made = reply(reason === 'protocol_error' ? 502 : 503, body, details, flags[reason]);
  return reason === 'overflow' ? { ...made, headers: { 'x-envoy-overloaded': 'true' } } : made;
}

export function resetFlag(reason: ResetReason): ResponseFlag {
  return flags[reason];
}
