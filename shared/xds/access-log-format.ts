/** The format of access logs where a mesh sets none, in Envoy's command operators. */

import { celRefusal } from '../cel/expression.ts';
import type { Json } from './message.ts';

/** Istio's default fields (meshConfig.accessLogEncoding JSON), and the peer's SPIFFE id. */
export const ISTIO_JSON_FORMAT: Readonly<Record<string, string>> = {
  start_time: '%START_TIME%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  response_code: '%RESPONSE_CODE%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
  user_agent: '%REQ(USER-AGENT)%',
  request_id: '%REQ(X-REQUEST-ID)%',
  authority: '%REQ(:AUTHORITY)%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER%',
  upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  route_name: '%ROUTE_NAME%',
  downstream_peer: '%DOWNSTREAM_PEER_URI_SAN%',
};

/** Istio's default line (meshConfig.accessLogEncoding TEXT, istio.io/latest/docs/tasks/observability/logs/access-log). */
export const ISTIO_TEXT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n';

/** Operators that proxies have without an argument. */
export const PLAIN_OPERATORS = [
  'BYTES_RECEIVED',
  'BYTES_SENT',
  'CONNECTION_TERMINATION_DETAILS',
  'DOWNSTREAM_DIRECT_REMOTE_ADDRESS',
  'DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT',
  'DOWNSTREAM_DIRECT_REMOTE_PORT',
  'DOWNSTREAM_LOCAL_ADDRESS',
  'DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT',
  'DOWNSTREAM_LOCAL_PORT',
  'DOWNSTREAM_LOCAL_URI_SAN',
  'DOWNSTREAM_PEER_DNS_SAN',
  'DOWNSTREAM_PEER_FINGERPRINT_256',
  'DOWNSTREAM_PEER_SUBJECT',
  'DOWNSTREAM_PEER_URI_SAN',
  'DOWNSTREAM_REMOTE_ADDRESS',
  'DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT',
  'DOWNSTREAM_REMOTE_PORT',
  'DURATION',
  'GRPC_STATUS',
  'GRPC_STATUS_NUMBER',
  'LOCAL_REPLY_BODY',
  'PROTOCOL',
  'REQUESTED_SERVER_NAME',
  'RESPONSE_CODE',
  'RESPONSE_CODE_DETAILS',
  'RESPONSE_FLAGS',
  'RESPONSE_FLAGS_LONG',
  'ROUTE_NAME',
  'SPAN_ID',
  'TRACE_ID',
  'UPSTREAM_CLUSTER',
  'UPSTREAM_CLUSTER_RAW',
  'UPSTREAM_HOST',
  'UPSTREAM_LOCAL_ADDRESS',
  'UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT',
  'UPSTREAM_LOCAL_PORT',
  'UPSTREAM_REMOTE_ADDRESS',
  'UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT',
  'UPSTREAM_REMOTE_PORT',
  'UPSTREAM_REQUEST_ATTEMPT_COUNT',
  'UPSTREAM_TRANSPORT_FAILURE_REASON',
  'VIRTUAL_CLUSTER_NAME',
  'VIRTUAL_HOST_NAME',
] as const;

const PLAIN: ReadonlySet<string> = new Set(PLAIN_OPERATORS);
const OPERATOR = /%(?:%|([A-Z0-9_]+)(?:\(([^)]*)\))?(?::\d{1,5})?%)/g;

/** The first part of a format that proxies would refuse, with the whole listener; undefined where there is none. */
export function unreadablePart(format: string): string | undefined {
  for (const [text, name, argument] of format.matchAll(OPERATOR))
    if (name !== undefined && !isOperator(name, argument)) return text;
  const rest = format.replace(OPERATOR, '');
  return rest.includes('%') ? rest.slice(rest.indexOf('%'), rest.indexOf('%') + 40) : undefined;
}

/** The same of the texts of a JSON format, at any depth. */
export function unreadablePartOfJson(format: unknown): string | undefined {
  if (typeof format === 'string') return unreadablePart(format);
  if (typeof format !== 'object' || format === null) return undefined;
  for (const item of Object.values(format)) {
    const found = unreadablePartOfJson(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The argument of %START_TIME(...)%: strftime's conversions of a moment in UTC, and Envoy's fractions of a second. */
const TIME_FORMAT = /^(?:%[1-9]?f|%[%YymdeHIMSpjaAbhBFTRzZs]|[^%])*$/;

/**
 * The argument of %FILTER_STATE(...)%: of filter state there is what the peer metadata filter has found. Istio keeps its fields
 * in an object that has a name of its own, `…_obj`.
 */
export const PEER_STATE =
  /^(?<side>downstream_peer|upstream_peer)(?:_obj)?:FIELD:(?<field>name|namespace|workload|cluster|service|revision|app|version|type|region|availability_zone)$/;

const GRPC_FORMATS: ReadonlySet<string> = new Set(['', 'CAMEL_STRING', 'SNAKE_STRING', 'NUMBER']);

function isOperator(name: string, argument: string | undefined): boolean {
  if (name === 'START_TIME') return TIME_FORMAT.test(argument ?? '');
  if (name === 'GRPC_STATUS') return GRPC_FORMATS.has(argument ?? '');
  if (name === 'CEL') return celRefusal(argument ?? '') === undefined;
  if (name === 'REQ' || name === 'RESP' || name === 'TRAILER' || name === 'REQ_WITHOUT_QUERY')
    return /^[^?]+(\?[^?]+)?$/.test(argument ?? '');
  if (name === 'DYNAMIC_METADATA') return (argument ?? '').split(':').every((key) => key !== '');
  if (name === 'FILTER_STATE') return PEER_STATE.test(argument ?? '');
  return PLAIN.has(name) && argument === undefined;
}

/** The fields of a format of JSON lines; undefined where it is no JSON object. */
export function jsonFields(format: string): { readonly [field: string]: Json } | undefined {
  try {
    const value: unknown = JSON.parse(format);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as { readonly [field: string]: Json }) : undefined;
  } catch {
    return undefined;
  }
}
