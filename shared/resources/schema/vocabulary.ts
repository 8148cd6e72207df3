/**
 * The building blocks of schemas. Objects are strict: an unknown field is a violation with a suggestion. Nothing here
 * transforms. Every word leaves on its schema what `../describe/description.ts` reads back for `explain`, OpenAPI and docs.
 *
 * A field's documentation is beside it: `.describe('What it does, in which unit. Default: 2.')`. The last sentence, when it
 * begins with "Default:", is the field's default.
 */
import * as z from 'zod';
import { didYouMean } from '../read/suggest.ts';
import { mark, type Rule } from './marks.ts';

/** A message: fields are optional unless named in `required`. */
export function object<Shape extends z.ZodRawShape, const Required extends readonly (keyof Shape & string)[] = []>(
  shape: Shape,
  required?: Required,
): ObjectOf<Shape, Required[number]> {
  const mask = Object.fromEntries((required ?? []).map((name) => [name, true]));
  const known = Object.keys(shape);
  const schema = z
    .strictObject(shape, {
      // One line per key; `violationsOf` pairs lines with keys.
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
  const check = z.check((payload) => {
    const set = fields.filter((field) => (payload.value as Record<string, unknown>)[field] !== undefined);
    if (set.length > 1) payload.issues.push(issue(payload.value, 'oneof', `only one of ${set.join(', ')} may be set`));
  });
  return schema.check(mark(check, { oneOf: fields }));
}

/**
 * The schema with rules of the CRD (`x-kubernetes-validations`) as code. A rule is also judged where another field of the
 * value is invalid; a rule that such a field makes fail is ignored.
 */
export function withRules<Schema extends z.ZodType>(
  schema: Schema,
  ...rules: readonly Rule<z.infer<Schema>>[]
): Schema {
  return schema.check(...rules.map((rule) => mark(ruleCheck(rule), { rule: rule as Rule<never> })));
}

function ruleCheck<T>(rule: Rule<T>): z.core.$ZodCheck<T> {
  const check = z.check<T>((payload) => {
    if (!holds(rule, payload.value)) payload.issues.push(issue(payload.value, rule.name, rule.says, rule.at));
  });
  check._zod.def.when = ({ issues }) => !issues.some(isOfAnotherType);
  return check;
}

/** Then there is nothing to judge: a number has no fields that could be missing. */
const isOfAnotherType = (found: z.core.$ZodRawIssue) => found.code === 'invalid_type' && !found.path?.length;

function holds<T>(rule: Rule<T>, value: T): boolean {
  try {
    return rule.holds(value);
  } catch {
    return true;
  }
}

function issue(input: unknown, rule: string, message: string, at: readonly string[] = []): z.core.$ZodRawIssue {
  return { code: 'custom', input, params: { rule }, message, path: [...at], continue: true };
}

export function string(limits: { min?: number; max?: number; pattern?: RegExp } = {}): z.ZodString {
  let schema = z.string();
  if (limits.min !== undefined) schema = schema.min(limits.min, limits.min === 1 ? 'must not be empty' : undefined);
  if (limits.max !== undefined) schema = schema.check(mark(longest(limits.max), { longest: limits.max }));
  if (limits.pattern) schema = schema.regex(limits.pattern, `must match ${limits.pattern.source}`);
  return schema;
}

/** Counts characters as the CRDs do: code points, of which one can take two of a string's units. */
function longest(max: number): z.core.$ZodCheck<string> {
  return z.check<string>(({ value, issues }) => {
    if (value.length > max && (value.length > max * 2 || [...value].length > max)) {
      issues.push(issue(value, 'value', `must be at most ${max} characters long`));
    }
  });
}

/** RFC 4648 section 4 with its padding, and not empty: what Kubernetes takes for `format: byte`. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$/;

/** Bytes in base64. */
export function base64(): z.ZodString {
  const check = z.check<string>(({ value, issues }) => {
    if (!BASE64.test(value)) issues.push(issue(value, 'base64', 'must be base64, with its padding'));
  });
  return z.string().check(mark(check, { base64: true }));
}

/**
 * A field of one of protobuf's wrapper messages, which the CRDs call nullable. Null is an absent field wherever there is a
 * message (`../read/nulls.ts`), so this message repeats the schema's own text.
 */
export function nullable<Schema extends z.ZodType>(schema: Schema): Schema {
  return schema.check(
    mark(
      z.check<z.infer<Schema>>(() => {}),
      { nullable: true },
    ),
  );
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

/** A list that is a map by some of its entries' fields (`x-kubernetes-list-type: map`): no two entries have the same. */
export function listMap<Item extends z.ZodObject>(item: Item, keys: readonly string[], limits: { max?: number } = {}) {
  const check = z.check<z.infer<Item>[]>(({ value, issues }) => {
    const seen = new Set<string>();
    for (const [i, entry] of value.entries()) {
      const key = JSON.stringify(keys.map((name) => (entry as Record<string, unknown>)[name]));
      if (seen.has(key)) {
        const said = keys
          .map((name) => `${name} ${JSON.stringify((entry as Record<string, unknown>)[name])}`)
          .join(', ');
        issues.push({ ...issue(entry, 'duplicate-key', `${said} is used twice`), path: [i, ...keys.slice(0, 1)] });
      }
      seen.add(key);
    }
  });
  return list(item, limits).check(mark(check, { keys }));
}

/** A list that server-side apply merges by these fields of its entries; that they differ is checked elsewhere. */
export function mergedBy<Item extends z.ZodObject>(items: z.ZodArray<Item>, ...keys: string[]) {
  return items.check(
    mark(
      z.check<z.infer<Item>[]>(() => {}),
      { mergeKeys: keys },
    ),
  );
}

/** A list that server-side apply merges as a set of scalars. */
export function mergedAsSet<Item extends z.ZodType>(items: z.ZodArray<Item>) {
  return items.check(
    mark(
      z.check<z.infer<Item>[]>(() => {}),
      { set: true },
    ),
  );
}

/** An object or map that server-side apply replaces as a whole. */
export function atomic<Schema extends z.ZodType>(schema: Schema): Schema {
  return schema.check(
    mark(
      z.check<z.output<Schema>>(() => {}),
      { atomic: true },
    ),
  ) as Schema;
}

/** Any key, values of one kind; `max` and `min` limit the number of entries. */
export function map<Value extends z.ZodType>(value: Value, max?: number, min?: number) {
  const schema = z.record(z.string(), value);
  if (max === undefined && min === undefined) return schema;
  const check = z.check<Record<string, unknown>>((payload) => {
    const size = Object.keys(payload.value).length;
    const message =
      max !== undefined && size > max
        ? `must have at most ${max} entries`
        : min !== undefined && size < min
          ? `must have at least ${min} entries`
          : undefined;
    if (message) payload.issues.push(issue(payload.value, 'value', message));
  });
  return schema.check(mark(check, { entries: { max, min } }));
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
  const check = z.check<string>((payload) => {
    const message = durationViolation(payload.value, min);
    if (message) payload.issues.push(issue(payload.value, 'value', message));
  });
  return z.string().check(mark(check, { duration: { min } }));
}

function durationViolation(text: string, min: number | undefined): string | undefined {
  const ms = parseDuration(text);
  if (ms === undefined) return `"${text}" is not a duration such as "1.5s", "300ms" or "1h"`;
  if (min === undefined) return undefined;
  if (ms < min) return `must be a duration of at least ${min}ms`;
  return isWholeMs(ms) ? undefined : 'must be a whole number of milliseconds';
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
