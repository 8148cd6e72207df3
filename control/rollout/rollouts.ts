/**
 * Changes on their way to the proxies. It stands between the store and the mesh: a change that a RolloutPolicy governs becomes
 * effective for a cohort of the proxies, step by step, while the revision before it stays effective for the others; then for
 * all, or for none of them where it does harm. What is stored is never changed: only which revision is effective.
 */
import type { Log } from '../../shared/log/log.ts';
import { kindKey } from '../../shared/resources/kind.ts';
import { kinds } from '../../shared/resources/registry.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { SECURITY_KINDS, TRAFFIC_KINDS } from '../../shared/resources/schema/tulle/rollout-policy.ts';
import type { Node } from '../../shared/xds/core.ts';
import { isKind, namespaceOf } from '../mesh/fields.ts';
import { meshForm, resourceId } from '../mesh/mesh-resource.ts';
import type { GateStep, Moved, RevisionGate, Revisions } from '../mesh/revisions/revision-gate.ts';
import type { Replacement } from '../mesh/revisions/variant.ts';
import type { MeshView } from '../mesh/view.ts';
import type { ResourceKey } from '../store/store.ts';
import { asksLabels, boundaryOf, isInCohort } from './cohort.ts';
import { concernedProxies, type ProxyOfRollout } from './concern.ts';
import { policyFor, policyName, type RolloutPolicy, stepsOf } from './policies.ts';
import type { RolloutRecords } from './records.ts';
import { contentDigest, isLive, type RolloutRecord, targetName, targetOf } from './rollout.ts';

/** So many changes are on their way at a time; those after them wait. Each combination of them is a view of its own. */
export const MAX_LIVE = 3;
const TICK_MS = 1000;

/** A rollout of this process. */
export interface Rollout extends RolloutRecord {
  /** `resourceId` of the target. */
  readonly id: string;
  /** Another one for each candidate, step by step. */
  readonly serial: number;
  /** What is rolled out; undefined: that the resource is deleted. */
  readonly revision: Resource | undefined;
  /** When all proxies of the step had the candidate, in milliseconds of `now`; undefined: they have it not. */
  readonly watchedSince: number | undefined;
}

export interface ConnectedProxy extends ProxyOfRollout {
  readonly node: Node;
  /** It has acknowledged, or refused, all that it is to run. */
  readonly isUpToDate: boolean;
}

export interface RolloutsOptions {
  readonly records: Pick<RolloutRecords, 'saved' | 'save' | 'close'>;
  /** Of an earlier process. */
  readonly recorded: ReadonlyMap<string, RolloutRecord>;
  readonly log: Log;
  /**
   * Milliseconds after the start in which proxies of an earlier process come back: no rollout takes a step meanwhile, as a part
   * of the proxies cannot be chosen before they are known. 0: there was none.
   */
  readonly settleMs?: number;
  /** Called with each policy, instead of following it: every change is in force at once. Default: policies are followed. */
  readonly onIgnored?: ((policy: Resource) => void) | undefined;
  /** Called when a rollout began, moved, or ended (`isOver`). */
  readonly onMoved?: (rollout: Rollout, isOver: boolean) => void;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** What the rollouts need of the process, once it runs. */
export interface RolloutEnvironment {
  readonly mesh: { current(): MeshView; variant(key: string, replacements: readonly Replacement[]): MeshView };
  /** The connected proxies. */
  readonly proxies: () => Iterable<ConnectedProxy>;
  readonly labelsOf: (view: MeshView, node: Node) => Readonly<Record<string, string>>;
}

/** Of all kinds that a policy can govern. */
const KIND_KEYS: ReadonlySet<string> = new Set(
  kinds.flatMap(({ kind, group, plural }) =>
    ([...TRAFFIC_KINDS, ...SECURITY_KINDS] as readonly string[]).includes(kind) ? kindKey(group, plural) : [],
  ),
);

const POLICY_ID = 'RolloutPolicy.tulle.dev ';

export class Rollouts implements RevisionGate {
  onDue: () => void = () => {};
  private readonly options: RolloutsOptions;
  private readonly now: () => number;
  private environment: RolloutEnvironment | undefined;
  private readonly rollouts = new Map<string, Rollout>();
  private live: readonly Rollout[] = [];
  private readonly policies = new Map<string, RolloutPolicy>();
  /** Revisions that are to be effective for every proxy, until the mesh has them. */
  private readonly promoted = new Map<string, Resource | undefined>();
  /** Targets whose revision is kept because a write is under way. */
  private readonly protectedIds = new Set<string>();
  private moved: Moved[] = [];
  private started = false;
  private attachedAt = Number.POSITIVE_INFINITY;
  private serials = 0;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: RolloutsOptions) {
    this.options = options;
    this.now = options.now ?? Date.now;
  }

