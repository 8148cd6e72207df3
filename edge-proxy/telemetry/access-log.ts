/**
 * Access logs: Envoy's command operators (envoyproxy.io, "Access logging") compiled once into functions, as JSON or
 * text, and Istio's default JSON format. An operator Tulle does not know is refused by name.
 */
import { textOfWire } from '../../shared/match/wire.ts';
import type { AccessLog as AccessLogConfig } from '../../shared/xds/http-connection-manager.ts';
import type { LogEntry } from './log-entry.ts';
import { compileLogFilter, type LogFilter } from './log-filter.ts';
import { LONG_FLAGS } from './response-flags.ts';

/** What an operator gives: a number stays one in JSON, undefined is `null` there and `-` in text. */
type Field = (request: LogEntry, nowMs: number) => string | number | undefined;

/** Writes one line per finished request or connection; `nowMs` on the clock of `request.startMs`. */
export type AccessLogger = (request: LogEntry, nowMs: number) => void;

export interface LogSinks {
  readonly out: (line: string) => void;
  readonly error: (line: string) => void;
  /** Epoch milliseconds of a time on the monotonic clock requests use. */
  readonly wallClock: (monotonicMs: number) => number;
}

/** Longest value taken from a client: a log line must not be as large as a request. */
const MAX_VALUE = 2048;

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
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  route_name: '%ROUTE_NAME%',
  downstream_peer: '%DOWNSTREAM_PEER_URI_SAN%',
};

/** @throws Error naming the operator or field that is not understood */
export function compileAccessLog(configs: readonly AccessLogConfig[], sinks: LogSinks): AccessLogger | undefined {
  if (configs.length === 0) return undefined;
  const loggers = configs.map((config) => {
    const log = compileOne(config, sinks);
    const filter = config.filter && compileLogFilter(config.filter, `access log "${config.name}": filter`);
    return filter ? whereFiltered(log, filter) : log;
  });
  if (loggers.length === 1) return loggers[0];
  return (request, nowMs) => {
    for (const log of loggers) log(request, nowMs);
  };
}

function whereFiltered(log: AccessLogger, filter: LogFilter): AccessLogger {
  return (request, nowMs) => {
    if (filter(request, nowMs)) log(request, nowMs);
  };
}

/** Istio's JSON log to standard output. */
export function istioAccessLog(sinks: LogSinks): AccessLogger {
  const line = compileJson(ISTIO_JSON_FORMAT, false, sinks.wallClock);
  return (request, nowMs) => sinks.out(line(request, nowMs));
}

function compileOne({ name, typedConfig }: AccessLogConfig, sinks: LogSinks): AccessLogger {
  const write = sink(name, typedConfig, sinks);
  const format = typedConfig.logFormat;
  if (format?.jsonFormat) {
    const line = compileJson(format.jsonFormat, format.omitEmptyValues === true, sinks.wallClock);
    return (request, nowMs) => write(line(request, nowMs));
  }
  const text = format?.textFormat ?? format?.textFormatSource?.inlineString;
  if (text === undefined && format?.textFormatSource)
    throw new Error(`access log "${name}": textFormatSource: only inlineString is supported`);
  const line = compileText(text ?? ENVOY_TEXT_FORMAT, sinks.wallClock, format?.omitEmptyValues === true);
  return (request, nowMs) => write(line(request, nowMs).replace(/\n$/, ''));
}

function sink(name: string, config: AccessLogConfig['typedConfig'], sinks: LogSinks): (line: string) => void {
  if (config['@type'].endsWith('.StdoutAccessLog')) return sinks.out;
  if (config['@type'].endsWith('.StderrAccessLog')) return sinks.error;
  const { path } = config as { path?: string };
  if (path === '/dev/stdout') return sinks.out;
  if (path === '/dev/stderr') return sinks.error;
  throw new Error(`access log "${name}": path "${path}": must be /dev/stdout or /dev/stderr`);
}

/** Envoy's default format. */
export const ENVOY_TEXT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

type Line = (request: LogEntry, nowMs: number) => string;

/** A JSON format: nested objects, lists and literals as they are, strings with operators filled in. */
export function compileJson(format: unknown, omitEmpty: boolean, wallClock: LogSinks['wallClock']): Line {
  const value = compileValue(format, omitEmpty, wallClock);
  return (request, nowMs) => JSON.stringify(value(request, nowMs));
}

type Value = (request: LogEntry, nowMs: number) => unknown;

