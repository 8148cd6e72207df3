/** What a proxy runs of one resource type: layers that are shared with other proxies. */
import type { SharedResource } from './shared-resource.ts';

/** Resources by name; never changed once it is in a set. */
export type Layer = ReadonlyMap<string, SharedResource>;

/** Of two resources with one name the first has it, as in Envoy. */
export function layerOf(resources: Iterable<SharedResource>): Layer {
  const layer = new Map<string, SharedResource>();
  for (const resource of resources) if (!layer.has(resource.name)) layer.set(resource.name, resource);
  return layer;
}

export class ResourceSet {
  static readonly EMPTY = new ResourceSet([]);
  private readonly layers: readonly Layer[];

  constructor(layers: readonly Layer[]) {
    this.layers = layers;
  }

  get(name: string): SharedResource | undefined {
    for (const layer of this.layers) {
      const found = layer.get(name);
      if (found) return found;
    }
    return undefined;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  *values(): Generator<SharedResource> {
    for (const [i, layer] of this.layers.entries())
      for (const resource of layer.values())
        if (!this.layers.slice(0, i).some((earlier) => earlier.has(resource.name))) yield resource;
  }

  /** How many names there are. */
  get count(): number {
    let count = 0;
    for (const [i, layer] of this.layers.entries()) {
      count += layer.size;
      // The first layers are small, the last is large: names are looked up in the larger one.
      for (const name of new Set(this.layers.slice(0, i).flatMap((earlier) => [...earlier.keys()])))
        if (layer.has(name)) count -= 1;
    }
    return count;
  }

  /** The first has a name that several have. */
  get all(): readonly Layer[] {
    return this.layers;
  }

  /** The layer that shadows nothing, and is the largest. */
  get last(): Layer {
    return this.layers.at(-1) ?? NOTHING;
  }

  /** The set with another last layer; itself where that is the same. */
  withLast(layer: Layer): ResourceSet {
    return this.layers.at(-1) === layer ? this : new ResourceSet([...this.layers.slice(0, -1), layer]);
  }

  /** Made of the very same layers. */
  isSame(other: ResourceSet): boolean {
    return this.layers.length === other.layers.length && this.layers.every((layer, i) => layer === other.layers[i]);
  }

  /** Names whose resource may be another one than in `earlier`, or is in one of them only. */
  changedSince(earlier: ResourceSet): Set<string> {
    const names = new Set<string>();
    const count = Math.max(this.layers.length, earlier.layers.length);
    for (let i = 0; i < count; i++)
      for (const name of changedNames(earlier.layers[i] ?? NOTHING, this.layers[i] ?? NOTHING)) names.add(name);
    return names;
  }
}

const NOTHING: Layer = new Map();
const differences = new WeakMap<Layer, WeakMap<Layer, readonly string[]>>();

/**
 * Names whose resources differ between two layers, or are in one of them only. Worked out once for the proxies that go from the
 * one layer to the other.
 */
export function changedNames(before: Layer, after: Layer): readonly string[] {
  if (before === after) return [];
  let known = differences.get(after);
  if (!known) differences.set(after, (known = new WeakMap()));
  let names = known.get(before);
  if (!names) known.set(before, (names = compared(before, after)));
  return names;
}

function compared(before: Layer, after: Layer): string[] {
  const names: string[] = [];
  for (const [name, resource] of after) if (before.get(name) !== resource) names.push(name);
  for (const name of before.keys()) if (!after.has(name)) names.push(name);
  return names;
}
