/**
 * Hand-written WorkloadEntries of proxies that are not connected any more. A verdict on the health of a workload holds for as
 * long as its proxy can change it: a grace time after the last session its condition is removed, as istiod does
 * (istio.io/istio pilot/pkg/autoregistration). What a proxy said when it stopped stays until it is back.
 */
import { isIpAddress } from '../../shared/match/cidr.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { namespaceOf, specOf, text } from '../mesh/fields.ts';
import type { MeshView } from '../mesh/view.ts';
import { conditionsOf, DRAINING, HEALTHY } from '../mesh/workload/workload-health.ts';
import { type EntryStore, EntryWriter, entryKey } from './entry-writer.ts';
import type { RegisteringProxy } from './registrations.ts';
import { isRegistered } from './workload-entry.ts';

const SWEEP_MS = 1000;

type Proxy = Pick<RegisteringProxy, 'id' | 'node' | 'isConnected'>;

/** What an entry and its proxy have in common. */
export interface Place {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly address: string;
}

interface Workload extends Place {
  /** By their ids. */
  readonly sessions: Map<string, Proxy>;
  /** When the condition is removed; undefined: a proxy is connected. */
  removeAt: number | undefined;
}

export interface VanishedProxiesOptions {
  readonly store: EntryStore;
  readonly view: () => Pick<MeshView, 'workloadEntriesAt'>;
  /** From the end of the last session to the removal of the condition, milliseconds. */
  readonly graceMs: number;
  /** Instead, for entries that are there at the start: proxies need that long to come back. */
  readonly returnMs: number;
  /** Whether a proxy of the workload is connected to another control plane. Default: there is none. */
  readonly isElsewhere?: (place: Place) => Promise<boolean>;
  readonly report: (error: unknown) => void;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

export class VanishedProxies {
  private readonly options: VanishedProxiesOptions;
  private readonly writer: EntryWriter;
  private readonly now: () => number;
  private readonly workloads = new Map<string, Workload>();
  private readonly bySession = new Map<string, Workload>();
  private readonly writes = new Set<Promise<void>>();
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: VanishedProxiesOptions) {
    this.options = options;
    this.writer = new EntryWriter(options.store);
    this.now = options.now ?? Date.now;
  }

  /** @param entries the WorkloadEntries of the mesh */
  start(entries: readonly Resource[]): void {
    this.expect(entries);
    this.timer = setInterval(() => this.sweep(), SWEEP_MS);
    this.timer.unref?.();
  }

  /** Proxies may have lost their control plane, and need time to come back. @param entries as in `start` */
  expect(entries: readonly Resource[]): void {
    const removeAt = this.now() + Math.max(this.options.returnMs, this.options.graceMs);
    for (const entry of entries) {
      const address = text(specOf(entry)['address']);
      if (isRegistered(entry) || address === undefined) continue;
      const serviceAccount = text(specOf(entry)['serviceAccount']) ?? 'default';
      this.workloadAt({ namespace: namespaceOf(entry), serviceAccount, address }, removeAt);
    }
  }

  /** Writes nothing more; resolves when the writes that are under way have ended. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    this.timer = undefined;
    await Promise.all(this.writes);
  }

  /** A proxy opens a session, or polls. */
  seen(proxy: Proxy): void {
    const known = this.bySession.get(proxy.id);
    if (known) {
      known.removeAt = undefined;
      return;
    }
    const place = placeOf(proxy);
    if (!place) return;
    const workload = this.workloadAt(place, undefined);
    workload.removeAt = undefined;
    workload.sessions.set(proxy.id, proxy);
    this.bySession.set(proxy.id, workload);
  }

  private workloadAt(place: Place, removeAt: number | undefined): Workload {
    const key = keyOf(place);
    let workload = this.workloads.get(key);
    if (!workload) {
      workload = { ...placeIn(place), sessions: new Map(), removeAt };
      this.workloads.set(key, workload);
    }
    return workload;
  }

  private sweep(): void {
    const now = this.now();
    for (const [key, workload] of this.workloads) {
      for (const [id, proxy] of workload.sessions) {
        if (proxy.isConnected()) continue;
        workload.sessions.delete(id);
        this.bySession.delete(id);
      }
      if (workload.sessions.size > 0) continue;
      workload.removeAt ??= now + this.options.graceMs;
      if (workload.removeAt > now) continue;
      this.workloads.delete(key);
      const write = this.removeHealth(workload).catch((error) => {
        this.options.report(error);
        this.workloadAt(workload, this.now() + this.options.graceMs);
      });
      this.writes.add(write);
      void write.then(() => this.writes.delete(write));
    }
  }

  private async removeHealth({ namespace, serviceAccount, address }: Place): Promise<void> {
    if (await this.options.isElsewhere?.({ namespace, serviceAccount, address })) return;
    for (const entry of this.options.view().workloadEntriesAt(address, namespace)) {
      if (isRegistered(entry) || (specOf(entry).serviceAccount || 'default') !== serviceAccount) continue;
      const key = entryKey(namespace, entry.metadata.name);
      const stored = await this.options.store.get(key);
      const verdict = stored && conditionsOf(stored).find(({ type }) => type === HEALTHY);
      if (verdict && verdict.reason !== DRAINING) await this.writer.setCondition(key, HEALTHY, undefined);
    }
  }
}

const placeIn = ({ namespace, serviceAccount, address }: Place): Place => ({ namespace, serviceAccount, address });
const keyOf = ({ namespace, serviceAccount, address }: Place) => `${namespace}\n${serviceAccount}\n${address}`;

/** undefined: no entry is of it. */
export function placeOf({ node: { id, metadata = {} } }: Pick<Proxy, 'node'>): Place | undefined {
  const [, address = ''] = id.split('~');
  const namespace = text(metadata['NAMESPACE']);
  if (namespace === undefined || !isIpAddress(address)) return undefined;
  return { namespace, serviceAccount: text(metadata['SERVICE_ACCOUNT']) ?? 'default', address };
}
