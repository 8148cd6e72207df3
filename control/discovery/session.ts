/** One proxy's conversation with the control plane: its node, its subscriptions, and the poll it is held in. */
import type { Validity } from '../../shared/identity/verify.ts';
import type { Node } from '../../shared/xds/core.ts';
import {
  type DeltaDiscoveryRequest,
  type Feature,
  knownFeatures,
  type NamesWanted,
  RESOURCE_TYPES,
  type ResourceType,
  rowOf,
  TYPE_URLS,
  typeOfUrl,
} from '../../shared/xds/discovery.ts';
import type { CompiledNode, Eager } from '../compile/output/compiled-node.ts';
import { digest } from '../compile/output/digest.ts';
import type { SharedResource } from '../compile/output/shared-resource.ts';
import type { ResourceSets } from '../compile/output/snapshot.ts';
import { NAME_LIMITS, NameBudget } from './name-budget.ts';
import { closureOf, extendedClosure, serviceNameOf, unchangedClosure, type Wanted } from './on-demand.ts';
import { type Changes, Subscription } from './subscription.ts';

/** A DeltaDiscoveryResponse before it is encoded: its resources are shared with other proxies. */
export interface Response {
  readonly systemVersionInfo: string;
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly SharedResource[];
  readonly removedResources: readonly string[];
}

/** What one poll is answered with; `namesWanted` and `more` as in a DiscoveryAnswer. */
export interface Collected {
  readonly responses: readonly Response[];
  readonly namesWanted?: readonly NamesWanted[];
  readonly more?: true;
}

export const NOTHING: Collected = Object.freeze({ responses: Object.freeze([]) });

/** A page of an answer: so many resources, and so many bytes of JSON unless a single resource is larger. */
const PAGE = { resources: 1000, bytes: 4 * 1024 * 1024 };

/** The client certificate of a connection; `serial` is lower-case hexadecimal. */
export interface Presented extends Validity {
  readonly serial?: string;
}

export class Session {
  readonly id: string;
  /** The principal that owns the session; no other may poll it. */
  readonly owner: string;
  readonly openedAt: number;
  /** It is a client of a stream: it has no features, and answers each response by itself, in any order. */
  readonly isStream: boolean;
  node: Node;
  lastSeen: number;
  /** Of the connection of the last poll; undefined: that one had no client certificate. */
  certificate: Presented | undefined;
  /** The version of the mesh's trust (TrustUpdate) that the proxy has put in force; undefined: none of this process. */
  trustVersion: string | undefined;
  /** The version of the mesh's trust that it was sent last, and when. */
  trustSent: { readonly version: string; readonly at: number } | undefined;
  /** The control planes that it was sent last. */
  controlPlanesSent: readonly string[] | undefined;
  /** When the connection of its last poll was closed before an answer; undefined: it polls, or was answered. */
  leftAt: number | undefined;
  /** The last compiled state, the view and the node it came from, and how many changes of the mesh the view has seen. */
  compiled:
    | { readonly view: unknown; readonly step: number; readonly nodeDigest: string; readonly node: CompiledNode }
    | undefined;
  /** When what the proxy should run last became something else, and why. */
  lastChange: { readonly at: number; readonly reason: string } | undefined;
  /** When the mesh changed first since the last answer; undefined: it did not, or without effect for this proxy. */
  changedAt: number | undefined;
  /** It uses what changed since it was last brought up to date. */
  concerned = false;
  /** Polls that are under way, held or not. */
  polls = 0;
  /** Counts polls, so that an older one knows that it has been superseded. */
  turn = 0;
  compileError: string | undefined;
  /** The view that could not be compiled. */
  failedAt: unknown;
  nodeDigest: string;
  readonly subscriptions: { readonly [T in ResourceType]: Subscription };
  /** Of the names that the proxy chooses. */
  readonly names: NameBudget;
  /** Ends the poll being held, if any. */
  private wake: ((reason: WakeReason) => void) | undefined;
  private nonces = 0;
  /** What `setsOf` gave last. */
  private closure: { readonly node: CompiledNode; readonly sets: ResourceSets } | undefined;

