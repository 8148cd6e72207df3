/**
 * What a schema describes, as plain data: fields, types, limits, rules, documentation. `explain`, OpenAPI and the pages of
 * docs/resources are made from it, and a test holds it against Istio's CRDs.
 */
import * as z from 'zod';
import { marksOf, type Rule } from '../schema/marks.ts';

export interface Limits {
  readonly min?: number;
  readonly max?: number;
}

export type Shape =
  | {
      readonly type: 'object';
      readonly fields: readonly Field[];
      /** Sets of fields of which at most one may be set. */
      readonly oneOfs: readonly (readonly string[])[];
      /** Of a message that OpenAPI calls by a name. */
      readonly name?: string;
      /** Replaced as a whole by server-side apply. */
      readonly atomic?: true;
    }
  /** Keys: the list is a map by these fields of its entries. */
  | {
      readonly type: 'list';
      readonly items: Description;
      readonly keys: readonly string[];
      /** No two entries have the same keys. */
      readonly unique: boolean;
      /** Of scalars that are each there once. */
      readonly set?: true;
      readonly length: Limits;
    }
  | { readonly type: 'map'; readonly values: Description; readonly entries: Limits; readonly atomic?: true }
  /** Any JSON object, as EnvoyFilter's patches have. */
  | { readonly type: 'any' }
  | {
      readonly type: 'string';
      readonly names: readonly string[];
      readonly length: Limits;
      readonly pattern?: RegExp;
      /** Milliseconds, where the text is a duration. */
      readonly duration?: Limits;
      /** Bytes in base64. */
      readonly base64?: true;
    }
  | { readonly type: 'integer' | 'number'; readonly range: Limits }
  | { readonly type: 'boolean' }
  | { readonly type: 'integer or string' };

export type ShapeOf<Type extends Shape['type']> = Extract<Shape, { type: Type }>;

export interface Description {
  /** Tulle's own text; '' for a schema without one. */
  readonly text: string;
  /** Of an absent field, as people would write it. */
  readonly defaultsTo?: string;
  readonly rules: readonly Rule<never>[];
  /** The CRD allows null for an absent field. */
  readonly nullable?: true;
  readonly shape: Shape;
}

export interface Field {
  readonly name: string;
  readonly required: boolean;
  readonly description: Description;
}

const known = new WeakMap<z.core.$ZodType, Description>();

/** @throws Error for a schema that is not written in the words of `schema/vocabulary.ts` */
export function describe(schema: z.core.$ZodType): Description {
  let description = known.get(schema);
  if (!description) {
    description = make(schema);
    known.set(schema, description);
  }
  return description;
}

/** The fields of a message, also inside lists and maps. */
export function fieldsOf(description: Description): readonly Field[] {
  const { shape } = inner(description);
  return shape.type === 'object' ? shape.fields : [];
}

/** What a list or map holds; others themselves. */
export function inner(description: Description): Description {
  const { shape } = description;
  if (shape.type === 'list') return inner(shape.items);
  return shape.type === 'map' ? inner(shape.values) : description;
}

/** `[]HttpRoute` as kubectl writes types: `[]Object`, `map[string]string`, `integer`. */
export function typeName({ shape }: Description): string {
  switch (shape.type) {
    case 'object':
      return shape.name ?? 'Object';
    case 'any':
      return 'Object';
    case 'list':
      return `[]${typeName(shape.items)}`;
    case 'map':
      return `map[string]${typeName(shape.values)}`;
    case 'integer or string':
      return 'IntOrString';
    default:
      return shape.type;
  }
}

function make(schema: z.core.$ZodType): Description {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNonOptional) return describe(schema.unwrap());
  const { text, defaultsTo } = splitDefault(schema instanceof z.ZodType ? (schema.description ?? '') : '');
  const marks = marksOf(schema);
  const rules = marks.flatMap((mark) => mark.rule ?? []);
  const nullable = marks.some((mark) => mark.nullable) ? { nullable: true as const } : {};
  return { text, ...(defaultsTo === undefined ? {} : { defaultsTo }), rules, ...nullable, shape: shapeOf(schema) };
}

