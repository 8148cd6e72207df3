/** Whole configurations of the reference data, each with a proxy to compile for. */
import type { Resource } from '../../../../shared/resources/resource.ts';
import type { Node } from '../../../../shared/xds/core.ts';
import { MeshIndex } from '../../../mesh/mesh-index.ts';
import { ROUTE_READERS } from '../../../mesh/routes/readers.ts';
import type { MeshSettings, MeshView } from '../../../mesh/view.ts';
import { type Compiled, compileWithNotes } from '../../node/node.ts';
import { httpRouteReader } from '../http-route.ts';

export interface CompileInput {
  readonly label: string;
  readonly resources: readonly Resource[];
  /** Instead of what a ConfigMap among the resources says. */
  readonly settings?: MeshSettings;
  readonly node: Node;
}

export function compiledInput({ resources, settings, node }: CompileInput): Compiled {
  return compileWithNotes(viewOf(resources, settings), node);
}

/** A view with the routes of Istio and, for tests alone, those of the Gateway API. */
export function viewOf(resources: readonly Resource[], settings?: MeshSettings): MeshView {
  const index = new MeshIndex({
    ...(settings && { settings }),
    routeReaders: [...ROUTE_READERS, httpRouteReader()],
  });
  return index.apply({ removed: [], added: resources }, 1).view;
}
