/**
 * Values of CEL at run time. `undefined` is an error, as a missing attribute or a division by zero: it passes through
 * operators without an exception, for it is common. A text holds one character a byte, as heads have them.
 */
import { textOfWire } from '../../shared/match/wire.ts';

export type CelValue =
  | string
  | bigint
  | number
  | boolean
  | null
  | Uint8Array
  | Uint
  | Duration
  | Timestamp
  | CelType
  | readonly CelValue[]
  | CelMap;

export interface CelMap {
  readonly size: number;
  /** undefined: there is no such key. */
  get(key: CelValue): CelValue | undefined;
}

export class Uint {
  readonly value: bigint;
  constructor(value: bigint) {
    this.value = value;
  }
}

/** In nanoseconds. */
export class Duration {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    this.nanos = nanos;
  }
}

/** In nanoseconds since 1970. */
export class Timestamp {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    this.nanos = nanos;
  }
}

/** What `type()` gives. */
export class CelType {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** A map of keys and values that an expression writes. */
export class WrittenMap implements CelMap {
  private readonly entries: readonly (readonly [CelValue, CelValue])[];
  constructor(entries: readonly (readonly [CelValue, CelValue])[]) {
    this.entries = entries;
  }
  get size(): number {
    return this.entries.length;
  }
  get(key: CelValue): CelValue | undefined {
    return this.entries.find(([own]) => equalValues(own, key))?.[1];
  }
}

/** A JSON object, as dynamic metadata has them. */
export class JsonMap implements CelMap {
  private readonly fields: Readonly<Record<string, unknown>>;
  constructor(fields: Readonly<Record<string, unknown>>) {
    this.fields = fields;
  }
  get size(): number {
    return Object.keys(this.fields).length;
  }
  get(key: CelValue): CelValue | undefined {
    return typeof key === 'string' && Object.hasOwn(this.fields, key) ? ofJson(this.fields[key]) : undefined;
  }
}

/** A number of JSON is a double, as in a Struct. */
function ofJson(value: unknown): CelValue | undefined {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null)
    return value;
  if (Array.isArray(value)) return value.flatMap((item) => ofJson(item) ?? []);
  return typeof value === 'object' ? new JsonMap(value as Record<string, unknown>) : undefined;
}

export function isMap(value: CelValue): value is CelMap {
  return typeof value === 'object' && value !== null && 'get' in value;
}

/** The kind of a value, as `type()` names it. */
export function typeName(value: CelValue): string {
  if (value === null) return 'null_type';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'double';
  if (typeof value === 'boolean') return 'bool';
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof Uint) return 'uint';
  if (value instanceof Duration) return 'google.protobuf.Duration';
  if (value instanceof Timestamp) return 'google.protobuf.Timestamp';
  if (value instanceof CelType) return 'type';
  return Array.isArray(value) ? 'list' : 'map';
}

/** Numbers of every kind are equal where they are the same number; values of other kinds are not equal. */
export function equalValues(a: CelValue, b: CelValue): boolean {
  if (a === b) return true;
  const [x, y] = [numeric(a), numeric(b)];
  // Comparison of a bigint and a number is exact in JavaScript.
  // biome-ignore lint/suspicious/noDoubleEquals: 1n == 1 is meant
  if (x !== undefined || y !== undefined) return x !== undefined && y !== undefined && x == y;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (a instanceof Duration) return b instanceof Duration && a.nanos === b.nanos;
  if (a instanceof Timestamp) return b instanceof Timestamp && a.nanos === b.nanos;
  if (a instanceof CelType) return b instanceof CelType && a.name === b.name;
  if (a instanceof Uint8Array) return b instanceof Uint8Array && compareBytes(a, b) === 0;
  if (!Array.isArray(a) || !Array.isArray(b)) return false;
  return a.length === b.length && a.every((item, i) => equalValues(item, b[i] as CelValue));
}

/** Negative, 0 or positive; undefined: values of these kinds have no order. */
export function compareValues(a: CelValue, b: CelValue): number | undefined {
  const [x, y] = [numeric(a), numeric(b)];
  // NaN, which no order holds for, gives NaN.
  // biome-ignore lint/suspicious/noDoubleEquals: 1n == 1 is meant
  if (x !== undefined && y !== undefined) return x < y ? -1 : x > y ? 1 : x == y ? 0 : Number.NaN;
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0;
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return compareBytes(a, b);
  if ((a instanceof Duration && b instanceof Duration) || (a instanceof Timestamp && b instanceof Timestamp))
    return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
  return undefined;
}

export function numeric(value: CelValue): bigint | number | undefined {
  if (typeof value === 'bigint' || typeof value === 'number') return value;
  return value instanceof Uint ? value.value : undefined;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  for (let i = 0; i < common; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

/** As the value of a label; undefined: a value of this kind is none. */
export function labelText(value: CelValue | undefined): string | undefined {
  if (typeof value === 'string') return textOfWire(value) ?? value;
  if (typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (value instanceof Uint) return String(value.value);
  return undefined;
}
