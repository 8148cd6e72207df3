/** The seam between compile and discovery. */
import type { Node } from '../../../shared/xds/core.ts';
import type { MeshView } from '../../mesh/view.ts';
import type { Finding } from './finding.ts';
import type { ResourceSets } from './snapshot.ts';

/** Names that a node which fetches hosts on demand is given unasked, of those in the last layers of its sets. */
export interface Eager {
  readonly virtualHosts: readonly string[];
  /** With the endpoints of them. */
  readonly clusters: readonly string[];
}

/** Everything a node runs: sets of resources, most of them shared with other nodes. */
export interface CompiledNode {
  readonly sets: ResourceSets;
  /** The node fetches the rest of its virtual hosts, clusters and endpoints on demand. Undefined: it is given all. */
  readonly eager?: Eager | undefined;
  /** What of the user's resources is not in force here. The very same array where it did not change. */
  readonly errors: readonly Finding[];
  /**
   * The same node by a later view, where little has changed: itself when nothing did that it holds. Undefined: it has to
   * be compiled.
   */
  next?(view: MeshView): Work<CompiledNode> | undefined;
}

/** Work that can be done in slices: the caller may pause at every `yield`. */
export type Work<T> = Generator<undefined, T, undefined>;

/** What a node runs, from one view of the mesh: the same view and node give the same resources. @throws NodeError */
export type CompileNode = (view: MeshView, node: Node) => Work<CompiledNode>;

/** Does the work in one go. */
export function inOneGo<T>(work: Work<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}
