/** HTTP/2 on tunnels, the same on both ends. */
import type { Http2DownstreamOptions } from '../http/codec/h2/downstream-connection.ts';
import { defaultHttp2Options, type Http2KeepAlive } from '../http/codec/h2/options.ts';

const KEEP_ALIVE = { intervalMs: 15_000, timeoutMs: 10_000, jitterPercent: 15, idleIntervalMs: 0 };
/** Between the first GOAWAY of a workload that stops and the last one, and then for its gateway to close. */
const DRAIN_MS = 1000;
/** Most connections that one tunnel carries at once, where the gateway has no limit of its own. */
export const MOST_STREAMS = 1000;

/**
 * PING frames keep the entry of the NAT and find out about a peer that is gone.
 * @param random [0, 1)
 */
export function tunnelOptions(random: () => number, maxStreams = MOST_STREAMS): Http2DownstreamOptions {
  const keepAlive: Http2KeepAlive = { ...KEEP_ALIVE, random };
  return {
    ...defaultHttp2Options,
    maxConcurrentStreams: maxStreams,
    keepAlive,
    delayedCloseMs: DRAIN_MS,
    drainMs: DRAIN_MS,
    // Streams of callers begin and end as these like; what one of them costs is limited at the listeners of both sides.
    flood: { ...defaultHttp2Options.flood, earlyEndsPerSecond: 10_000 },
  };
}
