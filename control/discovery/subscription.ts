/** What one proxy has of one resource type: subscribed, held, offered, refused (incremental xDS, xds_protocol "delta"). */
import type { DeltaDiscoveryRequest } from '../../shared/xds/discovery.ts';
import { bucketOf, bucketTexts, HELD_BUCKETS } from '../../shared/xds/held-digests.ts';
import { nackedResources } from '../../shared/xds/nack.ts';
import { digestText } from '../compile/output/digest.ts';
import { ResourceSet } from '../compile/output/resource-set.ts';
import type { SharedResource } from '../compile/output/shared-resource.ts';
import { DiscoveryError } from './discovery-error.ts';
import { costOf, MAX_NAME, NAME_LIMITS, NameBudget } from './name-budget.ts';

/** Characters of a version; those of this control plane are digests. */
const MAX_VERSION = 128;
/** In the place of a version that is too long, or that is not known of a resource held: it is no version of a resource. */
const FOREIGN_VERSION = 'foreign';

export interface Refusal {
  readonly name: string;
  /** '' when it is a removal that was refused. */
  readonly version: string;
  readonly message: string;
}

export interface Changes {
  readonly upserts: readonly SharedResource[];
  readonly removed: readonly string[];
}

/** The states of `tulle proxy-status`. */
export type SyncState = 'SYNCED' | 'STALE' | 'NOT SENT' | 'NACK';

interface Offer {
  readonly nonce: string;
  /** name -> version; '' for a removal. */
  readonly versions: Map<string, string>;
}

/**
 * What a proxy is known to run: acknowledged, or claimed on its first poll. A proxy that runs all of a set is known by
 * that set alone, so that what it holds costs no memory of its own.
 */
class Held {
  private base = ResourceSet.EMPTY;
  /** What differs from `base`: name -> version; undefined: not held. The names are those of resources, shared by all proxies. */
  private readonly own = new Map<string, string | undefined>();
  /** The same by the proxy's own names, which the budget is charged for. */
  private readonly claimed = new Map<string, string>();
  private readonly budget: NameBudget;

  constructor(budget: NameBudget) {
    this.budget = budget;
  }

  /** '' : the proxy requested it by name and has not got it. */
  version(name: string): string | undefined {
    const claimed = this.claimed.get(name);
    if (claimed !== undefined) return claimed;
    return this.own.has(name) ? this.own.get(name) : this.base.get(name)?.version;
  }

  /** @param name a resource's own, as it was offered */
  set(name: string, version: string): void {
    this.withdraw(name);
    this.own.set(name, version);
  }

  /** By the proxy's word. @throws DiscoveryError limited */
  claim(name: string, version: string): void {
    const shared = this.own.has(name) ? name : this.base.get(name)?.name;
    if (shared !== undefined) return void this.own.set(shared, this.sharedVersion(shared, version));
    this.withdraw(name);
    this.budget.charge(costOf(name, version));
    this.claimed.set(name, version);
  }

  delete(name: string): void {
    this.withdraw(name);
    const shared = this.base.get(name)?.name;
    if (shared !== undefined) this.own.set(shared, undefined);
    else this.own.delete(name);
  }

  /** Exactly the resources of `set`. */
  become(set: ResourceSet): void {
    this.base = set;
    this.own.clear();
    for (const name of [...this.claimed.keys()]) this.withdraw(name);
  }

  /** Names that are held, or not held, otherwise than `set` has them; and perhaps some more. */
  differences(set: ResourceSet): Set<string> {
    const names = set.changedSince(this.base);
    for (const name of this.own.keys()) names.add(name);
    for (const name of this.claimed.keys()) names.add(name);
    return names;
  }

  /** Lets go of everything but `names`. */
  keepOnly(names: ReadonlySet<string>): void {
    for (const { name } of this.base.values())
      if (names.has(name) && !this.own.has(name)) this.own.set(name, this.base.get(name)?.version);
    this.base = ResourceSet.EMPTY;
    for (const [name, version] of [...this.own]) if (version === undefined || !names.has(name)) this.own.delete(name);
    for (const name of [...this.claimed.keys()]) if (!names.has(name)) this.withdraw(name);
  }

  get size(): number {
    let size = this.base.count + this.claimed.size;
    for (const [name, version] of this.own) {
      if (this.base.has(name)) size -= version === undefined ? 1 : 0;
      else size += version === undefined ? 0 : 1;
    }
    return size;
  }

  /** The version by a text that all proxies share: what is kept of a resource's own name is not charged. */
  private sharedVersion(name: string, version: string): string {
    const known = ['', this.own.get(name), this.base.get(name)?.version];
    return known.find((one) => one === version) ?? FOREIGN_VERSION;
  }