function compileValue(format: unknown, omitEmpty: boolean, wallClock: LogSinks['wallClock']): Value {
  if (typeof format === 'string') {
    const parts = parse(format, wallClock);
    const [only] = parts;
    if (parts.length === 1 && typeof only === 'function')
      return (request, nowMs) => only(request, nowMs) ?? (omitEmpty ? undefined : null);
    const text = join(parts, omitEmpty);
    return (request, nowMs) => text(request, nowMs);
  }
  if (Array.isArray(format)) {
    const items = format.map((item) => compileValue(item, omitEmpty, wallClock));
    return (request, nowMs) => items.map((item) => item(request, nowMs));
  }
  if (typeof format !== 'object' || format === null) return () => format;
  const fields = Object.entries(format).map(
    ([name, field]) => [name, compileValue(field, omitEmpty, wallClock)] as const,
  );
  return (request, nowMs) => {
    const out: Record<string, unknown> = {};
    for (const [name, field] of fields) out[name] = field(request, nowMs);
    return out;
  };
}

export function compileText(format: string, wallClock: LogSinks['wallClock'], omitEmpty = false): Line {
  return join(parse(format, wallClock), omitEmpty);
}

function join(parts: readonly (string | Field)[], omitEmpty: boolean): Line {
  const empty = omitEmpty ? '' : '-';
  return (request, nowMs) => {
    let out = '';
    for (const part of parts) out += typeof part === 'string' ? part : oneLine(part(request, nowMs) ?? empty);
    return out;
  };
}

/** A client's value must not start a line of its own. */
const oneLine = (value: string | number): string | number =>
  typeof value === 'string' && CONTROL.test(value) ? value.replace(ALL_CONTROL, '?') : value;
const CONTROL = /[\u0000-\u001f\u007f]/;
const ALL_CONTROL = /[\u0000-\u001f\u007f]/g;

/** Literals and operators in order. `%%` is a percent sign. @throws Error naming an unknown operator */
function parse(format: string, wallClock: LogSinks['wallClock']): (string | Field)[] {
  const parts: (string | Field)[] = [];
  const operator = /%(?:%|([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d+))?%)/g;
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
    if (text.includes('%')) throw new Error(`access log format: cannot read "${text.slice(text.indexOf('%'), 60)}"`);
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
  LOCAL_REPLY_BODY: (r) => some(r.localReplyBody ?? ''),
  RESPONSE_CODE_DETAILS: (r) => some(r.details),
  RESPONSE_FLAGS: (r) => (r.flags.length === 0 ? undefined : r.flags.join(',')),
  RESPONSE_FLAGS_LONG: (r) => (r.flags.length === 0 ? undefined : r.flags.map((flag) => LONG_FLAGS[flag]).join(',')),
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
  REQUESTED_SERVER_NAME: (r) => some(r.downstream.serverName),
  ROUTE_NAME: (r) => some(r.route?.name),
  VIRTUAL_HOST_NAME: (r) => some(r.route?.virtualHost),
  DOWNSTREAM_PEER_URI_SAN: (r) => r.tokenPrincipal ?? some(r.downstream.peerUris.join(',')),
  DOWNSTREAM_PEER_DNS_SAN: (r) => some(r.downstream.peerDns.join(',')),
  DOWNSTREAM_PEER_SUBJECT: (r) => some(r.downstream.peerSubject),
};

function compileOperator(name: string, argument: string | undefined, wallClock: LogSinks['wallClock']): Field {
  if (name === 'START_TIME') {
    if (argument) throw new Error('access log operator %START_TIME%: a format is not supported');
    return (request) => new Date(wallClock(request.startMs)).toISOString();
  }
  if (name === 'REQ') return requestField(argument);
  // Response headers are not kept until the log is written; Envoy too gives nothing for an absent header.
  if (name === 'RESP' && argument?.toLowerCase() === 'x-envoy-upstream-service-time') return nothing;
  const field = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined;
  if (!field || argument !== undefined)
    throw new Error(`access log operator %${name}${argument === undefined ? '' : `(${argument})`}% is not supported`);
  return field;
}

/** `%REQ(X?Y)%`: the first header, else the second. */
function requestField(argument: string | undefined): Field {
  const names = (argument ?? '').split('?');
  if (names.length > 2 || names.some((name) => name === '')) throw new Error(`access log operator %REQ(${argument})%`);
  const [first, second] = names.map((name) => readable(requestHeader(name)));
  return second ? (request, nowMs) => first!(request, nowMs) ?? second(request, nowMs) : first!;
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
