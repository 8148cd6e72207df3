/**
 * Resources as compressed blocks, made when they are first sent to a client that takes them, and kept for all proxies. A
 * resource alone shrinks to a third, some sixteen together to a twentieth: neighbours in an answer are compressed together.
 * Where a block ends depends on the resources alone, so that answers with the same resources in a row have the same blocks
 * even when they differ elsewhere.
 */
import type { SharedResource } from '../compile/output/shared-resource.ts';
import { type DeflatedBlock, deflated } from './gzip.ts';

/** A resource whose version ends in one of every so many ends its block. */
const RESOURCES_PER_BLOCK = 16;
/** The most content of a block, bytes; a larger resource is cut. */
const MAX_CONTENT = 64 * 1024;
/** All blocks that are kept; bytes. */
const MAX_KEPT = 32 * 1024 * 1024;

/** Resources that are sent in a row, in the runs that are compressed together. */
export function* runsOf(resources: readonly SharedResource[]): Generator<readonly SharedResource[]> {
  let run: SharedResource[] = [];
  let size = 0;
  for (const resource of resources) {
    if (run.length > 0 && size + resource.size > MAX_CONTENT) {
      yield run;
      run = [];
      size = 0;
    }
    run.push(resource);
    size += resource.size;
    if (!endsRun(resource)) continue;
    yield run;
    run = [];
    size = 0;
  }
  if (run.length > 0) yield run;
}

function endsRun({ version }: SharedResource): boolean {
  return Number.parseInt(version.slice(-2), 16) % RESOURCES_PER_BLOCK === 0;
}

export class CompressedBlocks {
  private readonly maxKept: number;
  /** By the run's resources and the number of the block; the ones used last come last. */
  private readonly blocks = new Map<string, DeflatedBlock>();
  private kept = 0;

  /** @param maxKept bytes of blocks that are kept; the ones that were not used for longest go */
  constructor(maxKept = MAX_KEPT) {
    this.maxKept = maxKept;
  }

  /** Bytes of the blocks that are kept. */
  get size(): number {
    return this.kept;
  }

  /**
   * The blocks of a run, one after the other.
   * @param content the run's text; called at most once, and only when a block is not known
   */
  *of(run: readonly SharedResource[], contentSize: number, content: () => Uint8Array): Generator<DeflatedBlock> {
    const name = run.map(idOf).join();
    let text: Uint8Array | undefined;
    for (let at = 0; at < contentSize; at += MAX_CONTENT) {
      const key = `${name} ${at}`;
      let block = this.blocks.get(key);
      if (block) this.blocks.delete(key);
      else {
        text ??= content();
        block = deflated(text.subarray(at, at + MAX_CONTENT));
        this.kept += block.bytes.length;
      }
      this.blocks.set(key, block);
      this.shrink();
      yield block;
    }
  }

  private shrink(): void {
    for (const [key, { bytes }] of this.blocks) {
      if (this.kept <= this.maxKept) return;
      this.blocks.delete(key);
      this.kept -= bytes.length;
    }
  }
}

const ids = new WeakMap<SharedResource, number>();
let lastId = 0;

/** A resource is never changed, so its number identifies its content. */
function idOf(resource: SharedResource): number {
  let id = ids.get(resource);
  if (id === undefined) ids.set(resource, (id = ++lastId));
  return id;
}
