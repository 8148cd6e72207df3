/**
 * Access logs: Envoy's command operators (envoyproxy.io, "Access logging") compiled once into functions, as JSON or
 * text. An operator Tulle does not know is refused by name.
 */
import { escapeJson } from '../../shared/log/escape.ts';
import type { AccessLog as AccessLogConfig } from '../../shared/xds/http-connection-manager.ts';
import type { TrafficRecord } from '../attributes/record.ts';
import { type Field, parseFormat, type WallClock } from './format-operators.ts';
import { compileLogFilter, type LogFilter } from './log-filter.ts';

/** Writes one line per request or connection; `nowMs` on the clock of `startMs`. */
export type AccessLogger = (record: TrafficRecord, nowMs: number) => void;

export interface LogSinks {
  readonly out: (line: string) => void;
  readonly error: (line: string) => void;
  readonly wallClock: WallClock;
}

/** @throws Error naming the operator or field that is not understood */
export function compileAccessLog(configs: readonly AccessLogConfig[], sinks: LogSinks): AccessLogger | undefined {
  if (configs.length === 0) return undefined;
  const loggers = configs.map((config) => {
    const log = named(config.name, () => compileOne(config, sinks));
    const filter =
      config.filter && compileLogFilter(config.filter, `access log "${config.name}": filter`, sinks.wallClock);
    return filter ? whereFiltered(log, filter) : log;
  });
  if (loggers.length === 1) return loggers[0];
  return (record, nowMs) => {
    for (const log of loggers) log(record, nowMs);
  };
}

/** Errors name the access log by this name. */
function named<T>(name: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    const { message } = error as Error;
    throw new Error(message.startsWith('access log') ? message : `access log "${name}": ${message}`);
  }
}

function whereFiltered(log: AccessLogger, filter: LogFilter): AccessLogger {
  return (record, nowMs) => {
    if (filter(record, nowMs)) log(record, nowMs);
  };
}

function compileOne({ name, typedConfig }: AccessLogConfig, sinks: LogSinks): AccessLogger {
  const write = sink(name, typedConfig, sinks);
  const format = typedConfig.logFormat;
  if (format?.jsonFormat) {
    const line = compileJson(format.jsonFormat, format.omitEmptyValues === true, sinks.wallClock);
    return (record, nowMs) => write(line(record, nowMs));
  }
  const text = format?.textFormat ?? format?.textFormatSource?.inlineString;
  if (text === undefined && format?.textFormatSource)
    throw new Error(`access log "${name}": textFormatSource: only inlineString is supported`);
  const line = compileText(text ?? ENVOY_TEXT_FORMAT, sinks.wallClock, format?.omitEmptyValues === true);
  return (record, nowMs) => write(line(record, nowMs).replace(/\n$/, ''));
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
const ENVOY_TEXT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

type Line = (record: TrafficRecord, nowMs: number) => string;

/** A JSON format: nested objects, lists and literals as they are, strings with operators filled in. */
export function compileJson(format: unknown, omitEmpty: boolean, wallClock: WallClock): Line {
  const value = compileValue(format, omitEmpty, wallClock);
  return (record, nowMs) => escapeJson(JSON.stringify(value(record, nowMs) ?? {}));
}

type Value = (record: TrafficRecord, nowMs: number) => unknown;

function compileValue(format: unknown, omitEmpty: boolean, wallClock: WallClock): Value {
  if (typeof format === 'string') {
    const parts = parseFormat(format, wallClock);
    const [only] = parts;
    if (parts.length === 1 && typeof only === 'function')
      return (record, nowMs) => only(record, nowMs) ?? (omitEmpty ? undefined : null);
    const text = join(parts, omitEmpty);
    return (record, nowMs) => text(record, nowMs);
  }
  if (Array.isArray(format)) {
    const items = format.map((item) => compileValue(item, omitEmpty, wallClock));
    // What is left out of an object is left out of a list, too.
    return (record, nowMs) => items.map((item) => item(record, nowMs)).filter((item) => item !== undefined);
  }
  if (typeof format !== 'object' || format === null) return () => format;
  const fields = Object.entries(format).map(
    ([name, field]) => [name, compileValue(field, omitEmpty, wallClock)] as const,
  );
  return (record, nowMs) => {
    const out: Record<string, unknown> = {};
    let empty = true;
    for (const [name, field] of fields) {
      const value = field(record, nowMs);
      if (value === undefined) continue;
      out[name] = value;
      empty = false;
    }
    return empty && omitEmpty ? undefined : out;
  };
}

export function compileText(format: string, wallClock: WallClock, omitEmpty = false): Line {
  return join(parseFormat(format, wallClock), omitEmpty);
}

function join(parts: readonly (string | Field)[], omitEmpty: boolean): Line {
  const empty = omitEmpty ? '' : '-';
  return (record, nowMs) => {
    let out = '';
    for (const part of parts) out += typeof part === 'string' ? part : oneLine(part(record, nowMs) ?? empty);
    return out;
  };
}

/** A client's value must not start a line of its own. */
const oneLine = (value: string | number): string | number =>
  typeof value === 'string' && CONTROL.test(value) ? value.replace(ALL_CONTROL, '?') : value;
/** C0, DEL and C1, which UTF-8 can carry: terminals act on them. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const ALL_CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;
