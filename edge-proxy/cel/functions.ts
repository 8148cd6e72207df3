/** Functions of CEL (cel-spec, langdef.md, "List of Standard Definitions") that Envoy has; undefined is an error. */
import type { CelFunction } from '../../shared/cel/expression.ts';
import { toInt, toUint } from './operators.ts';
import { CelType, type CelValue, Duration, isMap, Timestamp, typeName, Uint } from './values.ts';

type Unary = (value: CelValue) => CelValue | undefined;
type Binary = (a: CelValue, b: CelValue) => CelValue | undefined;

const MS = 1_000_000n;
const UNITS: Readonly<Record<string, bigint>> = {
  h: 3_600_000n * MS,
  m: 60_000n * MS,
  s: 1000n * MS,
  ms: MS,
  us: 1000n,
  ns: 1n,
};

/** Characters of a text that is kept as its UTF-8 bytes. */
function characters(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xc0) !== 0x80) count++;
  return count;
}

function size(value: CelValue): bigint | undefined {
  if (typeof value === 'string') return BigInt(characters(value));
  if (value instanceof Uint8Array || Array.isArray(value)) return BigInt(value.length);
  return isMap(value) ? BigInt(value.size) : undefined;
}

function int(value: CelValue): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (value instanceof Uint) return toInt(value.value);
  if (typeof value === 'number') return Math.abs(value) < 2 ** 63 ? BigInt(Math.trunc(value)) : undefined;
  if (typeof value === 'string') return /^-?\d{1,20}$/.test(value) ? toInt(BigInt(value)) : undefined;
  return value instanceof Timestamp ? value.nanos / (1000n * MS) : undefined;
}

function uint(value: CelValue): Uint | undefined {
  if (value instanceof Uint) return value;
  if (typeof value === 'string') return /^\d{1,20}$/.test(value) ? toUint(BigInt(value)) : undefined;
  if (typeof value === 'number') return value > -1 && value < 2 ** 64 ? toUint(BigInt(Math.trunc(value))) : undefined;
  return typeof value === 'bigint' ? toUint(value) : undefined;
}

const DOUBLE = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;

function double(value: CelValue): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Uint) return Number(value.value);
  return typeof value === 'string' && DOUBLE.test(value) ? Number(value) : undefined;
}

const BOOLS: ReadonlyMap<string, boolean> = new Map([
  ...['1', 't', 'true', 'TRUE', 'True'].map((text) => [text, true] as const),
  ...['0', 'f', 'false', 'FALSE', 'False'].map((text) => [text, false] as const),
]);

function bool(value: CelValue): boolean | undefined {
  if (typeof value === 'boolean') return value;
  return typeof value === 'string' ? BOOLS.get(value) : undefined;
}

function bytes(value: CelValue): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  return typeof value === 'string' ? Uint8Array.from(value, (character) => character.charCodeAt(0)) : undefined;
}

function string(value: CelValue): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (value instanceof Uint) return String(value.value);
  if (value instanceof Uint8Array) return Array.from(value, (byte) => String.fromCharCode(byte)).join('');
  return undefined;
}

/** `1h30m`, `1.5s`, `-10ms`. */
function duration(value: CelValue): Duration | undefined {
  if (value instanceof Duration) return value;
  if (typeof value !== 'string' || !/^[+-]?(?:\d{1,12}(?:\.\d{1,9})?(?:h|ms|us|ns|m|s)){1,6}$/.test(value))
    return undefined;
  let nanos = 0n;
  for (const [, whole, fraction = '', unit] of value.matchAll(/(\d+)(?:\.(\d+))?(h|ms|us|ns|m|s)/g))
    nanos += (BigInt(whole! + fraction) * UNITS[unit!]!) / 10n ** BigInt(fraction.length);
  return new Duration(value.startsWith('-') ? -nanos : nanos);
}

const RFC3339 = /^(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/;

function timestamp(value: CelValue): Timestamp | undefined {
  if (value instanceof Timestamp) return value;
  if (typeof value === 'bigint') return new Timestamp(value * 1000n * MS);
  const found = typeof value === 'string' ? RFC3339.exec(value) : null;
  if (!found) return undefined;
  const [, seconds, fraction = '', zone] = found;
  const ms = Date.parse(`${seconds}${zone}`.toUpperCase());
  return Number.isNaN(ms) ? undefined : new Timestamp(BigInt(ms) * MS + BigInt(fraction.padEnd(9, '0')));
}

/** A part of a time, in UTC. */
const ofTime =
  (part: (date: Date) => number): Unary =>
  (value) =>
    value instanceof Timestamp ? BigInt(part(new Date(Number(value.nanos / MS)))) : undefined;

/** A part of a time, or all of a duration in units of `nanos`. */
const ofBoth = (part: (date: Date) => number, nanos: bigint): Unary => {
  const inTime = ofTime(part);
  return (value) => (value instanceof Duration ? value.nanos / nanos : inTime(value));
};

function dayOfYear(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000);
}

const strings =
  (holds: (a: string, b: string) => boolean): Binary =>
  (a, b) =>
    typeof a === 'string' && typeof b === 'string' ? holds(a, b) : undefined;

/** `matches` is compiled with its pattern. */
export const UNARY: Readonly<Partial<Record<CelFunction, Unary>>> = {
  size,
  int,
  uint,
  double,
  bool,
  bytes,
  string,
  duration,
  timestamp,
  dyn: (value) => value,
  type: (value) => new CelType(typeName(value)),
  getFullYear: ofTime((date) => date.getUTCFullYear()),
  getMonth: ofTime((date) => date.getUTCMonth()),
  getDate: ofTime((date) => date.getUTCDate()),
  getDayOfMonth: ofTime((date) => date.getUTCDate() - 1),
  getDayOfWeek: ofTime((date) => date.getUTCDay()),
  getDayOfYear: ofTime(dayOfYear),
  getHours: ofBoth((date) => date.getUTCHours(), 3_600_000n * MS),
  getMinutes: ofBoth((date) => date.getUTCMinutes(), 60_000n * MS),
  getSeconds: ofBoth((date) => date.getUTCSeconds(), 1000n * MS),
  // Of a duration, what is beyond whole seconds.
  getMilliseconds: (value) =>
    value instanceof Duration ? (value.nanos / MS) % 1000n : ofTime((date) => date.getUTCMilliseconds())(value),
};

export const TEXTS: Readonly<Partial<Record<CelFunction, Binary>>> = {
  startsWith: strings((a, b) => a.startsWith(b)),
  endsWith: strings((a, b) => a.endsWith(b)),
  contains: strings((a, b) => a.includes(b)),
};
