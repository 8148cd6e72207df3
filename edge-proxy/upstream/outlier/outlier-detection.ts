/**
 * Envoy's outlier detection: consecutive failures, or standing out among the hosts of the cluster, eject an endpoint for
 * `baseEjectionTime` times the number of its ejections; time out of the balancer ends at the next interval after that.
 */

import type { OutlierDetection as OutlierConfig } from '../../../shared/xds/cluster.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import type { Endpoint } from '../cluster.ts';
import { findOutliers, type StatisticsRules, type Tally } from './outlier-statistics.ts';

export type Outcome = number | 'connect-failure' | 'reset' | 'timeout';

/** What is remembered of one endpoint; carried over when the cluster is updated. */
export interface OutlierState {
  consecutive5xx: number;
  consecutiveGateway: number;
  consecutiveLocal: number;
  /** Multiplies the ejection time; falls by one per interval without an ejection. */
  ejections: number;
  /** Milliseconds of the monotonic clock; 0: not ejected. */
  ejectedUntil: number;
  /** Answers in this interval; without the split local failures are in here, too. */
  readonly answers: Tally;
  readonly local: Tally;
}

interface Detector {
  /** 0: off. */
  readonly after: number;
  /** Share of detections that are enforced, 0 to 1. */
  readonly enforced: number;
}

interface Deps {
  /** Monotonic milliseconds. */
  now(): number;
  random(): number;
  endpoints(): readonly Endpoint[];
  /** Something was ejected or taken back. */
  changed(): void;
}

export class OutlierDetection {
  private readonly fivexx: Detector;
  private readonly gateway: Detector;
  private readonly local: Detector;
  private readonly rules: StatisticsRules;
  /** Enforced shares: by success rate and failure percentage, of answers and of local failures. */
  private readonly shares: {
    readonly success: number;
    readonly failure: number;
    readonly local: number;
    readonly localFailure: number;
  };
  private readonly splitLocal: boolean;
  private readonly intervalMs: number;
  private readonly baseMs: number;
  private readonly maxMs: number;
  private readonly jitterMs: number;
  private readonly maxPercent: number;
  private readonly alwaysOne: boolean;
  private readonly returnsWhenHealthy: boolean;
  private readonly deps: Deps;
  readonly states: Map<string, OutlierState>;
  private nextSweep: number;
  /** How many are ejected: nothing is looked at per request while it is 0. */
  private ejected = 0;

  constructor(config: OutlierConfig, deps: Deps, states: Map<string, OutlierState>) {
    this.fivexx = detector(config.consecutive5xx, 5, config.enforcingConsecutive5xx, 100);
    this.gateway = detector(config.consecutiveGatewayFailure, 5, config.enforcingConsecutiveGatewayFailure, 0);
    this.local = detector(config.consecutiveLocalOriginFailure, 5, config.enforcingConsecutiveLocalOriginFailure, 100);
    this.rules = {
      successMinimumHosts: config.successRateMinimumHosts ?? 5,
      successVolume: config.successRateRequestVolume ?? 100,
      deviations: (config.successRateStdevFactor ?? 1900) / 1000,
      failureMinimumHosts: config.failurePercentageMinimumHosts ?? 5,
      failureVolume: config.failurePercentageRequestVolume ?? 50,
      failureThreshold: config.failurePercentageThreshold ?? 85,
    };
    this.shares = {
      success: (config.enforcingSuccessRate ?? 100) / 100,
      failure: (config.enforcingFailurePercentage ?? 0) / 100,
      local: (config.enforcingLocalOriginSuccessRate ?? 100) / 100,
      localFailure: (config.enforcingFailurePercentageLocalOrigin ?? 0) / 100,
    };
    this.splitLocal = config.splitExternalLocalOriginErrors ?? false;
    this.intervalMs = config.interval ? durationMs(config.interval) : 10_000;
    this.baseMs = config.baseEjectionTime ? durationMs(config.baseEjectionTime) : 30_000;
    this.maxMs = config.maxEjectionTime ? durationMs(config.maxEjectionTime) : Math.max(300_000, this.baseMs);
    this.jitterMs = config.maxEjectionTimeJitter ? durationMs(config.maxEjectionTimeJitter) : 0;
    this.maxPercent = config.maxEjectionPercent ?? 10;
    this.alwaysOne = config.alwaysEjectOneHost ?? false;
    this.returnsWhenHealthy = config.successfulActiveHealthCheckUnejectHost ?? true;
    this.deps = deps;
    this.states = states;
    this.recount();
    this.nextSweep = deps.now() + this.intervalMs;
  }

  isEjected(endpoint: Endpoint): boolean {
    return this.ejected > 0 && (this.states.get(endpoint.id)?.ejectedUntil ?? 0) > 0;
  }

  /** After states were taken over or dropped. */
  recount(): void {
    this.ejected = 0;
    for (const state of this.states.values()) if (state.ejectedUntil > 0) this.ejected++;
  }

