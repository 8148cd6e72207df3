/** Envoy's command operators (envoyproxy.io, "Access logging"), compiled: of access logs, local replies and headers. */
import { textOfWire } from '../../shared/match/wire.ts';
import { PEER_STATE } from '../../shared/xds/access-log-format.ts';
import { attributeMaps, attributes, hostPort, PEER_FIELDS, type PeerField } from '../attributes/attributes.ts';
import type { TrafficRecord } from '../attributes/record.ts';
import { LONG_FLAGS } from '../attributes/response-flags.ts';
import { compileCel } from '../cel/compile.ts';
import { labelText } from '../cel/values.ts';
import { camelGrpcStatus, upperGrpcStatus } from '../http/grpc/status.ts';
import type { Clock } from '../runtime/runtime.ts';
import { compileTimeFormat } from './time-format.ts';

/** What an operator gives: a number stays one in JSON, undefined is `null` there and `-` in text. */
export type Field = (record: TrafficRecord, nowMs: number) => string | number | undefined;

/** Epoch milliseconds of a time on the monotonic clock requests use. */
export type WallClock = (monotonicMs: number) => number;

export function wallClockOf(clock: Clock): WallClock {
  return (monotonicMs) => clock.now() - clock.monotonicMs() + monotonicMs;
}

/** Longest value taken from a client: a log line must not be as large as a request. */
const MAX_VALUE = 2048;

/** Literals and operators in order. `%%` is a percent sign. @throws Error naming an unknown operator */
export function parseFormat(format: string, wallClock: WallClock): (string | Field)[] {
  const parts: (string | Field)[] = [];
  const operator = /%(?:%|([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d{1,5}))?%)/g;
  let at = 0;
  for (const match of format.matchAll(operator)) {
    literal(format.slice(at, match.index));
    if (match[1] === undefined) parts.push('%');
    else parts.push(limited(compileOperator(match[1], match[2], wallClock), match[3]));
    at = match.index + match[0].length;
  }
  literal(format.slice(at));
  return parts;

  function literal(text: string): void {
    if (text.includes('%')) throw new Error(`format: cannot read "${text.slice(text.indexOf('%'), 60)}"`);
    if (text !== '') parts.push(text);
  }
}

function limited(field: Field, limit: string | undefined): Field {
  const length = Math.min(limit === undefined ? MAX_VALUE : Number(limit), MAX_VALUE);
  return (record, nowMs) => {
    const value = field(record, nowMs);
    return typeof value === 'string' && value.length > length ? value.slice(0, length) : value;
  };
}

const some = (value: string | undefined): string | undefined => (value === '' ? undefined : value);
const nothing: Field = () => undefined;

