/** What makes route forms of resources. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { MeshSettings } from '../view.ts';
import type { RouteForm } from './route-form.ts';

/** The resources of a mesh by kind, oldest first. */
export type ResourcesOfKind = <Kind extends string>(kind: Kind) => readonly ResourceOfKind<Kind>[];

export interface RouteReader {
  /** The kinds that it reads; it is asked again when a resource of one of them, or the settings, changed. */
  readonly kinds: readonly string[];
  /**
   * The forms of all its resources. Never throws. What did not change must be the same object as before: whatever was
   * compiled of a form that is the same is used again.
   */
  read(resources: ResourcesOfKind, settings: MeshSettings): readonly RouteForm[];
}

/** A reader of one kind whose forms depend on one resource each. */
export function formsPerResource<Kind extends string>(
  kind: Kind,
  read: (resource: ResourceOfKind<Kind>, settings: MeshSettings) => readonly RouteForm[],
): RouteReader {
  const known = new WeakMap<Resource, { readonly settings: MeshSettings; readonly forms: readonly RouteForm[] }>();
  return {
    kinds: [kind],
    read: (resources, settings) =>
      resources(kind).flatMap((resource) => {
        let made = known.get(resource);
        if (made?.settings !== settings) known.set(resource, (made = { settings, forms: read(resource, settings) }));
        return made.forms;
      }),
  };
}
