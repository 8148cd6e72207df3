/** JSON of Envoy's messages as people write it -> the canonical form: every field checked, names in lowerCamelCase. */
import { fromJson, type JsonObject, type JsonValue, toJson } from '@bufbuild/protobuf';
import { envoyApi, envoyMessage } from './registry.ts';

/** Holds, while a message is read, an extension that Envoy's API does not describe. */
const STAND_IN = 'type.googleapis.com/google.protobuf.Struct';
const KEY = '\u0000extension';
/** Deeper values are refused: no message of Envoy's is as deep. */
const MAX_DEPTH = 100;

/**
 * Extensions whose types are not Envoy's own (Istio's, Tulle's) pass as they are written; a TypedStruct of a type of Envoy's is read
 * as that type.
 * @param type full name of a message
 * @returns a value of its own, without fields that have their default
 * @throws Error in one line: the field that the message does not have, or the value that it cannot have
 */
export function strictJson(type: string, value: unknown): JsonObject {
  const registry = envoyApi();
  const schema = envoyMessage(type);
  try {
    const message = fromJson(schema, hidden(value, 0) as JsonValue, { registry });
    return shown(toJson(schema, message, { registry })) as JsonObject;
  } catch (error) {
    throw new Error(plainMessage(error instanceof Error ? error.message : String(error)));
  }
}

/** `cannot decode message envoy.config.cluster.v3.Cluster from JSON: key "x" is unknown` -> `Cluster: key "x" is unknown` */
function plainMessage(message: string): string {
  return message
    .replaceAll(/cannot decode (?:message|field) ([\w.]+) from JSON: /g, (_, name: string) => `${shortName(name)}: `)
    .replaceAll(/[\r\n\0]/g, ' ');
}

const shortName = (name: string): string => name.replace(/^.*\.v\d+(?:alpha)?\./, '');

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The value with unknown extensions in stand-ins, and with the messages that TypedStructs name in their place. */
function hidden(value: unknown, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new Error(`is nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) return value.map((item) => hidden(item, depth + 1));
  if (!isFields(value)) return value;
  const type = value['@type'];
  if (typeof type === 'string') {
    const name = messageName(type);
    if (/^(udpa\.type\.v1|xds\.type\.v3)\.TypedStruct$/.test(name)) {
      const named = value['type_url'] ?? value['typeUrl'];
      const inner = value['value'] ?? {};
      if (typeof named === 'string' && isFields(inner) && isKnown(named))
        return hidden({ ...inner, '@type': `type.googleapis.com/${messageName(named)}` }, depth + 1);
    }
    if (!isKnown(type)) return { '@type': STAND_IN, value: { [KEY]: value } };
  }
  if (Object.hasOwn(value, '__proto__')) throw new Error('key "__proto__" is unknown');
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, hidden(field, depth + 1)]));
}

function shown(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shown);
  if (!isFields(value)) return value;
  const held = isFields(value['value']) ? value['value'][KEY] : undefined;
  if (value['@type'] === STAND_IN && held !== undefined) return held;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, shown(field)]));
}

/** The message name in a type URL. */
export function messageName(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}

const isKnown = (typeUrl: string): boolean => envoyApi().getMessage(messageName(typeUrl)) !== undefined;
