/** Which rollout a proxy's refusal is due to: the one without which the proxy would not be sent what it refused. */
import type { Node } from '../../shared/xds/core.ts';
import { type CompiledNode, type CompileNode, inOneGo } from '../compile/output/compiled-node.ts';
import type { PartialChanges, RefusedResource } from '../discovery/service.ts';
import type { MeshView } from '../mesh/view.ts';
import type { Rollout, Rollouts } from './rollouts.ts';

/** Refusals that were found to be due to something else, so that they are judged once. */
const REMEMBERED = 1000;

export class Refusals implements PartialChanges {
  private readonly rollouts: Pick<Rollouts, 'viewFor' | 'of' | 'viewWith' | 'revert'>;
  private readonly compile: CompileNode;
  private readonly others = new Set<string>();

  constructor(rollouts: Pick<Rollouts, 'viewFor' | 'of' | 'viewWith' | 'revert'>, compile: CompileNode) {
    this.rollouts = rollouts;
    this.compile = compile;
  }

  viewFor(node: Node): MeshView | undefined {
    return this.rollouts.viewFor(node);
  }

  refused(node: Node, compiled: CompiledNode, refusals: readonly RefusedResource[]): void {
    const rollouts = this.rollouts.of(node);
    if (rollouts.length === 0) return;
    const serials = rollouts.map(({ serial }) => serial).join();
    for (const refusal of refusals) {
      const key = [node.id, refusal.type, refusal.name, refusal.version, serials].join('\n');
      if (this.others.has(key)) continue;
      const cause = isOf(compiled, refusal) ? rollouts.find((each) => this.isDueTo(each, node, refusal)) : undefined;
      if (cause) {
        const { type, name, message } = refusal;
        this.rollouts.revert(cause, `proxy ${node.id} refused ${type} ${name}: ${message}`);
      } else this.remember(key);
    }
  }

  notCompiled(node: Node, message: string): void {
    const cause = this.rollouts.of(node).find((rollout) => this.without(rollout, node) !== undefined);
    if (cause) this.rollouts.revert(cause, `the config of proxy ${node.id} cannot be compiled with it: ${message}`);
  }

  private isDueTo(rollout: Rollout, node: Node, refusal: RefusedResource): boolean {
    const compiled = this.without(rollout, node);
    return compiled !== undefined && !isOf(compiled, refusal);
  }

  /** What the node would run without the rollout; undefined: that cannot be compiled either. */
  private without(rollout: Rollout, node: Node): CompiledNode | undefined {
    const others = this.rollouts.of(node).filter(({ serial }) => serial !== rollout.serial);
    try {
      return inOneGo(this.compile(this.rollouts.viewWith(others), node));
    } catch {
      return undefined;
    }
  }

  private remember(key: string): void {
    if (this.others.size >= REMEMBERED) this.others.clear();
    this.others.add(key);
  }
}

/** Whether the node is to run what was refused, or to run no such resource where a removal was. */
function isOf({ sets }: CompiledNode, { type, name, version }: RefusedResource): boolean {
  return (sets[type].get(name)?.version ?? '') === version;
}
