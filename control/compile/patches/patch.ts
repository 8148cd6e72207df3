/**
 * The stage between generating and versioning: generate -> patches -> validation -> secrets -> version. A patch sees one
 * produced resource with its origin; what it returns is validated and shared like any other.
 */
import { type ResourceType, resourceName, SCHEMAS, type XdsResource } from '../../../shared/xds/discovery.ts';
import { generator, sharedList } from '../memo.ts';
import type { Origin, Produced } from '../output/produced.ts';
import { type SharedResource, shared } from '../output/shared-resource.ts';

export interface Patch {
  /** Named in errors, as `EnvoyFilter namespace/name`. */
  readonly name: string;
  /** Absent: of every side. Resources of other sides are made, and shared with other proxies, as if there were no patch. */
  readonly side?: Origin['side'];
  /**
   * For the types of resources that it may change. Pure.
   * @returns the very same object where it changes nothing, a new one with its changes, undefined to remove it
   */
  readonly change: { readonly [T in ResourceType]?: Change<T> };
}

export type Change<T extends ResourceType> = (resource: XdsResource[T], origin: Origin) => XdsResource[T] | undefined;

export interface Patched {
  readonly resource: SharedResource | undefined;
  /** Which patches were left out, and why. */
  readonly notes: readonly string[];
}

export const NO_PATCHES: readonly Patch[] = Object.freeze([]);
const NO_NOTES: readonly string[] = Object.freeze([]);

/**
 * The patches that may change resources of `type` on `side`, in their order; the same list for the same patches.
 * @param side undefined: any
 */
export function patchesOn(
  patches: readonly Patch[],
  type: ResourceType,
  side: Origin['side'] | undefined,
): readonly Patch[] {
  return patches.length === 0 ? NO_PATCHES : chosenPatches({ patches, type, side });
}

const chosenPatches = generator<
  { patches: readonly Patch[]; type: ResourceType; side: Origin['side'] | undefined },
  readonly Patch[]
>({ patches: true, type: true, side: true }, ({ patches, type, side }) => {
  const chosen = patches.filter(
    (patch) => patch.change[type] && (side === undefined || patch.side === undefined || patch.side === side),
  );
  return chosen.length === 0 ? NO_PATCHES : sharedList(chosen);
});

/** A produced resource after the patches that concern it, in their order. */
export function patched(item: Produced, patches: readonly Patch[]): Patched {
  const own = patchesOn(patches, item.type, item.origin.side);
  return own.length === 0 ? unpatched({ item }) : withPatches({ item, patches: own });
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
      const change = patch.change[item.type] as Change<ResourceType> | undefined;
      const next = change ? change(resource, item.origin) : resource;
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
