/**
 * The few words schemas are written in. Objects are strict: an unknown field is a fault with a suggestion. Nothing here
 * transforms, so a schema is also its own JSON Schema (`z.toJSONSchema`).
 */
import { z } from 'zod';
import { didYouMean } from '../suggest.ts';

/** A message: fields are optional unless named in `required`. */
export function object<Shape extends z.ZodRawShape, const Required extends readonly (keyof Shape & string)[] = []>(
  shape: Shape,
  required?: Required,
): ObjectOf<Shape, Required[number]> {
  const mask = Object.fromEntries((required ?? []).map((name) => [name, true]));
  const known = Object.keys(shape);
  const schema = z
    .strictObject(shape, {
      // One line per key; `faultsOf` pairs lines with keys.
      error: (issue) =>
        issue.code === 'unrecognized_keys'
          ? (issue.keys as string[]).map((key) => `unknown field "${key}"${didYouMean(key, known)}`).join('\n')
          : undefined,
    })
    .partial();
  // zod's mask type does not follow generic keys; the mask holds exactly those of `required`.
  return (required ? schema.required(mask as never) : schema) as unknown as ObjectOf<Shape, Required[number]>;
}

type ObjectOf<Shape extends z.ZodRawShape, Required extends string> = z.ZodObject<
  { [K in keyof Shape]: K extends Required ? Shape[K] : z.ZodOptional<Shape[K]> },
  z.core.$strict
>;

/** A protobuf oneof: at most one of the fields. */
export function atMostOne<Schema extends z.ZodObject>(schema: Schema, fields: readonly string[]): Schema {
  return schema.superRefine((value, ctx) => {
    const set = fields.filter((field) => (value as Record<string, unknown>)[field] !== undefined);
    if (set.length > 1) {
      ctx.addIssue({ code: 'custom', params: { rule: 'oneof' }, message: `only one of ${set.join(', ')} may be set` });
    }
  });
}

export function string(limits: { min?: number; max?: number; pattern?: RegExp } = {}): z.ZodString {
  let schema = z.string();
  if (limits.min !== undefined) schema = schema.min(limits.min, limits.min === 1 ? 'must not be empty' : undefined);
  if (limits.max !== undefined) schema = schema.max(limits.max, `must be at most ${limits.max} characters long`);
  if (limits.pattern) schema = schema.regex(limits.pattern, `must match ${limits.pattern.source}`);
  return schema;
}

/** A whole number; without limits an int32, as the CRDs have it. */
export function integer(limits: { min?: number; max?: number } = {}): z.ZodNumber {
  const min = limits.min ?? -2147483648;
  const max = limits.max ?? 2147483647;
  return z.number().int('must be a whole number').min(min, `must be >= ${min}`).max(max, `must be <= ${max}`);
}

export function number(limits: { min?: number; max?: number } = {}): z.ZodNumber {
  let schema = z.number();
  if (limits.min !== undefined) schema = schema.min(limits.min, `must be >= ${limits.min}`);
  if (limits.max !== undefined) schema = schema.max(limits.max, `must be <= ${limits.max}`);
  return schema;
}

export const bool = () => z.boolean();
export const intOrString = () => z.union([z.int(), z.string()]);
/** Any JSON object, its keys untouched. */
export const struct = () => z.record(z.string(), z.json());

export function list<Item extends z.ZodType>(item: Item, limits: { min?: number; max?: number } = {}) {
  let schema = z.array(item);
  if (limits.min !== undefined) schema = schema.min(limits.min, `must have at least ${limits.min} entries`);
  if (limits.max !== undefined) schema = schema.max(limits.max, `must have at most ${limits.max} entries`);
  return schema;
}

export function map<Value extends z.ZodType>(value: Value, max?: number) {
  const schema = z.record(z.string(), value);
  if (max === undefined) return schema;
  return schema.refine((fields) => Object.keys(fields).length <= max, `must have at most ${max} entries`);
}

/** An enum by its names, spelled exactly. */
export function oneOfNames<const Names extends readonly [string, ...string[]]>(names: Names) {
  return z.enum(names, {
    error: (issue) =>
      `must be one of ${names.join(', ')}${typeof issue.input === 'string' ? didYouMean(issue.input, names) : ''}`,
  });
}

/** A duration as Istio writes it (`1.5s`, `300ms`, `1h2m`); `min` in milliseconds. */
export function duration(min?: number): z.ZodString {
  return z.string().superRefine((text, ctx) => {
    const ms = parseDuration(text);
    if (ms === undefined) {
      ctx.addIssue({ code: 'custom', message: `"${text}" is not a duration such as "1.5s", "300ms" or "1h"` });
    } else if (min !== undefined && ms < min) {
      ctx.addIssue({ code: 'custom', message: `must be a duration of at least ${min}ms` });
    } else if (min !== undefined && !isWholeMs(ms)) {
      ctx.addIssue({ code: 'custom', message: 'must be a whole number of milliseconds' });
    }
  });
}

/** Whole but for the rounding of binary fractions, which is far below a nanosecond's 1e-6. */
function isWholeMs(ms: number): boolean {
  return Math.abs(ms - Math.round(ms)) < 1e-7;
}

const UNITS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
};

/** Milliseconds of a Go duration, or undefined when the text is none (time.ParseDuration). */
export function parseDuration(text: string): number | undefined {
  if (text.length > 64) return undefined;
  const match = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:h|ms|us|µs|ns|m|s))+)$/.exec(text);
  if (!match) return text === '0' ? 0 : undefined;
  let total = 0;
  for (const [, amount, unit] of (match[2] ?? '').matchAll(/(\d+\.?\d*|\.\d+)(h|ms|us|µs|ns|m|s)/g)) {
    total += Number(amount) * (UNITS[unit ?? ''] ?? Number.NaN);
  }
  // Go keeps nanoseconds in an int64.
  if (!(total <= 9_223_372_036_854)) return undefined;
  return match[1] === '-' ? -total : total;
}
