/** Which resources name which owners, and which are being deleted: what the store cannot be asked without a list of everything. */
import type { Resource } from '../../shared/resources/resource.ts';
import type { ResourceKey } from '../store/store.ts';
import { isDeleting } from './deletion.ts';

interface Held {
  readonly key: ResourceKey;
  readonly uid: string;
  readonly owners: readonly string[];
  /** The owner references as JSON: what a change is recognised by. */
  readonly references: string;
  readonly deleting: boolean;
}

/** Only resources with owners, and those that are being deleted, take memory here. */
export class OwnerIndex {
  private readonly held = new Map<string, Held>();
  private readonly byOwner = new Map<string, Set<string>>();
  private readonly deletingByUid = new Map<string, ResourceKey>();
  private readonly deletingNamespaces = new Set<string>();

  /** @returns whether its owners or its deletion are to be looked at */
  put(key: ResourceKey, resource: Resource): boolean {
    const id = idOf(key);
    const before = this.held.get(id);
    const references = resource.metadata.ownerReferences ?? [];
    const deleting = isDeleting(resource);
    if (references.length === 0 && !deleting) {
      if (before) this.remove(key);
      return false;
    }
    const next: Held = {
      key,
      uid: resource.metadata.uid ?? '',
      owners: [...new Set(references.map(({ uid }) => uid))],
      references: JSON.stringify(references),
      deleting,
    };
    if (before) this.unlink(id, before);
    this.held.set(id, next);
    for (const owner of next.owners) {
      let dependents = this.byOwner.get(owner);
      if (!dependents) this.byOwner.set(owner, (dependents = new Set()));
      dependents.add(id);
    }
    if (deleting) {
      this.deletingByUid.set(next.uid, key);
      if (isNamespaceKey(key)) this.deletingNamespaces.add(key.name);
    }
    return deleting || before?.references !== next.references;
  }

  remove(key: ResourceKey): void {
    const id = idOf(key);
    const before = this.held.get(id);
    if (!before) return;
    this.unlink(id, before);
    this.held.delete(id);
  }

  clear(): void {
    this.held.clear();
    this.byOwner.clear();
    this.deletingByUid.clear();
    this.deletingNamespaces.clear();
  }

  dependentsOf(uid: string): ResourceKey[] {
    return [...(this.byOwner.get(uid) ?? [])].map((id) => this.held.get(id)!.key);
  }

  /** The owners of a resource that are being deleted, and its namespace if that is. */
  waitingFor(key: ResourceKey): ResourceKey[] {
    const owners = this.held.get(idOf(key))?.owners ?? [];
    const waiting = owners.flatMap((uid) => this.deletingByUid.get(uid) ?? []);
    if (this.deletingNamespaces.has(key.namespace)) waiting.push(namespaceKey(key.namespace));
    return waiting;
  }

  private unlink(id: string, { owners, uid, key }: Held): void {
    for (const owner of owners) {
      const dependents = this.byOwner.get(owner);
      dependents?.delete(id);
      if (dependents?.size === 0) this.byOwner.delete(owner);
    }
    this.deletingByUid.delete(uid);
    if (isNamespaceKey(key)) this.deletingNamespaces.delete(key.name);
  }
}

export const idOf = ({ group, plural, namespace, name }: ResourceKey): string =>
  `${group}/${plural}/${namespace}/${name}`;

export const namespaceKey = (name: string): ResourceKey => ({ group: '', plural: 'namespaces', namespace: '', name });

export const isNamespaceKey = ({ group, plural }: ResourceKey): boolean => group === '' && plural === 'namespaces';
