/**
 * `concurrency`: N worker processes that listen on the same ports (SO_REUSEPORT), one config client in the parent. A
 * worker that dies is replaced, and the new one given all that the others run.
 */
import { RESOURCE_TYPES, type ResourceType, resourceName, type Snapshot } from '../../shared/xds/discovery.ts';
import type { Secret } from '../../shared/xds/tls.ts';
import type { ListenerState } from '../admin/admin.ts';
import type { HeldCertificates } from '../admin/certs.ts';
import type { ClusterState } from '../admin/clusters.ts';
import type { ListeningAddress } from '../listener/own-listeners.ts';
import type { Runtime, WorkerProcess } from '../runtime/runtime.ts';
import type { Want } from '../upstream/fetches.ts';
import type { Changes, Used } from '../xds/apply.ts';
import { mergeClusters } from './merge-clusters.ts';
import { type Applied, type Command, type Numbered, READY, WANTED, type Wanted, type WorkerInit } from './messages.ts';
import { sumExpositions, sumStats } from './sum-metrics.ts';

const RESTART_MS = 500;
/** A worker that does not answer in this time is taken for dead. */
const PATIENCE_MS = 30_000;

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
  timer: ReturnType<typeof setTimeout>;
}

export class WorkerPool {
  private readonly runtime: Runtime;
  private readonly init: WorkerInit;
  private readonly workers: Worker[] = [];
  /** What every worker runs, as it was given: for those that come later. */
  private readonly resources = new Map<ResourceType, Map<string, unknown>>();
  private secrets: Extract<Command, { secrets: unknown }> | undefined;
  private revoked: readonly string[] = [];
  /** Listeners of this process. */
  private readonly ownListeners: ListeningAddress[] = [];
  private bound: readonly ListenerState[] = [];
  private queue: Promise<unknown> = Promise.resolve();
  private closing = false;
  private unhealthy = false;
  private restarts = 0;
  private want: Want = () => {};

  /** @throws Error when this runtime cannot start workers */
  constructor(runtime: Runtime, count: number, init: WorkerInit) {
    if (!runtime.process.startWorker)
      throw new Error(
        `--concurrency ${count}: ${runtime.name} cannot run worker processes; run one proxy a core instead`,
      );
    this.runtime = runtime;
    this.init = init;
    for (let index = 0; index < count; index++) this.start(index);
  }

  private start(index: number): Worker {
    const worker = new Worker(
      this.runtime.process.startWorker!(Object.values(this.init.sockets ?? {})),
      () => this.ended(index, worker),
      ({ type, name }) => this.want(type, name),
    );
    this.workers[index] = worker;
    // Sent before any other message, so its answer need not be awaited.
    worker.ask({ init: this.init }).catch(() => {});
    if (this.secrets) worker.ask(this.secrets).catch(() => {});
    if (this.revoked.length > 0) worker.ask({ revokePeers: this.revoked }).catch(() => {});
    for (const listener of this.ownListeners) worker.ask({ refuseConnectionsTo: listener }).catch(() => {});
    return worker;
  }

  private ended(index: number, worker: Worker): void {
    if (this.closing || this.workers[index] !== worker) return;
    this.restarts++;
    this.runtime.process.log(`worker ${index} ended; another takes its place`, 'error');
    setTimeout(() => {
      if (this.closing) return;
      const next = this.start(index);
      const held = () => (index === 0 ? this.everything() : withoutSockets(this.everything()));
      void this.inTurn(() => next.ask({ changes: held() })).catch((error: Error) =>
        this.runtime.process.log(`worker ${index}: ${error.message}`, 'error'),
      );
      if (this.unhealthy) next.ask({ healthy: false }).catch(() => {});
    }, RESTART_MS);
  }