  attach(environment: RolloutEnvironment): void {
    this.environment = environment;
    this.attachedAt = this.now();
    for (const rollout of this.all()) this.report(rollout);
    if (!this.isSettling) this.startQueued();
    this.keepTime();
  }

  /** The oldest first. */
  all(): readonly Rollout[] {
    return [...this.rollouts.values()].sort((a, b) => (a.began < b.began ? -1 : a.began > b.began ? 1 : 0));
  }

  /** Those that proxies have the candidates of. */
  get inProgress(): readonly Rollout[] {
    return this.live;
  }

  /** The policy of a name; undefined: it was deleted. @param name `namespace/name` */
  policy(name: string): RolloutPolicy | undefined {
    return this.policies.get(`${POLICY_ID}${name}`);
  }

  /** Candidates of a kind. */
  candidates(kind: string): readonly Resource[] {
    return this.live.flatMap(({ revision }) => (revision?.kind === kind ? revision : []));
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.options.records.close();
  }

  /** Proxies may still come back after a restart of the control plane. */
  get isSettling(): boolean {
    const { settleMs = 0 } = this.options;
    return !(this.now() - this.attachedAt >= settleMs);
  }

  // What is effective

  step(written: Revisions, effective: ReadonlyMap<string, Resource>): GateStep {
    this.followPolicies(written);
    if (!this.started) return this.first(written);
    const isIdle = this.rollouts.size + this.promoted.size + this.moved.length + this.protectedIds.size === 0;
    if (this.policies.size === 0 && isIdle) return { effective: written, moved: [] };
    const out = new Map<string, Resource | undefined>();
    for (const [id, revision] of this.promoted) {
      if (effective.get(id) === revision) this.promoted.delete(id);
      else out.set(id, revision);
    }
    for (const [id, after] of written)
      this.take(id, out.has(id) ? out.get(id) : effective.get(id), after, out, effective);
    const { moved } = this;
    this.moved = [];
    return { effective: out, moved };
  }

  /** The view that a proxy is compiled from; undefined: the one that is effective for every proxy. */
  viewFor(node: Node): MeshView | undefined {
    if (this.live.length === 0 || !this.environment) return undefined;
    return this.viewWith(this.of(node));
  }

  /** The rollouts whose candidates a proxy has. */
  of(node: Node): readonly Rollout[] {
    let labels: Readonly<Record<string, string>> | undefined;
    return this.live.filter((rollout) => {
      if (asksLabels(rollout)) labels ??= this.labelsOf(node);
      return isInCohort(rollout, { id: node.id, labels: labels ?? {} });
    });
  }

  /** The view with the candidates of these rollouts. */
  viewWith(rollouts: readonly Rollout[]): MeshView {
    const { mesh } = this.environment!;
    if (rollouts.length === 0) return mesh.current();
    const replacements = rollouts.map(({ stable, revision }) => ({ effective: stable, candidate: revision }));
    return mesh.variant(rollouts.map(({ serial }) => serial).join(), replacements);
  }

  private labelsOf(node: Node): Readonly<Record<string, string>> {
    const { mesh, labelsOf } = this.environment!;
    return labelsOf(mesh.current(), node);
  }

