/**
 * Gives hosts of ServiceEntries their automatic addresses and writes them into `status.addresses`, as Istio's controller does
 * (see `control/mesh/auto-addresses.ts`). A host keeps its addresses as long as it has them in its status: over restarts, and
 * when another control plane takes over.
 */
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { distinctFindings, type Finding, findingText } from '../compile/output/finding.ts';
import { type HostAddress, hostsWithAutoAddresses, statusAddresses } from '../mesh/auto-addresses.ts';
import { fields, isKind, namespaceOf, specOf } from '../mesh/fields.ts';
import { resourceId } from '../mesh/mesh-resource.ts';
import type { MeshChange } from '../mesh/view.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../store/store.ts';
import { AddressRange } from './address-range.ts';

type ServiceEntry = ResourceOfKind<'ServiceEntry'>;

export interface AddressAllocatorOptions {
  readonly store: Pick<ResourceStore, 'get' | 'updateStatus'>;
  readonly keyOf: (resource: Resource) => ResourceKey | undefined;
  /** Addresses that could not be written, which is attempted again. */
  readonly onError: (error: unknown) => void;
  readonly log: (line: string) => void;
  /** Hosts that are left without addresses; an empty list: none of the reporter's. */
  readonly report: (reporter: string, findings: readonly Finding[]) => void;
  /** False: another control plane gives addresses, until `lead`. Default: true. */
  readonly leads?: boolean;
  /** Wait after the store failed, milliseconds. */
  readonly retryMs?: number;
  /** Addresses that the entries of one namespace may hold. */
  readonly perNamespace?: number;
}

/** An eighth of the IPv4 range: two addresses for each of 4096 hosts. */
const PER_NAMESPACE = 8192;
/** Entries written at the same time: the store commits them together, so that few views follow each other. */
const AT_ONCE = 64;

export class AddressAllocator {
  private readonly options: AddressAllocatorOptions;
  private readonly ranges: readonly AddressRange[] = [
    new AddressRange('240.240.0.0/16'),
    new AddressRange('2001:2::/48'),
  ];
  /** By `resourceId`: the addresses that an entry holds. */
  private readonly held = new Map<string, readonly string[]>();
  private readonly heldIn = new Map<string, number>();
  /** By `resourceId`: entries with hosts that were left without addresses. */
  private readonly incomplete = new Map<string, ServiceEntry>();
  /** By `resourceId`: entries to be written. */
  private readonly queued = new Map<string, ServiceEntry>();
  private writing: Promise<void> | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private closed = false;
  private leads: boolean;

  constructor(options: AddressAllocatorOptions) {
    this.options = options;
    this.leads = options.leads ?? true;
  }

  /** @param entries all there are, oldest first: of two that have one address the older keeps it */
  start(entries: readonly ServiceEntry[]): void {
    for (const entry of entries) this.hold(entry);
    this.follow({ written: entries, deleted: [] });
  }

  /** Takes what was written since. */
  follow({ written, deleted }: Pick<MeshChange, 'written' | 'deleted'>): void {
    const gone = deleted.filter((resource) => isKind(resource, 'ServiceEntry'));
    for (const resource of gone) {
      this.release(resourceId(resource), namespaceOf(resource));
      this.complete(resource);
    }
    // What they held may be what others wait for.
    if (gone.length > 0) for (const entry of this.incomplete.values()) this.queueWrite(entry);
    for (const resource of written) {
      if (!isKind(resource, 'ServiceEntry')) continue;
      this.hold(resource);
      if (this.next(resource)) this.queueWrite(resource);
      else this.complete(resource);
    }
  }

  /**
   * This control plane begins to give addresses, or ends to.
   * @param entries as the store has them now: what the leader before it gave is in use
   */
  lead(entries: readonly ServiceEntry[]): void {
    this.leads = true;
    this.start(entries);
  }

  follower(): void {
    this.leads = false;
    this.queued.clear();
    clearTimeout(this.retry);
  }

  /** Writes nothing more; resolves when the write that is under way has ended. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.retry);
    await this.writing;
  }

  private queueWrite(entry: ServiceEntry): void {
    if (!this.leads) return;
    this.queued.set(resourceId(entry), entry);
    this.writing ??= this.writeQueued().finally(() => (this.writing = undefined));
  }

  /** An entry that is queued while it is being written is written again after that. */
  private async writeQueued(): Promise<void> {
    while (this.queued.size > 0) {
      const batch = [...this.queued].slice(0, AT_ONCE);
      for (const [id] of batch) this.queued.delete(id);
      await Promise.all(batch.map(([, entry]) => this.write(entry)));
    }
  }

