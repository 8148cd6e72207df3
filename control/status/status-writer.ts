/**
 * Writes what was found about resources into their status. All reporters come here, and only here is a status written: what
 * came together is written together, a status that says it already is not written, and one that became free of findings
 * waits a moment, in which another proxy may find the same.
 *
 * The mesh does not see a status (`control/mesh/follow-store.ts`), so that a write here sets off no compilation.
 */
import type { Resource } from '../../shared/resources/resource.ts';
import type { Finding } from '../compile/output/finding.ts';
import { resourceId } from '../mesh/mesh-resource.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../store/store.ts';
import {
  CONDITION_TYPES,
  type ConditionChange,
  changedConditions,
  isViolated,
  nextStatus,
  type StateCondition,
} from './conditions.ts';
import type { Effect } from './effect.ts';
import { FindingTable, type Reporter } from './finding-table.ts';

export interface StatusTiming {
  /** From a finding to its write. */
  readonly gatherMs: number;
  /** From the last report of a finding to the write of its absence. */
  readonly clearMs: number;
  /** So long after the start, what the control plane before it had found by compiling for proxies stays. */
  readonly inheritMs: number;
  /** Wait after the store failed. */
  readonly retryMs: number;
}

export interface StatusWriterOptions {
  readonly store: Pick<ResourceStore, 'get' | 'list' | 'updateStatus'>;
  /** undefined: a resource of no kind that is stored. */
  readonly keyOf: (resource: Resource) => ResourceKey | undefined;
  /** For `lastTransitionTime`. */
  readonly now?: () => Date;
  readonly timing?: Partial<StatusTiming>;
  /** False: another control plane writes, until `lead`. Default: true. */
  readonly leads?: boolean;
  /** A status that could not be written; it is attempted again. */
  readonly onError?: (error: unknown) => void;
  /** How far the last change of a resource has come, by its `resourceId` and uid; undefined: that is not known. */
  readonly effectOf?: (id: string, uid: string | undefined) => Effect | undefined;
  /** A condition that was written and says something else than before. */
  readonly onCondition?: (resource: Resource, condition: ConditionChange) => void;
}

const TIMING: StatusTiming = { gatherMs: 100, clearMs: 2_000, inheritMs: 60_000, retryMs: 1_000 };

/** Statuses that are written together; the event loop runs between them. */
const BATCH = 64;

interface Pending {
  readonly resource: Resource;
  /** On the clock of `performance.now()`. */
  dueAt: number;
}

export class StatusWriter {
  private readonly options: StatusWriterOptions;
  private readonly timing: StatusTiming;
  private readonly table = new FindingTable();
  private readonly pending = new Map<string, Pending>();
  /** Conditions that are to be set; of each the resource that it is about. */
  private readonly states = new Map<string, { readonly about: Resource; readonly condition: StateCondition }>();
  /** Resources whose condition `Reconciled` is of a control plane before this one. */
  private readonly inherited = new Map<string, Resource>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer runs, on the clock of `performance.now()`. */
  private nextAt = Number.POSITIVE_INFINITY;
  private inheritance: ReturnType<typeof setTimeout> | undefined;
  private writing: Promise<void> | undefined;
  private closed = false;
  private leads: boolean;

  constructor(options: StatusWriterOptions) {
    this.options = options;
    this.leads = options.leads ?? true;
    this.timing = { ...TIMING, ...options.timing };
  }

  /**
   * Reads which resources have conditions from before, so that they are cleared where nothing is found any more.
   * @param seen called with every stored resource
   */
  async start(seen: (resource: Resource) => void = () => {}): Promise<void> {
    if (!this.leads) return;
    const { items } = await this.options.store.list({});
    for (const resource of items) {
      seen(resource);
      if (!CONDITION_TYPES.some((type) => isViolated(resource, type))) continue;
      const id = resourceId(resource);
      if (isViolated(resource, 'Reconciled')) this.inherited.set(id, resource);
      this.due(id, resource, this.timing.clearMs);
    }
    if (this.inherited.size === 0) return;
    this.inheritance = setTimeout(() => this.dropInherited(), this.timing.inheritMs);
    this.inheritance.unref?.();
  }

  /**
   * What `reporter` finds now, in the place of what it had found before; of any resources. The same array again costs
   * nothing. An empty list: it finds nothing any more, or is not there any more.
   */
  report(reporter: Reporter, findings: readonly Finding[]): void {
    if (this.closed) return;
    const { gatherMs, clearMs } = this.timing;
    for (const [id, resource] of this.table.replace(reporter, findings))
      this.due(id, resource, this.table.of(id).length > 0 ? gatherMs : clearMs);
  }

