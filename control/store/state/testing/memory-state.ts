/** Shared state in one process, for tests: several members see one store, each with the memory of its own. */
import { checkStateKey, type SharedState, type StateChange, type StateEntry, type StateWrite } from '../state.ts';
import { StateMap } from '../state-map.ts';

export class MemoryStateStore {
  private revision = 0;
  private readonly stored = new Map<string, StateEntry>();
  private readonly members = new Set<{ map: StateMap; held: StateChange[]; isHeld: boolean }>();

  /** Another process. `hold` keeps the changes of others from it until `release`. */
  member(): SharedState & { hold(): void; release(): void } {
    const member = { map: new StateMap(), held: [] as StateChange[], isHeld: false };
    member.map.take([...this.stored.values()]);
    this.members.add(member);
    const { map } = member;
    return {
      get: (key) => map.get(key),
      entries: (folder) => map.entries(folder),
      fetch: async (key) => {
        await undefined;
        const found = this.stored.get(key);
        if (found) map.take([found]);
        return found;
      },
      commit: async (writes) => {
        await undefined;
        const changes = this.write(writes);
        map.take(changes ?? this.present(writes));
        return changes && this.revision;
      },
      onChange: (folder, listener) => map.onChange(folder, listener),
      hold: () => {
        member.isHeld = true;
      },
      release: () => {
        member.isHeld = false;
        map.take(member.held.splice(0));
      },
    };
  }

  private present(writes: readonly StateWrite[]): StateChange[] {
    return writes.map(({ key }) => this.stored.get(key) ?? { key, text: undefined, revision: this.revision });
  }

  private write(writes: readonly StateWrite[]): StateChange[] | undefined {
    for (const { key, expected } of writes) {
      checkStateKey(key);
      if (expected !== undefined && (this.stored.get(key)?.revision ?? 0) !== expected) return undefined;
    }
    const revision = ++this.revision;
    const changes = writes.map(({ key, text }) => ({ key, text, revision }));
    for (const { key, text } of changes)
      if (text === undefined) this.stored.delete(key);
      else this.stored.set(key, { key, text, revision });
    for (const { map, held, isHeld } of this.members) {
      if (isHeld) held.push(...changes);
      else map.take(changes);
    }
    return changes;
  }
}