  private followPolicies(written: Revisions): void {
    for (const [id, resource] of written) {
      if (!id.startsWith(POLICY_ID)) continue;
      if (this.options.onIgnored) {
        if (resource) this.options.onIgnored(resource);
        continue;
      }
      if (resource && isKind(resource, 'RolloutPolicy')) this.policies.set(id, resource);
      else this.policies.delete(id);
    }
  }

  /** What an earlier process left: the revisions that it kept are effective, and its rollouts continue. */
  private first(written: Revisions): GateStep {
    this.started = true;
    const out = new Map(written);
    for (const [id, record] of this.options.recorded) {
      const after = written.get(id);
      if (contentDigest(after) === contentDigest(record.stable)) {
        this.options.records.save(id, undefined);
        continue;
      }
      if (record.stable) out.set(id, record.stable);
      else out.delete(id);
      const candidate = contentDigest(after);
      const goesOn = record.phase !== 'Protected' && record.candidate === candidate;
      if (goesOn) this.put({ ...record, ...this.serial(), id, revision: after, watchedSince: undefined });
      else this.begin(id, record.stable, after, record);
    }
    this.moved = [];
    return { effective: out, moved: [] };
  }

  private take(
    id: string,
    before: Resource | undefined,
    after: Resource | undefined,
    out: Map<string, Resource | undefined>,
    effective: ReadonlyMap<string, Resource>,
  ): void {
    const rollout = this.rollouts.get(id);
    const written = contentDigest(after);
    if (rollout && written === rollout.candidate) return;
    const resource = after ?? before ?? rollout?.revision;
    const isWithdrawn = written === contentDigest(before);
    const policy = resource && !isWithdrawn ? this.governing(resource, effective) : undefined;
    if (policy && resource) {
      this.begin(id, before, after, { policy: policyName(policy), steps: stepsOf(policy) });
      return;
    }
    if (rollout) this.end(rollout, isWithdrawn ? 'withdrawn: the revision before was written' : 'no policy governs it');
    else if (this.protectedIds.delete(id)) this.options.records.save(id, undefined);
    out.set(id, after);
  }

  /** Nothing is rolled out in a namespace that is being deleted. */
  private governing(resource: Resource, effective: ReadonlyMap<string, Resource>): RolloutPolicy | undefined {
    if (this.policies.size === 0) return undefined;
    const namespace = effective.get(`Namespace /${namespaceOf(resource)}`);
    if (namespace?.metadata.deletionTimestamp !== undefined) return undefined;
    return this.policyOf(resource);
  }

  private policyOf(resource: Resource): RolloutPolicy | undefined {
    if (this.policies.size === 0) return undefined;
    const root = this.environment?.mesh.current().settings.rootNamespace ?? 'istio-system';
    return policyFor([...this.policies.values()], resource, root);
  }

  // The life of a rollout

  /** Also in the place of an earlier candidate: then from the first step again, and what is stable stays. */
  private begin(
    id: string,
    stable: Resource | undefined,
    revision: Resource | undefined,
    { policy, steps }: Pick<RolloutRecord, 'policy' | 'steps'>,
  ): void {
    const earlier = this.rollouts.get(id);
    const target = (revision ?? stable)!;
    this.protectedIds.delete(id);
    if (earlier) this.rollouts.delete(id);
    this.start({
      ...targetOf(target),
      ...this.serial(),
      ...{ id, stable, revision, policy, steps },
      candidate: contentDigest(revision),
      phase: 'Queued',
      step: 0,
      boundary: 0,
      reason: earlier ? 'another revision was written' : '',
      began: new Date(this.now()).toISOString(),
      watchedSince: undefined,
    });
  }

  /** At its first step, or at the end of the queue. */
  private start(rollout: Rollout): void {
    const others = [...this.rollouts.values()].filter((each) => isLive(each) && each.id !== rollout.id);
    if (others.length >= MAX_LIVE) {
      const reason = `waits for ${others.map(targetName).join(', ')}`;
      this.change(rollout, { phase: 'Queued', step: 0, boundary: 0, reason });
      return;
    }
    if (this.isSettling) {
      const reason = 'waits for the proxies, which connect again after a restart of the control plane';
      this.change(rollout, { phase: 'Queued', step: 0, boundary: 0, reason });
      return;
    }
    this.change(rollout, { ...this.at({ ...rollout, boundary: 0 }, 0), phase: 'Progressing' });
    const { revision, stable } = rollout;
    if (revision) this.moved.push({ resource: revision, how: 'written' });
    else if (stable) this.moved.push({ resource: stable, how: 'deleted' });
    this.onDue();
  }

