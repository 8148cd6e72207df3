/**
 * Incremental xDS over long-poll: answers each proxy with what changed for it, once per burst of changes, and keeps
 * what every proxy acknowledged or refused. Nothing here is stored: a proxy that reconnects says what it has
 * (`initialResourceVersions`), and versions are digests, so a restarted control plane resends nothing needlessly.
 */
import { randomUUID } from 'node:crypto';
import type { Log } from '../../shared/log/log.ts';
import type { Node } from '../../shared/xds/core.ts';
import {
  type DiscoveryPoll,
  type Feature,
  RESOURCE_TYPES,
  type ResourceType,
  type Snapshot,
  type TrustUpdate,
  typeOfUrl,
} from '../../shared/xds/discovery.ts';
import type { CompiledNode, CompileNode } from '../compile/output/compiled-node.ts';
import type { Finding } from '../compile/output/finding.ts';
import { type ResourceSets, snapshotOf } from '../compile/output/snapshot.ts';
import type { MeshListener } from '../mesh/follow-store.ts';
import type { MeshChange, MeshView } from '../mesh/view.ts';
import { type ControlEvents, eventsTo } from '../telemetry/events.ts';
import type { RegisteringProxy } from '../workloads/registrations.ts';
import { type Place, placeOf } from '../workloads/vanished-proxies.ts';
import type { PollAnswer } from './answer.ts';
import { ChangeLog } from './change-log.ts';
import { isConcerned, namesConcerned } from './concerned.ts';
import { hasConnection, isConnected } from './connected.ts';
import { DiscoveryError } from './discovery-error.ts';
import { FindingLog } from './finding-log.ts';
import { type NotFetched, notFetched } from './on-demand.ts';
import { certificateNotes, ProxyIndex } from './proxy-notes.ts';
import { type Job, PushQueue } from './push-queue.ts';
import { type Collected, NOTHING, type Presented, Session } from './session.ts';
import { type SessionLimits, SessionTable } from './session-table.ts';
import { Settlement } from './settlement.ts';
import { type ProxyStatus, proxyStatus } from './status.ts';
import type { Refusal } from './subscription.ts';

export { DiscoveryError } from './discovery-error.ts';

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Runs once after `ms`. @returns cancel */
  after(ms: number, run: () => void): () => void;
}

const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/** `eager`: every proxy is sent all that it may use, as by istiod. */
export type DiscoveryMode = 'on-demand' | 'eager';

const ON_DEMAND: Feature = 'tulle.on-demand';

/** A resource that a proxy refused. */
export interface RefusedResource extends Refusal {
  readonly type: ResourceType;
}

/** Changes that are effective for a part of the proxies. */
export interface PartialChanges {
  /** undefined: the view that is effective for every proxy. */
  viewFor(node: Node): MeshView | undefined;
  /** A proxy refused some of what it was sent. @param compiled what that is of */
  refused(node: Node, compiled: CompiledNode, refusals: readonly RefusedResource[]): void;
  /** A node cannot be compiled from its view. */
  notCompiled(node: Node, message: string): void;
}

/** What proxies are to trust, in versions. */
export interface TrustSource {
  readonly version: string;
  /** @param version what the proxy has; undefined: nothing */
  since(version: string | undefined): TrustUpdate;
  /** @returns stops */
  onChange(changed: () => void): () => void;
}

/** A client whose polls are made for it, of the messages of a stream. */
export interface StreamClient {
  /** Whether there are requests for the next poll: this one is not held. */
  readonly hasRequests: boolean;
}

