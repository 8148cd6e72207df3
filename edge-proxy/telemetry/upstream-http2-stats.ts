/** Envoy's `cluster.<name>.http2.…` (envoyproxy.io: HTTP connection manager stats, "Per codec statistics"). */
import { HTTP2_COUNTERS } from '../http/codec/h2/counters.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { Stats } from './stats.ts';

const NAMES = [...HTTP2_COUNTERS, 'streams_active', 'pending_send_bytes'].map((name) => `http2.${name}`);

/** Before each reading; a cluster that was removed, or has had no HTTP/2 connection, reports nothing. */
export function reportUpstreamHttp2(stats: Stats, clusters: () => Iterable<Cluster>): void {
  let reported = new Set<string>();
  stats.onCollect(() => {
    const found = new Set<string>();
    for (const { name, http2 } of clusters()) {
      if (!http2 || http2.unused) continue;
      found.add(name);
      const scope = stats.scope('cluster', name);
      for (const counter of HTTP2_COUNTERS) scope.counter(`http2.${counter}`).value = http2.counters[counter].value;
      scope.gauge('http2.streams_active').value = http2.streamsActive;
      scope.gauge('http2.pending_send_bytes').value = http2.pendingSendBytes;
    }
    for (const name of reported) if (!found.has(name)) stats.forget('cluster', name, NAMES);
    reported = found;
  });
}