  /** One change after another, over all workers. */
  private inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.queue.then(act);
    this.queue = done.catch(() => {});
    return done;
  }

  /** The first worker compiles, and binds ports 0; the others get the resources it accepted, with its ports. */
  apply(changes: Changes): Promise<Map<string, string>> {
    return this.inTurn(async () => {
      const [first, ...others] = this.workers;
      const fixed = this.withPorts(changes);
      const judged = (await first!.ask({ changes: fixed })) as Applied;
      const violations = new Map(judged.violations);
      this.bound = judged.listeners;
      this.remember(changes, violations);
      const accepted = withoutSockets(this.withPorts(acceptedOf(fixed, violations)));
      const rest = await Promise.all(others.map((worker) => worker.ask({ changes: accepted }).catch(withoutAnswer)));
      for (const answer of rest) for (const [name, why] of (answer as Applied).violations) violations.set(name, why);
      return violations;
    });
  }

  private remember(changes: Changes, violations: ReadonlyMap<string, string>): void {
    for (const type of RESOURCE_TYPES) {
      const held = this.resources.get(type) ?? new Map<string, unknown>();
      this.resources.set(type, held);
      for (const name of changes[type]?.remove ?? []) held.delete(name);
      for (const raw of changes[type]?.upsert ?? [])
        if (!violations.has(`${type}/${resourceName(type, raw)}`)) held.set(resourceName(type, raw), raw);
    }
  }

  private everything(): Changes {
    const all: Changes = {};
    for (const [type, held] of this.resources) all[type] = { upsert: [...held.values()], remove: [] };
    return this.withPorts(all);
  }

  /** Port 0 is chosen once, by the worker that binds first. */
  private withPorts(changes: Changes): Changes {
    if (!changes.listeners) return changes;
    const upsert = changes.listeners.upsert.map((raw) => {
      const chosen = this.bound.find(({ name }) => name === resourceName('listeners', raw))?.port;
      return chosen === undefined ? raw : withPort(raw, chosen);
    });
    return { ...changes, listeners: { ...changes.listeners, upsert } };
  }

  /** For the identity: what `default` and `ROOTCA` are now. */
  setSecrets(secrets: readonly Secret[], principal: string): void {
    this.secrets = { secrets, principal };
    for (const worker of this.workers) worker.ask(this.secrets).catch(() => {});
  }

  /** See Runtime.revokePeers. */
  revokePeers(serials: readonly string[]): void {
    this.revoked = serials;
    for (const worker of this.workers) worker.ask({ revokePeers: serials }).catch(() => {});
  }

  /** The workers never connect to this listener of their parent. */
  refuseConnectionsTo({ address, port }: ListeningAddress): void {
    const listener = { address, port };
    this.ownListeners.push(listener);
    for (const worker of this.workers) worker.ask({ refuseConnectionsTo: listener }).catch(() => {});
  }

  listeners(): readonly ListenerState[] {
    return this.bound;
  }

  /** Endpoints and their counts live in the workers. */
  async clusters(): Promise<ClusterState[]> {
    return mergeClusters(await this.readAll<ClusterState[]>('clusters'));
  }

  /** As the workers were given them. */
  config(): Partial<Snapshot> {
    const entries = [...this.resources].map(([type, held]) => [type, [...held.values()]]);
    return Object.fromEntries(entries) as Partial<Snapshot>;
  }

  async exposition(): Promise<string> {
    const texts = await this.readAll<string>('metrics');
    const up = `# TYPE tulle_workers gauge\ntulle_workers ${texts.length}\n`;
    return `${sumExpositions(texts)}${up}# TYPE tulle_worker_restarts_total counter\ntulle_worker_restarts_total ${this.restarts}\n`;
  }

  async statistics(): Promise<[string, number][]> {
    return sumStats(await this.readAll<[string, number][]>('stats'));
  }

  /** @param want is called with each resource that something in a worker begins to wait for */
  onWanted(want: Want): void {
    this.want = want;
  }

  /** What any worker used since the last call, or uses now. Rejects where one does not answer: it may have used anything. */
  async takeUsed(): Promise<Used> {
    const all = (await Promise.all(this.workers.map((worker) => worker.ask({ read: 'used' })))) as Used[];
    return {
      virtualHosts: all.flatMap(({ virtualHosts }) => virtualHosts),
      clusters: all.flatMap(({ clusters }) => clusters),
    };
  }

  async certificates(): Promise<HeldCertificates[]> {
    return (await this.readAll<HeldCertificates[]>('certificates'))[0] ?? [];
  }

  /** A worker that is being replaced reports nothing. */
  private async readAll<T>(read: Extract<Command, { read: unknown }>['read']): Promise<T[]> {
    const answers = await Promise.allSettled(this.workers.map((worker) => worker.ask({ read })));
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value as T] : []));
  }

  drainListeners(options: { readonly graceful: boolean; readonly inboundOnly: boolean }): void {
    for (const worker of this.workers) worker.ask({ drainListeners: options }).catch(() => {});
  }

  setHealthy(healthy: boolean): void {
    this.unhealthy = !healthy;
    for (const worker of this.workers) worker.ask({ healthy }).catch(() => {});
  }

  draining(): boolean {
    return this.unhealthy || this.closing;
  }

  async drain(ms: number): Promise<void> {
    this.closing = true;
    await Promise.allSettled(this.workers.map((worker) => worker.ask({ drain: ms }, ms + PATIENCE_MS)));
  }

  async close(): Promise<void> {
    this.closing = true;
    await Promise.allSettled(this.workers.map((worker) => worker.ask({ close: true }, 5000)));
    for (const worker of this.workers) worker.end();
  }
}