  private withdraw(name: string): void {
    const version = this.claimed.get(name);
    if (version === undefined) return;
    this.claimed.delete(name);
    this.budget.refund(costOf(name, version));
  }
}

export class Subscription {
  private wildcard = false;
  private readonly names = new Set<string>();
  /** Names that came since `takeAdded`; undefined: some went as well, or the proxy fetches nothing on demand. */
  private added: string[] | undefined;
  private readonly resends: boolean;
  private readonly keepsOffer: boolean;
  private readonly budget: NameBudget;
  private readonly held: Held;
  private readonly refused = new Map<string, Refusal>();
  private offer: Offer | undefined;
  /** Digests of what the proxy holds, until they are compared. */
  private digests: readonly string[] | undefined;
  /** Buckets whose names the proxy has not sent yet. */
  private readonly unnamed = new Set<number>();

  /**
   * @param resends what is held is sent again when it is subscribed to by name, as in plain incremental xDS
   * @param budget charged for the names that the proxy chooses
   * @param keepsOffer the client answers each offer by itself, as on a stream: until then other requests may come
   */
  constructor(resends = true, budget = new NameBudget(NAME_LIMITS.perSession, 'one session'), keepsOffer = false) {
    this.resends = resends;
    this.keepsOffer = keepsOffer;
    this.budget = budget;
    this.held = new Held(budget);
  }

  /**
   * Takes one request: its ACK or NACK of the outstanding offer, then its changes of subscription. An offer that this
   * request does not answer was lost on the way; forgetting it makes `changes` offer the same again.
   * @throws DiscoveryError invalid (a name is too long), limited (too many names); the request is half taken then
   */
  take(request: DeltaDiscoveryRequest): void {
    const offer = this.offer;
    const isAnswer = offer !== undefined && request.responseNonce === offer.nonce;
    if (isAnswer || !this.keepsOffer) this.offer = undefined;
    if (isAnswer) this.settle(offer, request.errorDetail?.message);
    for (const name of request.resourceNamesSubscribe ?? []) {
      if (name === '*') this.wildcard = true;
      else {
        this.addName(name, request.typeUrl);
        // A name is answered: with the resource, or with its removal when there is none.
        if (this.resends || !this.held.version(name)) this.held.claim(name, '');
      }
    }
    if (request.heldDigests) this.digests = request.heldDigests.slice(0, HELD_BUCKETS);
    const { initialResourceVersions: versions = {} } = request;
    for (const name of Object.keys(versions)) {
      checkLength(name, request.typeUrl);
      const version = versions[name]!;
      this.held.claim(name, version.length > MAX_VERSION ? FOREIGN_VERSION : version);
    }
    for (const bucket of request.namesSent ?? []) this.unnamed.delete(bucket);
    for (const name of request.resourceNamesUnsubscribe ?? []) this.forget(name);
  }

  private addName(name: string, typeUrl: string): void {
    if (this.names.has(name)) return;
    checkLength(name, typeUrl);
    this.budget.charge(costOf(name));
    this.names.add(name);
    this.added?.push(name);
  }

  /**
   * Buckets whose names have to be known before `changes` is; compares the digests that the proxy sent, if it did, with
   * those of `resources`.
   */
  namesWanted(resources: ResourceSet): readonly number[] {
    const { digests } = this;
    this.digests = undefined;
    if (digests) this.compare(digests, resources);
    return [...this.unnamed];
  }

  /** The proxy holds what it should in the buckets whose digests are the same, and in the others what it will say. */
  private compare(digests: readonly string[], resources: ResourceSet): void {
    const own = bucketTexts(resources.values()).map((text) => (text === '' ? '' : digestText(text)));
    const differing = new Set([...own.keys()].filter((bucket) => own[bucket] !== (digests[bucket] ?? '')));
    this.held.become(resources);
    for (const { name } of resources.values()) if (differing.has(bucketOf(name))) this.held.delete(name);
    for (const name of this.names) if (!resources.has(name)) this.held.claim(name, '');
    this.unnamed.clear();
    for (const bucket of differing) if (digests[bucket]) this.unnamed.add(bucket);
  }

