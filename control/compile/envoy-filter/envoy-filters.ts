/** EnvoyFilter as a source of patches: what the EnvoyFilters of the mesh change of what one proxy runs. */
import type { MeshView } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import { NO_PATCHES, type Patch } from '../patches/patch.ts';
import { compiledPatch } from './compiled-patch.ts';
import { type EnvoyFilter, readFilter } from './config-patch.ts';
import { filtersNear, type PatchedProxy, patchesFor, selectsWorkload } from './match-proxy.ts';
import { isFields } from './merge.ts';
import type { ProxyKind } from './missing-filter.ts';
import { inPhases } from './phases.ts';

/** Which patches a proxy's resources go through, in their order: the same list for the same patches. Pure. */
export function envoyFilters(view: MeshView, proxy: PatchedProxy): readonly Patch[] {
  const all = view.resources('EnvoyFilter');
  if (all.length === 0) return NO_PATCHES;
  const { rootNamespace } = view.settings;
  const near = filtersNear({ all, namespace: proxy.namespace, rootNamespace });
  const own = near.filter((filter) => selectsWorkload(filter, proxy.workloads, rootNamespace));
  if (own.length === 0) return NO_PATCHES;
  const kind: ProxyKind = proxy.choosesAlpn ? 'tulle' : 'envoy';
  const patches = own.flatMap((filter) => patchesFor(filter, proxy));
  const extensions = new Map(
    patches.flatMap((patch) => (patch.applyTo === 'EXTENSION_CONFIG' ? [[patch.value['name'], patch]] : [])),
  );
  const compiled = inPhases(patches).flatMap((patch) => {
    if (patch.applyTo === 'EXTENSION_CONFIG' || patch.applyTo === 'BOOTSTRAP') return [];
    const extension = isFields(patch.value['configDiscovery']) ? extensions.get(patch.value['name']) : undefined;
    return [compiledPatch({ patch, extension, kind })];
  });
  return sharedList([...own.flatMap((filter) => unreadPatches({ filter })), ...compiled]);
}

/** What is reported of patches that cannot be read. */
const unreadPatches = generator<{ filter: EnvoyFilter }, readonly Patch[]>({ filter: true } as never, ({ filter }) => {
  const { unread } = readFilter(filter);
  if (unread.length === 0) return NO_PATCHES;
  const findings = unread.map(({ path, message }) => ({
    about: filter,
    reason: 'PatchLeftOut' as const,
    message: `${path}.patch.value: ${message}: the patch is left out`,
  }));
  return sharedList<Patch>([{ owner: filter, change: {}, findings }]);
});
