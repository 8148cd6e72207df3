/** The two protocols of a discovery stream, as what they have in common: requests of incremental xDS, and responses. */
import type { JsonObject } from '@bufbuild/protobuf';
import type { DeltaDiscoveryRequest } from '../../shared/xds/discovery.ts';
import type { SharedResource } from '../compile/output/shared-resource.ts';
import type { Response } from '../discovery/session.ts';
import { turn } from '../discovery/turn.ts';
import { EnvoyApiError, jsonOf, readMessage } from '../envoy-api/envoy-api.ts';
import type { Parts } from '../envoy-api/wire.ts';
import type { ResourceForm } from './resource-form.ts';

export interface StreamMessage {
  /** In proto3 JSON, without its `extensions`; the first message of a stream has it. */
  readonly node?: JsonObject;
  /** undefined: the message is about what the client has not got any more. */
  readonly request?: DeltaDiscoveryRequest;
}

export interface Written {
  /** undefined: there is nothing to say. */
  readonly message?: Parts;
  /** Resources that Envoy's API cannot express, and why: they are not sent. */
  readonly failed: ReadonlyMap<string, string>;
}

export interface StreamProtocol {
  /** @throws EnvoyApiError */
  read(message: Uint8Array): StreamMessage;
  write(response: Response, form: ResourceForm): Promise<Written>;
}

/** Types of which a first request without names means all (xds_protocol, "How the client specifies what resources to return"). */
export function isWildcardType(typeUrl: string): boolean {
  return typeUrl.endsWith('.Listener') || typeUrl.endsWith('.Cluster');
}

/** Names of one message: strings, as protobuf has them. */
export const namesIn = (value: unknown): string[] => (value as string[]).filter((name) => name !== '');

interface AnyRequest {
  readonly node?: Parameters<typeof jsonOf>[0] & { extensions?: unknown };
  readonly typeUrl: string;
  readonly responseNonce: string;
  readonly errorDetail?: { readonly code: number; readonly message: string };
}

/** A request of either protocol. @throws EnvoyApiError */
export function readRequest(type: string, bytes: Uint8Array): AnyRequest & Record<string, unknown> {
  const request = readMessage(type, bytes) as unknown as AnyRequest & Record<string, unknown>;
  if (request.typeUrl === '') throw new EnvoyApiError('type_url: must not be empty');
  return request;
}

/** Envoy lists its extensions, some hundred: they are not read. */
export function nodeOf({ node }: AnyRequest): { node?: JsonObject } {
  if (!node) return {};
  node.extensions = [];
  return { node: jsonOf(node) };
}

const SLICE_MS = 8;

/** Encodes resources one after the other, and lets the event loop run in between. */
export async function encodeAll(
  resources: Iterable<SharedResource>,
  encode: (resource: SharedResource) => Parts,
): Promise<{ parts: Uint8Array[]; failed: Map<string, string> }> {
  const parts: Uint8Array[] = [];
  const failed = new Map<string, string>();
  let until = performance.now() + SLICE_MS;
  for (const resource of resources) {
    try {
      parts.push(...encode(resource));
    } catch (error) {
      if (!(error instanceof EnvoyApiError)) throw error;
      failed.set(resource.name, `cannot be sent: ${error.message}`);
    }
    if (performance.now() < until) continue;
    await turn();
    until = performance.now() + SLICE_MS;
  }
  return { parts, failed };
}