/** The last sentence, where it begins with "Default:", is the default. */
export function splitDefault(text: string): { text: string; defaultsTo?: string } {
  const found = /^(.*?) ?\bDefault: (.+)\.$/s.exec(text);
  return found ? { text: found[1] ?? '', defaultsTo: found[2] ?? '' } : { text };
}

function shapeOf(schema: z.core.$ZodType): Shape {
  const marks = marksOf(schema);
  const atomic = marks.some((mark) => mark.atomic) ? { atomic: true as const } : {};
  if (schema instanceof z.ZodObject) {
    const fields = Object.entries(schema.shape as Record<string, z.ZodType>).map(([name, field]) => ({
      name,
      required: !field.safeParse(undefined).success,
      description: describe(field),
    }));
    return { type: 'object', fields, oneOfs: marks.flatMap((mark) => (mark.oneOf ? [mark.oneOf] : [])), ...atomic };
  }
  if (schema instanceof z.ZodArray) {
    const keys = marks.flatMap((mark) => mark.keys ?? mark.mergeKeys ?? []);
    const unique = marks.some((mark) => mark.keys);
    const set = marks.some((mark) => mark.set) ? { set: true as const } : {};
    return { type: 'list', items: describe(schema.element), keys, unique, ...set, length: sizes(schema) };
  }
  if (schema instanceof z.ZodRecord) {
    if (schema.valueType instanceof z.ZodLazy) return { type: 'any' };
    const entries = marks.find((mark) => mark.entries)?.entries ?? {};
    return { type: 'map', values: describe(schema.valueType), entries: limits(entries.min, entries.max), ...atomic };
  }
  if (schema instanceof z.ZodEnum) {
    return { type: 'string', names: schema.options.map(String), length: {} };
  }
  if (schema instanceof z.ZodString) return stringShape(schema);
  if (schema instanceof z.ZodNumber) {
    const type = schema.isInt ? 'integer' : 'number';
    return { type, range: limits(finite(schema.minValue), finite(schema.maxValue)) };
  }
  if (schema instanceof z.ZodBoolean) return { type: 'boolean' };
  if (schema instanceof z.ZodUnion) return { type: 'integer or string' };
  throw new Error(`a schema may not use zod's ${schema._zod.def.type}: it cannot be described`);
}

function stringShape(schema: z.ZodString): Shape {
  const pattern = checksOf(schema).find((check) => check.pattern)?.pattern;
  const duration = marksOf(schema).find((mark) => mark.duration)?.duration;
  return {
    type: 'string',
    names: [],
    length: limits(schema.minLength ?? undefined, marksOf(schema).find((each) => each.longest)?.longest),
    ...(pattern ? { pattern } : {}),
    ...(duration ? { duration: limits(duration.min, undefined) } : {}),
    ...(marksOf(schema).some((each) => each.base64) ? { base64: true } : {}),
  };
}

function sizes(schema: z.ZodArray): Limits {
  const checks = checksOf(schema);
  const of = (name: string) => checks.find(({ check }) => check === name);
  return limits(of('min_length')?.minimum, of('max_length')?.maximum);
}

interface CheckDef {
  check: string;
  pattern?: RegExp;
  minimum?: number;
  maximum?: number;
}

function checksOf(schema: z.core.$ZodType): CheckDef[] {
  const { checks = [] } = schema._zod.def as { checks?: readonly z.core.$ZodCheck<never>[] };
  return checks.map((check) => check._zod.def as unknown as CheckDef);
}

const finite = (value: number | null) => (value !== null && Number.isFinite(value) ? value : undefined);

function limits(min: number | undefined, max: number | undefined): Limits {
  return { ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) };
}