  /** What `effectOf` gives of the resource is something else. */
  effectChanged(resource: Resource): void {
    if (!this.closed) this.due(resourceId(resource), resource, 0);
  }

  /** This control plane begins to write what it knows, or ends to write. */
  async lead(leads: boolean): Promise<void> {
    if (this.leads === leads || this.closed) return;
    this.leads = leads;
    clearTimeout(this.inheritance);
    this.inherited.clear();
    if (!leads) {
      clearTimeout(this.timer);
      this.nextAt = Number.POSITIVE_INFINITY;
      this.pending.clear();
      return;
    }
    for (const [id, resource] of this.table.resources()) this.due(id, resource, this.timing.gatherMs);
    for (const [id, { about }] of this.states) this.due(id, about, this.timing.gatherMs);
    await this.start();
  }

  /** Sets a condition of a type that no finding has. */
  state(about: Resource, condition: StateCondition): void {
    if (this.closed) return;
    const id = resourceId(about);
    this.states.set(id, { about, condition });
    this.due(id, about, this.timing.gatherMs);
  }

  /** Writes nothing more; resolves when the write that is under way has ended. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.inheritance);
    this.pending.clear();
    await this.writing;
  }

  private dropInherited(): void {
    for (const [id, resource] of this.inherited) this.due(id, resource, 0);
    this.inherited.clear();
  }

  private due(id: string, resource: Resource, afterMs: number): void {
    if (!this.leads) return;
    const dueAt = performance.now() + afterMs;
    const known = this.pending.get(id);
    this.pending.set(id, { resource, dueAt: known ? Math.min(known.dueAt, dueAt) : dueAt });
    this.beginAt(dueAt);
  }

  /** After a write: begins the next when the first of what is pending is due. */
  private schedule(): void {
    let first = Number.POSITIVE_INFINITY;
    for (const { dueAt } of this.pending.values()) first = Math.min(first, dueAt);
    this.beginAt(first);
  }

  /** Unless a write begins before; not a look at all that is pending, since a start reports thousands one by one. */
  private beginAt(dueAt: number): void {
    if (this.closed || this.writing || dueAt >= this.nextAt) return;
    this.nextAt = dueAt;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.begin(), Math.max(0, dueAt - performance.now()));
    this.timer.unref?.();
  }

  private begin(): void {
    this.nextAt = Number.POSITIVE_INFINITY;
    this.writing ??= this.writeDue().finally(() => {
      this.writing = undefined;
      this.schedule();
    });
  }

  private async writeDue(): Promise<void> {
    const now = performance.now();
    const due: [string, Resource][] = [];
    for (const [id, { dueAt, resource }] of this.pending) {
      if (dueAt > now || due.length >= BATCH) continue;
      due.push([id, resource]);
      this.pending.delete(id);
    }
    await Promise.all(due.map(([id, resource]) => this.write(id, resource)));
  }

  private async write(id: string, resource: Resource): Promise<void> {
    const key = this.options.keyOf(resource);
    if (!key) return;
    try {
      const stored = await this.options.store.get(key);
      if (!stored) {
        this.states.delete(id);
        return;
      }
      const { uid, resourceVersion } = stored.metadata;
      // Findings about a deleted resource of the same name are none about this one.
      const findings = this.table.of(id).filter(({ about }) => about.metadata.uid === uid);
      const now = this.options.now?.() ?? new Date();
      const set = this.states.get(id);
      const state = set?.about.metadata.uid === uid ? set?.condition : undefined;
      const keep = this.inherited.has(id) ? 'Reconciled' : undefined;
      const effect = this.options.effectOf?.(id, uid);
      const status = nextStatus(stored, findings, { now, keep, state, effect });
      if (status) {
        const written = await this.options.store.updateStatus(key, status, { uid, resourceVersion });
        for (const change of changedConditions(stored, status)) this.options.onCondition?.(written, change);
      }
      // It stays in the stored status from here on.
      if (this.states.get(id) === set) this.states.delete(id);
    } catch (error) {
      this.failed(id, resource, error);
    }
  }

  private failed(id: string, resource: Resource, error: unknown): void {
    if (this.closed || !this.leads) return;
    const code = error instanceof StoreError ? error.code : undefined;
    if (code === 'not-found') return;
    // After a conflict the next attempt reads what another write left.
    if (code !== 'conflict') this.options.onError?.(error);
    this.due(id, resource, code === 'conflict' ? 0 : this.timing.retryMs);
  }
}
