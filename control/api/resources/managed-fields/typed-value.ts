/**
 * Structured merge: field sets of values, their comparison, merge and reduction by a merge type. The semantics are those of
 * Kubernetes' structured-merge-diff. `undefined` is an absent value.
 */
import { sameJson } from '../../../store/stamp.ts';
import { isObject } from '../../server/body.ts';
import {
  below,
  type FieldSet,
  FieldSetBuilder,
  fieldSet,
  isEmpty,
  recursiveDifference,
  setOf,
  union,
} from './field-set.ts';
import { type Atom, atomOf, isNamedField, itemElement, type MergeType, typeBelow } from './merge-type.ts';
import { describePathElement, fieldElement, fieldName, type PathElement } from './path-element.ts';

type Path = readonly PathElement[];

/** A value that does not merge by its type: an entry without key, or two with the same. `path` as `.spec.ports`. */
export class MergeError extends Error {
  override name = 'MergeError';
  readonly path: string;
  constructor(path: Path, message: string) {
    const text = path.map(describePathElement).join('');
    super(`${text}: ${message}`);
    this.path = text;
  }
}

const items = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const entries = (value: unknown): [string, unknown][] =>
  isObject(value) ? Object.entries(value).filter(([, item]) => item !== undefined) : [];
const isEmptyCollection = (type: Atom, value: unknown) =>
  type.type === 'set' || type.type === 'keyed' ? items(value).length === 0 : entries(value).length === 0;
const isLeaf = ({ type }: Atom) => type === 'scalar' || type === 'atomic';

/** The fields that an applied configuration sets. */
export function fieldSetOf(type: MergeType, value: unknown): FieldSet {
  const builder = new FieldSetBuilder();
  collect(builder, type, value, []);
  return builder.build();
}

function collect(builder: FieldSetBuilder, type: MergeType, value: unknown, path: Path): void {
  const atom = atomOf(type, value);
  if (isLeaf(atom)) {
    builder.insert(path);
    return;
  }
  if (atom.type === 'set' || atom.type === 'keyed') {
    for (const [element, found] of indexed(atom, value)) {
      const inner = [...path, element];
      if (found.length === 1 && atom.type === 'keyed') collect(builder, atom.items, found[0], inner);
      builder.insert(inner);
    }
    return;
  }
  for (const [name, item] of entries(value)) {
    const inner = [...path, fieldElement(name)];
    collect(builder, typeBelow(atom, name), item, inner);
    const isBare = item === null || (isObject(item) && Object.keys(item).length === 0);
    if (isBare || !isNamedField(atom, name)) builder.insert(inner);
  }
}

/** The items of a list by element, in their order; those that have no element are left out. */
function indexed(atom: Atom, value: unknown): Map<PathElement, unknown[]> {
  const found = new Map<PathElement, unknown[]>();
  for (const item of items(value)) {
    const element = itemElement(atom, item);
    if (element === undefined) continue;
    const same = found.get(element);
    if (same) same.push(item);
    else found.set(element, [item]);
  }
  return found;
}

/** @throws MergeError for an applied list with an item that has no element, or two with the same */
export function checkMergeable(type: MergeType, value: unknown, path: Path = []): void {
  const atom = atomOf(type, value);
  if (atom.type === 'set' || atom.type === 'keyed') {
    const seen = new Set<PathElement>();
    for (const [at, item] of items(value).entries()) {
      const element = itemElement(atom, item);
      if (element === undefined) {
        const why =
          atom.type === 'keyed'
            ? `associative list with keys has an element that omits all key fields ${JSON.stringify(atom.keys.map(({ name }) => name))}`
            : 'a set may hold only strings, numbers and booleans';
        throw new MergeError(path, `element ${at}: ${why}`);
      }
      if (seen.has(element)) throw new MergeError(path, `duplicate entries for key ${describePathElement(element)}`);
      seen.add(element);
      if (atom.type === 'keyed') checkMergeable(atom.items, item, [...path, element]);
    }
  } else if (!isLeaf(atom)) {
    for (const [name, item] of entries(value))
      checkMergeable(typeBelow(atom, name), item, [...path, fieldElement(name)]);
  }
}