  /** The rollout at a step. */
  private at(rollout: Rollout, step: number): Pick<Rollout, 'step' | 'boundary' | 'watchedSince'> {
    const next = { ...rollout, step };
    return { step, boundary: boundaryOf(next, this.concerned(next)), watchedSince: undefined };
  }

  private concerned({ stable, revision }: Rollout): readonly ConnectedProxy[] {
    if (!this.environment) return [];
    const { mesh, proxies } = this.environment;
    const revisions = [stable, revision].filter((each) => each !== undefined);
    return concernedProxies(revisions, mesh.current(), [...proxies()]);
  }

  /** To the next step, or into force for every proxy after the last one. */
  advance(rollout: Rollout, reason = ''): void {
    const step = rollout.step + 1;
    if (step >= rollout.steps.length) {
      this.promoteFully(rollout, reason);
      return;
    }
    this.change(rollout, { ...this.at(rollout, step), phase: 'Progressing', reason });
    const { revision, stable } = rollout;
    if (revision ?? stable) this.moved.push({ resource: (revision ?? stable)!, how: revision ? 'written' : 'deleted' });
    this.onDue();
  }

  /** Into force for every proxy. */
  promoteFully(rollout: Rollout, reason = ''): void {
    this.promoted.set(rollout.id, rollout.revision);
    this.end(rollout, reason === '' ? 'in force for every proxy' : `in force for every proxy: ${reason}`);
    this.onDue();
  }

  /** No proxy has the candidate any more. What is stored stays, until another revision is written or it is promoted. */
  revert(rollout: Rollout, reason: string): void {
    if (this.rollouts.get(rollout.id)?.serial !== rollout.serial) return;
    const resource = rollout.revision ?? rollout.stable;
    if (isLive(rollout) && resource) this.moved.push({ resource, how: 'reverted' });
    this.change(rollout, { phase: 'Reverted', reason });
    this.startQueued();
    this.onDue();
  }

  /** It stays at its step. */
  pause(rollout: Rollout, reason: string): void {
    this.change(rollout, { phase: 'Paused', reason });
  }

  /** From the first step again. */
  retry(rollout: Rollout, reason: string): void {
    this.start({ ...rollout, ...this.serial(), reason });
  }

  private startQueued(): void {
    for (const rollout of this.all()) {
      if (this.live.length >= MAX_LIVE) return;
      if (rollout.phase === 'Queued') this.start({ ...rollout, reason: '' });
    }
  }

  private end(rollout: Rollout, reason: string): void {
    this.rollouts.delete(rollout.id);
    this.options.records.save(rollout.id, undefined);
    const resource = rollout.revision ?? rollout.stable;
    if (isLive(rollout) && resource) this.moved.push({ resource, how: 'reverted' });
    this.settle();
    this.report({ ...rollout, reason }, true);
    this.startQueued();
  }

  private change(rollout: Rollout, change: Partial<Rollout>): void {
    const next = { ...rollout, ...change };
    this.put(next);
    const { id, serial: _serial, revision: _revision, watchedSince: _since, ...record } = next;
    this.options.records.save(id, record);
    this.report(next);
  }

  private put(rollout: Rollout): void {
    this.rollouts.set(rollout.id, rollout);
    this.settle();
  }

  private settle(): void {
    this.live = [...this.rollouts.values()].filter(isLive).sort((a, b) => a.serial - b.serial);
    this.keepTime();
  }

  private serial(): Pick<Rollout, 'serial'> {
    return { serial: ++this.serials };
  }