  /** @param maxNames characters of names that it may keep, see NameLimits */
  constructor(id: string, owner: string, node: Node, now: number, maxNames = NAME_LIMITS.perSession, isStream = false) {
    this.id = id;
    this.isStream = isStream;
    this.owner = owner;
    this.node = node;
    this.nodeDigest = digest(node);
    this.openedAt = now;
    this.lastSeen = now;
    this.names = new NameBudget(maxNames, 'one session');
    const resends = !this.features.has('tulle.on-demand');
    this.subscriptions = Object.fromEntries(
      RESOURCE_TYPES.map((type) => [type, new Subscription(resends, this.names, isStream)]),
    ) as { [T in ResourceType]: Subscription };
  }

  /** What both sides have beyond plain incremental xDS. */
  get features(): ReadonlySet<Feature> {
    return knownFeatures(this.node.clientFeatures);
  }

  /** What of a compiled node this proxy is to hold: all, or what it fetched and what is eager. */
  setsOf(node: CompiledNode): ResourceSets {
    const { eager } = node;
    if (!eager || !this.features.has('tulle.on-demand')) return node.sets;
    const { virtualHosts, clusters } = this.subscriptions;
    const added = { virtualHosts: virtualHosts.takeAdded(), clusters: clusters.takeAdded() };
    const sets = this.closureIn(node, eager, added);
    this.closure = { node, sets };
    return sets;
  }

  /** @param added names since the closure was made; undefined: some went as well */
  private closureIn(
    node: CompiledNode,
    eager: Eager,
    added: { [T in keyof Wanted]: Wanted[T] | undefined },
  ): ResourceSets {
    const { closure } = this;
    const { virtualHosts, clusters } = added;
    if (closure && virtualHosts && clusters) {
      const known = closure.node === node ? closure.sets : unchangedClosure(node, closure.node, closure.sets);
      if (known) return extendedClosure(node, known, { virtualHosts, clusters });
    }
    const { subscriptions } = this;
    const wanted = { virtualHosts: subscriptions.virtualHosts.named, clusters: subscriptions.clusters.named };
    return closureOf(node, eager, wanted, closure?.sets);
  }

  get connected(): boolean {
    return this.wake !== undefined;
  }

  touch(node: Node, now: number, certificate?: Presented): void {
    this.leftAt = undefined;
    this.node = node;
    this.nodeDigest = digest(node);
    this.lastSeen = now;
    this.certificate = certificate;
  }

  take(requests: readonly DeltaDiscoveryRequest[]): void {
    const spoken = new Set<ResourceType>();
    for (const request of requests) {
      const type = typeOfUrl(request.typeUrl);
      if (type === undefined) continue; // refused by name before it gets here
      spoken.add(type);
      this.subscriptions[type].take(request);
    }
    if (this.isStream) return;
    for (const type of RESOURCE_TYPES)
      if (!spoken.has(type)) this.subscriptions[type].take({ typeUrl: TYPE_URLS[type] });
  }

  /**
   * One response per type with changes, in make-before-break order; its resources are noted as offered. Nothing
   * is sent before the proxy's resources are known.
   */
  collect(node: CompiledNode, systemVersionInfo: string): Collected {
    const sets = this.setsOf(node);
    const types = RESOURCE_TYPES.filter((type) => this.mayBeSent(type));
    const namesWanted = types
      .map((type) => ({ typeUrl: TYPE_URLS[type], buckets: [...this.subscriptions[type].namesWanted(sets[type])] }))
      .filter(({ buckets }) => buckets.length > 0);
    if (namesWanted.length > 0) return { responses: [], namesWanted };
    const due = types.map((type): TypeChanges => [type, this.changesOf(type, sets)]);
    const waits = this.isStream || this.features.has('tulle.on-demand');
    const { changes, more } = this.paged(waits ? this.withRemovalsLast(due) : { changes: due });
    const responses: Response[] = [];
    for (const [type, { upserts: resources, removed: removedResources }] of changes) {
      if (resources.length === 0 && removedResources.length === 0) continue;
      const nonce = `${this.id}.${++this.nonces}`;
      this.subscriptions[type].offered(nonce, { upserts: resources, removed: removedResources });
      responses.push({ systemVersionInfo, typeUrl: TYPE_URLS[type], nonce, resources, removedResources });
    }
    if (responses.length === 0) return NOTHING;
    return more ? { responses, more } : { responses };
  }

  /** On a stream, a type of which something is neither acknowledged nor refused yet waits for that. */
  private mayBeSent(type: ResourceType): boolean {
    const { active, awaitsAck } = this.subscriptions[type];
    return active && !(this.isStream && awaitsAck);
  }

