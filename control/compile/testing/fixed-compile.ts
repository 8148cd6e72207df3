/** A compile function for tests of what comes after it. */
import type { Node } from '../../../shared/xds/core.ts';
import type { Snapshot } from '../../../shared/xds/discovery.ts';
import type { CompiledNode, CompileNode, Work } from '../output/compiled-node.ts';
import { setsOf } from '../output/snapshot.ts';

/** Compiles whatever `snapshot` gives, for every node. */
export function fixedCompile(snapshot: () => Snapshot): CompileNode {
  return oneStepCompile(() => ({ sets: setsOf(snapshot()), errors: [] }));
}

/** Compiles each node with `compile`, in one step. */
export function oneStepCompile(compile: (node: Node) => CompiledNode): CompileNode {
  return (_view, node) => oneStep(() => compile(node));
}

/** `run` as work of one step. */
// biome-ignore lint/correctness/useYield: all of it is one step
export function* oneStep<T>(run: () => T): Work<T> {
  return run();
}
