/** What one proxy has of one resource type: subscribed, held, offered, refused (incremental xDS, xds_protocol "delta"). */
import type { DeltaDiscoveryRequest } from '../../shared/xds/discovery.ts';
import { nackedResources } from '../../shared/xds/nack.ts';

/** One resource with the version a proxy is told. */
export interface VersionedResource {
  readonly name: string;
  readonly version: string;
  readonly resource: Readonly<Record<string, unknown>>;
}
export type VersionedResources = ReadonlyMap<string, VersionedResource>;

export interface Refusal {
  readonly name: string;
  /** '' when it is a removal that was refused. */
  readonly version: string;
  readonly message: string;
}

export interface Changes {
  readonly upserts: readonly VersionedResource[];
  readonly removed: readonly string[];
}

/** The states of `tulle proxy-status`. */
export type SyncState = 'SYNCED' | 'STALE' | 'NOT SENT' | 'NACK';

interface Offer {
  readonly nonce: string;
  /** name -> version; '' for a removal. */
  readonly versions: ReadonlyMap<string, string>;
}

export class Subscription {
  private wildcard = false;
  private readonly names = new Set<string>();
  /** What the proxy is known to run: acknowledged, or claimed on its first poll. */
  private readonly held = new Map<string, string>();
  private readonly refused = new Map<string, Refusal>();
  private offer: Offer | undefined;

  /**
   * Takes one request: its ACK or NACK of the outstanding offer, then its changes of subscription. An offer that this
   * request does not answer was lost on the way; forgetting it makes `changes` offer the same again.
   */
  take(request: DeltaDiscoveryRequest): void {
    const offer = this.offer;
    this.offer = undefined;
    if (offer && request.responseNonce === offer.nonce) this.settle(offer, request.errorDetail?.message);
    for (const name of request.resourceNamesSubscribe ?? []) {
      if (name === '*') this.wildcard = true;
      else {
        this.names.add(name);
        // An explicit name is always answered: with the resource, or with its removal when there is none.
        this.held.set(name, '');
      }
    }
    for (const [name, version] of Object.entries(request.initialResourceVersions ?? {})) this.held.set(name, version);
    for (const name of request.resourceNamesUnsubscribe ?? []) this.forget(name);
  }

  /** What the proxy lacks, has in another version, or should no longer have. A refused version is not offered twice. */
  changes(resources: VersionedResources): Changes {
    const upserts: VersionedResource[] = [];
    for (const resource of resources.values()) {
      if (!this.covers(resource.name)) continue;
      if (this.held.get(resource.name) === resource.version) this.refused.delete(resource.name);
      else if (this.refused.get(resource.name)?.version !== resource.version) upserts.push(resource);
    }
    const removed: string[] = [];
    for (const name of this.held.keys()) {
      if (resources.has(name)) continue;
      if (this.refused.get(name)?.version !== '') removed.push(name);
    }
    for (const [name, refusal] of this.refused)
      if (refusal.version !== '' && !resources.has(name)) this.refused.delete(name);
    return { upserts, removed };
  }

  /** Notes what was sent, to be settled by the next request. */
  offered(nonce: string, changes: Changes): void {
    const versions = new Map(changes.upserts.map(({ name, version }) => [name, version]));
    for (const name of changes.removed) versions.set(name, '');
    this.offer = { nonce, versions };
  }

  get active(): boolean {
    return this.wildcard || this.names.size > 0;
  }

  get refusals(): Refusal[] {
    return [...this.refused.values()];
  }

  get size(): number {
    return this.held.size;
  }

  state(resources: VersionedResources): SyncState {
    const { upserts, removed } = this.changes(resources);
    if (this.refused.size > 0) return 'NACK';
    if (this.offer || (this.active && upserts.length + removed.length > 0)) return 'STALE';
    return this.held.size === 0 ? 'NOT SENT' : 'SYNCED';
  }

  private covers(name: string): boolean {
    return this.wildcard || this.names.has(name);
  }

  private forget(name: string): void {
    if (name === '*') this.wildcard = false;
    this.names.delete(name);
    // What the wildcard brought stays with the proxy until named; a proxy drops what it unsubscribes from by itself.
    for (const held of name === '*' ? [...this.held.keys()] : [name]) {
      if (this.covers(held)) continue;
      this.held.delete(held);
      this.refused.delete(held);
    }
  }

  private settle(offer: Offer, error: string | undefined): void {
    const faults = error === undefined ? new Map<string, string>() : nackedResources(error, offer.versions.keys());
    for (const [name, version] of offer.versions) {
      const message = faults.get(name);
      if (message !== undefined) this.refused.set(name, { name, version, message: message.slice(0, 4096) });
      else {
        this.refused.delete(name);
        if (version === '') this.held.delete(name);
        else this.held.set(name, version);
      }
    }
  }
}