export interface DiscoveryOptions {
  readonly compile: CompileNode;
  readonly mesh: { current(): MeshView; onChange(listener: MeshListener): () => void };
  /** Whether sidecars that can fetch hosts on demand do so. Default `on-demand`. */
  readonly discovery?: DiscoveryMode;
  /** How long a poll without changes is held. Default 25 s. */
  readonly holdMs?: number;
  /** A session not polled for this long is forgotten. Default 5 min. */
  readonly sessionTtlMs?: number;
  /** Default: SESSION_LIMITS. */
  readonly limits?: Partial<SessionLimits>;
  /** Features that no node gets, as from a control plane of a version without them. Default: none. */
  readonly withheldFeatures?: ReadonlySet<string>;
  /** The mesh's roots and revoked certificates. Default: proxies are sent none. */
  readonly trust?: TrustSource;
  /** URLs of all control planes of the mesh; the same array for as long as they are the same. Default: proxies are sent none. */
  readonly controlPlanes?: () => readonly string[];
  /** Default: every change is effective for all of them. */
  readonly rollouts?: PartialChanges;
  readonly clock?: Clock;
  readonly events?: ControlEvents;
  /**
   * Called for each poll, with the serial number of the caller's certificate; the node that it returns takes the place of the
   * one that the caller sent, and has its id. An error refuses the poll.
   */
  readonly admit?: (node: Node, serial: string | undefined) => Node;
  /**
   * Called for each poll; a promise is waited for before the answer, and an error refuses the poll, and a new session with it.
   */
  readonly seen?: (proxy: RegisteringProxy, isNew: boolean) => Promise<void> | undefined;
  /** What an operator should know of a node, beside the state of its resources. */
  readonly advise?: (view: MeshView, node: Node, session: string) => string | undefined;
  /** Takes what compiling for a session found, in the place of what it took before; an empty list when the session ends. */
  readonly status?: { report(session: object, findings: readonly Finding[]): void };
  /** Follows how far each change of the mesh has come. */
  readonly effects?: ChangeEffects;
  /** A node that cannot be compiled, an internal error. One line, no secrets. */
  readonly log?: Log;
}

/** Takes the changes of the mesh, numbered, and the sessions that pass them. */
export interface ChangeEffects {
  /** @param connected the sessions that will pass the change */
  changed(step: number, change: MeshChange, connected: () => readonly object[]): void;
  refreshed(session: object, from: number, to: number, concerned: boolean): void;
  failed(session: object, from: number, to: number, refused: { proxy: string; message: string }): void;
  isAwaited(session: object): boolean;
  settled(session: object, proxy: string, refused: readonly { key: string; message: string }[]): void;
  left(session: object): void;
}

const NO_FINDINGS: readonly Finding[] = [];
/** Before trust that a proxy did not put in force is sent again: one that cannot is not answered all the time. */
const TRUST_AGAIN_MS = 1_000;

export class DiscoveryService {
  private readonly options: DiscoveryOptions;
  private readonly clock: Clock;
  private readonly events: ControlEvents;
  private readonly holdMs: number;
  private readonly sessions: SessionTable;
  private readonly stopListening: () => void;
  private readonly queue: PushQueue<Session>;
  private readonly findings: FindingLog;
  private readonly changes = new ChangeLog();
  private readonly settlement = new Settlement(
    () => this.isSettled(),
    () => this.clock.now(),
  );
  private view: MeshView;
  private closed = false;

  constructor(options: DiscoveryOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.events = options.events ?? eventsTo();
    this.holdMs = options.holdMs ?? 25_000;
    this.view = options.mesh.current();
    this.findings = new FindingLog(options.log ?? (() => {}));
    this.sessions = new SessionTable({
      limits: options.limits ?? {},
      ttlMs: options.sessionTtlMs ?? 300_000,
      onForget: (session) => {
        options.status?.report(session, NO_FINDINGS);
        options.effects?.left(session);
        this.findings.forget(session);
      },
    });
    this.queue = new PushQueue<Session>({
      work: (session) => this.refresh(session),
      wanted: (session) => session.polls > 0,
      classOf: (session) => (session.compiled ? (session.concerned ? 'concerned' : 'change') : 'first'),
    });
    const stops = [
      options.mesh.onChange((_view, change) => this.changed(change)),
      options.trust?.onChange(() => this.trustChanged()),
    ];
    this.stopListening = () => {
      for (const stop of stops) stop?.();
    };
  }