  /** What the proxy lacks, has in another version, or should no longer have. A refused version is not offered twice. */
  changes(resources: ResourceSet): Changes {
    const upserts: SharedResource[] = [];
    const removed: string[] = [];
    const names = this.held.differences(resources);
    for (const name of this.refused.keys()) names.add(name);
    for (const name of names) {
      const resource = resources.get(name);
      const version = this.held.version(name);
      const refusal = this.refused.get(name);
      if (!resource) {
        if (version !== undefined && refusal?.version !== '') removed.push(name);
        if (refusal && refusal.version !== '') this.refused.delete(name);
      } else if (this.covers(name)) {
        if (version === resource.version) this.refused.delete(name);
        else if (refusal?.version !== resource.version) upserts.push(resource);
      }
    }
    if (this.wildcard && upserts.length === 0 && removed.length === 0 && this.refused.size === 0)
      this.held.become(resources);
    return { upserts, removed };
  }

  /** Notes what was sent, to be settled by the next request. */
  offered(nonce: string, changes: Changes): void {
    const versions = new Map(changes.upserts.map(({ name, version }) => [name, version]));
    for (const name of changes.removed) versions.set(name, '');
    this.offer = { nonce, versions };
  }

  /** Sends again what is subscribed to by one of the names, be it acknowledged, or sent and not yet. */
  resend(names: Iterable<string>): void {
    for (const name of names) {
      if (!this.names.has(name)) continue;
      this.offer?.versions.delete(name);
      this.held.claim(name, '');
    }
  }

  /** What was sent last is neither acknowledged nor refused. */
  get awaitsAck(): boolean {
    return this.offer !== undefined;
  }

  get active(): boolean {
    return this.wildcard || this.names.size > 0;
  }

  /** What of `named` came since the last call; undefined: some names went as well. */
  takeAdded(): readonly string[] | undefined {
    const { added } = this;
    this.added = this.resends ? undefined : [];
    return added;
  }

  /** What is subscribed to by name. */
  get named(): ReadonlySet<string> {
    return this.names;
  }

  get refusals(): Refusal[] {
    return [...this.refused.values()];
  }

  get size(): number {
    return this.held.size;
  }

  state(resources: ResourceSet): SyncState {
    const { upserts, removed } = this.changes(resources);
    if (this.refused.size > 0) return 'NACK';
    if (this.offer || (this.active && upserts.length + removed.length > 0)) return 'STALE';
    return this.held.size === 0 ? 'NOT SENT' : 'SYNCED';
  }

  private covers(name: string): boolean {
    return this.wildcard || this.names.has(name);
  }

  private forget(name: string): void {
    if (name !== '*') {
      if (this.names.delete(name)) {
        this.added = undefined;
        this.budget.refund(costOf(name));
      }
      if (this.covers(name)) {
        // Nothing has to be answered any more.
        if (this.held.version(name) === '') this.held.delete(name);
        return;
      }
      this.held.delete(name);
      this.refused.delete(name);
      return;
    }
    // What the wildcard brought stays with the proxy until named; a proxy drops what it unsubscribes from by itself.
    this.wildcard = false;
    this.held.keepOnly(this.names);
    for (const refused of [...this.refused.keys()]) if (!this.covers(refused)) this.refused.delete(refused);
  }

  private settle(offer: Offer, error: string | undefined): void {
    const violations = error === undefined ? new Map<string, string>() : nackedResources(error, offer.versions.keys());
    const kept = keptReasons(this.refused.values(), violations);
    for (const [name, version] of offer.versions) {
      const message = kept.get(name);
      if (message !== undefined) this.refused.set(name, { name, version, message });
      else {
        this.refused.delete(name);
        if (version === '') this.held.delete(name);
        else this.held.set(name, version);
      }
    }
  }
}

/** @throws DiscoveryError invalid */
function checkLength(name: string, typeUrl: string): void {
  if (name.length > MAX_NAME)
    throw new DiscoveryError('invalid', `${typeUrl}: a resource name of more than ${MAX_NAME} characters`);
}

/** Characters of a proxy's reasons that are kept: of one, and of all of one type. */
const REASONS = { one: 1024, all: 64 * 1024 };

/**
 * Reasons as they are kept for proxy-status. They are the proxy's own text: copied, because the part of a text keeps the whole
 * of it in memory.
 * @param before refusals that are kept already
 */
function keptReasons(before: Iterable<Refusal>, violations: ReadonlyMap<string, string>): Map<string, string> {
  let left = REASONS.all;
  for (const { message } of before) left -= message.length;
  const copies = new Map<string, string>();
  const kept = new Map<string, string>();
  for (const [name, reason] of violations) {
    let copy = copies.get(reason);
    if (copy === undefined) {
      copy = left > 0 ? copyOf(reason.slice(0, REASONS.one)) : 'the reason is not kept: there are too many';
      left -= copy.length;
      copies.set(reason, copy);
    }
    kept.set(name, copy);
  }
  return kept;
}

const copyOf = (text: string): string => Buffer.from(text).toString();