export interface Comparison {
  readonly removed: FieldSet;
  readonly modified: FieldSet;
  readonly added: FieldSet;
}

interface Changes {
  readonly removed: FieldSetBuilder;
  readonly modified: FieldSetBuilder;
  readonly added: FieldSetBuilder;
}

/** What changed from one value to another. No field is in more than one of the sets. */
export function compare(type: MergeType, from: unknown, to: unknown): Comparison {
  const changes = { removed: new FieldSetBuilder(), modified: new FieldSetBuilder(), added: new FieldSetBuilder() };
  compareInto(changes, type, from, to, []);
  return { removed: changes.removed.build(), modified: changes.modified.build(), added: changes.added.build() };
}

function compareInto(changes: Changes, type: MergeType, from: unknown, to: unknown, path: Path): void {
  if (from === undefined && to === undefined) return;
  const present = to === undefined || to === null ? from : to;
  const atom = atomOf(type, present);
  const otherForm = from !== undefined && from !== null && to !== undefined && atomOf(type, from).type !== atom.type;
  if (otherForm) changes.modified.insert(path);
  const isWhole = isLeaf(atom) || (isEmptyCollection(atom, from) && isEmptyCollection(atom, to));
  if (!isWhole && (atom.type === 'set' || atom.type === 'keyed')) compareLists(changes, atom, from, to, path);
  else if (!isWhole) {
    const [before, after] = [new Map(entries(from)), new Map(entries(to))];
    for (const name of new Set([...before.keys(), ...after.keys()])) {
      const inner = [...path, fieldElement(name)];
      compareInto(changes, typeBelow(atom, name), before.get(name), after.get(name), inner);
    }
  }
  if (from === undefined) changes.added.insert(path);
  else if (to === undefined) changes.removed.insert(path);
  else if (isWhole && !otherForm && !sameJson(from, to)) changes.modified.insert(path);
}

/** Items that occur more than once are compared as a whole and have no fields. */
function compareLists(changes: Changes, atom: Atom, from: unknown, to: unknown, path: Path): void {
  const [before, after] = [indexed(atom, from), indexed(atom, to)];
  const type: MergeType = atom.type === 'keyed' ? atom.items : { type: 'scalar' };
  for (const element of new Set([...before.keys(), ...after.keys()])) {
    const inner = [...path, element];
    const [old, now] = [before.get(element) ?? [], after.get(element) ?? []];
    if (old.length <= 1 && now.length <= 1) compareInto(changes, type, old[0], now[0], inner);
    else if (old.length >= 2 && now.length >= 2) {
      if (!sameJson(old, now)) changes.modified.insert(inner);
    } else if (old.length >= 2) {
      if (now.length > 0) compareInto(changes, type, undefined, now[0], inner);
      changes.removed.insert(inner);
    } else {
      if (old.length > 0) compareInto(changes, type, old[0], undefined, inner);
      changes.added.insert(inner);
    }
  }
}

/** The live value with the applied one merged into it. Both have passed `checkMergeable` or were stored. */
export function merge(type: MergeType, live: unknown, applied: unknown): unknown {
  if (applied === undefined) return live;
  if (live === undefined || live === null) return applied;
  const atom = atomOf(type, applied);
  if (isLeaf(atom) || applied === null || atomOf(type, live).type !== atom.type) return applied;
  if (isEmptyCollection(atom, live) && isEmptyCollection(atom, applied)) return applied;
  if (atom.type === 'set' || atom.type === 'keyed') return mergeLists(atom, items(live), items(applied));
  const merged: Record<string, unknown> = isObject(live) ? { ...live } : {};
  for (const [name, item] of entries(applied)) merged[name] = merge(typeBelow(atom, name), merged[name], item);
  return merged;
}

/**
 * Applied items keep their order among each other, and items of the live list alone keep their place between those that
 * both have, as far as the two orders allow.
 */
