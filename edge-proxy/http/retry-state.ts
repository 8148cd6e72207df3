/** Whether a request may be tried again, and when (Envoy's RetryStateImpl). */
import type { Cluster, RetryHostRules } from '../upstream/cluster.ts';
import type { ResetReason } from '../upstream/pool.ts';
import type { Headers } from './headers.ts';
import type { RetryPlan } from './route-table.ts';

export type RetryDecision = 'retry' | 'no' | 'limit' | 'overflow';

export class RetryState {
  private readonly plan: RetryPlan | undefined;
  private readonly cluster: Cluster;
  private used = 0;
  /** This request holds one of the cluster's retry slots. */
  private holding = false;

  constructor(plan: RetryPlan | undefined, cluster: Cluster) {
    this.plan = plan;
    this.cluster = cluster;
  }

  get enabled(): boolean {
    return this.plan !== undefined && this.plan.maxRetries > 0;
  }

  get hosts(): RetryHostRules | undefined {
    return this.plan?.hosts;
  }

  onResponse(status: number, headers: Headers): RetryDecision {
    this.release();
    return this.plan?.retriableResponse(status, headers) ? this.take() : 'no';
  }

  /** @param beforeRequest nothing of the request can have been processed: a reused connection that was already dead */
  onReset(reason: ResetReason, beforeRequest: boolean): RetryDecision {
    this.release();
    const plan = this.plan;
    if (!plan || reason === 'overflow') return 'no';
    const connecting = reason === 'remote_connection_failure' || reason === 'connection_timeout';
    const wanted =
      plan.onReset ||
      (connecting && plan.onConnectFailure) ||
      ((connecting || beforeRequest) && plan.onResetBeforeRequest);
    return wanted ? this.take() : 'no';
  }

  onTryTimeout(): RetryDecision {
    this.release();
    return this.plan?.onReset ? this.take() : 'no';
  }

  /** Fully jittered exponential back-off in milliseconds. */
  backOffMs(): number {
    const { backOffBaseMs, backOffMaxMs } = this.plan!;
    return Math.random() * Math.min(backOffBaseMs * (2 ** this.used - 1), backOffMaxMs);
  }

  /** Gives the retry slot back: its try is over. */
  release(): void {
    if (this.holding) this.cluster.use.retries--;
    this.holding = false;
  }

  private take(): RetryDecision {
    if (this.used >= this.plan!.maxRetries) return 'limit';
    if (this.cluster.use.retries >= this.cluster.limits.maxRetries) return 'overflow';
    this.used++;
    this.cluster.use.retries++;
    this.holding = true;
    return 'retry';
  }
}