  /** Takes endpoints back whose time is over, then compares the hosts; cheap to call before each choice. */
  tick(): void {
    const now = this.deps.now();
    if (now < this.nextSweep) return;
    this.nextSweep = now + this.intervalMs;
    let returned = false;
    for (const state of this.states.values()) {
      if (state.ejectedUntil > 0) {
        if (state.ejectedUntil > now) continue;
        state.ejectedUntil = 0;
        this.ejected--;
        returned = true;
      } else if (state.ejections > 0) state.ejections--;
    }
    this.compareHosts();
    if (returned) this.deps.changed();
  }

  private compareHosts(): void {
    const hostCount = this.deps.endpoints().length;
    const of = (tally: (state: OutlierState) => Tally) =>
      [...this.states.values()]
        .filter((state) => state.ejectedUntil === 0)
        .map((state): [OutlierState, Tally] => [state, tally(state)]);
    const answers = findOutliers(
      of((state) => state.answers),
      hostCount,
      this.rules,
    );
    for (const state of answers.bySuccessRate) this.eject(state, this.shares.success);
    for (const state of answers.byFailurePercentage) this.eject(state, this.shares.failure);
    if (this.splitLocal) {
      const local = findOutliers(
        of((state) => state.local),
        hostCount,
        this.rules,
      );
      for (const state of local.bySuccessRate) this.eject(state, this.shares.local);
      for (const state of local.byFailurePercentage) this.eject(state, this.shares.localFailure);
    }
    for (const { answers: one, local } of this.states.values()) {
      one.total = one.success = 0;
      local.total = local.success = 0;
    }
  }

  report(endpoint: Endpoint, outcome: Outcome): void {
    // A request may outlive its endpoint's place in the cluster; that must not bring state back.
    if (!this.states.has(endpoint.id) && !this.deps.endpoints().some((host) => host.id === endpoint.id)) return;
    const state = this.stateOf(endpoint);
    if (this.splitLocal) {
      state.local.total++;
      if (typeof outcome === 'string') {
        this.localFailure(state);
        return;
      }
      state.local.success++;
      state.consecutiveLocal = 0;
    }
    // Without the split, local failures mean 503 and 504.
    this.answer(state, typeof outcome === 'number' ? outcome : outcome === 'timeout' ? 504 : 503);
  }

  private localFailure(state: OutlierState): void {
    if (++state.consecutiveLocal !== this.local.after) return;
    state.consecutiveLocal = 0;
    this.eject(state, this.local.enforced);
  }

  private answer(state: OutlierState, status: number): void {
    state.answers.total++;
    if (status < 500) {
      state.answers.success++;
      state.consecutive5xx = 0;
      state.consecutiveGateway = 0;
      return;
    }
    if (status >= 502 && status <= 504) {
      if (++state.consecutiveGateway === this.gateway.after) {
        state.consecutiveGateway = 0;
        this.eject(state, this.gateway.enforced);
      }
    } else state.consecutiveGateway = 0;
    if (++state.consecutive5xx === this.fivexx.after) {
      state.consecutive5xx = 0;
      this.eject(state, this.fivexx.enforced);
    }
  }

  /** An active health check passed: that is better evidence than the time that is left. */
  onHealthCheckPassed(endpoint: Endpoint): void {
    const state = this.states.get(endpoint.id);
    if (!this.returnsWhenHealthy || !state || state.ejectedUntil === 0) return;
    state.ejectedUntil = 0;
    state.consecutive5xx = state.consecutiveGateway = state.consecutiveLocal = 0;
    this.ejected--;
    this.deps.changed();
  }

  private stateOf(endpoint: Endpoint): OutlierState {
    let state = this.states.get(endpoint.id);
    if (!state) {
      state = {
        consecutive5xx: 0,
        consecutiveGateway: 0,
        consecutiveLocal: 0,
        ejections: 0,
        ejectedUntil: 0,
        answers: { total: 0, success: 0 },
        local: { total: 0, success: 0 },
      };
      this.states.set(endpoint.id, state);
    }
    return state;
  }

  private eject(state: OutlierState, enforced: number): void {
    const { now, random, endpoints, changed } = this.deps;
    if (state.ejectedUntil > 0 || random() >= enforced) return;
    const total = Math.max(endpoints().length, 1);
    const allowed = (100 * (this.ejected + 1)) / total <= this.maxPercent || (this.alwaysOne && this.ejected === 0);
    if (!allowed) return;
    // The factor grows only as long as it lengthens the time.
    if (this.baseMs * state.ejections < this.maxMs) state.ejections++;
    const jitter = this.jitterMs > 0 ? random() * this.jitterMs : 0;
    state.ejectedUntil = now() + Math.min(this.baseMs * state.ejections, this.maxMs) + jitter;
    this.ejected++;
    changed();
  }
}

function detector(after: number | undefined, otherwise: number, enforced: number | undefined, share: number): Detector {
  return { after: after ?? otherwise, enforced: (enforced ?? share) / 100 };
}