  /** Marks the addresses that an entry has, those of its own too as far as its namespace has room, as in use. */
  private hold(entry: ServiceEntry): void {
    const id = resourceId(entry);
    const namespace = namespaceOf(entry);
    this.release(id, namespace);
    const own = statusAddresses(entry).map(({ value }) => value);
    const written = (specOf(entry).addresses ?? []).slice(0, Math.max(0, this.roomIn(namespace) - own.length));
    const taken = [...own, ...written].filter((address) => this.ranges.some((range) => range.take(address)));
    this.setHeld(id, namespace, taken);
  }

  private setHeld(id: string, namespace: string, addresses: readonly string[]): void {
    const before = this.held.get(id)?.length ?? 0;
    if (addresses.length > 0) this.held.set(id, addresses);
    else this.held.delete(id);
    const count = (this.heldIn.get(namespace) ?? 0) + addresses.length - before;
    if (count > 0) this.heldIn.set(namespace, count);
    else this.heldIn.delete(namespace);
  }

  private release(id: string, namespace: string): void {
    for (const address of this.held.get(id) ?? []) for (const range of this.ranges) range.release(address);
    this.setHeld(id, namespace, []);
  }

  /** Addresses that entries of the namespace may be given. */
  private roomIn(namespace: string): number {
    return (this.options.perNamespace ?? PER_NAMESPACE) - (this.heldIn.get(namespace) ?? 0);
  }

  private complete(entry: ServiceEntry): void {
    if (this.incomplete.delete(resourceId(entry))) this.options.report(reporterOf(entry), []);
  }

  /**
   * The addresses that an entry is to have; undefined: those that it has.
   * An address that another entry holds is replaced.
   */
  private next(entry: ServiceEntry): readonly HostAddress[] | undefined {
    const before = statusAddresses(entry);
    const held = new Set(this.held.get(resourceId(entry)));
    const after = hostsWithAutoAddresses(entry).flatMap((host) => {
      const own = before.filter((one) => one.host === host && held.has(one.value));
      return this.ranges.flatMap((range) => own.find(({ value }) => range.has(value)) ?? { host, value: '' });
    });
    return JSON.stringify(after) === JSON.stringify(before) ? undefined : after;
  }

  private async write(resource: ServiceEntry): Promise<void> {
    const key = this.options.keyOf(resource);
    if (this.closed || !key) return;
    try {
      const stored = await this.options.store.get(key);
      if (!stored || !isKind(stored, 'ServiceEntry') || this.closed) return;
      this.hold(stored);
      const wanted = this.next(stored);
      if (!wanted) return;
      const addresses = this.filled(stored, wanted);
      if (JSON.stringify(addresses) === JSON.stringify(statusAddresses(stored))) return;
      const { addresses: _, ...rest } = fields(stored.status);
      const status = addresses.length > 0 ? { ...rest, addresses } : rest;
      const { uid, resourceVersion } = stored.metadata;
      const has = Object.keys(status).length > 0;
      await this.options.store.updateStatus(key, has ? status : undefined, { uid, resourceVersion });
    } catch (error) {
      this.failed(resource, error);
    }
  }

  /** Takes a free address where there is none yet, and reports the hosts for which there is none. */
  private filled(entry: ServiceEntry, wanted: readonly HostAddress[]): HostAddress[] {
    const id = resourceId(entry);
    const namespace = namespaceOf(entry);
    const findings: Finding[] = [];
    const addresses = wanted.flatMap(({ host, value }, i): HostAddress[] => {
      if (value !== '') return [{ host, value }];
      const mayTake = this.roomIn(namespace) > 0;
      const free = mayTake ? this.ranges[i % this.ranges.length]!.takeNext() : undefined;
      if (free !== undefined) {
        this.setHeld(id, namespace, [...(this.held.get(id) ?? []), free]);
        return [{ host, value: free }];
      }
      const why = mayTake ? 'all are in use' : `its namespace has ${this.heldIn.get(namespace)}, as many as it may`;
      findings.push({
        about: entry,
        reason: 'FieldWithoutEffect',
        message: `spec.hosts: no automatic address for ${host}: ${why}`,
      });
      return [];
    });
    if (findings.length === 0) this.complete(entry);
    else {
      if (!this.incomplete.has(id))
        for (const finding of distinctFindings(findings)) this.options.log(findingText(finding));
      this.incomplete.set(id, entry);
      this.options.report(reporterOf(entry), distinctFindings(findings));
    }
    return addresses;
  }

  private failed(resource: ServiceEntry, error: unknown): void {
    const code = error instanceof StoreError ? error.code : undefined;
    if (this.closed || !this.leads || code === 'not-found') return;
    const again = () => this.queueWrite(resource);
    // After a conflict the next attempt reads what another write left.
    if (code === 'conflict') {
      again();
      return;
    }
    this.options.onError(error);
    this.retry = setTimeout(again, this.options.retryMs ?? 1_000);
    this.retry.unref?.();
  }
}

const reporterOf = (entry: ServiceEntry): string => `addresses of ${resourceId(entry)}`;
