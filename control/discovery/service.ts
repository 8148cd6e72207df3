/**
 * Incremental xDS over long-poll: answers each proxy with what changed for it, once per burst of changes, and keeps
 * what every proxy acknowledged or refused. Nothing here is stored: a proxy that reconnects says what it has
 * (`initialResourceVersions`), and versions are digests, so a restarted control plane resends nothing needlessly.
 */
import { randomUUID } from 'node:crypto';
import type { DeltaDiscoveryResponse, DiscoveryPoll, Snapshot } from '../../shared/xds/discovery.ts';
import { RESOURCE_TYPES } from '../../shared/xds/discovery.ts';
import type { CompileNode } from '../compile/node/compile-node.ts';
import type { MeshView } from '../mesh/view.ts';
import { Session, typeOfUrl, type VersionedSnapshot, versionSnapshot } from './session.ts';
import { type ProxyStatus, proxyStatus } from './status.ts';

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Runs once after `ms`. @returns cancel */
  after(ms: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

export interface DiscoveryOptions {
  readonly compile: CompileNode;
  readonly mesh: { current(): MeshView; onChange(listener: () => void): () => void };
  /** How long a poll with nothing to say is held. Default 25 s. */
  readonly holdMs?: number;
  /** Changes this close together become one answer. At most (and by default) 100 ms. */
  readonly debounceMs?: number;
  /** A session nobody polled for this long is forgotten. Default 5 min. */
  readonly sessionTtlMs?: number;
  /** Default 10 000. */
  readonly maxSessions?: number;
  readonly clock?: Clock;
  /** A node that cannot be compiled, an unexpected fault. One line, no secrets. */
  readonly log?: (line: string) => void;
}

/** A DiscoveryAnswer. */
export interface PollAnswer {
  readonly session: string;
  readonly responses: DeltaDiscoveryResponse[];
}

export type DiscoveryErrorCode = 'invalid' | 'unavailable';
/** A poll that cannot be answered; `message` is for the proxy's operator. */
export class DiscoveryError extends Error {
  override name = 'DiscoveryError';
  readonly code: DiscoveryErrorCode;
  constructor(code: DiscoveryErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export class DiscoveryService {
  private readonly options: DiscoveryOptions;
  private readonly clock: Clock;
  private readonly holdMs: number;
  private readonly debounceMs: number;
  private readonly sessions = new Map<string, Session>();
  private readonly stopListening: () => void;
  private view: MeshView;
  private cancelFlush: (() => void) | undefined;
  private closed = false;

  constructor(options: DiscoveryOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.holdMs = options.holdMs ?? 25_000;
    this.debounceMs = Math.min(options.debounceMs ?? 100, 100);
    this.view = options.mesh.current();
    this.stopListening = options.mesh.onChange(() => this.changed());
  }

  /**
   * One long-poll. `caller` is the verified identity (SPIFFE id) of the proxy: sessions belong to it. A session's first
   * poll is answered at once, later ones when there is something to say or the hold is over.
   * @throws DiscoveryError invalid (unknown type URL), unavailable (too many sessions, nothing could be compiled yet)
   */
  async poll(request: DiscoveryPoll, caller: string, signal: AbortSignal): Promise<PollAnswer> {
    for (const { typeUrl } of request.requests)
      if (typeOfUrl(typeUrl) === undefined) throw new DiscoveryError('invalid', `unknown resource type "${typeUrl}"`);
    const known = this.find(request, caller);
    const session = known ?? this.open(request, caller);
    session.rouse('superseded');
    session.touch(request.node, this.clock.now());
    session.take(request.requests);
    const answer = (responses: DeltaDiscoveryResponse[]): PollAnswer => ({ session: session.id, responses });
    const deadline = session.lastSeen + this.holdMs;
    for (let first = known === undefined; ; first = false) {
      const snapshot = this.snapshot(session);
      const responses = session.collect(snapshot, String(this.view.revision));
      const left = deadline - this.clock.now();
      if (responses.length > 0 || first || left <= 0 || this.closed) return answer(responses);
      const reason = await session.wait(left, signal, (ms, run) => this.clock.after(ms, run));
      session.lastSeen = this.clock.now();
      if (reason !== 'changed') return answer([]);
    }
  }

  /** One entry per node id, sorted; of several sessions the one seen last. */
  status(): ProxyStatus[] {
    this.expire();
    const latest = new Map<string, Session>();
    for (const session of this.sessions.values()) {
      const other = latest.get(session.node.id);
      if (!other || session.lastSeen >= other.lastSeen) latest.set(session.node.id, session);
    }
    const now = this.clock.now();
    return [...latest.values()]
      .map((session) => proxyStatus(session, this.snapshotIfAny(session), now))
      .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  }

  /** What a connected node is meant to run now; undefined for a node that is not known. Holds private keys. */
  snapshotOf(nodeId: string): Snapshot | undefined {
    const session = [...this.sessions.values()].findLast((candidate) => candidate.node.id === nodeId);
    const snapshot = session && this.snapshotIfAny(session);
    if (!snapshot) return undefined;
    return Object.fromEntries(
      RESOURCE_TYPES.map((type) => [type, [...snapshot[type].values()].map(({ resource }) => resource)]),
    ) as unknown as Snapshot;
  }

  /** How many polls are being held. */
  get held(): number {
    let count = 0;
    for (const session of this.sessions.values()) if (session.connected) count++;
    return count;
  }

  /** Ends every held poll with an empty answer and stops following the mesh. */
  close(): void {
    this.closed = true;
    this.stopListening();
    this.cancelFlush?.();
    for (const session of this.sessions.values()) session.rouse('closed');
  }

  private changed(): void {
    // The first change of a burst starts the clock; those that follow ride along, so the wait is bounded.
    this.cancelFlush ??= this.clock.after(this.debounceMs, () => {
      this.cancelFlush = undefined;
      this.view = this.options.mesh.current();
      for (const session of this.sessions.values()) session.rouse('changed');
    });
  }

  private find(request: DiscoveryPoll, caller: string): Session | undefined {
    const session = request.session ? this.sessions.get(request.session) : undefined;
    return session?.owner === caller && session.node.id === request.node.id ? session : undefined;
  }

  private open(request: DiscoveryPoll, caller: string): Session {
    this.expire();
    // A restarted proxy leaves its old session behind; a live twin with the same id keeps its own.
    for (const old of this.sessions.values())
      if (old.owner === caller && old.node.id === request.node.id && !old.connected) this.sessions.delete(old.id);
    if (this.sessions.size >= (this.options.maxSessions ?? 10_000))
      throw new DiscoveryError('unavailable', 'the control plane has as many proxies as it may: try again later');
    const session = new Session(randomUUID(), caller, request.node, this.clock.now());
    this.sessions.set(session.id, session);
    return session;
  }

  private expire(): void {
    const oldest = this.clock.now() - (this.options.sessionTtlMs ?? 300_000);
    for (const session of this.sessions.values())
      if (!session.connected && session.lastSeen < oldest) this.sessions.delete(session.id);
  }

  /** Compiled once per view and node. A node that cannot be compiled keeps what it had (static stability). */
  private snapshot(session: Session): VersionedSnapshot {
    const { compiled } = session;
    if (compiled?.view === this.view && compiled.nodeDigest === session.nodeDigest) return compiled.snapshot;
    try {
      const snapshot = versionSnapshot(this.options.compile(this.view, session.node));
      session.compiled = { view: this.view, nodeDigest: session.nodeDigest, snapshot };
      session.compileError = undefined;
      return snapshot;
    } catch (error) {
      session.compileError = error instanceof Error ? error.message : String(error);
      this.options.log?.(`discovery: cannot compile config for node "${session.node.id}": ${session.compileError}`);
      if (!compiled) throw new DiscoveryError('unavailable', `cannot compile config for node "${session.node.id}"`);
      session.compiled = { view: this.view, nodeDigest: session.nodeDigest, snapshot: compiled.snapshot };
      return compiled.snapshot;
    }
  }

  private snapshotIfAny(session: Session): VersionedSnapshot | undefined {
    try {
      return this.snapshot(session);
    } catch {
      return undefined;
    }
  }
}
