/**
 * The sessions of all proxies, and how many of them one workload identity and one namespace may hold: the node ids of its
 * sessions are the choice of a caller, and without quotas one workload could take the places of all others.
 */
import { parseWorkloadId, SpiffeIdError } from '../../shared/identity/spiffe.ts';
import { DiscoveryError } from './discovery-error.ts';
import { NAME_LIMITS, NameBudget, type NameLimits } from './name-budget.ts';
import type { Session } from './session.ts';

/** The most sessions at a time, and the most that is kept of the names they choose. */
export interface SessionLimits {
  readonly total: number;
  /** Of all service accounts of one namespace. */
  readonly perNamespace: number;
  /** Of one SPIFFE id, which the replicas of a workload share. */
  readonly perIdentity: number;
  readonly names: NameLimits;
}

const SESSION_LIMITS: SessionLimits = {
  total: 10_000,
  perNamespace: 5000,
  perIdentity: 1000,
  names: NAME_LIMITS,
};

/** At a limit, a session that was not polled for this long makes room for a new one. */
const IDLE_MS = 30_000;

export interface SessionTableOptions {
  readonly limits: Partial<SessionLimits>;
  /** A session that is not polled for this long is forgotten; milliseconds. */
  readonly ttlMs: number;
  /** Takes each session that is forgotten. */
  readonly onForget: (session: Session) => void;
}

/** Sessions by what they count for, each in the order in which they were opened. */
class Groups {
  private readonly groups = new Map<string, Set<Session>>();

  of(key: string): ReadonlySet<Session> {
    return this.groups.get(key) ?? NONE;
  }

  add(key: string, session: Session): void {
    const group = this.groups.get(key);
    if (group) group.add(session);
    else this.groups.set(key, new Set([session]));
  }

  delete(key: string, session: Session): void {
    const group = this.groups.get(key);
    if (group?.delete(session) && group.size === 0) this.groups.delete(key);
  }
}

const NONE: ReadonlySet<Session> = new Set();

export class SessionTable {
  readonly limits: SessionLimits;
  /** Milliseconds after which a session that is not polled is forgotten. */
  readonly ttlMs: number;
  private readonly onForget: (session: Session) => void;
  private readonly sessions = new Map<string, Session>();
  private readonly ofProxy = new Groups();
  private readonly ofIdentity = new Groups();
  private readonly ofNamespace = new Groups();
  /** Of names, by identity. */
  private readonly budgets = new Map<string, NameBudget>();
  private readonly names: NameBudget;
  private expiredAt = Number.NEGATIVE_INFINITY;

  constructor({ limits, ttlMs, onForget }: SessionTableOptions) {
    this.limits = { ...SESSION_LIMITS, ...limits };
    this.names = new NameBudget(this.limits.names.total, 'this control plane');
    this.ttlMs = ttlMs;
    this.onForget = onForget;
  }

  get(id: string): Session | undefined {
    return this.sessions.get(id);
  }

  values(): IterableIterator<Session> {
    return this.sessions.values();
  }

  get size(): number {
    return this.sessions.size;
  }

  /**
   * Adds a session. The sessions that a restarted proxy left behind are forgotten; a live twin with the same id keeps its
   * own, and so does every other live session: replicas share an identity.
   * @throws DiscoveryError limited, unavailable: the limit that is reached
   */
  add(session: Session, now: number): void {
    // Not at each of a thousand starts: it looks at all sessions.
    if (now - this.expiredAt >= this.ttlMs / 10) this.expire(now);
    for (const old of this.ofProxy.of(proxyKey(session))) if (old.polls === 0) this.forget(old);
    const { identity, namespace } = workloadOf(session.owner);
    const { total, perNamespace, perIdentity } = this.limits;
    if (!this.hasRoom(this.ofIdentity.of(identity), perIdentity, now))
      throw new DiscoveryError(
        'limited',
        `the limit of ${perIdentity} sessions of one identity is reached (${identity})`,
      );
    if (!this.hasRoom(this.ofNamespace.of(namespace), perNamespace, now))
      throw new DiscoveryError(
        'limited',
        `the limit of ${perNamespace} sessions of one namespace is reached (${namespace})`,
      );
    if (this.sessions.size >= total && !this.makeRoom(this.sessions.values(), now))
      throw new DiscoveryError('unavailable', `the limit of ${total} sessions of this control plane is reached`);
    session.names.within(this.budgetOf(identity));
    this.sessions.set(session.id, session);
    this.ofProxy.add(proxyKey(session), session);
    this.ofIdentity.add(identity, session);
    this.ofNamespace.add(namespace, session);
  }

  private budgetOf(identity: string): NameBudget {
    let budget = this.budgets.get(identity);
    if (!budget) {
      budget = new NameBudget(this.limits.names.perIdentity, `one identity (${identity})`, this.names);
      this.budgets.set(identity, budget);
    }
    return budget;
  }

  /** Forgets the sessions that were not polled for the time to live. */
  expire(now: number): void {
    this.expiredAt = now;
    for (const session of this.sessions.values())
      if (!session.connected && session.lastSeen < now - this.ttlMs) this.forget(session);
  }

  private hasRoom(group: ReadonlySet<Session>, limit: number, now: number): boolean {
    return group.size < limit || this.makeRoom(group, now);
  }

  /** Forgets one session of the group that is not live, the oldest. @returns whether there was one */
  private makeRoom(group: Iterable<Session>, now: number): boolean {
    const idleMs = Math.min(IDLE_MS, this.ttlMs);
    for (const session of group) {
      if (session.polls > 0 || session.lastSeen >= now - idleMs) continue;
      this.forget(session);
      return true;
    }
    return false;
  }

  /** A poll of it that is under way is still answered. */
  forget(session: Session): void {
    if (!this.sessions.delete(session.id)) return;
    const { identity, namespace } = workloadOf(session.owner);
    this.ofProxy.delete(proxyKey(session), session);
    session.names.close();
    this.ofIdentity.delete(identity, session);
    if (this.ofIdentity.of(identity).size === 0) this.budgets.delete(identity);
    this.ofNamespace.delete(namespace, session);
    this.onForget(session);
  }
}

/** The node id and owner of a session do not change. */
const proxyKey = ({ owner, node }: Session): string => `${owner}\n${node.id}`;

/** Whom a session counts for. An owner is a SPIFFE id, with a remark behind it where a bearer token proved it. */
function workloadOf(owner: string): { identity: string; namespace: string } {
  const [identity = ''] = owner.split(' ', 1);
  try {
    return { identity, namespace: parseWorkloadId(identity).namespace };
  } catch (error) {
    if (error instanceof SpiffeIdError) return { identity, namespace: '' };
    throw error;
  }
}
