/** Between a process' parts and its workers: what a worker is made of, and the pool as the part that carries traffic. */
import { assemble } from '../assemble.ts';
import type { ProxyPart } from '../mesh-proxy.ts';
import type { ProcessLimits } from '../overload/process-limits.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Workload } from '../telemetry/istio-metrics.ts';
import type { Answer, WorkerInit } from './messages.ts';
import type { WorkerPool } from './pool.ts';
import type { WorkerParts } from './worker.ts';

export function workerInit(
  version: string,
  { name, namespace, app, version: revision, cluster }: Workload,
  defaultLog: boolean,
  trustDomain: string | undefined,
  limits: ProcessLimits,
  workers: number,
): WorkerInit {
  const { perListener, total } = limits.connections;
  // Limits are of the whole proxy; the kernel shares connections out evenly, so each worker keeps its part.
  const share = (limit: number) => Math.max(1, Math.ceil(limit / workers));
  return {
    version,
    workload: { name, namespace, app, version: revision, cluster },
    defaultLog,
    ...(trustDomain === undefined ? {} : { trustDomain }),
    limits: {
      perListener: [...perListener].map(([listener, limit]) => [listener, share(limit)] as const),
      ...(total === undefined ? {} : { total: share(total) }),
      ...(limits.overload ? { overload: limits.overload } : {}),
      drainMs: limits.drainMs,
      closeOnExpiry: limits.closeOnExpiry,
    },
  };
}

/** What a worker runs. */
export function workerParts(runtime: Runtime, init: WorkerInit): WorkerParts {
  let principal = '';
  const { perListener, total, overload, drainMs, closeOnExpiry } = init.limits;
  const { proxy, part } = assemble(
    { runtime, trustDomain: init.trustDomain },
    init.version,
    { ...init.workload, principal: () => principal },
    init.defaultLog,
    { connections: { perListener: new Map(perListener), total }, overload, drainMs, closeOnExpiry },
    true,
  );
  return {
    async apply(changes) {
      const faults = await proxy.apply(changes);
      return { faults: [...faults], listeners: part.listeners() };
    },
    setSecrets(secrets, ofWhom) {
      principal = ofWhom;
      for (const secret of secrets) proxy.secrets.set(secret);
    },
    drain: (ms) => part.drain(ms),
    drainListeners: (options) => part.drainListeners(options),
    setHealthy: (healthy) => part.setHealthy(healthy),
    read(what) {
      if (what === 'metrics') return part.exposition() as string;
      if (what === 'clusters') return part.clusters() as Answer;
      if (what === 'stats') return part.statistics() as Answer;
      return what === 'config' ? part.config() : (part.certificates() as Answer);
    },
    close: () => part.close(),
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
    draining: () => pool.draining(),
    exposition: () => pool.exposition(),
    statistics: () => pool.statistics(),
    close: () => pool.close(),
  };
}
