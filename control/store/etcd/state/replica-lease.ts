/** A lease of etcd that one process keeps alive: its records end with it, seconds after the process has died or lost etcd. */
import { numberOf } from '../api.ts';
import { EtcdError } from '../etcd-error.ts';
import type { EtcdGateway } from '../gateway.ts';

/** Longer than the member that is asked may take to be left for the next one, twice. */
const TTL_SECONDS = 8;

export class ReplicaLease {
  private readonly gateway: EtcdGateway;
  private readonly onTrouble: (error: unknown) => void;
  private lease: string | undefined;
  /** Until when etcd has it at least, on the clock of `performance.now()`. */
  private heldUntil = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;
  private readonly renewed = new Set<() => void>();

  private constructor(gateway: EtcdGateway, onTrouble: (error: unknown) => void) {
    this.gateway = gateway;
    this.onTrouble = onTrouble;
  }

  /** @throws EtcdError */
  static async open(gateway: EtcdGateway, onTrouble: (error: unknown) => void): Promise<ReplicaLease> {
    const own = new ReplicaLease(gateway, onTrouble);
    await own.grant();
    own.schedule();
    return own;
  }

  /** As etcd names it; undefined: it has ended, and there is no new one yet. */
  get id(): string | undefined {
    return this.isHeld ? this.lease : undefined;
  }

  /** False as soon as etcd may have ended it: also for a process that was paused, before it does anything. */
  get isHeld(): boolean {
    return performance.now() < this.heldUntil;
  }

  /** Calls back when there is another lease: records of the last one have ended. */
  onReplaced(replaced: () => void): void {
    this.renewed.add(replaced);
  }

  /** Ends it, with its records. */
  async close(): Promise<void> {
    this.closed = true;
    this.heldUntil = 0;
    clearTimeout(this.timer);
    if (this.lease !== undefined) await this.gateway.call('/v3/lease/revoke', { ID: this.lease }).catch(() => {});
  }

  private async grant(): Promise<void> {
    const asked = performance.now();
    const { answer } = await this.gateway.call<{ ID: string }>('/v3/lease/grant', { TTL: String(TTL_SECONDS) });
    this.lease = answer.ID;
    this.heldUntil = asked + TTL_SECONDS * 1000;
  }

  private schedule(): void {
    if (this.closed) return;
    this.timer = setTimeout(() => void this.renew(), (TTL_SECONDS * 1000) / 4);
    this.timer.unref?.();
  }

  /** An etcd that is not available is asked again. */
  private async renew(): Promise<void> {
    try {
      const asked = performance.now();
      const path = '/v3/lease/keepalive';
      const { answer } = await this.gateway.call<{ result?: { TTL?: string } }>(path, { ID: this.lease });
      if (this.closed) return;
      if (numberOf(answer.result?.TTL) > 0) this.heldUntil = asked + TTL_SECONDS * 1000;
      else {
        await this.grant();
        for (const replaced of this.renewed) replaced();
      }
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (!this.isHeld && !this.closed) this.onTrouble(error);
    }
    this.schedule();
  }
}
