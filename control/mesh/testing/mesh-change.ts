import type { MeshChange } from '../view.ts';

const NOTHING: ReadonlySet<string> = new Set();

/** A step of the mesh that wrote these resources: kind -> `namespace/name`. */
export function meshChange(written: Readonly<Record<string, readonly string[]>> = {}): MeshChange {
  const resources = new Map(Object.entries(written).map(([kind, keys]) => [kind, new Set(keys)]));
  return { resources, written: [], deleted: [], services: NOTHING, endpoints: NOTHING, settings: false };
}
