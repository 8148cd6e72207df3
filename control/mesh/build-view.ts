/** Resources -> MeshView in one step, as `tulle compile` and the tests want it. */
import type { Resource } from '../../shared/resources/resource.ts';
import { MeshIndex } from './mesh-index.ts';
import type { MeshSettings, MeshView } from './view.ts';

/**
 * An immutable view of `resources` at `revision`; `settings` overrides what ConfigMap istio-system/istio says.
 * Resources are taken as validated. A resource that names no namespace is in `default`.
 * @throws MeshConfigError when the mesh's own ConfigMap cannot be read
 */
export function buildView(resources: readonly Resource[], revision: number, settings?: MeshSettings): MeshView {
  return new MeshIndex(settings ? { settings } : {}).apply({ removed: [], added: resources }, revision).view;
}
