/** The records of shared state in memory: by folder, in the order of their revisions whatever the order in which they arrive. */
import type { StateChange, StateEntry } from './state.ts';

type Listener = (changes: readonly StateChange[]) => void;

const NONE: ReadonlyMap<string, StateEntry> = new Map();
const folderOf = (key: string): string => key.slice(0, key.indexOf('/'));

export class StateMap {
  private readonly folders = new Map<string, Map<string, StateEntry>>();
  /** Deleted records, until what the store says of older writes has arrived. */
  private readonly deleted = new Map<string, number>();
  private readonly listeners = new Map<string, Set<Listener>>();

  get(key: string): StateEntry | undefined {
    return this.folders.get(folderOf(key))?.get(key);
  }

  entries(folder: string): readonly StateEntry[] {
    return [...(this.folders.get(folder) ?? NONE).values()];
  }

  keys(): string[] {
    return [...this.folders.values()].flatMap((folder) => [...folder.keys()]);
  }

  /** Changes that are older than what is known of their record are left out. */
  take(changes: readonly StateChange[]): void {
    const byFolder = new Map<string, StateChange[]>();
    for (const change of changes) {
      if (!this.apply(change)) continue;
      const folder = folderOf(change.key);
      const taken = byFolder.get(folder);
      if (taken) taken.push(change);
      else byFolder.set(folder, [change]);
    }
    for (const [folder, taken] of byFolder) for (const listener of this.listeners.get(folder) ?? []) listener(taken);
  }

  /** All changes up to `revision` have been taken. */
  reached(revision: number): void {
    for (const [key, at] of this.deleted) if (at <= revision) this.deleted.delete(key);
  }

  onChange(folder: string, listener: Listener): () => void {
    let listeners = this.listeners.get(folder);
    if (!listeners) this.listeners.set(folder, (listeners = new Set()));
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  private apply({ key, text, revision }: StateChange): boolean {
    const name = folderOf(key);
    const folder = this.folders.get(name);
    const known = folder?.get(key)?.revision ?? this.deleted.get(key) ?? 0;
    if (revision <= known) return false;
    if (text === undefined) {
      this.deleted.set(key, revision);
      return folder?.delete(key) ?? false;
    }
    this.deleted.delete(key);
    if (folder) folder.set(key, { key, text, revision });
    else this.folders.set(name, new Map([[key, { key, text, revision }]]));
    return true;
  }
}
