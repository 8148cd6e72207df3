/**
 * Gives hosts of ServiceEntries their automatic addresses and writes them into `status.addresses`, as Istio's controller does
 * (see `control/mesh/auto-addresses.ts`). A host keeps its addresses as long as it has them in its status: over restarts, and
 * when another control plane takes over.
 */
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { type HostAddress, hostsWithAutoAddresses, statusAddresses } from '../mesh/auto-addresses.ts';
import { fields, isKind, specOf } from '../mesh/fields.ts';
import { resourceId } from '../mesh/mesh-resource.ts';
import type { MeshChange } from '../mesh/view.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../store/store.ts';
import { AddressRange } from './address-range.ts';

type ServiceEntry = ResourceOfKind<'ServiceEntry'>;

export interface AddressAllocatorOptions {
  readonly store: Pick<ResourceStore, 'get' | 'updateStatus'>;
  readonly keyOf: (resource: Resource) => ResourceKey | undefined;
  /** Addresses that could not be written, which is attempted again, or that there are none left. */
  readonly onError: (error: unknown) => void;
  /** Wait after the store failed, milliseconds. */
  readonly retryMs?: number;
}

export class AddressAllocator {
  private readonly options: AddressAllocatorOptions;
  private readonly ranges: readonly AddressRange[] = [
    new AddressRange('240.240.0.0/16'),
    new AddressRange('2001:2::/48'),
  ];
  /** By `resourceId`: the addresses that an entry holds. */
  private readonly held = new Map<string, readonly string[]>();
  private queue: Promise<void> = Promise.resolve();
  private retry: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(options: AddressAllocatorOptions) {
    this.options = options;
  }

  /** @param entries all there are, oldest first: of two that have one address the older keeps it */
  start(entries: readonly ServiceEntry[]): void {
    for (const entry of entries) this.hold(entry);
    this.follow({ written: entries, deleted: [] });
  }

  /** Takes what was written since. */
  follow({ written, deleted }: Pick<MeshChange, 'written' | 'deleted'>): void {
    for (const resource of deleted) if (isKind(resource, 'ServiceEntry')) this.release(resourceId(resource));
    for (const resource of written) {
      if (!isKind(resource, 'ServiceEntry')) continue;
      this.hold(resource);
      if (this.next(resource)) this.queue = this.queue.then(() => this.write(resource));
    }
  }

  /** Writes nothing more; resolves when the write that is under way has ended. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.retry);
    await this.queue;
  }

  /** Marks the addresses that an entry has, those of its own too, as in use. */
  private hold(entry: ServiceEntry): void {
    const id = resourceId(entry);
    this.release(id);
    const given = [...(specOf(entry).addresses ?? []), ...statusAddresses(entry).map(({ value }) => value)];
    this.held.set(
      id,
      given.filter((address) => this.ranges.some((range) => range.take(address))),
    );
  }

  private release(id: string): void {
    for (const address of this.held.get(id) ?? []) for (const range of this.ranges) range.release(address);
    this.held.delete(id);
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
      const { addresses: _, ...rest } = fields(stored.status);
      const status = addresses.length > 0 ? { ...rest, addresses } : rest;
      const { uid, resourceVersion } = stored.metadata;
      const has = Object.keys(status).length > 0;
      await this.options.store.updateStatus(key, has ? status : undefined, { uid, resourceVersion });
    } catch (error) {
      this.failed(resource, error);
    }
  }

  /** Takes a free address where there is none yet. */
  private filled(entry: ServiceEntry, wanted: readonly HostAddress[]): HostAddress[] {
    const taken = [...(this.held.get(resourceId(entry)) ?? [])];
    const addresses = wanted.flatMap(({ host, value }, i): HostAddress[] => {
      if (value !== '') return [{ host, value }];
      const free = this.ranges[i % this.ranges.length]!.takeNext();
      if (free === undefined) {
        this.options.onError(new Error(`no automatic address is left for ${host} of ${resourceId(entry)}`));
        return [];
      }
      taken.push(free);
      return [{ host, value: free }];
    });
    this.held.set(resourceId(entry), taken);
    return addresses;
  }

  private failed(resource: ServiceEntry, error: unknown): void {
    const code = error instanceof StoreError ? error.code : undefined;
    if (this.closed || code === 'not-found') return;
    const again = () => {
      this.queue = this.queue.then(() => this.write(resource));
    };
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
