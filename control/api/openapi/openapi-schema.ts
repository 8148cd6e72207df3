/** A description as a schema of OpenAPI 3.0 with Kubernetes' extensions, as a CRD has it. */
import { type Description, type Limits, type Shape, typeName } from '../../../shared/resources/describe/description.ts';
import { documentation } from '../../../shared/resources/describe/description-text.ts';
import { objectMeta } from '../../../shared/resources/describe/resource-description.ts';

export type Json = Record<string, unknown>;

/** Schemas that others refer to, by the names Kubernetes has for them. */
const NAMES: Readonly<Record<string, string>> = {
  ObjectMeta: 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta',
  IntOrString: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
};
const INT_OR_STRING = { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] };

/** The components that schemas refer to. */
export function namedSchemas(): Record<string, Json> {
  return { [NAMES['ObjectMeta']!]: object(objectMeta()), [NAMES['IntOrString']!]: INT_OR_STRING };
}

/** Rules that OpenAPI cannot express are left out: the server validates them. */
export function openApiSchema(description: Description): Json {
  const text = documentation(description);
  const name = NAMES[typeName(description)];
  const schema = name ? { allOf: [{ $ref: `#/components/schemas/${name}` }] } : typed(description.shape);
  const nullable = description.nullable ? { nullable: true } : {};
  return { ...(text === '' ? {} : { description: text }), ...schema, ...nullable };
}

function typed(shape: Shape): Json {
  switch (shape.type) {
    case 'object':
      return object(shape);
    case 'list':
      return {
        type: 'array',
        items: openApiSchema(shape.items),
        ...named(shape.length, 'minItems', 'maxItems'),
        ...(shape.set ? { 'x-kubernetes-list-type': 'set' } : {}),
        ...(shape.keys.length > 0 ? { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': shape.keys } : {}),
      };
    case 'map':
      return {
        type: 'object',
        additionalProperties: openApiSchema(shape.values),
        ...named(shape.entries, 'minProperties', 'maxProperties'),
        ...(shape.atomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
      };
    case 'any':
      return { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    case 'string':
      return {
        type: 'string',
        ...(shape.base64 ? { format: 'byte' } : {}),
        ...(shape.names.length > 0 ? { enum: shape.names } : {}),
        ...named(shape.length, 'minLength', 'maxLength'),
        ...(shape.pattern ? { pattern: shape.pattern.source } : {}),
      };
    case 'integer':
      return integer(shape.range);
    case 'number':
      return { type: 'number', format: 'double', ...named(shape.range, 'minimum', 'maximum') };
    case 'boolean':
      return { type: 'boolean' };
    case 'integer or string':
      return INT_OR_STRING;
  }
}

function object({ fields, oneOfs, atomic }: Extract<Shape, { type: 'object' }>): Json {
  const required = fields.filter((field) => field.required).map(({ name }) => name);
  const groups = oneOfs.map(atMostOne);
  return {
    type: 'object',
    properties: Object.fromEntries(fields.map(({ name, description }) => [name, openApiSchema(description)])),
    ...(required.length > 0 ? { required } : {}),
    ...(atomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
    ...(groups.length === 1 ? { oneOf: groups[0] } : {}),
    ...(groups.length > 1 ? { allOf: groups.map((oneOf) => ({ oneOf })) } : {}),
  };
}

/** None of the fields, or one of them. */
function atMostOne(fields: readonly string[]): Json[] {
  const alternatives = fields.map((name) => ({ required: [name] }));
  return [{ not: { anyOf: alternatives } }, ...alternatives];
}

function named({ min, max }: Limits, least: string, most: string): Json {
  const exact = (limit: number | undefined) => limit !== undefined && Math.abs(limit) < Number.MAX_SAFE_INTEGER;
  return { ...(exact(min) ? { [least]: min } : {}), ...(exact(max) ? { [most]: max } : {}) };
}

/** int32 where the range ends with it; its own range then goes without saying. */
function integer({ min, max }: Limits): Json {
  if (max !== INT32.max) return { type: 'integer', ...named(pair(min, max), 'minimum', 'maximum') };
  return {
    type: 'integer',
    format: 'int32',
    ...named(pair(min === INT32.min ? undefined : min, undefined), 'minimum', ''),
  };
}

const INT32 = { min: -2147483648, max: 2147483647 };
const pair = (min: number | undefined, max: number | undefined): Limits => ({
  ...(min === undefined ? {} : { min }),
  ...(max === undefined ? {} : { max }),
});
