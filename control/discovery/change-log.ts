/** Which resources were written between two views: the reason why a proxy gets other resources. */
import type { MeshChange } from '../mesh/view.ts';

/** Changes that are remembered; a proxy that was away for longer gets their reason in general words. */
const KEPT = 64;
/** Resources of one change that are remembered, and those that a reason names. */
const REMEMBERED = 100;
const NAMED = 3;

interface Written {
  /** `kind namespace/name` */
  readonly names: readonly string[];
  /** There are more of them. */
  readonly cut: boolean;
}

export class ChangeLog {
  private readonly changes: Written[] = [];
  /** The reason that was requested last: a change concerns many proxies alike. */
  private last: { readonly from: number; readonly to: number; readonly text: string } | undefined;
  private count = 0;

  /** How many changes there have been. */
  get step(): number {
    return this.count;
  }

  add({ resources }: Pick<MeshChange, 'resources'>): void {
    this.count += 1;
    this.changes.push(writtenIn(resources));
    if (this.changes.length > KEPT) this.changes.shift();
  }

  /** What was written after `step`, as `VirtualService shop/cart, Sidecar shop/default and 3 more`. */
  since(step: number): string {
    if (this.last?.from !== step || this.last.to !== this.count)
      this.last = { from: step, to: this.count, text: this.described(this.count - step) };
    return this.last.text;
  }

  private described(count: number): string {
    if (count > KEPT) return `more than ${KEPT} changes of the mesh`;
    const changes = count > 0 ? this.changes.slice(-count) : [];
    const names = [...new Set(changes.flatMap((change) => change.names))];
    const named = names.slice(0, NAMED).join(', ');
    if (names.length <= NAMED) return named;
    return `${named} and ${changes.some(({ cut }) => cut) ? 'over ' : ''}${names.length - NAMED} more`;
  }
}

function writtenIn(resources: MeshChange['resources']): Written {
  const names: string[] = [];
  for (const [kind, keys] of resources)
    for (const key of keys) {
      if (names.length === REMEMBERED) return { names, cut: true };
      names.push(`${kind} ${key}`);
    }
  return { names, cut: false };
}
