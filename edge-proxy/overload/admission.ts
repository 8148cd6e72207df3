/** Which accepted connections are served: limits per listener and for the process, and overload. */
import type { StatScope, Stats } from '../telemetry/stats.ts';
import type { OverloadState } from './overload-state.ts';
import type { ScaledTimers } from './scaled-timers.ts';

/** Limits as Envoy's runtime and resource monitors set them; undefined: none. */
export interface ConnectionLimits {
  /** envoy.resource_monitors.global_downstream_max_connections */
  readonly total: number | undefined;
  /** `envoy.resource_limits.listener.<listener name>.connection_limit` */
  readonly perListener: ReadonlyMap<string, number>;
}

/** Istio's drainDuration. */
const DEFAULT_DRAIN_MS = 45_000;
const NO_LIMITS: ConnectionLimits = { total: undefined, perListener: new Map() };

/** The process's account of downstream connections, shared by its listeners. */
export class Admission {
  readonly overload: OverloadState;
  readonly stats: Stats;
  readonly limits: ConnectionLimits;
  /** Whether a connection ends when its client's certificate expires (Envoy lets it live). */
  readonly closesOnExpiry: boolean;
  /** How long connections of a listener that is gone may stay, milliseconds. */
  readonly drainMs: number;
  /** Other worker processes listen on the same ports. */
  sharesPorts = false;
  /** Connections open now. */
  active = 0;

  constructor(
    stats: Stats,
    overload: OverloadState,
    limits = NO_LIMITS,
    drainMs = DEFAULT_DRAIN_MS,
    closesOnExpiry = false,
  ) {
    this.closesOnExpiry = closesOnExpiry;
    this.drainMs = drainMs;
    this.stats = stats;
    this.overload = overload;
    this.limits = limits;
  }

  /** @param ignoresTotal Envoy's ignore_global_conn_limit */
  listener(name: string, address: string, port: number, ignoresTotal: boolean): ListenerAdmission {
    const at = `${address.includes(':') ? `[${address}]` : address}_${port}`;
    return new ListenerAdmission(
      this,
      this.limits.perListener.get(name),
      ignoresTotal,
      this.stats.scope('listener', at),
    );
  }
}

/** One listener's part of it. */
export class ListenerAdmission {
  /** Connections open now. */
  active = 0;
  readonly noChain;
  readonly sniffTimeout;
  readonly handshakes;
  readonly handshakeFailures;
  readonly handshakeTimeouts;
  private readonly account: Admission;
  private readonly limit: number | undefined;
  private readonly ignoresTotal: boolean;
  private readonly total;
  private readonly destroyed;
  private readonly gauge;
  private readonly overflow;
  private readonly totalOverflow;
  private readonly overloaded;

  constructor(account: Admission, limit: number | undefined, ignoresTotal: boolean, stats: StatScope) {
    this.account = account;
    this.limit = limit;
    this.ignoresTotal = ignoresTotal;
    this.total = stats.counter('downstream_cx_total');
    this.destroyed = stats.counter('downstream_cx_destroy');
    this.gauge = stats.gauge('downstream_cx_active');
    this.overflow = stats.counter('downstream_cx_overflow');
    this.totalOverflow = stats.counter('downstream_global_cx_overflow');
    this.overloaded = stats.counter('downstream_cx_overload_reject');
    this.noChain = stats.counter('no_filter_chain_match');
    this.sniffTimeout = stats.counter('downstream_pre_cx_timeout');
    this.handshakes = stats.counter('ssl.handshake');
    this.handshakeFailures = stats.counter('ssl.connection_error');
    this.handshakeTimeouts = stats.counter('downstream_cx_transport_socket_connect_timeout');
  }

  /** @returns false: the connection must be closed at once; true: it counts until `release` */
  admit(): boolean {
    const { account } = this;
    if (this.limit !== undefined && this.active >= this.limit) {
      this.overflow.value++;
      return false;
    }
    const { total } = account.limits;
    if (total !== undefined && account.active >= total && !this.ignoresTotal) {
      this.totalOverflow.value++;
      return false;
    }
    if (account.overload.refusesConnection()) {
      this.overloaded.value++;
      return false;
    }
    this.active++;
    account.active++;
    this.total.value++;
    this.gauge.value++;
    return true;
  }

  get closesOnExpiry(): boolean {
    return this.account.closesOnExpiry;
  }

  /** What shortens times under pressure. */
  get timers(): ScaledTimers | undefined {
    return this.account.overload.timers;
  }

  get drainMs(): number {
    return this.account.drainMs;
  }

  release(): void {
    this.active--;
    this.account.active--;
    this.destroyed.value++;
    this.gauge.value--;
  }
}
