/**
 * Envoy's outlier detection: consecutive failures eject an endpoint for `baseEjectionTime` times the number of its
 * ejections; time out of the balancer ends at the next interval after that. Success-rate detectors need traffic
 * statistics and are refused when asked for.
 */

import type { OutlierDetection as OutlierConfig } from '../../shared/xds/cluster.ts';
import { durationMs } from '../../shared/xds/message.ts';
import { ConfigFault } from '../config/config-fault.ts';
import type { Endpoint } from './cluster.ts';

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
}

interface Detector {
  /** 0: off. */
  readonly after: number;
  /** Share of detections that are enforced, 0 to 1. */
  readonly enforced: number;
}

export class OutlierDetection {
  private readonly fivexx: Detector;
  private readonly gateway: Detector;
  private readonly local: Detector;
  private readonly splitLocal: boolean;
  private readonly intervalMs: number;
  private readonly baseMs: number;
  private readonly maxMs: number;
  private readonly maxShare: number;
  private readonly clock: () => number;
  private readonly random: () => number;
  private readonly endpoints: () => readonly Endpoint[];
  readonly states: Map<string, OutlierState>;
  private nextSweep: number;
  /** How many are ejected: nothing is looked at per request while it is 0. */
  private ejected = 0;
  /** Something was ejected or taken back. */
  private readonly changed: () => void;

  /** @throws ConfigFault for detectors that are not supported */
  constructor(
    config: OutlierConfig,
    deps: { now(): number; random(): number; endpoints(): readonly Endpoint[]; changed(): void },
    states: Map<string, OutlierState>,
  ) {
    for (const field of ['enforcingSuccessRate', 'enforcingFailurePercentage'] as const) {
      // Envoy's defaults (success rate 100 %) act only on clusters of five busy hosts; only an explicit wish is refused.
      if ((config[field] ?? 0) > 0) throw new ConfigFault(`outlierDetection.${field}`, 'must be 0: not supported');
    }
    this.fivexx = detector(config.consecutive5xx, 5, config.enforcingConsecutive5xx, 100);
    this.gateway = detector(config.consecutiveGatewayFailure, 5, config.enforcingConsecutiveGatewayFailure, 0);
    this.local = detector(config.consecutiveLocalOriginFailure, 5, config.enforcingConsecutiveLocalOriginFailure, 100);
    this.splitLocal = config.splitExternalLocalOriginErrors ?? false;
    this.intervalMs = config.interval ? durationMs(config.interval) : 10_000;
    this.baseMs = config.baseEjectionTime ? durationMs(config.baseEjectionTime) : 30_000;
    this.maxMs = config.maxEjectionTime ? durationMs(config.maxEjectionTime) : Math.max(300_000, this.baseMs);
    this.maxShare = (config.maxEjectionPercent ?? 10) / 100;
    this.clock = deps.now;
    this.random = deps.random;
    this.endpoints = deps.endpoints;
    this.changed = deps.changed;
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

  /** Takes endpoints back whose time is over; cheap to call before each choice. */
  tick(): void {
    const now = this.clock();
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
    if (returned) this.changed();
  }

  report(endpoint: Endpoint, outcome: Outcome): void {
    // A request may outlive its endpoint's place in the cluster; that must not bring state back.
    if (!this.states.has(endpoint.id) && !this.endpoints().some((host) => host.id === endpoint.id)) return;
    const state = this.stateOf(endpoint);
    if (typeof outcome === 'string' && this.splitLocal) {
      // Only failures to connect and time-outs count here, as Envoy's local origin events.
      if (++state.consecutiveLocal === this.local.after) {
        state.consecutiveLocal = 0;
        this.eject(state, this.local);
      }
      return;
    }
    if (this.splitLocal) state.consecutiveLocal = 0;
    // Without the split, local failures stand for 503 and 504.
    const status = typeof outcome === 'number' ? outcome : outcome === 'timeout' ? 504 : 503;
    if (status < 500) {
      state.consecutive5xx = 0;
      state.consecutiveGateway = 0;
      return;
    }
    if (status >= 502 && status <= 504) {
      if (++state.consecutiveGateway === this.gateway.after) {
        state.consecutiveGateway = 0;
        this.eject(state, this.gateway);
      }
    } else state.consecutiveGateway = 0;
    if (++state.consecutive5xx === this.fivexx.after) {
      state.consecutive5xx = 0;
      this.eject(state, this.fivexx);
    }
  }

  private stateOf(endpoint: Endpoint): OutlierState {
    let state = this.states.get(endpoint.id);
    if (!state) {
      state = { consecutive5xx: 0, consecutiveGateway: 0, consecutiveLocal: 0, ejections: 0, ejectedUntil: 0 };
      this.states.set(endpoint.id, state);
    }
    return state;
  }

  private eject(state: OutlierState, by: Detector): void {
    if (state.ejectedUntil > 0 || this.random() >= by.enforced) return;
    // Envoy ejects while the share of ejected hosts is below the maximum, so at least one, unless that is 0.
    const total = this.endpoints().length;
    if (this.maxShare === 0 || this.ejected / Math.max(total, 1) >= this.maxShare) return;
    state.ejections++;
    state.ejectedUntil = this.clock() + Math.min(this.baseMs * state.ejections, this.maxMs);
    this.ejected++;
    this.changed();
  }
}

function detector(after: number | undefined, otherwise: number, enforced: number | undefined, share: number): Detector {
  return { after: after ?? otherwise, enforced: (enforced ?? share) / 100 };
}
