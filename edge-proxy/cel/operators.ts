/** Operators of CEL on values (cel-spec, langdef.md, "Functions" of operators); undefined is an error. */
import type { CelBinary } from '../../shared/cel/expression.ts';
import { type CelValue, compareValues, Duration, equalValues, isMap, Timestamp, Uint } from './values.ts';

type Operation = (a: CelValue, b: CelValue) => CelValue | undefined;

const MAX_INT = 2n ** 63n - 1n;
const MIN_INT = -(2n ** 63n);
const MAX_UINT = 2n ** 64n - 1n;

/** undefined: beyond 64 bits. */
export const toInt = (value: bigint): bigint | undefined => (value < MIN_INT || value > MAX_INT ? undefined : value);
export const toUint = (value: bigint): Uint | undefined =>
  value < 0n || value > MAX_UINT ? undefined : new Uint(value);

interface Arithmetic {
  readonly ints: (a: bigint, b: bigint) => bigint | undefined;
  readonly doubles?: (a: number, b: number) => number;
  /** Of times and durations, in nanoseconds. */
  readonly times?: Operation;
}

/** Both sides must be of one kind. As in Envoy, + does not join texts or lists. */
function arithmetic({ ints, doubles, times }: Arithmetic): Operation {
  return (a, b) => {
    if (typeof a === 'bigint' && typeof b === 'bigint') {
      const made = ints(a, b);
      return made === undefined ? undefined : toInt(made);
    }
    if (typeof a === 'number' && typeof b === 'number') return doubles?.(a, b);
    if (a instanceof Uint && b instanceof Uint) {
      const made = ints(a.value, b.value);
      return made === undefined ? undefined : toUint(made);
    }
    return times?.(a, b);
  };
}

const plusTimes: Operation = (a, b) => {
  if (a instanceof Duration && b instanceof Duration) return new Duration(a.nanos + b.nanos);
  if (a instanceof Timestamp && b instanceof Duration) return new Timestamp(a.nanos + b.nanos);
  if (a instanceof Duration && b instanceof Timestamp) return new Timestamp(a.nanos + b.nanos);
  return undefined;
};

const minusTimes: Operation = (a, b) => {
  if (a instanceof Duration && b instanceof Duration) return new Duration(a.nanos - b.nanos);
  if (a instanceof Timestamp && b instanceof Duration) return new Timestamp(a.nanos - b.nanos);
  if (a instanceof Timestamp && b instanceof Timestamp) return new Duration(a.nanos - b.nanos);
  return undefined;
};

const compared =
  (holds: (order: number) => boolean): Operation =>
  (a, b) => {
    const order = compareValues(a, b);
    return order === undefined ? undefined : holds(order);
  };

function isIn(item: CelValue, of: CelValue): boolean | undefined {
  if (Array.isArray(of)) return (of as readonly CelValue[]).some((one) => equalValues(one, item));
  if (typeof of === 'object' && of !== null && isMap(of)) return of.get(item) !== undefined;
  return undefined;
}

export const BINARY_OPERATIONS: Readonly<Record<CelBinary, Operation>> = {
  '==': equalValues,
  '!=': (a, b) => !equalValues(a, b),
  '<': compared((order) => order < 0),
  '<=': compared((order) => order <= 0),
  '>': compared((order) => order > 0),
  '>=': compared((order) => order >= 0),
  in: isIn,
  '+': arithmetic({ ints: (a, b) => a + b, doubles: (a, b) => a + b, times: plusTimes }),
  '-': arithmetic({ ints: (a, b) => a - b, doubles: (a, b) => a - b, times: minusTimes }),
  '*': arithmetic({ ints: (a, b) => a * b, doubles: (a, b) => a * b }),
  '/': arithmetic({ ints: (a, b) => (b === 0n ? undefined : a / b), doubles: (a, b) => a / b }),
  '%': arithmetic({ ints: (a, b) => (b === 0n ? undefined : a % b) }),
};

export function negated(value: CelValue | undefined): CelValue | undefined {
  if (typeof value === 'bigint') return toInt(-value);
  return typeof value === 'number' ? -value : undefined;
}

/** An element of a list or a map. */
export function elementOf(of: CelValue | undefined, at: CelValue | undefined): CelValue | undefined {
  if (of === undefined || of === null || at === undefined || typeof of !== 'object') return undefined;
  if (Array.isArray(of)) return typeof at === 'bigint' ? (of as readonly CelValue[])[Number(at)] : undefined;
  return isMap(of as CelValue) ? (of as { get(key: CelValue): CelValue | undefined }).get(at) : undefined;
}