function mergeLists(atom: Atom, live: readonly unknown[], applied: readonly unknown[]): unknown[] {
  const type: MergeType = atom.type === 'keyed' ? atom.items : { type: 'scalar' };
  const element = (item: unknown) => itemElement(atom, item) ?? '';
  const [lives, news] = [live.map(element), applied.map(element)];
  const liveItems = indexed(atom, live);
  const wanted = new Set(news);
  const shared = news.filter((each) => liveItems.has(each));
  const done = new Set<PathElement>();
  const merged: unknown[] = [];
  let [l, r, next] = [0, 0, 0];
  const take = () => {
    const name = news[r] ?? '';
    const old = liveItems.get(name);
    // Items that occur twice are not merged with the applied one, they are replaced.
    merged.push(merge(type, old?.length === 1 ? old[0] : undefined, applied[r]));
    done.add(name);
    if (shared[next] === name) next += 1;
    r += 1;
  };
  while (l < lives.length || r < news.length) {
    const name = lives[l];
    if (name !== undefined && r < news.length) {
      if (name === news[r]) {
        take();
        l += 1;
        continue;
      }
      if (wanted.has(name) && next < shared.length && shared[next] !== name) {
        l += 1;
        continue;
      }
    }
    if (name !== undefined) {
      if (!wanted.has(name)) {
        merged.push(live[l]);
        l += 1;
        continue;
      }
      if (done.has(name)) l += 1;
    }
    if (r < news.length) take();
  }
  return merged;
}

/** The value without the members of a set; collections that lose their last item are left out. */
export function removeItems(type: MergeType, value: unknown, set: FieldSet): unknown {
  const atom = atomOf(type, value);
  if (isEmpty(set) || isLeaf(atom)) return value;
  if (atom.type === 'set' || atom.type === 'keyed') {
    if (!Array.isArray(value)) return value;
    const kept = value.flatMap((item) => {
      const element = itemElement(atom, item);
      if (element === undefined) return [item];
      if (set.members.has(element)) return [];
      return [atom.type === 'keyed' ? removeItems(atom.items, item, below(set, element)) : item];
    });
    return kept.length > 0 || value.length === 0 ? kept : undefined;
  }
  if (!isObject(value)) return value;
  const kept = entries(value).flatMap(([name, item]) => {
    const element = fieldElement(name);
    if (set.members.has(element)) return [];
    const left = removeItems(typeBelow(atom, name), item, below(set, element));
    return left === undefined ? [] : [[name, left] as const];
  });
  return kept.length > 0 || Object.keys(value).length === 0 ? Object.fromEntries(kept) : undefined;
}

/** The set with every field of a schema that has members below it. */
export function withNamedFields(type: MergeType, set: FieldSet): FieldSet {
  const atom = type.type === 'any' ? atomOf(type, {}) : type;
  const named = [...set.children.keys()].filter((element) => {
    const name = fieldName(element);
    return name !== undefined && isNamedField(atom, name);
  });
  const children = [...set.children].map(
    ([element, child]) => [element, withNamedFields(elementType(atom, element), child)] as const,
  );
  return fieldSet([...set.members, ...named], children);
}

function elementType(atom: Atom, element: PathElement): MergeType {
  const name = fieldName(element);
  if (name !== undefined) return typeBelow(atom, name);
  return atom.type === 'keyed' ? atom.items : { type: 'any' };
}

/** A set that was made with an older schema: what is below a value that is now atomic becomes that value. */
export function inSchema(type: MergeType, set: FieldSet): FieldSet {
  const atomic = atomicPaths(type, set, []);
  if (atomic.length === 0) return set;
  const whole = setOf(...atomic);
  return union(recursiveDifference(set, whole), whole);
}

function atomicPaths(type: MergeType, set: FieldSet, path: Path): Path[] {
  if (type.type === 'any') return [];
  return [...set.children].flatMap(([element, child]) => {
    const inner = elementType(type, element);
    const at = [...path, element];
    return inner.type === 'atomic' ? [at] : atomicPaths(inner, child, at);
  });
}
