/** Immutable sets of fields: a tree of path elements in which a node may be a member, have children, or both. */
import { comparePathElements, type PathElement } from './path-element.ts';

export interface FieldSet {
  readonly members: ReadonlySet<PathElement>;
  /** Sets below an element. None is empty. */
  readonly children: ReadonlyMap<PathElement, FieldSet>;
}

export const EMPTY: FieldSet = { members: new Set(), children: new Map() };

/** Collects paths; the sets it makes are then not changed any more. */
export class FieldSetBuilder {
  private readonly members = new Set<PathElement>();
  private readonly children = new Map<PathElement, FieldSetBuilder>();

  /** The path's last element becomes a member; the empty path, the whole object, is not tracked. */
  insert(path: readonly PathElement[]): void {
    let node: FieldSetBuilder = this;
    const last = path.length - 1;
    for (let at = 0; at < last; at++) node = node.child(path[at]!);
    if (last >= 0) node.members.add(path[last]!);
  }

  private child(element: PathElement): FieldSetBuilder {
    let child = this.children.get(element);
    if (!child) this.children.set(element, (child = new FieldSetBuilder()));
    return child;
  }

  build(): FieldSet {
    return fieldSet(
      this.members,
      [...this.children].map(([element, child]) => [element, child.build()] as const),
    );
  }
}

/** Leaves out children that are empty. */
export function fieldSet(
  members: Iterable<PathElement>,
  children: Iterable<readonly [PathElement, FieldSet]>,
): FieldSet {
  return { members: new Set(members), children: new Map([...children].filter(([, child]) => !isEmpty(child))) };
}

export const setOf = (...paths: (readonly PathElement[])[]): FieldSet => {
  const builder = new FieldSetBuilder();
  for (const path of paths) builder.insert(path);
  return builder.build();
};

export const isEmpty = ({ members, children }: FieldSet): boolean => members.size === 0 && children.size === 0;

export const below = (set: FieldSet, element: PathElement): FieldSet => set.children.get(element) ?? EMPTY;

export function has(set: FieldSet, path: readonly PathElement[]): boolean {
  const last = path.at(-1);
  return last !== undefined && path.slice(0, -1).reduce(below, set).members.has(last);
}

export function union(left: FieldSet, right: FieldSet): FieldSet {
  if (isEmpty(left)) return right;
  if (isEmpty(right)) return left;
  const elements = new Set([...left.children.keys(), ...right.children.keys()]);
  return fieldSet(
    [...left.members, ...right.members],
    [...elements].map((element) => [element, union(below(left, element), below(right, element))] as const),
  );
}

export function intersection(left: FieldSet, right: FieldSet): FieldSet {
  if (isEmpty(left) || isEmpty(right)) return EMPTY;
  return fieldSet(
    [...left.members].filter((element) => right.members.has(element)),
    [...left.children].map(([element, child]) => [element, intersection(child, below(right, element))] as const),
  );
}

/** Members of `left` that are none of `right`. What is below a member of `right` stays. */
export function difference(left: FieldSet, right: FieldSet): FieldSet {
  if (isEmpty(left) || isEmpty(right)) return left;
  return fieldSet(
    [...left.members].filter((element) => !right.members.has(element)),
    [...left.children].map(([element, child]) => [element, difference(child, below(right, element))] as const),
  );
}

/** As `difference`, and without what is below a member of `right`. */
export function recursiveDifference(left: FieldSet, right: FieldSet): FieldSet {
  if (isEmpty(left) || isEmpty(right)) return left;
  const kept = [...left.children].filter(([element]) => !right.members.has(element));
  return fieldSet(
    [...left.members].filter((element) => !right.members.has(element)),
    kept.map(([element, child]) => [element, recursiveDifference(child, below(right, element))] as const),
  );
}

/** The paths of all members, in FieldsV1's order. */
export function pathsOf(set: FieldSet, prefix: readonly PathElement[] = []): PathElement[][] {
  return elementsOf(set).flatMap((element) => {
    const path = [...prefix, element];
    const deeper = pathsOf(below(set, element), path);
    return set.members.has(element) ? [path, ...deeper] : deeper;
  });
}

/** Every element that is a member or has children, sorted. */
export function elementsOf({ members, children }: FieldSet): PathElement[] {
  const all = children.size === 0 ? [...members] : [...new Set([...members, ...children.keys()])];
  return all.length < 2 ? all : all.sort(comparePathElements);
}
