/** Several workers' statistics as one: samples of one name and one label set are added up. */

/** Gauges of the proxy or of a cluster as a whole: the largest value counts. */
const SAME =
  /^(tulle_build_info|istio_build|envoy_server_uptime|envoy_cluster_membership_(healthy|total)|envoy_cluster_health_check_(healthy|degraded)|envoy_cluster_circuit_breakers_\w+_open|envoy_overload_(pressure|active|scale_percent))(\{|$)/;

/** As `SAME`, of `/stats`. */
const SAME_STAT = /^(cluster\..*\.health_check\.(healthy|degraded)|overload\..*\.(pressure|active|scale_percent))$/;

/** Prometheus text expositions (format 0.0.4) added up; help and type lines once a metric, in the first one's order. */
export function sumExpositions(texts: readonly string[]): string {
  const families = new Map<string, { comments: string[]; samples: Map<string, number> }>();
  const family = (name: string) => {
    const found = families.get(name) ?? { comments: [], samples: new Map<string, number>() };
    families.set(name, found);
    return found;
  };
  for (const text of texts) {
    let current = family('');
    for (const line of text.split('\n')) {
      if (line === '') continue;
      if (line.startsWith('#')) {
        current = family(line.split(' ', 3)[2] ?? '');
        if (!current.comments.includes(line)) current.comments.push(line);
        continue;
      }
      // Label values may hold spaces; the value never does.
      const space = line.lastIndexOf(' ');
      const key = line.slice(0, space);
      const value = Number(line.slice(space + 1));
      const before = current.samples.get(key);
      const merged = before === undefined ? value : SAME.test(key) ? Math.max(before, value) : before + value;
      current.samples.set(key, merged);
    }
  }
  return [...families.values()]
    .flatMap(({ comments, samples }) => [...comments, ...[...samples].map(([key, value]) => `${key} ${value}`)])
    .map((line) => `${line}\n`)
    .join('');
}

/** `/stats` of several workers, added up by name and sorted. */
export function sumStats(all: readonly (readonly (readonly [string, number])[])[]): [string, number][] {
  const sums = new Map<string, number>();
  for (const entries of all)
    for (const [name, value] of entries) {
      const before = sums.get(name) ?? 0;
      sums.set(name, SAME_STAT.test(name) ? Math.max(before, value) : before + value);
    }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1));
}