  /**
   * One long-poll. `caller` is the verified identity (SPIFFE id) of the proxy: sessions belong to it. A session's first
   * poll is answered at once, as is one that subscribes; others when there are changes or the hold is over.
   * @param certificate when the X.509-SVID of the caller is valid; absent: it presented none
   * @param stream the poll is of a stream, all polls of its session are
   * @throws DiscoveryError invalid (unknown type URL, name that is too long), limited (the caller has as many sessions, or names,
   *   as it may have), unavailable (too many sessions, nothing could be compiled yet)
   */
  async poll(
    request: DiscoveryPoll,
    caller: string,
    signal: AbortSignal,
    certificate?: Presented,
    stream?: StreamClient,
  ): Promise<PollAnswer> {
    for (const { typeUrl } of request.requests)
      if (typeOfUrl(typeUrl) === undefined) throw new DiscoveryError('invalid', `unknown resource type "${typeUrl}"`);
    const node = this.admitted(request.node, certificate);
    const known = this.find(request, caller, stream !== undefined);
    const session = known ?? this.newSession(node, caller, stream !== undefined);
    session.rouse('superseded');
    session.touch(node, this.clock.now(), certificate);
    session.trustVersion = request.trustVersion || undefined;
    this.reportRejected(request);
    session.polls += 1;
    try {
      const registered = this.options.seen?.(this.registering(session), !known);
      if (registered) await registered;
      if (!known) this.add(session);
      this.orForget(session, () => session.take(request.requests));
      this.reportRefused(session, request);
      const collected = await this.responses(session, known === undefined || asks(request), signal, stream);
      const features = known ? [] : [...session.features];
      const trust = this.trustFor(session);
      const controlPlanes = this.controlPlanesFor(session);
      return {
        session: session.id,
        ...collected,
        ...(features.length > 0 && { features }),
        ...(trust && { trust }),
        ...(controlPlanes && { controlPlanes }),
      };
    } finally {
      session.polls -= 1;
      if (signal.aborted && session.polls === 0) session.leftAt = this.clock.now();
    }
  }

  private registering(session: Session): RegisteringProxy {
    const { clock } = this;
    return {
      id: session.id,
      get node() {
        return session.node;
      },
      get nodeDigest() {
        return session.nodeDigest;
      },
      get serial() {
        return session.certificate?.serial;
      },
      isConnected: () => hasConnection(session, clock.now()),
    };
  }

  /** A session that a refused poll leaves half changed is forgotten, with the names that were too many. */
  private orForget<T>(session: Session, step: () => T): T {
    try {
      return step();
    } catch (error) {
      this.sessions.forget(session);
      throw error;
    }
  }

  /** Polls are answered at once, with nothing. */
  get isClosed(): boolean {
    return this.closed;
  }

  /** Ends a poll of the session that is held: its stream has a request. */
  endHold(session: string): void {
    this.sessions.get(session)?.rouse('superseded');
  }

  private async responses(
    session: Session,
    first: boolean,
    signal: AbortSignal,
    stream: StreamClient | undefined,
  ): Promise<Collected> {
    const turn = ++session.turn;
    const deadline = session.lastSeen + this.holdMs;
    for (let mayBeEmpty = first; ; mayBeEmpty = false) {
      const compiled = this.current(session) ?? (await this.compiled(session, turn, signal));
      if (!compiled) return NOTHING;
      const collected = this.orForget(session, () => session.collect(compiled, String(this.view.revision)));
      const left = Math.min(deadline - this.clock.now(), this.trustDueIn(session));
      if (collected !== NOTHING) this.reportPushed(session, collected);
      else this.reportSettled(session);
      if (collected !== NOTHING || mayBeEmpty || left <= 0 || this.closed || stream?.hasRequests) return collected;
      const reason = await session.wait(left, signal, (ms, run) => this.clock.after(ms, run));
      session.lastSeen = this.clock.now();
      if (reason === 'aborted') this.events.disconnected({ node: session.node.id, identity: session.owner });
      if (reason !== 'changed') return NOTHING;
    }
  }

