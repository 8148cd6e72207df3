/** Whether a request gets another attempt, and when (Envoy's RetryStateImpl). */
import { mayRetry } from '../../upstream/circuit-breakers.ts';
import type { Circuit } from '../../upstream/cluster.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { ResetReason } from '../message/stream.ts';
import { askedBackOffMs, type RetryPlan } from './retry-plan.ts';

export type RetryDecision = 'retry' | 'no' | 'limit' | 'overflow';

export class RetryState {
  readonly plan: RetryPlan | undefined;
  private readonly circuit: Circuit;
  private used = 0;
  /** This request holds one of the cluster's retry slots. */
  private holding = false;
  /** The last response said how long to wait. */
  private askedMs: number | undefined;
  private readonly random: () => number;

  /**
   * @param plan undefined: never
   * @param random in [0, 1)
   */
  constructor(plan: RetryPlan | undefined, circuit: Circuit, random: () => number) {
    this.plan = plan;
    this.circuit = circuit;
    this.random = random;
  }

  get enabled(): boolean {
    return this.plan !== undefined && this.plan.maxRetries > 0;
  }

  /** @param now milliseconds since the epoch */
  onResponse(status: number, headers: HeaderMap, now: number): RetryDecision {
    this.release();
    const { plan } = this;
    if (!plan?.retriableResponse(status, headers)) return 'no';
    this.askedMs = plan.rateLimited && askedBackOffMs(plan.rateLimited, headers, now);
    return this.take(plan);
  }

  /** Whether the response would be retried if attempts were left. */
  wouldRetry(status: number, headers: HeaderMap): boolean {
    return this.plan?.retriableResponse(status, headers) ?? false;
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
      (reason === 'refused_stream' && plan.onRefusedStream) ||
      ((connecting || beforeRequest) && plan.onResetBeforeRequest);
    return wanted ? this.take(plan) : 'no';
  }

  onAttemptTimeout(): RetryDecision {
    this.release();
    const { plan } = this;
    return plan?.onReset ? this.take(plan) : 'no';
  }

  /** A further attempt beside the one that takes too long; its slot is held until either ends. */
  onHedge(): RetryDecision {
    this.release();
    return this.plan ? this.take(this.plan) : 'no';
  }

  /** Milliseconds: what the upstream asked and up to half as much again, else fully jittered exponential back-off. */
  backOffMs(): number {
    const { askedMs } = this;
    this.askedMs = undefined;
    if (askedMs !== undefined) return askedMs * (1 + this.random() / 2);
    const { backOffBaseMs, backOffMaxMs } = this.plan!;
    return this.random() * Math.min(backOffBaseMs * (2 ** this.used - 1), backOffMaxMs);
  }

  /** Gives the retry slot back: its attempt is over. */
  release(): void {
    if (this.holding) this.circuit.use.retries--;
    this.holding = false;
  }

  private take(plan: RetryPlan): RetryDecision {
    if (this.used >= plan.maxRetries) return 'limit';
    if (!mayRetry(this.circuit)) return 'overflow';
    this.used++;
    this.circuit.use.retries++;
    this.holding = true;
    return 'retry';
  }
}
