/**
 * The stage between generating and versioning: generate -> patches -> validation -> secrets -> version. A patch sees one
 * produced resource with its origin; what it returns is validated and shared like any other.
 */
import { type ResourceType, resourceName, SCHEMAS, type XdsResource } from '../../../shared/xds/discovery.ts';
import { generator } from '../memo.ts';
import type { Origin, Produced } from '../output/produced.ts';
import { type SharedResource, shared } from '../output/shared-resource.ts';

export interface Patch {
  /** Named in errors, as `EnvoyFilter namespace/name`. */
  readonly name: string;
  /**
   * Pure. @returns the very same object where it changes nothing, a new one with its changes, undefined to remove it
   */
  apply<T extends ResourceType>(type: T, resource: XdsResource[T], origin: Origin): XdsResource[T] | undefined;
}

export interface Patched {
  readonly resource: SharedResource | undefined;
  /** Which patches were left out, and why. */
  readonly notes: readonly string[];
}

export const NO_PATCHES: readonly Patch[] = Object.freeze([]);
const NO_NOTES: readonly string[] = Object.freeze([]);

/** A produced resource after all patches, in their order. */
export function patched(item: Produced, patches: readonly Patch[]): Patched {
  return patches.length === 0 ? unpatched({ item }) : withPatches({ item, patches });
}

const unpatched = generator<{ item: Produced }, Patched>({ item: true }, ({ item }) => ({
  resource: shared(item.type, item.resource),
  notes: NO_NOTES,
}));

const withPatches = generator<{ item: Produced; patches: readonly Patch[] }, Patched>(
  { item: true, patches: true },
  ({ item, patches }) => {
    const notes: string[] = [];
    let { resource } = item;
    for (const patch of patches) {
      const next = patch.apply(item.type, resource, item.origin);
      if (next === undefined) return { resource: undefined, notes };
      if (next === resource) continue;
      const fault = faultOf(item, next);
      // Half of a patch is worse than none: the resource stays as it was before it.
      if (fault === undefined) resource = next;
      else notes.push(`${patch.name}: ${resourceName(item.type, item.resource)}: ${fault}: the patch is left out`);
    }
    return { resource: shared(item.type, resource), notes };
  },
);

function faultOf({ type, resource }: Produced, next: XdsResource[ResourceType]): string | undefined {
  if (resourceName(type, next) !== resourceName(type, resource)) return 'a patch cannot rename a resource';
  const parsed = SCHEMAS[type].safeParse(next);
  const issue = parsed.error?.issues[0];
  return issue && `${issue.path.join('.')}: ${issue.message}`;
}
