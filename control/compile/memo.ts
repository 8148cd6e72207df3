/**
 * Functions with declared inputs: what a generator declares is all it can read, and is its cache key. Inputs are compared
 * by identity (objects) or value (primitives); what was made of unreachable objects is collected with them.
 */

import type { Work } from './output/compiled-node.ts';

export type Input = object | string | number | boolean | undefined;

/** A result, with what it was made of. */
interface Made<Out> {
  readonly input: unknown;
  readonly value: Out;
}

/** One step of the path that a combination of inputs takes through the cache. */
class Place<Out> {
  private objects: WeakMap<object, Place<Out>> | undefined;
  private values: Map<unknown, Place<Out>> | undefined;
  result: { readonly value: Out } | undefined;
  /** The result in the making. */
  work: Work<Out> | undefined;
  /** Of the places next to this one, that of the result made last. */
  latest: WeakRef<Made<Out>> | undefined;

  next(input: Input): Place<Out> {
    if (typeof input === 'object') {
      this.objects ??= new WeakMap();
      let place = this.objects.get(input);
      if (!place) this.objects.set(input, (place = new Place()));
      return place;
    }
    this.values ??= new Map();
    let place = this.values.get(input);
    if (!place) this.values.set(input, (place = new Place()));
    return place;
  }
}

/**
 * `build` with its results kept, one for each combination of the inputs named in `reads`.
 * @param reads every field of the input, those first that are replaced most often: what hangs on them goes with them
 * @param build must not read anything but its argument, and must not change what it returned
 */
export function generator<In extends { readonly [K in keyof In]: Input }, Out>(
  reads: { readonly [K in keyof In]-?: true },
  build: (input: In) => Out,
): (input: In) => Out {
  const placeOf = places<In, Out>(Object.keys(reads) as (keyof In)[]);
  return (input) => {
    const place = placeOf(input);
    place.result ??= { value: build(input) };
    return place.result.value;
  };
}

/**
 * The same for a `build` that can pause. Callers that ask while the result is being made take turns with its steps, so
 * that it is made once; when one of them stops, another continues from there.
 */
export function slicedGenerator<In extends { readonly [K in keyof In]: Input }, Out>(
  reads: { readonly [K in keyof In]-?: true },
  build: (input: In) => Work<Out>,
): (input: In) => Work<Out> {
  const placeOf = places<In, Out>(Object.keys(reads) as (keyof In)[]);
  return function* (input) {
    const place = placeOf(input);
    if (!place.result) yield* completed(place, () => build(input));
    return place.result!.value;
  };
}

/** What a generator made last, of an input that differed in one field at most. */
export interface Last<In, Out> {
  readonly input: In;
  readonly value: Out;
}

/**
 * A sliced generator that can start from its last result: `build` is given what was made last of an input that differed in the
 * last field of `reads` alone, as long as something else refers to that result. What it makes has to be the same as without.
 */
export function successiveGenerator<In extends { readonly [K in keyof In]: Input }, Out>(
  reads: { readonly [K in keyof In]-?: true },
  build: (input: In, last: Last<In, Out> | undefined) => Work<Out>,
): (input: In) => Work<Out> {
  const names = Object.keys(reads) as (keyof In)[];
  const followed = names.pop() as keyof In;
  const siblingsOf = places<In, Out>(names);
  return function* (input) {
    const siblings = siblingsOf(input);
    const place = siblings.next(input[followed]);
    if (place.result) return place.result.value;
    const last = siblings.latest?.deref() as Last<In, Out> | undefined;
    yield* completed(place, () => build(input, last));
    const made: Made<Out> = { input, value: place.result!.value };
    place.result = made;
    siblings.latest = new WeakRef(made);
    return made.value;
  };
}

/** Takes turns with others that wait for the same result. */
function* completed<Out>(place: Place<Out>, build: () => Work<Out>): Work<void> {
  while (!place.result) {
    place.work ??= build();
    if (step(place, place.work)) yield;
  }
}

/** @returns whether there is more to do */
function step<Out>(place: Place<Out>, work: Work<Out>): boolean {
  try {
    const { done, value } = work.next();
    if (!done) return true;
    place.result = { value };
  } catch (error) {
    // A generator that threw is over: the next caller begins again.
    place.work = undefined;
    throw error;
  }
  place.work = undefined;
  return false;
}

/** Finds the place of an input by these fields of it. */
function places<In extends { readonly [K in keyof In]: Input }, Out>(
  names: readonly (keyof In)[],
): (input: In) => Place<Out> {
  const root = new Place<Out>();
  return (input) => {
    let place = root;
    for (const name of names) place = place.next(input[name]);
    return place;
  };
}

const ids = new WeakMap<object, number>();
let lastId = 0;

function idOf(item: object | undefined): number {
  if (item === undefined) return 0;
  let id = ids.get(item);
  if (id === undefined) ids.set(item, (id = ++lastId));
  return id;
}

const lists = new Map<string, WeakRef<readonly unknown[]>>();
const collected = new FinalizationRegistry<string>((key) => {
  if (lists.get(key)?.deref() === undefined) lists.delete(key);
});

/** Lists by their newest item, the last ones made last. */
const kept = new WeakMap<object, (readonly unknown[])[]>();
/** So many lists of one newest item are kept: lists from which older items leave one by one share it. */
const KEPT = 8;

/**
 * Keeps a list as long as its newest item is reachable. Without that, a list that nothing but caches refers to would be
 * collected, and what was made of it would be made again for the next proxy. The newest item, as it is that of the
 * latest change: the lists before that change go with the item that was replaced.
 */
function keepWithNewest(list: readonly (object | undefined)[], itemIds: readonly number[]): void {
  let at = 0;
  for (let i = 1; i < itemIds.length; i++) if (itemIds[i]! > itemIds[at]!) at = i;
  const newest = list[at];
  if (!newest) return;
  const others = kept.get(newest);
  if (!others) kept.set(newest, [list]);
  else if (others.push(list) > KEPT) others.shift();
}

/**
 * The one list of exactly these items, so that lists of the same items are the same input to a generator. It lasts as long as
 * it is used, or its newest item is.
 */
export function sharedList<T extends object | undefined>(items: readonly T[]): readonly T[] {
  const itemIds = items.map(idOf);
  const key = itemIds.join();
  const known = lists.get(key)?.deref();
  if (known) return known as readonly T[];
  const list = Object.freeze([...items]);
  lists.set(key, new WeakRef(list));
  collected.register(list, key);
  keepWithNewest(list, itemIds);
  return list;
}

/** Labels as one input: the same text for the same pairs. */
export function labelsKey(
  labels: Readonly<Record<string, string>>,
  keys: Iterable<string> = Object.keys(labels),
): string {
  const pairs: string[][] = [];
  for (const key of [...keys].sort()) if (Object.hasOwn(labels, key)) pairs.push([key, labels[key] as string]);
  return JSON.stringify(pairs);
}

export function labelsFrom(key: string): Record<string, string> {
  return Object.fromEntries(JSON.parse(key) as [string, string][]);
}