  private report(rollout: Rollout, isOver = false): void {
    const { log, onMoved } = this.options;
    if (!this.environment) return;
    const fields = { resource: targetName(rollout), policy: rollout.policy };
    log(`rollout ${isOver ? 'ended' : rollout.phase.toLowerCase()}`, rollout.phase === 'Reverted' ? 'warn' : 'info', {
      ...fields,
      ...(isLive(rollout) && !isOver && { step: `${rollout.step + 1} of ${rollout.steps.length}` }),
      ...(rollout.reason !== '' && { reason: rollout.reason }),
    });
    onMoved?.(rollout, isOver);
  }

  // Time

  private keepTime(): void {
    const isWaiting = this.live.length > 0 || [...this.rollouts.values()].some(({ phase }) => phase === 'Queued');
    if (!isWaiting || !this.environment) {
      clearInterval(this.timer);
      this.timer = undefined;
      return;
    }
    if (this.timer) return;
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.timer.unref?.();
  }

  /** Has a look at every rollout that proxies have. */
  tick(): void {
    if (this.isSettling || !this.environment) return;
    this.startQueued();
    const proxies = [...this.environment.proxies()];
    for (const rollout of this.live) this.look(rollout, proxies);
  }

  private look(rollout: Rollout, proxies: readonly ConnectedProxy[]): void {
    const members = this.membersOf(rollout, proxies);
    if (members.length === 0 && proxies.length > 0) {
      // Proxies have come since the step began, or those of the step have left.
      this.change(rollout, this.at(rollout, rollout.step));
      this.onDue();
      return;
    }
    if (members.some(({ isUpToDate }) => !isUpToDate)) return;
    const now = this.now();
    const { watchedSince = now } = rollout;
    if (rollout.watchedSince === undefined) this.put({ ...rollout, watchedSince });
    const { durationMs } = rollout.steps[rollout.step]!;
    if (rollout.phase === 'Progressing' && now - watchedSince >= durationMs)
      this.advance(this.rollouts.get(rollout.id)!);
  }

  /** Those of the proxies that have, or are to have, the candidate. */
  membersOf(rollout: Rollout, proxies: readonly ConnectedProxy[]): readonly ConnectedProxy[] {
    return proxies.filter((proxy) => isInCohort(rollout, proxy));
  }

  /** How many of the connected proxies have the candidate, and how many there are. */
  reached(rollout: Rollout): { readonly have: number; readonly of: number } {
    const proxies = this.environment ? [...this.environment.proxies()] : [];
    if (!isLive(rollout)) return { have: 0, of: proxies.length };
    const have = this.membersOf(rollout, proxies).filter(({ isUpToDate }) => isUpToDate).length;
    return { have, of: proxies.length };
  }

  // Writes

  /** Whether a policy may govern changes at a place of the store: most are looked at no further. */
  governs({ group, plural }: Pick<ResourceKey, 'group' | 'plural'>): boolean {
    return this.policies.size > 0 && KIND_KEYS.has(kindKey(group, plural));
  }

  /**
   * Before a write: keeps what is effective where a policy governs the change, so that it stays so whatever happens to this
   * process. Durable when it resolves.
   * @returns takes that back, for a write that failed
   * @throws StoreError
   */
  async protect(stored: Resource | undefined, next: Resource | undefined): Promise<() => void> {
    const nothing = () => {};
    const resource = next ?? stored;
    const policy = resource && this.policyOf(resource);
    if (!resource || !policy) return nothing;
    const id = resourceId(resource);
    const [stable, revision] = [stored && meshForm(stored), next && meshForm(next)];
    if (this.rollouts.has(id) || this.protectedIds.has(id) || contentDigest(stable) === contentDigest(revision))
      return nothing;
    this.protectedIds.add(id);
    await this.options.records.saved(id, {
      ...targetOf(resource),
      stable,
      candidate: contentDigest(revision),
      policy: policyName(policy),
      steps: stepsOf(policy),
      phase: 'Protected',
      step: 0,
      boundary: 0,
      reason: '',
      began: new Date(this.now()).toISOString(),
    });
    return () => {
      if (this.protectedIds.delete(id)) this.options.records.save(id, undefined);
    };
  }
}
