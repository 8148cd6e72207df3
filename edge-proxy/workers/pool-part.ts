/** The worker pool as the part of a proxy that carries traffic, and what each worker receives at its start. */
import type { ProxyEnv } from '../assemble.ts';
import type { ProxyPart } from '../mesh-proxy.ts';
import type { ProcessLimits } from '../overload/process-limits.ts';
import type { OwnNode } from '../telemetry/own-node.ts';
import type { WorkerInit } from './messages.ts';
import type { WorkerPool } from './pool.ts';

export function workerInit(
  version: string,
  own: OwnNode,
  { trustDomain, httpProxy, sockets }: Pick<ProxyEnv, 'trustDomain' | 'httpProxy' | 'sockets'>,
  limits: ProcessLimits,
  workers: number,
): WorkerInit {
  const { perListener, total } = limits.connections;
  // Limits are of the whole proxy; the kernel shares connections out evenly, so each worker keeps its part.
  const share = (limit: number) => Math.max(1, Math.ceil(limit / workers));
  return {
    version,
    own,
    ...(trustDomain === undefined ? {} : { trustDomain }),
    ...(httpProxy === undefined ? {} : { httpProxy }),
    ...(sockets === undefined ? {} : { sockets }),
    limits: {
      perListener: [...perListener].map(([listener, limit]) => [listener, share(limit)] as const),
      ...(total === undefined ? {} : { total: share(total) }),
      ...(limits.overload ? { overload: limits.overload } : {}),
      drainMs: limits.drainMs,
      closeOnExpiry: limits.closeOnExpiry,
      ...(limits.fetches ? { fetches: { ...limits.fetches, maxWaiting: share(limits.fetches.maxWaiting) } } : {}),
    },
  };
}

/** The pool in the place of a proxy of this process. */
export function poolPart(pool: WorkerPool): ProxyPart {
  return {
    apply: (changes) => pool.apply(changes),
    listeners: () => pool.listeners(),
    clusters: () => pool.clusters(),
    config: () => pool.config(),
    drain: (ms) => pool.drain(ms),
    drainListeners: (options) => pool.drainListeners(options),
    certificates: () => pool.certificates(),
    setHealthy: (healthy) => pool.setHealthy(healthy),
    revokePeers: (serials) => pool.revokePeers(serials),
    draining: () => pool.draining(),
    refuseConnectionsTo: (listener) => pool.refuseConnectionsTo(listener),
    exposition: () => pool.exposition(),
    statistics: () => pool.statistics(),
    onWanted: (want) => pool.onWanted(want),
    takeUsed: () => pool.takeUsed(),
    close: () => pool.close(),
  };
}