  /** Envoy waits for the endpoints of each cluster that it is sent, also of one that it has (envoyproxy/envoy#13009). */
  private changesOf(type: ResourceType, sets: ResourceSets): Changes {
    const changes = this.subscriptions[type].changes(sets[type]);
    if (this.isStream && type === 'clusters')
      this.subscriptions.endpoints.resend(changes.upserts.flatMap((cluster) => serviceNameOf(cluster) ?? []));
    return changes;
  }

  /**
   * Removals follow the ACK of what is added, those of listeners and virtual hosts excepted: another may take their address
   * or domain. While something that names clusters is refused, clusters stay: the version in force may use them.
   */
  private withRemovalsLast(all: readonly TypeChanges[]): Page {
    const awaits = this.isStream && RESOURCE_TYPES.some((type) => this.subscriptions[type].awaitsAck);
    const adds = awaits || all.some(([, { upserts }]) => upserts.length > 0);
    const refused = NAMING_CLUSTERS.some((type) => this.subscriptions[type].refusals.length > 0);
    let more = false;
    const changes = all.map(([type, change]): TypeChanges => {
      const stays = type === 'clusters' || type === 'endpoints' ? refused : false;
      const later = adds && !removedFirst(type) && change.removed.length > 0 && !stays;
      if (later) more = true;
      return later || stays ? [type, { upserts: change.upserts, removed: [] }] : [type, change];
    });
    return more ? { changes, more } : { changes };
  }

  /**
   * What of all changes the next answer holds. Listeners, the last type, are not cut, and come with the removals: one may
   * take the address of another that leaves. Removals of virtual hosts come with the first page that has some.
   */
  private paged(due: Page): Page {
    if (!this.features.has('tulle.answer-pages')) return due;
    const { changes: all } = due;
    const changes: TypeChanges[] = [];
    const left = { ...PAGE };
    for (const [type, { upserts, removed }] of all) {
      const page = rowOf(type).atOnce ? upserts : firstOf(upserts, left);
      changes.push([type, { upserts: page, removed }]);
      if (page.length === upserts.length) continue;
      return { changes: changes.map(withFirstRemovals), more: true };
    }
    return { ...due, changes };
  }

  /** Waits until `rouse`, `ms` or the abort, whichever is first. One poll at a time: a new one ends the old. */
  wait(ms: number, signal: AbortSignal, after: (ms: number, run: () => void) => () => void): Promise<WakeReason> {
    return new Promise((resolve) => {
      const finish = (reason: WakeReason) => {
        if (this.wake !== finish) return;
        this.wake = undefined;
        cancel();
        signal.removeEventListener('abort', aborted);
        resolve(reason);
      };
      const aborted = () => finish('aborted');
      this.wake = finish;
      const cancel = after(ms, () => finish('timeout'));
      if (signal.aborted) return finish('aborted');
      signal.addEventListener('abort', aborted);
    });
  }

  rouse(reason: WakeReason): void {
    this.wake?.(reason);
  }
}

type TypeChanges = readonly [ResourceType, Changes];

/** What an answer holds; `more`: the next one has the rest. */
interface Page {
  readonly changes: readonly TypeChanges[];
  readonly more?: true;
}

/** Types whose resources name clusters. */
const NAMING_CLUSTERS = ['virtualHosts', 'routes', 'listeners'] as const;

/** Whether removals of a type are sent before what is added was acknowledged. */
const removedFirst = (type: ResourceType): boolean => {
  const { atOnce, removedFirst: first } = rowOf(type);
  return atOnce === true || first === true;
};

/** Of changes on a page that others follow. */
const withFirstRemovals = ([type, { upserts, removed }]: TypeChanges): TypeChanges => [
  type,
  { upserts, removed: removedFirst(type) ? removed : [] },
];

/** The first of `resources` that fit in what is left of a page, which is made less by them. */
function firstOf(resources: readonly SharedResource[], left: { resources: number; bytes: number }) {
  const page: SharedResource[] = [];
  for (const resource of resources) {
    const { size } = resource;
    const begun = left.resources < PAGE.resources;
    if (left.resources === 0 || (begun && size > left.bytes)) break;
    page.push(resource);
    left.resources -= 1;
    left.bytes -= size;
  }
  return page;
}

export type WakeReason = 'changed' | 'timeout' | 'aborted' | 'superseded' | 'closed';
