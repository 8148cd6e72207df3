/** Envoy's command operators (envoyproxy.io, "Access logging"), compiled: of access logs, local replies and headers. */
import { textOfWire } from '../../shared/match/wire.ts';
import type { Clock } from '../runtime/runtime.ts';
import type { LogEntry } from './log-entry.ts';
import { LONG_FLAGS } from './response-flags.ts';
import { compileTimeFormat } from './time-format.ts';

/** What an operator gives: a number stays one in JSON, undefined is `null` there and `-` in text. */
export type Field = (request: LogEntry, nowMs: number) => string | number | undefined;

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
  return (request, nowMs) => {
    const value = field(request, nowMs);
    return typeof value === 'string' && value.length > length ? value.slice(0, length) : value;
  };
}

const some = (value: string | undefined): string | undefined => (value === '' ? undefined : value);
const nothing: Field = () => undefined;

const FIELDS: Readonly<Record<string, Field>> = {
  PROTOCOL: (r) => some(r.protocol),
  RESPONSE_CODE: (r) => r.responseCode,
  LOCAL_REPLY_BODY: (r) => r.localReplyBody ?? '',
  RESPONSE_CODE_DETAILS: (r) => some(r.details),
  // Envoy says of no flags that there are none, in JSON too.
  RESPONSE_FLAGS: (r) => (r.flags.length === 0 ? '-' : r.flags.join(',')),
  RESPONSE_FLAGS_LONG: (r) => (r.flags.length === 0 ? '-' : r.flags.map((flag) => LONG_FLAGS[flag]).join(',')),
  // Said of connections only; of requests they are empty, as in Envoy when there is nothing to say.
  CONNECTION_TERMINATION_DETAILS: (r) => some(r.terminationDetails),
  UPSTREAM_TRANSPORT_FAILURE_REASON: (r) => some(r.upstreamFailure),
  UPSTREAM_LOCAL_ADDRESS: (r) => r.upstream && hostPort(r.upstream.localAddress, r.upstream.localPort),
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (r) => r.upstream?.localAddress,
  UPSTREAM_LOCAL_PORT: (r) => r.upstream?.localPort,
  BYTES_RECEIVED: (r) => r.bytesReceived,
  BYTES_SENT: (r) => r.bytesSent,
  DURATION: (r, nowMs) => Math.round(nowMs - r.startMs),
  UPSTREAM_HOST: (r) => r.upstreamHost,
  UPSTREAM_CLUSTER: (r) => r.cluster?.name,
  UPSTREAM_CLUSTER_RAW: (r) => r.cluster?.name,
  UPSTREAM_REMOTE_ADDRESS: (r) => r.upstream && hostPort(r.upstream.remoteAddress, r.upstream.remotePort),
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (r) => r.upstream?.remoteAddress,
  UPSTREAM_REMOTE_PORT: (r) => r.upstream?.remotePort,
  UPSTREAM_REQUEST_ATTEMPT_COUNT: (r) => r.attempts,
  DOWNSTREAM_LOCAL_ADDRESS: (r) => hostPort(r.downstream.localAddress, r.downstream.localPort),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (r) => r.downstream.localAddress,
  DOWNSTREAM_LOCAL_PORT: (r) => r.downstream.localPort,
  DOWNSTREAM_REMOTE_ADDRESS: (r) =>
    r.remoteIp === r.downstream.remoteAddress ? hostPort(r.remoteIp, r.downstream.remotePort) : hostPort(r.remoteIp, 0),
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (r) => r.remoteIp,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: (r) => hostPort(r.downstream.remoteAddress, r.downstream.remotePort),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: (r) => r.downstream.remoteAddress,
  DOWNSTREAM_REMOTE_PORT: (r) => (r.remoteIp === r.downstream.remoteAddress ? r.downstream.remotePort : 0),
  DOWNSTREAM_DIRECT_REMOTE_PORT: (r) => r.downstream.remotePort,
  DOWNSTREAM_LOCAL_URI_SAN: (r) => some(r.downstream.localUris?.join(',')),
  DOWNSTREAM_PEER_FINGERPRINT_256: (r) => some(r.downstream.peerHash),
  REQUESTED_SERVER_NAME: (r) => some(r.downstream.serverName),
  ROUTE_NAME: (r) => some(r.route?.name),
  VIRTUAL_CLUSTER_NAME: nothing,
  VIRTUAL_HOST_NAME: (r) => some(r.route?.virtualHost),
  DOWNSTREAM_PEER_URI_SAN: (r) => r.tokenPrincipal ?? some(r.downstream.peerUris.join(',')),
  DOWNSTREAM_PEER_DNS_SAN: (r) => some(r.downstream.peerDns.join(',')),
  DOWNSTREAM_PEER_SUBJECT: (r) => some(r.downstream.peerSubject),
};

/** @throws Error naming an operator, or an argument, that is not understood */
export function compileOperator(name: string, argument: string | undefined, wallClock: WallClock): Field {
  if (name === 'START_TIME') {
    if (!argument) return (request) => new Date(wallClock(request.startMs)).toISOString();
    const format = compileTimeFormat(argument);
    return (request) => format(wallClock(request.startMs));
  }
  if (name === 'REQ') return headerField(name, argument, requestHeader);
  if (name === 'RESP') return headerField(name, argument, responseHeader);
  if (name === 'DYNAMIC_METADATA') return metadataField(argument);
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
  return second ? (request, nowMs) => first!(request, nowMs) ?? second(request, nowMs) : first!;
}

function responseHeader(name: string): Field {
  const key = name.toLowerCase();
  if (key === ':status') return (r) => (r.responseStatus ? String(r.responseStatus) : undefined);
  return (r) => r.responseHeaders?.get(key);
}

/** `%DYNAMIC_METADATA(filter:key:...)%`: text as it is, anything else as JSON. */
function metadataField(argument: string | undefined): Field {
  const keys = (argument ?? '').split(':');
  if (keys.some((key) => key === '')) throw new Error(`operator %DYNAMIC_METADATA(${argument ?? ''})%`);
  return ({ metadata }) => {
    let value: unknown = metadata;
    for (const key of keys) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
      value = (value as Record<string, unknown>)[key];
    }
    return typeof value === 'string' || typeof value === 'number' ? value : JSON.stringify(value);
  };
}

function requestHeader(name: string): Field {
  const key = name.toLowerCase();
  if (key === ':method') return (r) => some(r.method);
  if (key === ':path') return (r) => some(r.path);
  if (key === ':authority' || key === 'host') return (r) => some(r.authority);
  if (key === ':scheme') return (r) => some(r.scheme);
  // Envoy sets this header when it rewrites a path; here the context itself remembers.
  if (key === 'x-envoy-original-path') return (r) => r.headers.get(key) ?? some(r.originalPath);
  return (r) => r.headers.get(key);
}

/** A head's bytes are read as UTF-8, as Envoy's log has them; bytes that are none stay one character each. */
function readable(field: Field): Field {
  return (request, nowMs) => {
    const value = field(request, nowMs);
    return typeof value === 'string' ? (textOfWire(value) ?? value) : value;
  };
}

const hostPort = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