const FIELDS: Readonly<Record<string, Field>> = {
  PROTOCOL: attributes['request.protocol'],
  RESPONSE_CODE: (r) => attributes['response.code'](r) ?? 0,
  LOCAL_REPLY_BODY: (r) => (r.kind === 'request' ? r.localReplyBody : undefined) ?? '',
  RESPONSE_CODE_DETAILS: attributes['response.code_details'],
  // Without flags Envoy writes "-", in JSON too.
  RESPONSE_FLAGS: (r) => (r.flags.length === 0 ? '-' : r.flags.join(',')),
  RESPONSE_FLAGS_LONG: (r) => (r.flags.length === 0 ? '-' : r.flags.map((flag) => LONG_FLAGS[flag]).join(',')),
  CONNECTION_TERMINATION_DETAILS: attributes['connection.termination_details'],
  UPSTREAM_TRANSPORT_FAILURE_REASON: attributes['upstream.transport_failure_reason'],
  UPSTREAM_LOCAL_ADDRESS: attributes['upstream.local_address'],
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (r) => r.upstream?.localAddress,
  UPSTREAM_LOCAL_PORT: (r) => r.upstream?.localPort,
  BYTES_RECEIVED: (r) => r.bytesReceived,
  BYTES_SENT: (r) => r.bytesSent,
  DURATION: (r, nowMs) => Math.round(nowMs - r.startMs),
  UPSTREAM_HOST: attributes['upstream.address'],
  UPSTREAM_CLUSTER: attributes['xds.cluster_name'],
  UPSTREAM_CLUSTER_RAW: attributes['xds.cluster_name'],
  UPSTREAM_REMOTE_ADDRESS: (r) => r.upstream && hostPort(r.upstream.remoteAddress, r.upstream.remotePort),
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (r) => r.upstream?.remoteAddress,
  UPSTREAM_REMOTE_PORT: attributes['upstream.port'],
  UPSTREAM_REQUEST_ATTEMPT_COUNT: attributes['upstream.request_attempt_count'],
  DOWNSTREAM_LOCAL_ADDRESS: attributes['destination.address'],
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: attributes['destination.ip'],
  DOWNSTREAM_LOCAL_PORT: attributes['destination.port'],
  DOWNSTREAM_REMOTE_ADDRESS: attributes['source.address'],
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: attributes['remote.ip'],
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: (r) => hostPort(r.downstream.remoteAddress, r.downstream.remotePort),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: attributes['source.ip'],
  DOWNSTREAM_REMOTE_PORT: attributes['source.port'],
  DOWNSTREAM_DIRECT_REMOTE_PORT: (r) => r.downstream.remotePort,
  GRPC_STATUS_NUMBER: attributes['response.grpc_status'],
  DOWNSTREAM_LOCAL_URI_SAN: (r) => some(r.downstream.localUris?.join(',')),
  DOWNSTREAM_PEER_FINGERPRINT_256: attributes['connection.sha256_peer_certificate_digest'],
  REQUESTED_SERVER_NAME: attributes['connection.requested_server_name'],
  ROUTE_NAME: attributes['xds.route_name'],
  SPAN_ID: (r) => (r.kind === 'request' ? some(r.spanId) : undefined),
  TRACE_ID: (r) => (r.kind === 'request' ? some(r.traceId) : undefined),
  VIRTUAL_CLUSTER_NAME: nothing,
  VIRTUAL_HOST_NAME: attributes['xds.virtual_host_name'],
  DOWNSTREAM_PEER_URI_SAN: (r) =>
    (r.kind === 'request' ? r.tokenPrincipal : undefined) ?? some(r.downstream.peerUris.join(',')),
  DOWNSTREAM_PEER_DNS_SAN: (r) => some(r.downstream.peerDns.join(',')),
  DOWNSTREAM_PEER_SUBJECT: attributes['connection.subject_peer_certificate'],
};

/** @throws Error naming an operator, or an argument, that is not understood */
export function compileOperator(name: string, argument: string | undefined, wallClock: WallClock): Field {
  if (name === 'START_TIME') {
    if (!argument) return (record) => new Date(wallClock(record.startMs)).toISOString();
    const format = compileTimeFormat(argument);
    return (record) => format(wallClock(record.startMs));
  }
  if (name === 'REQ') return headerField(name, argument, requestHeader);
  if (name === 'REQ_WITHOUT_QUERY') return withoutQuery(headerField(name, argument, requestHeader));
  if (name === 'CEL') {
    const evaluate = compileCel(argument ?? '', wallClock);
    return (record) => labelText(evaluate(record));
  }
  if (name === 'RESP') return headerField(name, argument, responseHeader);
  if (name === 'TRAILER') return headerField(name, argument, responseTrailer);
  if (name === 'GRPC_STATUS') return grpcStatusField(argument);
  if (name === 'DYNAMIC_METADATA') return metadataField(argument);
  if (name === 'FILTER_STATE') return peerField(argument);
  const field = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined;
  if (!field || argument !== undefined)
    throw new Error(`operator %${name}${argument === undefined ? '' : `(${argument})`}% is not supported`);
  return field;
}

