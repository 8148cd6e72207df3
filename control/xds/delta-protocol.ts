/** Incremental xDS: envoy.service.discovery.v3.DeltaDiscoveryRequest and DeltaDiscoveryResponse. */
import type { DeltaDiscoveryRequest } from '../../shared/xds/discovery.ts';
import type { SharedResource } from '../compile/output/shared-resource.ts';
import type { Response } from '../discovery/session.ts';
import { field, type Parts, textField } from '../envoy-api/wire.ts';
import { refusal } from './refusal-text.ts';
import type { ResourceForm } from './resource-form.ts';
import {
  encodeAll,
  isWildcardType,
  namesIn,
  nodeOf,
  readRequest,
  type StreamMessage,
  type StreamProtocol,
  type Written,
} from './stream-protocol.ts';

const REQUEST = 'envoy.service.discovery.v3.DeltaDiscoveryRequest';

const NONE: ReadonlySet<string> = new Set();

export class DeltaProtocol implements StreamProtocol {
  private readonly types = new Set<string>();
  /** Names of the response of each type that is not answered yet. */
  private readonly offered = new Map<string, ReadonlySet<string>>();

  read(message: Uint8Array): StreamMessage {
    const sent = readRequest(REQUEST, message);
    const { typeUrl, responseNonce, errorDetail } = sent;
    const subscribe = namesIn(sent['resourceNamesSubscribe']);
    const unsubscribe = namesIn(sent['resourceNamesUnsubscribe']);
    const isFirst = !this.types.has(typeUrl);
    this.types.add(typeUrl);
    if (isFirst && subscribe.length === 0 && isWildcardType(typeUrl)) subscribe.push('*');
    const offered = this.offered.get(typeUrl) ?? NONE;
    const detail = errorDetail && refusal(errorDetail, offered, offered);
    const request: DeltaDiscoveryRequest = {
      typeUrl,
      resourceNamesSubscribe: subscribe,
      resourceNamesUnsubscribe: unsubscribe,
      initialResourceVersions: isFirst ? (sent['initialResourceVersions'] as Record<string, string>) : {},
      responseNonce,
      ...(detail && { errorDetail: detail }),
    };
    return { ...nodeOf(sent), request };
  }

  async write(response: Response, form: ResourceForm): Promise<Written> {
    const { systemVersionInfo, typeUrl, nonce, resources, removedResources } = response;
    const { parts, failed } = await encodeAll(resources, (resource) => envelope(resource, form));
    if (parts.length === 0 && removedResources.length === 0) return { failed };
    this.offered.set(typeUrl, new Set(resources.map(({ name }) => name)));
    const message = [
      ...textField(1, systemVersionInfo),
      ...parts,
      ...textField(4, typeUrl),
      ...textField(5, nonce),
      ...removedResources.flatMap((name) => textField(6, name)),
    ];
    return { message, failed };
  }
}

/** One of `resources` (envoy.service.discovery.v3.Resource). */
function envelope(resource: SharedResource, form: ResourceForm): Parts {
  return field(2, [...textField(1, resource.version), ...field(2, form.any(resource)), ...textField(3, resource.name)]);
}
