/**
 * The schemas and operations as one Swagger 2.0 document, for clients that know no OpenAPI v3 and for what kubectl validates
 * itself, as lists of resources (`kind: List`). What Swagger cannot say is left out, as Kubernetes leaves it out.
 */
import type { OpenApi } from './openapi.ts';
import type { Json } from './openapi-schema.ts';

/** Of OpenAPI v3 alone. */
const UNKNOWN = new Set(['oneOf', 'anyOf', 'not', 'nullable']);
const METHODS = ['get', 'put', 'post', 'patch', 'delete'];

export function swaggerOf({ documents }: OpenApi): Json {
  const definitions: Json = {};
  const paths: Json = {};
  for (const text of documents.values()) {
    const document = JSON.parse(text.replaceAll('#/components/schemas/', '#/definitions/')) as {
      paths: Record<string, Json>;
      components: { schemas: Record<string, Json> };
    };
    for (const [name, schema] of Object.entries(document.components.schemas)) definitions[name] = schemaOf(schema);
    for (const [path, item] of Object.entries(document.paths)) paths[path] = pathItem(item);
  }
  return { swagger: '2.0', info: { title: 'Tulle', version: 'v1' }, paths, definitions };
}

/** A reference with a description is written beside it, not below `allOf`; a value that may be null has any type. */
function schemaOf(schema: Json): Json {
  const { allOf, properties, items, additionalProperties, ...rest } = schema;
  const known = Object.entries(rest).filter(([name]) => !UNKNOWN.has(name));
  const [reference] = (allOf ?? []) as Json[];
  const nullable = schema['nullable'] === true;
  if (nullable) return Object.fromEntries(known.filter(([name]) => name === 'description' || name.startsWith('x-')));
  return {
    ...Object.fromEntries(known),
    ...(reference?.['$ref'] !== undefined && { $ref: reference['$ref'] }),
    ...(properties !== undefined && { properties: mapped(properties as Record<string, Json>, schemaOf) }),
    ...(items !== undefined && { items: schemaOf(items as Json) }),
    ...(additionalProperties !== undefined && { additionalProperties: schemaOf(additionalProperties as Json) }),
  };
}

function pathItem(item: Json): Json {
  const operations = METHODS.filter((method) => method in item).map((method) => [
    method,
    operation(item[method] as Json),
  ]);
  const { parameters } = item;
  return {
    ...Object.fromEntries(operations),
    ...(parameters !== undefined && { parameters: parametersOf(parameters) }),
  };
}

interface Content {
  content: Record<string, { schema: Json }>;
}

function operation({ requestBody, parameters, responses, ...rest }: Json): Json {
  const { content = {}, required = false } = (requestBody ?? {}) as Partial<Content> & { required?: boolean };
  const [first] = Object.values(content);
  const body = first && { name: 'body', in: 'body', required, schema: schemaOf(first.schema) };
  const answer = ({ description, content }: { description: string } & Content) => {
    const schema = schemaOf(content['application/json']?.schema ?? {});
    return { description, ...('$ref' in schema && { schema }) };
  };
  return {
    ...rest,
    ...(first && { consumes: Object.keys(content) }),
    produces: ['application/json'],
    parameters: [...parametersOf(parameters ?? []), ...(body ? [body] : [])],
    responses: mapped(responses as Record<string, { description: string } & Content>, answer),
  };
}

const parametersOf = (parameters: unknown): Json[] =>
  (parameters as (Json & { schema: Json })[]).map(({ schema, ...rest }) => ({ ...rest, ...schema }));

const mapped = <From, To>(values: Record<string, From>, map: (value: From) => To): Record<string, To> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value)]));
