/** Which clusters a resource names. */

/** Fields whose text is the name of a cluster (RouteAction, WeightedCluster, TcpProxy, HttpUri, EnvoyGrpc). */
const NAMING = new Set(['cluster', 'clusterName']);

/**
 * The clusters that a resource, or a part of one, names in fields of Envoy's API.
 * @param skips parts that are left out
 */
export function clusterNamesIn(resource: unknown, skips: (part: object) => boolean = () => false): Set<string> {
  const names = new Set<string>();
  visit(resource, names, skips);
  return names;
}

function visit(part: unknown, names: Set<string>, skips: (part: object) => boolean): void {
  if (typeof part !== 'object' || part === null || skips(part)) return;
  if (Array.isArray(part)) {
    for (const item of part) visit(item, names, skips);
    return;
  }
  for (const [field, value] of Object.entries(part)) {
    if (typeof value === 'string') {
      if (NAMING.has(field) && value !== '') names.add(value);
    } else if (field === 'weightedClusters' || field === 'weighted_clusters') addWeighted(value, names, skips);
    else visit(value, names, skips);
  }
}

/** WeightedCluster has the names in `clusters[].name`. */
function addWeighted(value: unknown, names: Set<string>, skips: (part: object) => boolean): void {
  for (const one of (value as { clusters?: readonly { name?: unknown }[] }).clusters ?? []) {
    if (typeof one.name === 'string') names.add(one.name);
    visit(one, names, skips);
  }
}
