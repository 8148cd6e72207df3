/**
 * A Swagger 2.0 document in gnostic's protobuf form, which client-go asks for (github.com/google/gnostic openapiv2/OpenAPIv2.proto;
 * messages have the field numbers of that file). Values of extensions are YAML there; JSON is YAML.
 */
import type { Json } from './openapi-schema.ts';

/** The media type that clients ask for, and the one that names the answer: the first is not a valid one (RFC 6838). */
export const GNOSTIC = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
export const GNOSTIC_ANSWER = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/** Writes a field with its number. */
type Write = (number: number, value: unknown) => Uint8Array;
interface Fields {
  readonly [name: string]: readonly [number, Write];
}

const encoder = new TextEncoder();
const NOTHING = new Uint8Array(0);

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Uint8Array.from([...bytes, rest]);
}
const tag = (number: number, wire: number) => varint(number * 8 + wire);
const delimited = (number: number, bytes: Uint8Array): Uint8Array =>
  Buffer.concat([tag(number, 2), varint(bytes.length), bytes]);

const text: Write = (number, value) => delimited(number, encoder.encode(String(value)));
const flag: Write = (number, value) => (value ? Buffer.concat([tag(number, 0), varint(1)]) : NOTHING);
/** Not negative. */
const whole: Write = (number, value) => Buffer.concat([tag(number, 0), varint(value as number)]);
const double: Write = (number, value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value as number);
  return Buffer.concat([tag(number, 1), bytes]);
};
/** `Any`, of which only `yaml` is read. */
const any: Write = (number, value) => delimited(number, text(2, JSON.stringify(value)));
const list =
  (write: Write): Write =>
  (number, value) =>
    Buffer.concat((value as unknown[]).map((item) => write(number, item)));
/** One field of a message of its own: the members of a `oneof`, and lists that are messages. */
const wrapped =
  (inner: number, write: Write): Write =>
  (number, value) =>
    delimited(number, write(inner, value));
/** A map: a message with a list of names and values. */
const named =
  (inner: number, write: Write): Write =>
  (number, value) =>
    delimited(
      number,
      Buffer.concat(Object.entries(value as Json).map(([name, item]) => entry(inner, name, write(2, item)))),
    );
const entry = (number: number, name: string, value: Uint8Array) =>
  delimited(number, Buffer.concat([text(1, name), value]));

/** @param extensions number of the list of `x-…` fields; 0: the message has none */
function message(fields: () => Fields, extensions = 0): Write {
  return (number, value) => delimited(number, body(fields(), extensions, value as Json));
}

/** @throws Error for a field that the message does not have */
function body(fields: Fields, extensions: number, value: Json): Uint8Array {
  const parts = Object.entries(value).map(([name, item]) => {
    if (extensions > 0 && name.startsWith('x-')) return entry(extensions, name, any(2, item));
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (!field) throw new Error(`openapi: ${name} has no field in gnostic's form`);
    return field[1](field[0], item);
  });
  return Buffer.concat(parts);
}

const schema: Write = message(
  () => ({
    $ref: [1, text],
    format: [2, text],
    title: [3, text],
    description: [4, text],
    default: [5, any],
    maximum: [7, double],
    minimum: [9, double],
    maxLength: [11, whole],
    minLength: [12, whole],
    pattern: [13, text],
    maxItems: [14, whole],
    minItems: [15, whole],
    maxProperties: [17, whole],
    minProperties: [18, whole],
    required: [19, list(text)],
    enum: [20, list(any)],
    additionalProperties: [21, wrapped(1, schema)],
    type: [22, wrapped(1, text)],
    items: [23, wrapped(1, schema)],
    properties: [25, named(1, schema)],
  }),
  31,
);

/** Of queries and paths, whose fields have other numbers. */
const parameterFields = (shift: number): Fields => ({
  required: [1, flag],
  in: [2, text],
  description: [3, text],
  name: [4, text],
  type: [5 + shift, text],
  format: [6 + shift, text],
  uniqueItems: [19 + shift, flag],
});
const bodyParameter = message(() => ({
  description: [1, text],
  name: [2, text],
  in: [3, text],
  required: [4, flag],
  schema: [5, schema],
}));
const queryParameter = message(() => parameterFields(1));
const pathParameter = message(() => parameterFields(0));

/** `ParametersItem.parameter`: of it `body_parameter`, or `query…` or `path…` of `non_body_parameter`. */
const parameter: Write = (number, value) => wrapped(1, parameterOf(value as { in: string }))(number, value);
function parameterOf(value: { in: string }): Write {
  if (value.in === 'body') return wrapped(1, bodyParameter);
  return wrapped(2, value.in === 'query' ? wrapped(3, queryParameter) : wrapped(4, pathParameter));
}

const response = message(() => ({ description: [1, text], schema: [2, wrapped(1, schema)] }));
const operation = message(
  () => ({
    description: [3, text],
    operationId: [5, text],
    produces: [6, list(text)],
    consumes: [7, list(text)],
    parameters: [8, list(parameter)],
    responses: [9, named(1, wrapped(1, response))],
  }),
  13,
);
const pathItem = message(() => ({
  get: [2, operation],
  put: [3, operation],
  post: [4, operation],
  delete: [5, operation],
  patch: [8, operation],
  parameters: [9, list(parameter)],
}));

/** @param document as `swaggerOf` makes it @throws Error for a field that has no place in the form */
export function gnosticDocument(document: Json): Uint8Array {
  return body(
    {
      swagger: [1, text],
      info: [2, message(() => ({ title: [1, text], version: [2, text] }))],
      paths: [8, named(2, pathItem)],
      definitions: [9, named(1, schema)],
    },
    16,
    document,
  );
}