/** `%REQ(X?Y)%`: the first header, else the second. */
function headerField(name: string, argument: string | undefined, read: (header: string) => Field): Field {
  const names = (argument ?? '').split('?');
  if (names.length > 2 || names.some((one) => one === ''))
    throw new Error(`operator %${name}(${argument ?? ''})%: needs one header, or two as X?Y`);
  const [first, second] = names.map((one) => readable(read(one)));
  return second ? (record, nowMs) => first!(record, nowMs) ?? second(record, nowMs) : first!;
}

function withoutQuery(field: Field): Field {
  return (record, nowMs) => {
    const value = field(record, nowMs);
    return typeof value === 'string' ? value.split('?', 1)[0] : value;
  };
}

function responseHeader(name: string): Field {
  const key = name.toLowerCase();
  if (key === ':status') {
    return (r) => (r.kind === 'request' && r.responseStatus ? String(r.responseStatus) : undefined);
  }
  return (r) => (r.kind === 'request' ? r.responseHeaders?.get(key) : undefined);
}

function responseTrailer(name: string): Field {
  const key = name.toLowerCase();
  return (r) => (r.kind === 'request' ? r.responseTrailers?.get(key) : undefined);
}

/** `%GRPC_STATUS(SNAKE_STRING)%`; without an argument `CAMEL_STRING`. */
function grpcStatusField(argument: string | undefined): Field {
  const code = attributes['response.grpc_status'];
  if (argument === 'NUMBER') return code;
  if (argument !== undefined && argument !== '' && argument !== 'CAMEL_STRING' && argument !== 'SNAKE_STRING')
    throw new Error(`operator %GRPC_STATUS(${argument})%: must be CAMEL_STRING, SNAKE_STRING or NUMBER`);
  const nameOf = argument === 'SNAKE_STRING' ? upperGrpcStatus : camelGrpcStatus;
  return (record) => {
    const status = code(record);
    return status === undefined ? undefined : nameOf(status);
  };
}

/** `%DYNAMIC_METADATA(filter:key:...)%`: text as it is, anything else as JSON. */
function metadataField(argument: string | undefined): Field {
  const keys = (argument ?? '').split(':');
  if (keys.some((key) => key === '')) throw new Error(`operator %DYNAMIC_METADATA(${argument ?? ''})%`);
  const [filter = '', ...path] = keys;
  const ofFilter = attributeMaps.metadata(filter);
  return (record) => {
    let value: unknown = ofFilter(record);
    for (const key of path) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
      value = (value as Record<string, unknown>)[key];
    }
    return typeof value === 'string' || typeof value === 'number' ? value : JSON.stringify(value);
  };
}

/** `%FILTER_STATE(downstream_peer:FIELD:workload)%` */
function peerField(argument = ''): Field {
  const found = PEER_STATE.exec(argument)?.groups;
  if (!found)
    throw new Error(
      `operator %FILTER_STATE(${argument})%: must be downstream_peer or upstream_peer with :FIELD: and one of ${Object.keys(PEER_FIELDS).join(', ')}`,
    );
  return attributeMaps[found['side'] as 'downstream_peer' | 'upstream_peer'](found['field'] as PeerField);
}

function requestHeader(name: string): Field {
  const key = name.toLowerCase();
  if (key === ':method') return attributes['request.method'];
  if (key === ':path') return attributes['request.path'];
  if (key === ':authority' || key === 'host') return attributes['request.host'];
  if (key === ':scheme') return attributes['request.scheme'];
  return (r) => (r.kind === 'request' ? r.headers.get(key) : undefined);
}

/** A head's bytes are read as UTF-8, as Envoy's log has them; bytes that are none stay one character each. */
function readable(field: Field): Field {
  return (record, nowMs) => {
    const value = field(record, nowMs);
    return typeof value === 'string' ? (textOfWire(value) ?? value) : value;
  };
}
