/** Protobuf's JSON form as people write it: snake_case names, quoted numbers, enums by number, null for absent. */
import * as z from 'zod';
import { jsonName } from '../../xds/message.ts';
import type { Violation } from '../resource.ts';
import { formatPath } from '../violations.ts';
import { didYouMean } from './suggest.ts';

/**
 * `value` in the canonical spelling of `schema`. Fields the schema does not have are dropped and passed to
 * `unknown`; wrong types stay, for the schema to refuse.
 */
export function canonicalMessage(
  schema: z.ZodType,
  value: unknown,
  unknown: (violation: Violation) => void,
  path: readonly PropertyKey[] = [],
): unknown {
  if (schema instanceof z.ZodOptional) return canonicalMessage(schema.unwrap() as z.ZodType, value, unknown, path);
  if (schema instanceof z.ZodNumber) return numberOf(value);
  if (schema instanceof z.ZodEnum) return typeof value === 'number' ? (schema.options[value] ?? value) : value;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    if (!(schema instanceof z.ZodArray)) return value;
    return value.map((item, i) => canonicalMessage(schema.element as z.ZodType, item, unknown, [...path, i]));
  }
  if (schema instanceof z.ZodRecord) {
    const of = schema.valueType as z.ZodType;
    const fields = Object.entries(value).map(([key, field]) => [
      key,
      canonicalMessage(of, field, unknown, [...path, key]),
    ]);
    return Object.fromEntries(fields);
  }
  if (!(schema instanceof z.ZodObject)) return value;
  const shape = schema.shape as Record<string, z.ZodType>;
  const known = Object.entries(value).flatMap(([key, field]) => {
    const name = Object.hasOwn(shape, key) ? key : jsonName(key);
    if (!Object.hasOwn(shape, name)) {
      const message = `unknown field "${key}"${didYouMean(key, Object.keys(shape))}: it is ignored`;
      unknown({ path: formatPath([...path, key]), rule: 'unknown-field', message });
      return [];
    }
    return field === null ? [] : [[name, canonicalMessage(shape[name]!, field, unknown, [...path, name])] as const];
  });
  return Object.fromEntries(known);
}

function numberOf(value: unknown): unknown {
  return typeof value === 'string' && /^-?\d{1,15}(\.\d{1,9})?$/.test(value) ? Number(value) : value;
}