/** One worker process and the questions it has not answered. */
class Worker {
  private readonly child: WorkerProcess;
  private readonly waiting = new Map<number, Waiting>();
  /** Commands given before the worker listens; undefined once it does. */
  private early: unknown[] | undefined = [];
  private next = 1;
  private over = false;

  constructor(child: WorkerProcess, ended: () => void, wanted: (what: Wanted) => void) {
    this.child = child;
    child.onMessage((message) => {
      const { id, body, error } = message as Numbered<unknown> & { error?: string };
      if (id === WANTED) wanted(body as Wanted);
      if (id === READY) {
        for (const command of this.early ?? []) child.send(command);
        this.early = undefined;
      }
      const asked = this.waiting.get(id);
      if (!asked) return;
      this.waiting.delete(id);
      clearTimeout(asked.timer);
      if (error === undefined) asked.resolve(body);
      else asked.reject(new Error(error));
    });
    child.onClose(() => {
      this.over = true;
      for (const { reject, timer } of this.waiting.values()) {
        clearTimeout(timer);
        reject(new Error('the worker ended'));
      }
      this.waiting.clear();
      ended();
    });
  }

  ask(command: Command, patienceMs = PATIENCE_MS): Promise<unknown> {
    if (this.over) return Promise.reject(new Error('the worker ended'));
    return new Promise((resolve, reject) => {
      const id = this.next++;
      // One that hangs is killed, and replaced as one that died.
      const timer = setTimeout(() => this.child.kill(), patienceMs);
      this.waiting.set(id, { resolve, reject, timer });
      const numbered = { id, body: command };
      if (this.early) this.early.push(numbered);
      else this.child.send(numbered);
    });
  }

  end(): void {
    if (!this.over) this.child.kill();
  }
}

const withoutAnswer = (): Applied => ({ violations: [], listeners: [] });

function acceptedOf(changes: Changes, violations: ReadonlyMap<string, string>): Changes {
  if (violations.size === 0) return changes;
  const out: Changes = {};
  for (const type of RESOURCE_TYPES) {
    const { upsert, remove } = changes[type] ?? {};
    if (!upsert || !remove) continue;
    out[type] = { remove, upsert: upsert.filter((raw) => !violations.has(`${type}/${resourceName(type, raw)}`)) };
  }
  return out;
}

/** Only one process can listen on a Unix domain socket: the first worker does. */
function withoutSockets(changes: Changes): Changes {
  const { listeners } = changes;
  const sockets = listeners?.upsert.filter((raw) => (raw as { address?: { pipe?: object } }).address?.pipe) ?? [];
  if (!listeners || sockets.length === 0) return changes;
  return {
    ...changes,
    listeners: {
      upsert: listeners.upsert.filter((raw) => !sockets.includes(raw)),
      // One of that name may have had a port before.
      remove: [...listeners.remove, ...sockets.map((raw) => resourceName('listeners', raw))],
    },
  };
}

/** The listener with a port where it has none. */
function withPort(raw: unknown, port: number): unknown {
  const listener = raw as { address?: Record<string, Record<string, unknown>> };
  const socket = listener.address?.['socketAddress'] ?? listener.address?.['socket_address'];
  if (!socket || socket['portValue'] || socket['port_value']) return raw;
  const { port_value: _, ...rest } = socket;
  return { ...listener, address: { socketAddress: { ...rest, portValue: port } } };
}
