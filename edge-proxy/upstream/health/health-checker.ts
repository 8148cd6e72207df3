/**
 * Active health checks (envoyproxy.io: "Health checking"): each endpoint is asked in its interval, and leaves or rejoins
 * the balancer after so many failures or successes in a row.
 */
import type { Host } from '../host.ts';

/** What one check found. `immediate`: the threshold does not matter. */
export interface CheckResult {
  readonly passed: boolean;
  readonly immediate: boolean;
  readonly degraded: boolean;
  /** There was no answer to judge: no connection, none in time, or what came was not understood. */
  readonly network: boolean;
}

export const PASSED: CheckResult = { passed: true, immediate: false, degraded: false, network: false };
/** Counts against the threshold. */
export const UNANSWERED: CheckResult = { passed: false, immediate: false, degraded: false, network: true };
/** An answer that says so. */
export const REFUSED: CheckResult = { passed: false, immediate: true, degraded: false, network: false };

/** Asks one endpoint once; `done` is called once, unless it was stopped. */
export interface Probe {
  /** @returns stop: gives the check up */
  check(done: (result: CheckResult) => void): () => void;
  /** Closes what it keeps open. */
  close(): void;
}

/** All in milliseconds. */
export interface CheckIntervals {
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly unhealthyMs: number;
  /** Until the threshold is reached. */
  readonly healthyEdgeMs: number;
  readonly unhealthyEdgeMs: number;
  /** While the cluster never had a connection. */
  readonly noTrafficMs: number;
  readonly noTrafficHealthyMs: number;
  readonly initialJitterMs: number;
  readonly jitterMs: number;
  /** Of the interval. */
  readonly jitterPercent: number;
}

export interface CheckRules extends CheckIntervals {
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
}

/** Envoy's counters `cluster.<name>.health_check.…`. */
export interface CheckCounts {
  attempt: number;
  success: number;
  failure: number;
  /** Of the failures, those without an answer to judge. */
  networkFailure: number;
}

export interface CheckerDeps {
  readonly counts: CheckCounts;
  random(): number;
  /** Monotonic milliseconds. */
  now(): number;
  /** Some request was ever sent to the cluster. */
  hadTraffic(): boolean;
  /** Health of an endpoint changed, or its first verdict is there. */
  changed(host: Host, healthy: boolean): void;
}

export class HealthChecker {
  private readonly rules: CheckRules;
  private readonly makeProbe: (host: Host) => Probe;
  private readonly deps: CheckerDeps;
  private readonly checks = new Map<string, EndpointCheck>();

  constructor(rules: CheckRules, makeProbe: (host: Host) => Probe, deps: CheckerDeps) {
    this.rules = rules;
    this.makeProbe = makeProbe;
    this.deps = deps;
  }

  /** The endpoints to check from now on; what is known of those that stay is kept. */
  watch(hosts: readonly Host[]): void {
    const ids = new Set(hosts.map((host) => host.id));
    for (const [id, check] of this.checks) {
      if (ids.has(id)) continue;
      check.stop();
      this.checks.delete(id);
    }
    for (const host of hosts) {
      if (host.healthCheck.disabled) continue;
      const known = this.checks.get(host.id);
      if (known) known.host = host;
      else this.checks.set(host.id, new EndpointCheck(host, this.rules, this.makeProbe(host), this.deps));
    }
  }

  close(): void {
    for (const check of this.checks.values()) check.stop();
    this.checks.clear();
  }
}

/** A longer one would fire at once. */
const LONGEST_TIMER_MS = 0x7fffffff;

/** The checks of one endpoint. */
class EndpointCheck {
  host: Host;
  private readonly rules: CheckRules;
  private readonly probe: Probe;
  private readonly deps: CheckerDeps;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private giveUp: (() => void) | undefined;
  /** Results in a row against the present verdict. */
  private against = 0;
  private stopped = false;

  constructor(host: Host, rules: CheckRules, probe: Probe, deps: CheckerDeps) {
    this.host = host;
    this.rules = rules;
    this.probe = probe;
    this.deps = deps;
    const jitter = rules.initialJitterMs > 0 ? deps.random() * rules.initialJitterMs : 0;
    this.timer = setTimeout(() => this.check(), Math.min(jitter, LONGEST_TIMER_MS));
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.giveUp?.();
    this.probe.close();
  }

  private check(): void {
    this.deps.counts.attempt++;
    let over = false;
    const finish = (result: CheckResult, timedOut = false) => {
      if (over || this.stopped) return;
      over = true;
      clearTimeout(this.timer);
      this.giveUp = undefined;
      this.judge(result);
      // Only for endpoints that are down; kept until one that answers is up again.
      const { state } = this.host;
      if (!result.passed || state.failedActiveCheck === false)
        state.checkTimedOut = timedOut && state.failedActiveCheck === true;
    };
    this.timer = setTimeout(
      () => {
        if (over) return;
        this.giveUp?.();
        finish(UNANSWERED, true);
      },
      Math.min(this.rules.timeoutMs, LONGEST_TIMER_MS),
    );
    const giveUp = this.probe.check((result) => finish(result));
    if (!over) this.giveUp = giveUp;
  }

  private judge({ passed, immediate, degraded, network }: CheckResult): void {
    const { state } = this.host;
    const { counts } = this.deps;
    if (passed) counts.success++;
    else counts.failure++;
    if (network) counts.networkFailure++;
    const first = state.failedActiveCheck === undefined;
    const healthy = state.failedActiveCheck === false;
    let pending = false;
    if (passed === healthy && !first) this.against = 0;
    else {
      this.against++;
      // The first success is enough; the first failure, or a status that says so, too.
      const threshold = first || immediate ? 1 : passed ? this.rules.healthyThreshold : this.rules.unhealthyThreshold;
      if (this.against >= threshold) this.turn(passed);
      else pending = true;
    }
    if (passed && state.degraded !== degraded) {
      state.degraded = degraded;
      this.deps.changed(this.host, true);
    }
    if (!this.stopped) this.timer = setTimeout(() => this.check(), this.nextMs(passed, pending));
  }

  private turn(healthy: boolean): void {
    const { state } = this.host;
    this.against = 0;
    state.failedActiveCheck = !healthy;
    if (healthy) state.since = this.deps.now();
    this.deps.changed(this.host, healthy);
  }

  private nextMs(passed: boolean, pending: boolean): number {
    const { rules, deps } = this;
    const base = deps.hadTraffic()
      ? pending
        ? passed
          ? rules.healthyEdgeMs
          : rules.unhealthyEdgeMs
        : passed
          ? rules.intervalMs
          : rules.unhealthyMs
      : passed
        ? rules.noTrafficHealthyMs
        : rules.noTrafficMs;
    const jitter = deps.random() * rules.jitterMs + deps.random() * (rules.jitterPercent / 100) * base;
    return Math.min(base + jitter, LONGEST_TIMER_MS);
  }
}
