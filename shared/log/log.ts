/** The log of a process: one line for each event, with time and level, as text or as JSON with Istio's names. */
import { escapeJson, escapeText } from './escape.ts';

/** The most important first. */
export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ['text', 'json'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** @param level default: warn. Fields that are undefined are left out. */
export type Log = (message: string, level?: LogLevel, fields?: LogFields) => void;

export interface LogSettings {
  readonly format: LogFormat;
  /** Less important lines are not written. */
  readonly level: LogLevel;
}

export const DEFAULT_LOG: LogSettings = { format: 'text', level: 'info' };

export interface LogOptions extends LogSettings {
  /** The program, as `tulle control`. */
  readonly scope: string;
  /** Takes one line without its end. */
  readonly write: (line: string) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/**
 * Text is `2026-01-31T12:00:00.000Z info tulle: message name=value`, JSON
 * `{"level","time","scope","msg",…fields}` (istio.io/latest/docs/ops/diagnostic-tools/component-logging). Whatever a message or
 * a field holds, it stays one line and moves no cursor.
 */
export function lineLog({ scope, format, level, write, now }: LogOptions): Log {
  const most = LOG_LEVELS.indexOf(level);
  const line = format === 'json' ? jsonLine : textLine;
  return (message, at = 'warn', fields = {}) => {
    if (LOG_LEVELS.indexOf(at) <= most) write(line(new Date(now()).toISOString(), at, scope, message, fields));
  };
}

function textLine(time: string, level: LogLevel, scope: string, message: string, fields: LogFields): string {
  let line = `${time} ${level} ${scope}: ${escapeText(message)}`;
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) line += ` ${name}=${textValue(value)}`;
  return line;
}

/** Quoted where a reader could not tell where the value ends. */
function textValue(value: string | number | boolean): string {
  const text = String(value);
  return /^[^\s"=]+$/.test(text) ? escapeText(text) : escapeJson(JSON.stringify(text));
}

function jsonLine(time: string, level: LogLevel, scope: string, msg: string, fields: LogFields): string {
  return escapeJson(JSON.stringify({ ...fields, level, time, scope, msg }));
}

/** The settings of flags. @throws Error naming the flag and what it may be */
export function logSettings(format: string, level: string): LogSettings {
  return { format: oneOf('--log-format', format, LOG_FORMATS), level: oneOf('--log-level', level, LOG_LEVELS) };
}

function oneOf<T extends string>(flag: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found !== undefined) return found;
  throw new Error(`${flag} ${escapeText(value)}: must be one of ${allowed.join(', ')}`);
}
