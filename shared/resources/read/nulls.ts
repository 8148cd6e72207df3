/** In the JSON form of protobuf a null field is an absent one; YAML has them wherever a key has no value. */
import * as z from 'zod';

/**
 * A copy of `value` without the null fields of the messages that `schema` describes. Nulls in lists and maps, and of
 * unknown fields, stay for the schema to refuse; free-form objects stay as they are.
 */
export function withoutNulls(schema: z.ZodType, value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (schema instanceof z.ZodOptional) return withoutNulls(schema.unwrap() as z.ZodType, value);
  if (schema instanceof z.ZodArray && Array.isArray(value)) {
    return value.map((item) => withoutNulls(schema.element as z.ZodType, item));
  }
  if (Array.isArray(value)) return value;
  if (schema instanceof z.ZodObject) {
    const fields = Object.entries(value).filter(([key, field]) => field !== null || !Object.hasOwn(schema.shape, key));
    return fromEntries(fields, (key) =>
      Object.hasOwn(schema.shape, key) ? (schema.shape[key] as z.ZodType) : undefined,
    );
  }
  if (schema instanceof z.ZodRecord) return fromEntries(Object.entries(value), () => schema.valueType as z.ZodType);
  return value;
}

/** As Object.fromEntries, which defines own properties: a key named `__proto__` stays data. */
function fromEntries(fields: [string, unknown][], schemaOf: (key: string) => z.ZodType | undefined): unknown {
  return Object.fromEntries(
    fields.map(([key, field]) => {
      const schema = schemaOf(key);
      return [key, schema ? withoutNulls(schema, field) : field];
    }),
  );
}
