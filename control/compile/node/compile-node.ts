/** The seam between compile and discovery. */
import type { Node } from '../../../shared/xds/core.ts';
import type { Snapshot } from '../../../shared/xds/discovery.ts';
import type { MeshView } from '../../mesh/view.ts';

/** Everything a node runs, from one view of the mesh. Pure and deterministic. Implemented by `compile/node.ts`. */
export type CompileNode = (view: MeshView, node: Node) => Snapshot;
