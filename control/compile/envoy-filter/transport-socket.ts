/** MERGE of transport sockets (mergeTransportSocketListener and mergeTransportSocketCluster of Istio). */
import type { ConfigPatch } from './config-patch.ts';
import { listOf } from './match-resource.ts';
import { type Fields, isFields, mergeExtensions } from './merge.ts';
import { listsOf } from './steps.ts';

/** A chain or cluster with its socket merged; undefined: the patch holds no transport socket, and is merged as a message. */
export type SocketMerge = (item: Fields, patch: ConfigPatch) => Fields | undefined;

/** A chain without TLS stays without; another kind of socket takes the place of the chain's. */
export const mergedChainSocket: SocketMerge = (chain, patch) => {
  const socket = patch.value['transportSocket'];
  if (!isFields(socket)) return undefined;
  const own = chain['transportSocket'];
  return isFields(own) ? { ...chain, transportSocket: mergedSocket(own, socket, patch) } : chain;
};

/** Of several sockets that are chosen by metadata, the one of that name is merged. */
export const mergedClusterSocket: SocketMerge = (cluster, patch) => {
  const socket = patch.value['transportSocket'];
  if (!isFields(socket)) return undefined;
  const own = cluster['transportSocket'];
  if (isFields(own)) return { ...cluster, transportSocket: mergedSocket(own, socket, patch) };
  const matches = listOf(cluster['transportSocketMatches']);
  if (matches.length === 0) return undefined;
  const at = matches.findIndex(
    ({ transportSocket }) => isFields(transportSocket) && transportSocket['name'] === socket['name'],
  );
  if (at < 0) return cluster;
  const found = matches[at]!;
  const merged = { ...found, transportSocket: mergedSocket(found['transportSocket'] as Fields, socket, patch) };
  return { ...cluster, transportSocketMatches: matches.toSpliced(at, 1, merged) };
};

function mergedSocket(into: Fields, socket: Fields, patch: ConfigPatch): Fields {
  const [own, changes] = [into['typedConfig'], socket['typedConfig']];
  if (into['name'] !== socket['name']) return socket;
  if (!isFields(own) || !isFields(changes)) return into;
  return { ...into, typedConfig: mergeExtensions(own, changes, listsOf(patch)) };
}
