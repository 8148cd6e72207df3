/** Patches of a cluster. */
import { type ConfigPatch, MESSAGES } from './config-patch.ts';
import { matchesCluster } from './match-resource.ts';
import type { Fields } from './merge.ts';
import { isMerge, mergedWith } from './steps.ts';
import { mergedClusterSocket } from './transport-socket.ts';

/**
 * One patch on one cluster, of a context that it is for.
 * @param hosts those that an inbound cluster serves
 * @returns the very same object where it does not match; undefined: the cluster is removed
 */
export function patchedCluster(cluster: Fields, patch: ConfigPatch, hosts: readonly string[]): Fields | undefined {
  if (patch.applyTo !== 'CLUSTER' || !matchesCluster(patch, cluster, hosts)) return cluster;
  if (patch.operation === 'REMOVE') return undefined;
  if (!isMerge(patch)) return cluster;
  return mergedClusterSocket(cluster, patch) ?? mergedWith(MESSAGES.CLUSTER, cluster, patch);
}
