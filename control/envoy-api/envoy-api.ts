/** Messages of Envoy's API (v3) in protobuf's two forms: JSON to binary and back. What the API does not have is an error by name. */
import {
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { envoyApi } from './registry.ts';

/** A message that is not of its type; `message` names the field. */
export class EnvoyApiError extends Error {
  override name = 'EnvoyApiError';
}

function typeOf(name: string): DescMessage {
  const type = envoyApi().getMessage(name);
  if (!type) throw new EnvoyApiError(`${name}: Envoy's API has no such message`);
  return type;
}

/**
 * @param type the full name of a message, as `envoy.config.cluster.v3.Cluster`
 * @param json proto3 JSON
 * @throws EnvoyApiError naming the field or the type that Envoy's API does not have
 */
export function toBytes(type: string, json: unknown): Uint8Array {
  const desc = typeOf(type);
  return orRefused(() => toBinary(desc, fromJson(desc, json as JsonValue, { registry: envoyApi() })));
}

/** A binary message by its fields, whose names are those of JSON. @throws EnvoyApiError */
export function readMessage(type: string, bytes: Uint8Array): Message & Record<string, unknown> {
  const desc = typeOf(type);
  return orRefused(() => fromBinary(desc, bytes) as Message & Record<string, unknown>);
}

/** A message that `readMessage` has read, or a part of one, in proto3 JSON. @throws EnvoyApiError */
export function jsonOf(message: Message): JsonObject {
  const desc = typeOf(message.$typeName);
  return orRefused(() => toJson(desc, message, { registry: envoyApi() }) as JsonObject);
}

function orRefused<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    // A RangeError: nested deeper than the stack is.
    throw new EnvoyApiError((error as Error).message);
  }
}
