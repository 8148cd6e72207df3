/**
 * A small vocabulary for describing protobuf messages in their proto3 JSON form with zod.
 *
 * Reading follows the proto3 JSON mapping (protobuf.dev/programming-guides/json): lowerCamelCase and the original
 * snake_case names are both accepted, `null` means absent, 64-bit and 32-bit integers may be strings. Unlike Envoy,
 * which only warns, an unknown field is an error: a proxy refuses what it does not understand.
 */
import * as z from 'zod';

/** `snake_case` to `lowerCamelCase`, as protoc derives JSON names. */
export function jsonName(name: string): string {
  return name.includes('_') ? name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase()) : name;
}

/** One level of field names brought to their JSON form; null fields dropped. Maps and Structs below stay untouched. */
function canonicalFields(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isCanonical(value)) return value;
  const out: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) if (field !== null) out[jsonName(name)] = field;
  return out;
}

/** As our own control plane writes messages: nothing is to be done, and nothing to be copied. */
function isCanonical(fields: object): boolean {
  for (const name in fields) if (name.includes('_') || (fields as Record<string, unknown>)[name] === null) return false;
  return true;
}

// Written out instead of inferred: zod infers an object without fields as Record<string, never>, which forbids
// every property of what it is intersected with.
type Optional<Shape extends z.ZodRawShape> = { [K in keyof Shape]?: z.infer<Shape[K]> | undefined };
type Requiring<Shape extends z.ZodRawShape, Key extends keyof Shape> = { [K in Key]: z.infer<Shape[K]> } & {
  [K in Exclude<keyof Shape, Key>]?: z.infer<Shape[K]>;
};

/** A message: every field optional (proto3), unknown fields refused by name. */
export function message<Shape extends z.ZodRawShape>(shape: Shape): z.ZodType<Optional<Shape>> {
  return z.preprocess(canonicalFields, z.strictObject(optionalFields(shape))) as unknown as z.ZodType<Optional<Shape>>;
}

/**
 * A zod schema takes kilobytes, and the messages have a thousand fields of a few types. Schemas are immutable, so
 * fields of one type share one schema and one optional form.
 */
const optionals = new WeakMap<z.ZodType, z.ZodType>();

function optionalFields(shape: z.ZodRawShape, required: ReadonlySet<string> = new Set()): z.ZodRawShape {
  const out: Record<string, z.ZodType> = {};
  for (const [name, field] of Object.entries(shape) as [string, z.ZodType][]) {
    let optional = optionals.get(field);
    if (!optional) optionals.set(field, (optional = z.optional(field)));
    out[name] = required.has(name) ? z.nonoptional(optional) : optional;
  }
  return out;
}

/** A message in which the named fields must be present and, for strings, not empty (protoc-gen-validate rules). */
export function messageRequiring<Shape extends z.ZodRawShape, Key extends keyof Shape & string>(
  shape: Shape,
  required: readonly Key[],
): z.ZodType<Requiring<Shape, Key>> {
  return z.preprocess(
    canonicalFields,
    z.strictObject(optionalFields(shape, new Set(required))),
  ) as unknown as z.ZodType<Requiring<Shape, Key>>;
}

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** By hand: endpoints carry metadata, and a schema of unions takes ten times as long. */
function isJson(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null)
    return value === null || typeof value === 'string' || typeof value === 'boolean';
  if (Array.isArray(value)) return value.every(isJson);
  for (const name in value) if (!isJson((value as Record<string, unknown>)[name])) return false;
  return true;
}

const UINT32 = z.preprocess(
  (v) => (typeof v === 'string' && /^\d{1,10}$/.test(v) ? Number(v) : v),
  z.int().min(0).max(4294967295),
);
const INT64 = z.preprocess((v) => (typeof v === 'string' && /^-?\d{1,16}$/.test(v) ? Number(v) : v), z.int());
const DOUBLE = z.number();
const BOOL = z.preprocess((v) => (v === 'true' ? true : v === 'false' ? false : v), z.boolean());
const STRING = z.string();
const NON_EMPTY = z.string().min(1);
const STRUCT = z.custom<Record<string, Json>>((value) => isObject(value) && isJson(value), 'must be a JSON object');

export const uint32 = () => UINT32;
export const int64 = () => INT64;
export const double = () => DOUBLE;
export const bool = () => BOOL;
export const string = () => STRING;
export const nonEmpty = () => NON_EMPTY;
export const list = <T extends z.ZodType>(item: T) => z.array(item);
export const map = <T extends z.ZodType>(item: T) => z.record(STRING, item);
/** google.protobuf.Struct: any JSON object, its keys untouched. */
export const struct = () => STRUCT;