  private owesTrust({ features, trustVersion }: Session): boolean {
    const { trust } = this.options;
    return trust !== undefined && features.has('tulle.trust') && trust.version !== trustVersion;
  }

  /** Milliseconds. A version that was just sent, and is not in force, is sent again after a pause. */
  private trustDueIn(session: Session): number {
    if (!this.owesTrust(session)) return Number.POSITIVE_INFINITY;
    const { trustSent: sent } = session;
    if (sent?.version !== this.options.trust!.version) return 0;
    return sent.at + TRUST_AGAIN_MS - this.clock.now();
  }

  private trustFor(session: Session): TrustUpdate | undefined {
    if (!this.owesTrust(session)) return undefined;
    const update = this.options.trust!.since(session.trustVersion);
    session.trustSent = { version: update.version, at: this.clock.now() };
    return update;
  }

  /** undefined: it was sent them, or knows no such field. A held poll is not answered for them. */
  private controlPlanesFor(session: Session): readonly string[] | undefined {
    const all = session.features.has('tulle.control-planes') ? this.options.controlPlanes?.() : undefined;
    if (!all || all === session.controlPlanesSent) return undefined;
    session.controlPlanesSent = all;
    return all;
  }

  /** Held polls are answered at once. */
  private trustChanged(): void {
    for (const session of this.sessions.values()) if (this.owesTrust(session)) session.rouse('changed');
  }

  /** Node ids of connected proxies that are sent the mesh's trust and have not put the present one in force. */
  behindTrust(): string[] {
    const now = this.clock.now();
    return [...this.sessions.values()]
      .filter((session) => isConnected(session, now) && this.owesTrust(session))
      .map(({ node }) => node.id);
  }

