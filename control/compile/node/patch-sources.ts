/** Where patches come from: the only list of sources. A kind that patches resources is added here. */
import type { MeshView } from '../../mesh/view.ts';
import { envoyFilters } from '../envoy-filter/envoy-filters.ts';
import { sharedList } from '../memo.ts';
import { NO_PATCHES, type Patch } from '../patches/patch.ts';
import type { ProxyView } from '../scope/proxy.ts';

/** Which patches a proxy's resources go through, in their order. Pure, and the same list for the same patches. */
export type PatchSource = (view: MeshView, proxy: ProxyView) => readonly Patch[];

export const PATCH_SOURCES: readonly PatchSource[] = [envoyFilters];

/** The patches of all sources, in their order. */
export function patchesOf(sources: readonly PatchSource[], view: MeshView, proxy: ProxyView): readonly Patch[] {
  const lists = sources.map((source) => source(view, proxy)).filter((patches) => patches.length > 0);
  const [first = NO_PATCHES, ...others] = lists;
  return others.length === 0 ? first : sharedList(lists.flat());
}