/** google.protobuf.Duration: "1.5s"; also the message form {seconds, nanos}, which Envoy reads too. */
const DURATION = z.preprocess(
  (value) => {
    if (typeof value !== 'object' || value === null) return value;
    const { seconds = 0, nanos = 0, ...rest } = value as { seconds?: number | string; nanos?: number };
    if (Object.keys(rest).length > 0) return value;
    return `${Number(seconds) + nanos / 1e9}s`;
  },
  z.string().regex(/^\d{1,12}(\.\d{1,9})?s$/, 'must be a duration such as "1.5s"'),
);
export const duration = () => DURATION;

/** An enum by name (any case is read) or by number (the position in `names`). */
export const enumeration = <const Names extends readonly [string, ...string[]]>(names: Names) =>
  z.preprocess((value) => {
    if (typeof value === 'number') return names[value] ?? value;
    return typeof value === 'string' ? value.toUpperCase() : value;
  }, z.enum(names)) as unknown as z.ZodType<Names[number]>;

/** google.protobuf.Any limited to the listed types: an unknown `@type` is refused by name. */
export function any<Types extends Record<string, z.ZodType>>(types: Types) {
  type Value = {
    [K in keyof Types & string]: { '@type': `type.googleapis.com/${K}` } & z.infer<Types[K]>;
  }[keyof Types & string];
  return z.unknown().transform((value, ctx): Value => {
    const named = nameOfAny(value, ctx);
    if (named === undefined) return z.NEVER;
    const { name, fields } = named;
    const schema = Object.hasOwn(types, name) ? types[name] : undefined;
    if (schema) return readAny(name, fields, schema, ctx) as Value;
    ctx.addIssue({ code: 'custom', message: unsupportedType(name, Object.keys(types)) });
    return z.NEVER;
  });
}

/** A message inside google.protobuf.Any in its JSON form. */
export type AnyMessage = { '@type': string; [field: string]: unknown };

/**
 * google.protobuf.Any of which the listed types are read; others pass as they are, for a reader that knows their type
 * or refuses it by name.
 * @param options emptyAllowed: an Any without a type is read as one with the type '' and no fields
 */
export function openAny(
  types: Readonly<Record<string, z.ZodType>>,
  options: { emptyAllowed?: boolean } = {},
): z.ZodType<AnyMessage> {
  return z.unknown().transform((value, ctx): AnyMessage => {
    if (options.emptyAllowed && isEmptyAny(value)) return { '@type': '' };
    const named = nameOfAny(value, ctx);
    if (named === undefined) return z.NEVER;
    const { name, fields } = named;
    const schema = Object.hasOwn(types, name) ? types[name] : undefined;
    return schema ? readAny(name, fields, schema, ctx) : { '@type': `type.googleapis.com/${name}`, ...fields };
  });
}

/** What is said of an Any whose type no reader knows. */
export function unsupportedType(name: string, supported: readonly string[]): string {
  return `unsupported type "${name}": must be one of ${supported.join(', ')}`;
}

/** The message name in a type URL. */
export function messageName(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}

/**
 * An extension's configuration as a Struct (github.com/cncf/xds, typed_struct.proto), for those that do not have its
 * message; Envoy reads it as the message that it names.
 */
const TYPED_STRUCTS: ReadonlySet<string> = new Set(['udpa.type.v1.TypedStruct', 'xds.type.v3.TypedStruct']);
const TypedStruct = messageRequiring({ typeUrl: NON_EMPTY, value: STRUCT }, ['typeUrl']);

function typedStruct(fields: object, ctx: z.RefinementCtx): { name: string; fields: object } | undefined {
  const read = TypedStruct.safeParse(fields);
  if (read.success) return { name: messageName(read.data.typeUrl), fields: read.data.value ?? {} };
  for (const issue of read.error.issues) ctx.addIssue({ ...issue, input: undefined } as never);
  return undefined;
}

/** As it is written, or as `openAny` has read it before. */
function isEmptyAny(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  return entries.every(([key, field]) => key === '@type' && field === '');
}

function nameOfAny(value: unknown, ctx: z.RefinementCtx): { name: string; fields: object } | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    ctx.addIssue({ code: 'custom', message: 'must be an object with "@type"' });
    return undefined;
  }
  const { '@type': type, ...fields } = value as Record<string, unknown>;
  if (typeof type === 'string') {
    const name = messageName(type);
    return TYPED_STRUCTS.has(name) ? typedStruct(fields, ctx) : { name, fields };
  }
  ctx.addIssue({ code: 'custom', message: 'must have an "@type"' });
  return undefined;
}

function readAny(name: string, fields: object, schema: z.ZodType, ctx: z.RefinementCtx): AnyMessage {
  const parsed = schema.safeParse(fields);
  if (parsed.success) return { '@type': `type.googleapis.com/${name}`, ...(parsed.data as object) };
  for (const issue of parsed.error.issues) ctx.addIssue({ ...issue, input: undefined } as never);
  return z.NEVER;
}

/** Milliseconds of a proto3 JSON duration that `duration()` accepted. */
export function durationMs(value: string): number {
  return Number(value.slice(0, -1)) * 1000;
}
