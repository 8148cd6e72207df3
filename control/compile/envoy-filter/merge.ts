/** Merging messages in their JSON form, as protobuf merges them (google.protobuf MergeFrom, and Istio's use of it). */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { envoyApi } from '../../envoy-api/registry.ts';
import { messageName } from '../../envoy-api/strict-json.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** `append` is protobuf's way with lists (MERGE), `replace` that of MERGE_AND_REPLACE_LIST. */
export type Lists = 'append' | 'replace';

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Scalars of `from` replace those of `into`, messages are merged, entries of maps replaced, and a field of a oneof clears the others.
 * @param type full name of the message that both are
 * @returns a new message; what both have in common is not copied
 */
export function mergeMessages(type: string, into: Fields, from: Fields, lists: Lists): Fields {
  const schema = envoyApi().getMessage(type);
  return schema ? merged(schema, into, from, lists) : mergedUnknown(into, from, lists);
}

/**
 * Configuration of an extension: the fields of `from` within those of `into`, which keeps its type
 * (`util.MergeAnyWithAny` of Istio).
 */
export function mergeExtensions(into: Fields, from: Fields, lists: Lists): Fields {
  const { '@type': type, ...fields } = into;
  const { '@type': _, ...changes } = from;
  return { ...mergeMessages(messageName(String(type)), fields, changes, lists), '@type': type };
}

function merged(schema: DescMessage, into: Fields, from: Fields, lists: Lists): Fields {
  const out: Record<string, unknown> = { ...into };
  for (const [name, value] of Object.entries(from)) {
    const field = schema.fields.find(({ jsonName }) => jsonName === name);
    for (const other of field?.oneof?.fields ?? []) if (other !== field) delete out[other.jsonName];
    out[name] = Object.hasOwn(out, name) ? mergedField(field, out[name], value, lists) : value;
  }
  return out;
}

function mergedField(field: DescField | undefined, into: unknown, from: unknown, lists: Lists): unknown {
  if (!field) return mergedValue(into, from, lists);
  if (field.fieldKind === 'list')
    return lists === 'append' && Array.isArray(into) && Array.isArray(from) ? [...into, ...from] : from;
  if (!isFields(into) || !isFields(from)) return from;
  if (field.fieldKind === 'map') return { ...into, ...from };
  if (field.fieldKind !== 'message') return from;
  const { message } = field;
  if (message.typeName === 'google.protobuf.Struct') return { ...into, ...from };
  // An Any is a type and bytes: both are replaced.
  return message.typeName.startsWith('google.protobuf.') ? from : merged(message, into, from, lists);
}

/** Messages that Envoy's API does not describe: objects are merged, lists as asked. */
function mergedUnknown(into: Fields, from: Fields, lists: Lists): Fields {
  const out: Record<string, unknown> = { ...into };
  for (const [name, value] of Object.entries(from)) out[name] = mergedValue(out[name], value, lists);
  return out;
}

function mergedValue(into: unknown, from: unknown, lists: Lists): unknown {
  if (Array.isArray(into) && Array.isArray(from)) return lists === 'append' ? [...into, ...from] : from;
  return isFields(into) && isFields(from) ? mergedUnknown(into, from, lists) : from;
}
