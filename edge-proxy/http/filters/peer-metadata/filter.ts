/**
 * Istio's peer metadata filter: proxies name their workloads to each other in headers, for metrics and logs.
 * Applications and clients outside the mesh see none of these headers, and theirs have no effect.
 */
import type { OwnNode } from '../../../telemetry/own-node.ts';
import type { WorkloadLookup } from '../../../upstream/workload-metadata.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { FilterHooks } from '../hooks.ts';
import { encodeMetadata } from './metadata-header.ts';
import { Peers } from './peers.ts';

const METADATA = 'x-envoy-peer-metadata';
const ID = 'x-envoy-peer-metadata-id';

/** How the other side is found. */
export interface Discovery {
  readonly byHeaders: boolean;
  readonly byAddress: boolean;
}

export interface PeerMetadataRules {
  /** Undefined: the client is not looked for. */
  readonly downstream: Discovery | undefined;
  readonly upstream: Discovery | undefined;
  /** Answers those that sent metadata with this proxy's. */
  readonly answersDownstream: boolean;
  readonly sendsUpstream: boolean;
}

/** @param own undefined: this proxy has no node, and sends no metadata */
export function createPeerMetadataFilter(
  rules: PeerMetadataRules,
  own: OwnNode | undefined,
  workloads: WorkloadLookup | undefined,
): FilterHooks {
  const value = own === undefined ? '' : encodeMetadata(own.workload);
  /** Headers without either of the two. */
  const send = (headers: HeaderMap) => {
    if (own === undefined) return;
    headers.append(ID, own.id, ID);
    headers.append(METADATA, value, METADATA);
  };
  const { downstream, upstream, answersDownstream, sendsUpstream } = rules;
  const clients = downstream && new Peers(downstream.byAddress ? workloads : undefined);
  const servers = upstream && new Peers(undefined);

  const onRequestHead: FilterHooks['onRequestHead'] = ({ request }) => {
    const { headers } = request;
    if (clients !== undefined) {
      const { peerUris, remoteAddress } = request.downstream;
      const sent = taken(headers);
      if (peerUris.length > 0) {
        request.downstreamPeer =
          sent !== '' && downstream!.byHeaders
            ? clients.bySent(request.downstream, peerUris, sent)
            : clients.byAddress(request.downstream, peerUris, remoteAddress);
      }
    }
    if (sendsUpstream) {
      taken(headers);
      send(headers);
    }
    return undefined;
  };

  const onResponseHead: FilterHooks['onResponseHead'] = ({ request }, { headers }) => {
    const sent = taken(headers);
    if (servers !== undefined) {
      const { upstream: connection } = request;
      const uris = connection?.tls?.peerUris;
      if (sent !== '' && uris !== undefined && uris.length > 0 && upstream!.byHeaders)
        request.upstreamPeer = servers.bySent(connection!, uris, sent);
    }
    if (answersDownstream && request.downstreamPeer?.sentHeaders) send(headers);
    return undefined;
  };

  return { onRequestHead, onResponseHead };
}

/** Removes both headers. @returns the metadata; '' without any, and where several values contradict each other */
function taken(headers: HeaderMap): string {
  headers.take(ID);
  return headers.take(METADATA);
}