  /** Waits for its turn in the queue. @returns undefined when the client left, or polls again, in the meantime */
  private async compiled(session: Session, turn: number, signal: AbortSignal): Promise<CompiledNode | undefined> {
    const stop = Promise.withResolvers<void>();
    const leave = () => stop.resolve();
    signal.addEventListener('abort', leave);
    try {
      while (!signal.aborted && session.turn === turn && !this.closed) {
        const compiled = this.current(session);
        if (compiled) return compiled;
        if (!session.compiled && session.failedAt === this.viewOf(session.node))
          throw new DiscoveryError('unavailable', `cannot compile config for node "${session.node.id}"`);
        await Promise.race([this.queue.done(session), stop.promise]);
      }
      return undefined;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /**
   * One entry per node id and identity, sorted; of several sessions the one seen last. A workload of another identity that uses
   * the same node id has an entry of its own. Compiles nothing.
   */
  status(): ProxyStatus[] {
    const now = this.clock.now();
    this.sessions.expire(now);
    const latest = new Map<string, Session>();
    for (const session of this.sessions.values()) {
      const key = `${session.node.id} ${session.owner}`;
      const other = latest.get(key);
      if (!other || session.lastSeen >= other.lastSeen) latest.set(key, session);
    }
    const index = new ProxyIndex(this.sessions.values(), now, this.sessions.ttlMs);
    return [...latest]
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([, session]) =>
        proxyStatus(
          session,
          [...index.notesOn(session, now), ...certificateNotes(session, now), ...this.adviceOn(session, now)],
          now,
        ),
      );
  }

  private adviceOn(session: Session, now: number): string[] {
    const advice = isConnected(session, now) && this.options.advise?.(this.view, session.node, session.id);
    return advice ? [advice] : [];
  }

  /**
   * What a connected node is meant to run now, and the names that it may fetch and has not; undefined for a node that is not
   * known. Holds private keys.
   * @param serviceAccount where several use the node id
   * @throws DiscoveryError ambiguous: names the service accounts that use the node id
   */
  configOf(
    nodeId: string,
    serviceAccount?: string,
  ): { readonly snapshot: Snapshot; readonly notFetched: NotFetched } | undefined {
    const accountOf = ({ node }: Session) => String(node.metadata?.['SERVICE_ACCOUNT'] ?? '');
    const found = [...this.sessions.values()].filter(
      (session) => session.node.id === nodeId && (serviceAccount ?? accountOf(session)) === accountOf(session),
    );
    const accounts = [...new Set(found.map(accountOf))];
    if (accounts.length > 1)
      throw new DiscoveryError(
        'ambiguous',
        `service accounts ${accounts.join(', ')} use node id "${nodeId}": name one with --service-account`,
      );
    const session = found.at(-1);
    if (!session?.compiled) return undefined;
    const { node } = session.compiled;
    const held = session.setsOf(node);
    return { snapshot: snapshotOf(held), notFetched: notFetched(node.sets, held) };
  }

  /** Node ids of connected proxies with the serial numbers of their certificates. */
  *presented(): Generator<{ readonly node: string; readonly serial: string }> {
    const now = this.clock.now();
    for (const session of this.sessions.values()) {
      const serial = session.certificate?.serial;
      if (serial !== undefined && isConnected(session, now)) yield { node: session.node.id, serial };
    }
  }

  /** The proxies that are connected, with what tells how far a change has come. */
  *connectedProxies(): Generator<{
    readonly node: Node;
    /** It has acknowledged, or refused, all that it is to run. */
    readonly isUpToDate: boolean;
    /** Whether it uses one of these virtual hosts or clusters; of one that is sent everything: always. */
    uses(names: readonly string[]): boolean;
  }> {
    const now = this.clock.now();
    for (const session of this.sessions.values()) {
      if (!hasConnection(session, now)) continue;
      const isUpToDate = this.isUpToDate(session);
      const uses = (names: readonly string[]) => !session.features.has(ON_DEMAND) || isConcerned(session, names);
      yield { node: session.node, isUpToDate, uses };
    }
  }

  private isUpToDate(session: Session): boolean {
    return this.current(session) !== undefined && !RESOURCE_TYPES.some((type) => session.subscriptions[type].awaitsAck);
  }

  /** The nodes of the proxies that are connected. */
  *connectedNodes(): Generator<Node> {
    const now = this.clock.now();
    for (const session of this.sessions.values()) if (hasConnection(session, now)) yield session.node;
  }

  /** The versions of the proxies that are connected, one for each. */
  *proxyVersions(): Generator<string> {
    const now = this.clock.now();
    for (const session of this.sessions.values())
      if (isConnected(session, now)) yield session.node.userAgentVersion ?? '';
  }

  /** Whether the proxy of a session is connected. */
  isConnected(session: object): boolean {
    return session instanceof Session && hasConnection(session, this.clock.now());
  }

  /** How many polls are being held. */
  get held(): number {
    let count = 0;
    for (const session of this.sessions.values()) if (session.connected) count++;
    return count;
  }

  /**
   * The certificates of the connected sessions of `owner` with the node's address, the oldest first. Of a loopback address, which
   * many workloads of a host share, only those of the same node id.
   * @param owner as `poll` has it
   */
  holdersOf(owner: string, { id }: Node): (Presented | undefined)[] {
    const now = this.clock.now();
    const [, address = ''] = id.split('~');
    const isShared = address === '::1' || address.startsWith('127.');
    const isSame = isShared ? (other: string) => other === id : (other: string) => other.split('~')[1] === address;
    return [...this.sessions.values()]
      .filter((session) => session.owner === owner && isSame(session.node.id) && hasConnection(session, now))
      .map(({ certificate }) => certificate);
  }

  /** Whether a proxy at this place is connected. */
  isPresent({ namespace, serviceAccount, address }: Place): boolean {
    const now = this.clock.now();
    for (const session of this.sessions.values()) {
      const place = hasConnection(session, now) ? placeOf(session) : undefined;
      if (place?.address !== address || place.namespace !== namespace) continue;
      if (place.serviceAccount === serviceAccount) return true;
    }
    return false;
  }

  /** Waits until the connected proxies have acknowledged what they should run. @returns false: it takes longer */
  settled(isInView: (view: MeshView) => boolean, limitMs: number): Promise<boolean> {
    return this.settlement.wait(() => isInView(this.view), limitMs);
  }

  private isSettled(): boolean {
    const now = this.clock.now();
    for (const session of this.sessions.values()) {
      if (!hasConnection(session, now)) continue;
      if (!this.isUpToDate(session)) return false;
    }
    return true;
  }

  /** Ends every held poll with an empty answer and stops following the mesh. */
  close(): void {
    this.closed = true;
    this.stopListening();
    this.queue.close();
    this.settlement.close();
    for (const session of this.sessions.values()) session.rouse('closed');
  }

  /** Has a look at every held poll, one after the other; a session that is not polled is looked at when it polls. */
  private changed(change: MeshChange): void {
    this.view = this.options.mesh.current();
    this.changes.add(change);
    const now = this.clock.now();
    // Before the first session is brought up to date.
    this.options.effects?.changed(this.changes.step, change, () => this.followed(now));
    const names = namesConcerned(change, this.view);
    for (const session of this.sessions.values()) {
      if (names && isConcerned(session, names)) session.concerned = true;
      if (!session.connected) continue;
      session.changedAt ??= now;
      this.queue.add(session);
    }
  }

  /** Sessions that a change will be counted on. */
  private followed(now: number): Session[] {
    return [...this.sessions.values()].filter((session) => session.compiled && hasConnection(session, now));
  }

  private admitted(sent: Node, certificate: Presented | undefined): Node {
    const node = this.permitted(sent);
    return this.options.admit?.(node, certificate?.serial) ?? node;
  }

  /** The node without features that it does not get here: what is compiled and what is answered follow from them. */
  private permitted(node: Node): Node {
    const { clientFeatures } = node;
    const kept = clientFeatures?.filter((feature) => !this.withholds(feature, node));
    return kept?.length === clientFeatures?.length ? node : { ...node, clientFeatures: kept };
  }

  private withholds(feature: string, node: Node): boolean {
    if (feature === ON_DEMAND && (this.options.discovery === 'eager' || !node.id.startsWith('sidecar~'))) return true;
    return this.options.withheldFeatures?.has(feature) ?? false;
  }

  private find(request: DiscoveryPoll, caller: string, isStream: boolean): Session | undefined {
    const session = request.session ? this.sessions.get(request.session) : undefined;
    if (session?.isStream !== isStream) return undefined;
    return session.owner === caller && session.node.id === request.node.id ? session : undefined;
  }

  private newSession(node: Node, caller: string, isStream: boolean): Session {
    const { perSession } = this.sessions.limits.names;
    return new Session(randomUUID(), caller, node, this.clock.now(), perSession, isStream);
  }

  private add(session: Session): void {
    this.sessions.add(session, this.clock.now());
    const { id: node, userAgentVersion: version = '' } = session.node;
    this.events.connected({ node, identity: session.owner, version });
  }

  private reportRejected({ node, requests }: DiscoveryPoll): void {
    for (const { typeUrl, errorDetail } of requests) {
      const type = errorDetail && typeOfUrl(typeUrl);
      if (type) this.events.rejected({ node: node.id, type, reason: errorDetail.message ?? '' });
    }
  }

  private reportRefused(session: Session, { requests }: DiscoveryPoll): void {
    const { rollouts } = this.options;
    if (!rollouts || !session.compiled || !requests.some(({ errorDetail }) => errorDetail)) return;
    const refusals = RESOURCE_TYPES.flatMap((type) =>
      session.subscriptions[type].refusals.map((refusal) => ({ ...refusal, type })),
    );
    rollouts.refused(session.node, session.compiled.node, refusals);
  }

  private reportPushed(session: Session, { responses }: Collected): void {
    for (const { typeUrl, resources } of responses) {
      const type = typeOfUrl(typeUrl);
      if (type) this.events.pushed({ node: session.node.id, type, resources: resources.length });
    }
    if (session.changedAt !== undefined) this.events.converged((this.clock.now() - session.changedAt) / 1000);
    session.changedAt = undefined;
  }

  /** The proxy has answered everything that it was sent. */
  private reportSettled(session: Session): void {
    const { effects } = this.options;
    if (!effects) return;
    const refused = RESOURCE_TYPES.flatMap((type) =>
      session.subscriptions[type].refusals.map(({ name, version, message }) => ({
        key: `${type} ${name} ${version}`,
        message: `${type} ${name}: ${message}`,
      })),
    );
    if (refused.length > 0 || effects.isAwaited(session)) effects.settled(session, session.node.id, refused);
  }

  /** The current view as it is effective for a node. */
  private viewOf(node: Node): MeshView {
    return this.options.rollouts?.viewFor(node) ?? this.view;
  }

  /** What the session's node runs by the current view; undefined: that has to be compiled. */
  private current({ compiled, nodeDigest, node }: Session): CompiledNode | undefined {
    return compiled?.view === this.viewOf(node) && compiled.nodeDigest === nodeDigest ? compiled.node : undefined;
  }

  /**
   * Brings a session up to date and ends its held poll if its resources changed. A node that cannot be compiled keeps
   * what it had (static stability).
   */
  private *refresh(session: Session): Job {
    const view = this.viewOf(session.node);
    const { nodeDigest, compiled: before } = session;
    session.concerned = false;
    if (this.current(session)) return false;
    const { step } = this.changes;
    const reason = this.reasonFor(session);
    try {
      // After a failure `before` may be of an earlier state of the node.
      const same = session.compileError === undefined && before?.nodeDigest === nodeDigest;
      const held = before && session.setsOf(before.node);
      const known = same ? before.node.next?.(view) : undefined;
      const node = yield* known ?? this.options.compile(view, session.node);
      session.compileError = undefined;
      session.compiled = { view, step, nodeDigest, node };
      this.report(session, node.errors);
      const isConcerned = !held || !isSame(held, session.setsOf(node));
      if (before) this.options.effects?.refreshed(session, before.step, step, isConcerned);
      if (!isConcerned) {
        session.changedAt = undefined;
        return false;
      }
      session.lastChange = { at: this.clock.now(), reason };
      session.rouse('changed');
      return true;
    } catch (error) {
      session.compileError = error instanceof Error ? error.message : String(error);
      session.failedAt = view;
      this.options.log?.(
        `discovery: cannot compile config for node "${session.node.id}" (${reason}): ${session.compileError}`,
      );
      if (before) {
        session.compiled = { view, step, nodeDigest, node: before.node };
        const message = `its config cannot be compiled: ${session.compileError}`;
        this.options.effects?.failed(session, before.step, step, { proxy: session.node.id, message });
      }
      this.options.rollouts?.notCompiled(session.node, session.compileError);
      return true;
    }
  }

  /** Why a session has to be brought up to date. */
  private reasonFor({ compiled, nodeDigest }: Session): string {
    if (!compiled) return 'first poll';
    return compiled.nodeDigest === nodeDigest ? this.changes.since(compiled.step) : 'the node changed';
  }

  /** To the resources' status, and to the log. */
  private report(session: Session, findings: readonly Finding[]): void {
    if (!this.sessions.get(session.id)) return;
    this.options.status?.report(session, findings);
    this.findings.report(session, findings);
  }
}

/** Says what the proxy wants or has: it waits for an answer, be it that there is nothing to change. */
function asks({ requests }: DiscoveryPoll): boolean {
  return requests.some(({ resourceNamesSubscribe, namesSent }) => resourceNamesSubscribe?.length || namesSent);
}

function isSame(one: ResourceSets, other: ResourceSets): boolean {
  return RESOURCE_TYPES.every((type) => one[type].isSame(other[type]));
}
