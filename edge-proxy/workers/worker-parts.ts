/** What a worker process is made of: the same parts as a proxy of one process. */
import { assemble } from '../assemble.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Answer, WorkerInit } from './messages.ts';
import type { WorkerHandle } from './worker.ts';

/** What a worker runs. */
export function workerParts(runtime: Runtime, init: WorkerInit): WorkerHandle {
  let principal = '';
  const { perListener, total, overload, drainMs, closeOnExpiry, fetches } = init.limits;
  const { proxy, part } = assemble(
    { runtime, trustDomain: init.trustDomain, own: init.own, httpProxy: init.httpProxy, sockets: init.sockets },
    init.version,
    () => principal,
    { connections: { perListener: new Map(perListener), total }, overload, drainMs, closeOnExpiry, fetches },
    true,
  );
  return {
    async apply(changes) {
      const violations = await proxy.apply(changes);
      return { violations: [...violations], listeners: part.listeners() };
    },
    setSecrets(secrets, ofWhom) {
      principal = ofWhom;
      for (const secret of secrets) proxy.secrets.set(secret);
    },
    drain: (ms) => part.drain(ms),
    drainListeners: (options) => part.drainListeners(options),
    setHealthy: (healthy) => part.setHealthy(healthy),
    revokePeers: (serials) => part.revokePeers(serials),
    refuseConnectionsTo: (listener) => part.refuseConnectionsTo(listener),
    onWanted: (want) => part.onWanted(want),
    read(what) {
      if (what === 'used') return proxy.takeUsed();
      if (what === 'metrics') return part.exposition() as string;
      if (what === 'clusters') return part.clusters() as Answer;
      if (what === 'stats') return part.statistics() as Answer;
      return what === 'config' ? part.config() : (part.certificates() as Answer);
    },
    close: () => part.close(),
  };
}
