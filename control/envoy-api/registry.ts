/** The messages of Envoy's v3 API, as their descriptors say: what is a field, of which type, and how JSON and protobuf write it. */
import { brotliDecompressSync } from 'node:zlib';
import { createFileRegistry, type DescMessage, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { ENVOY_API } from './descriptors.ts';

let made: FileRegistry | undefined;

/** Every message, enum and service of Envoy's v3 API. Made when it is first asked for (some 50 ms), then shared. */
export function envoyApi(): FileRegistry {
  made ??= createFileRegistry(
    fromBinary(FileDescriptorSetSchema, brotliDecompressSync(Buffer.from(ENVOY_API, 'base64'))),
  );
  return made;
}

/** @param name full name of a message, as `envoy.config.cluster.v3.Cluster`. @throws Error where Envoy's API has no such message */
export function envoyMessage(name: string): DescMessage {
  const message = envoyApi().getMessage(name);
  if (!message) throw new Error(`unknown type "${name}": Envoy's v3 API has no such message`);
  return message;
}
