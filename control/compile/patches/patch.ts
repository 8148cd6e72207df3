/**
 * The stage between generating and versioning: generate -> patches -> validation -> secrets -> version. A patch sees one
 * produced resource with its origin; what it returns is validated and shared like any other.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import { type ResourceType, resourceName, SCHEMAS, type XdsResource } from '../../../shared/xds/discovery.ts';
import { generator, sharedList } from '../memo.ts';
import type { Finding } from '../output/finding.ts';
import type { Origin, Produced } from '../output/produced.ts';
import { type SharedResource, shared } from '../output/shared-resource.ts';

export interface Patch {
  /** The resource that asks for it: what is left out is reported of it. */
  readonly owner: Resource;
  /** Absent: of every side. Resources of other sides are made, and shared with other proxies, as if there were no patch. */
  readonly side?: Origin['side'];
  /**
   * For the types of resources that it may change. Pure.
   * @returns the very same object where it changes nothing, a new one with its changes, undefined to remove it
   * @throws Error where it cannot be applied; the message says why, and the patch is left out of this resource
   */
  readonly change: { readonly [T in ResourceType]?: Change<T> };
  /** Resources that it adds to those that are made. */
  readonly adds?: readonly Added[];
  /** What is reported of it wherever a proxy has it. */
  readonly findings?: readonly Finding[];
  /** Why a resource that it changed cannot be sent; undefined: it can. Default: what Tulle's schemas say. */
  readonly check?: (type: ResourceType, resource: XdsResource[ResourceType]) => string | undefined;
}

export interface Added<T extends ResourceType = ResourceType> {
  readonly type: T;
  readonly side: Origin['side'];
  readonly resource: XdsResource[T];
  /** Of the patch, for what is reported. */
  readonly path: string;
  /** Why it cannot be added; undefined: it can. */
  readonly problem: string | undefined;
}

export type Change<T extends ResourceType> = (resource: XdsResource[T], origin: Origin) => XdsResource[T] | undefined;

export interface Patched {
  readonly resource: SharedResource | undefined;
  /** Which patches were left out of it, and why. */
  readonly leftOut: readonly LeftOut[];
}

export interface LeftOut {
  readonly owner: Resource;
  /** Name of the resource that is as it was before the patch. */
  readonly name: string;
  readonly violation: string;
}

export const NO_PATCHES: readonly Patch[] = Object.freeze([]);
const NONE: readonly LeftOut[] = Object.freeze([]);

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
  leftOut: NONE,
}));

const withPatches = generator<{ item: Produced; patches: readonly Patch[] }, Patched>(
  { item: true, patches: true },
  ({ item, patches }) => {
    const leftOut: LeftOut[] = [];
    const name = resourceName(item.type, item.resource);
    let { resource } = item;
    for (const patch of patches) {
      const attempt = applied(patch, item, resource);
      // Half of a patch is worse than none: the resource stays as it was before it.
      if ('violation' in attempt) leftOut.push({ owner: patch.owner, name, violation: attempt.violation });
      else if (attempt.resource === undefined) return { resource: undefined, leftOut };
      else resource = attempt.resource;
    }
    return { resource: shared(item.type, resource), leftOut };
  },
);

type Attempt = { readonly resource: XdsResource[ResourceType] | undefined } | { readonly violation: string };

/** One patch on what the patches before it made of an item. */
function applied(patch: Patch, item: Produced, resource: XdsResource[ResourceType]): Attempt {
  const change = patch.change[item.type] as Change<ResourceType> | undefined;
  if (!change) return { resource };
  try {
    const next = change(resource, item.origin);
    if (next === undefined || next === resource) return { resource: next };
    const violation = violationOf(item, next, patch.check ?? schemaViolation);
    return violation === undefined ? { resource: next } : { violation };
  } catch (error) {
    return { violation: error instanceof Error ? error.message : String(error) };
  }
}

/** A finding for each patch and reason: one patch may be left out of thousands of resources. */
export function patchFindings(all: Iterable<LeftOut>): readonly Finding[] {
  const groups = new Map<Resource, Map<string, { name: string; others: boolean }>>();
  for (const { owner, name, violation } of all) {
    const reasons = groups.get(owner) ?? new Map<string, { name: string; others: boolean }>();
    groups.set(owner, reasons);
    const first = reasons.get(violation);
    if (!first) reasons.set(violation, { name, others: false });
    else if (first.name !== name) first.others = true;
  }
  return [...groups].flatMap(([owner, reasons]) =>
    [...reasons].map(([violation, where]) => finding({ owner, violation, ...where })),
  );
}

const finding = generator<LeftOut & { readonly others: boolean }, Finding>(
  { owner: true, violation: true, name: true, others: true },
  ({ owner, violation, name, others }) => ({
    about: owner,
    reason: 'PatchLeftOut',
    message: `${violation}: the patch is left out of ${name}${others ? ' and others' : ''}`,
  }),
);

function violationOf(
  { type, resource }: Produced,
  next: XdsResource[ResourceType],
  check: NonNullable<Patch['check']>,
): string | undefined {
  if (resourceName(type, next) !== resourceName(type, resource)) return 'a patch cannot rename a resource';
  return check(type, next);
}

/** What Tulle's schemas say against a resource. */
export function schemaViolation(type: ResourceType, resource: XdsResource[ResourceType]): string | undefined {
  const issue = SCHEMAS[type].safeParse(resource).error?.issues[0];
  return issue && `${issue.path.join('.')}: ${issue.message}`;
}
