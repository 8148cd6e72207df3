/**
 * Who owns which fields after a write: Kubernetes' rules of field management
 * (kubernetes.io/docs/reference/using-api/server-side-apply/#field-management). Values are resources without apiVersion, kind
 * and what the server alone writes.
 */
import {
  difference,
  EMPTY,
  type FieldSet,
  intersection,
  isEmpty,
  pathsOf,
  recursiveDifference,
  setOf,
  union,
} from './field-set.ts';
import { type Manager, type Managers, managerId } from './managers.ts';
import type { MergeType } from './merge-type.ts';
import type { PathElement } from './path-element.ts';
import { type Comparison, compare, fieldSetOf, inSchema, merge, removeItems, withNamedFields } from './typed-value.ts';

/** A field that another manager owns and that the applied configuration would change. */
export interface Conflict {
  readonly manager: Manager;
  readonly path: readonly PathElement[];
}

export class ConflictError extends Error {
  override name = 'ConflictError';
  readonly conflicts: readonly Conflict[];
  constructor(conflicts: readonly Conflict[]) {
    super(`${conflicts.length} conflicts`);
    this.conflicts = conflicts;
  }
}

/** Who writes: a manager without fields and time. */
export type Writer = Omit<Manager, 'fields' | 'time'>;

/** What the write of an object needs beside the values. */
export interface Rules {
  readonly type: MergeType;
  /** Versions that are served, as `networking.istio.io/v1`: managers of others are forgotten. */
  readonly apiVersions: ReadonlySet<string>;
  /** Paths that a write to this resource or subresource never changes; no one comes to own them by it. */
  readonly resetFields: FieldSet;
}

/** Never owned. */
const UNOWNED = setOf(['f:metadata']);

/** The managers after a write of the whole value: the writer owns what it changed, others lose it. */
export function ownersAfterUpdate(
  rules: Rules,
  {
    live,
    written,
    managers,
    writer,
    now,
  }: { live: unknown; written: unknown; managers: Managers; writer: Writer; now: string },
): Managers {
  const changes = withoutReset(rules, compare(rules.type, live, written));
  const kept = withoutChanged(known(rules, managers), changes, undefined);
  const taken = difference(union(changes.added, changes.modified), UNOWNED);
  if (isEmpty(taken)) return kept;
  const id = managerId(writer);
  const previous = kept.get(id)?.fields ?? EMPTY;
  return new Map([...kept, [id, { ...writer, time: now, fields: union(taken, previous) }]]);
}

/**
 * Merges an applied configuration into the live value. `value` has lost what this manager applied before, applies no longer
 * and no one else owns. The writer's time stays as it was when the value did not change.
 * @throws ConflictError unless `force`
 */
export function applyConfiguration(
  rules: Rules,
  write: { live: unknown; applied: unknown; managers: Managers; writer: Writer; now: string; force: boolean },
  isSame: (left: unknown, right: unknown) => boolean,
): { value: unknown; managers: Managers } {
  const { type } = rules;
  const { live, applied, writer, now, force } = write;
  const id = managerId(writer);
  const before = known(rules, write.managers);
  const last = before.get(id);
  const fields = recursiveDifference(fieldSetOf(type, applied), rules.resetFields);
  const claimed = new Map([...before, [id, { ...writer, ...timeOf(last), fields }]]);
  const value = prune(type, merge(type, live, applied), claimed, last?.fields ?? EMPTY);
  const changes = withoutReset(rules, compare(type, live, value));
  const conflicts = force ? [] : conflictsOf(claimed, changes, id);
  if (conflicts.length > 0) throw new ConflictError(conflicts);
  const managers = new Map(withoutChanged(claimed, changes, id));
  const owned = difference(fields, UNOWNED);
  const time = isSame(live, value) ? timeOf(last) : { time: now };
  if (isEmpty(owned)) managers.delete(id);
  else managers.set(id, { ...writer, ...time, fields: owned });
  return { value, managers };
}

const timeOf = (manager: Manager | undefined) => (manager?.time === undefined ? {} : { time: manager.time });

function known({ type, apiVersions }: Rules, managers: Managers): Managers {
  const served = [...managers].filter(([, { apiVersion }]) => apiVersions.has(apiVersion));
  return new Map(served.map(([id, manager]) => [id, { ...manager, fields: inSchema(type, manager.fields) }]));
}

function withoutReset({ resetFields }: Rules, { removed, modified, added }: Comparison): Comparison {
  return {
    removed: recursiveDifference(removed, resetFields),
    modified: recursiveDifference(modified, resetFields),
    added: recursiveDifference(added, resetFields),
  };
}

function conflictsOf(managers: Managers, { modified, added }: Comparison, writer: string): Conflict[] {
  const changed = union(modified, added);
  const others = [...managers].filter(([id]) => id !== writer).map(([, manager]) => manager);
  return others.flatMap((manager) => pathsOf(intersection(manager.fields, changed)).map((path) => ({ manager, path })));
}

/** Managers other than the writer lose what changed and what was removed; those that own nothing more are left out. */
function withoutChanged(managers: Managers, changes: Comparison, writer: string | undefined): Managers {
  const lost = union(union(changes.modified, changes.added), changes.removed);
  const kept = [...managers].map(([id, manager]): [string, Manager] =>
    id === writer ? [id, manager] : [id, { ...manager, fields: difference(manager.fields, lost) }],
  );
  return new Map(kept.filter(([, { fields }]) => !isEmpty(fields)));
}

/** Without what the writer owned by its last apply, unless some manager owns it now, the writer included. */
function prune(type: MergeType, merged: unknown, managers: Managers, last: FieldSet): unknown {
  if (isEmpty(last)) return merged;
  const lastNamed = withNamedFields(type, last);
  const named = (value: unknown) => withNamedFields(type, fieldSetOf(type, value));
  const all = named(merged);
  const owned = [...managers.values()].map(({ fields }) => fields).reduce(union, EMPTY);
  const bare = named(removeItems(type, merged, lastNamed));
  const withOwned = removeItems(type, merged, difference(all, union(bare, withNamedFields(type, owned))));
  // Items that no one owned stay although their list or map lost its owner.
  return removeItems(type, merged, intersection(difference(all, named(withOwned)), lastNamed));
}
