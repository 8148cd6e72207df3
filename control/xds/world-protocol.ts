/** State-of-the-world xDS: envoy.service.discovery.v3.DiscoveryRequest and DiscoveryResponse, as requests of incremental xDS. */
import type { DeltaDiscoveryRequest } from '../../shared/xds/discovery.ts';
import type { SharedResource } from '../compile/output/shared-resource.ts';
import type { Response } from '../discovery/session.ts';
import { field, textField } from '../envoy-api/wire.ts';
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

const REQUEST = 'envoy.service.discovery.v3.DiscoveryRequest';

interface TypeState {
  /** Subscribed to; `*`: all. */
  names: ReadonlySet<string>;
  /** Of the last response; '' before. */
  nonce: string;
  /** What responses hold that have all resources: of clusters and listeners an absent one is removed. */
  readonly sent: Map<string, SharedResource>;
  /** Names of what was new in the last response. */
  offered: ReadonlySet<string>;
}

export class WorldProtocol implements StreamProtocol {
  private readonly types = new Map<string, TypeState>();

  read(message: Uint8Array): StreamMessage {
    const sent = readRequest(REQUEST, message);
    const { typeUrl, responseNonce, errorDetail } = sent;
    const state = this.stateOf(typeUrl);
    const node = nodeOf(sent);
    // About a response that another one has taken the place of.
    if (responseNonce !== '' && responseNonce !== state.nonce) return node;
    const names = new Set(namesIn(sent['resourceNames']));
    const isFirst = state.names.size === 0;
    if (names.size === 0 && isWildcardType(typeUrl) && (isFirst || state.names.has('*'))) names.add('*');
    const detail = errorDetail && refusal(errorDetail, state.sent.keys(), state.offered);
    const request: DeltaDiscoveryRequest = {
      typeUrl,
      resourceNamesSubscribe: [...names].filter((name) => !state.names.has(name)),
      resourceNamesUnsubscribe: [...state.names].filter((name) => !names.has(name)),
      responseNonce,
      ...(detail && { errorDetail: detail }),
    };
    for (const name of request.resourceNamesUnsubscribe ?? []) state.sent.delete(name);
    state.names = names;
    return { ...node, request };
  }

  async write(response: Response, form: ResourceForm): Promise<Written> {
    const { systemVersionInfo, typeUrl, nonce, resources, removedResources } = response;
    const state = this.stateOf(typeUrl);
    const isWhole = isWildcardType(typeUrl);
    for (const resource of resources) state.sent.set(resource.name, resource);
    for (const name of removedResources) state.sent.delete(name);
    const all = isWhole ? [...state.sent.values()] : resources;
    const { parts, failed } = await encodeAll(all, (resource) => field(2, form.any(resource)));
    if (parts.length === 0 && !isWhole) return { failed };
    state.nonce = nonce;
    state.offered = new Set(resources.map(({ name }) => name));
    return {
      message: [
        // A client that was sent another response of the type must not take this one for the same.
        ...textField(1, `${systemVersionInfo}/${nonce}`),
        ...parts,
        ...textField(4, typeUrl),
        ...textField(5, nonce),
      ],
      failed: new Map([...failed].filter(([name]) => resources.some((resource) => resource.name === name))),
    };
  }

  private stateOf(typeUrl: string): TypeState {
    let state = this.types.get(typeUrl);
    if (!state) this.types.set(typeUrl, (state = { names: new Set(), nonce: '', sent: new Map(), offered: new Set() }));
    return state;
  }
}
