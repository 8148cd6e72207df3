/** Bounds the history that etcd keeps. Every control plane does so; that another one was first is no trouble. */
import { StoreError } from '../store.ts';
import { EtcdError } from './etcd-error.ts';
import type { EtcdGateway } from './gateway.ts';

export class Compactor {
  private readonly gateway: EtcdGateway;
  private readonly limit: number;
  private readonly onTrouble: (error: unknown) => void;
  private compacted = 0;
  private running = false;
  private isAllowed = true;

  /** @param limit revisions kept */
  constructor(gateway: EtcdGateway, limit: number, onTrouble: (error: unknown) => void) {
    this.gateway = gateway;
    this.limit = limit;
    this.onTrouble = onTrouble;
  }

  /** Compacts once a tenth more than the limit is there. */
  saw(revision: number): void {
    if (revision - this.compacted <= this.limit * 1.1) return;
    this.compacted = revision - this.limit;
    if (!this.running && this.isAllowed) void this.run();
  }

  /** @throws StoreError gone when events after `revision` are compacted, or are about to be */
  check(revision: number): void {
    if (revision < this.compacted)
      throw new StoreError('gone', `history holds revisions from ${this.compacted}, not ${revision}: list again`);
  }

  /** etcd lets users of the role root compact, and no others. */
  private giveUp(): void {
    this.isAllowed = false;
    const remedy = `start etcd with --auto-compaction-mode=revision --auto-compaction-retention=${this.limit}`;
    this.onTrouble(new Error(`this user may not compact etcd's history, which grows without limit: ${remedy}`));
  }

  private async run(): Promise<void> {
    this.running = true;
    try {
      for (let done = 0; done !== this.compacted; ) {
        done = this.compacted;
        await this.gateway.call('/v3/kv/compaction', { revision: String(done) });
      }
    } catch (error) {
      if (error instanceof EtcdError && error.isForbidden) this.giveUp();
      else if (!(error instanceof EtcdError && error.code === 'compacted')) this.onTrouble(error);
    } finally {
      this.running = false;
    }
  }
}
