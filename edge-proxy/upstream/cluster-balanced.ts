/** The implementation of Cluster: membership, health, balancing and counts of one compiled cluster. */
import type { UpstreamHttp2Stats } from '../http/codec/h2/upstream-stats.ts';
import type { Balancer } from './balancing/balancer.ts';
import { buildLevels, type Health, type LocalityGroup, type PriorityOptions } from './balancing/priority-set.ts';
import type { Hash64 } from './balancing/xx-hash.ts';
import type {
  Circuit,
  Cluster,
  ClusterProtocols,
  DialOptions,
  Endpoint,
  EndpointHealth,
  HealthCheckStats,
  Limits,
  RetryHostRules,
  Use,
} from './cluster.ts';
import type { CheckCounts, CheckerDeps, HealthChecker } from './health/health-checker.ts';
import type { Host, HostState } from './host.ts';
import type { Outcome, OutlierDetection, OutlierState } from './outlier/outlier-detection.ts';
import { RequestWindow } from './request-window.ts';

/** What a cluster hands to its successor when its config changes. */
export interface Inheritance {
  readonly use: Use;
  /** Of the HIGH routing priority. */
  readonly highUse: Use;
  readonly hosts: Map<string, HostState>;
  readonly outliers: Map<string, OutlierState>;
  readonly checks: CheckCounts;
  readonly http2: UpstreamHttp2Stats;
  /** Last good addresses by host name. */
  readonly resolved: Map<string, readonly string[]>;
}

export interface BalancedOptions {
  readonly name: string;
  readonly protocols: ClusterProtocols;
  readonly connectTimeoutMs: number;
  readonly limits: Limits;
  readonly highLimits: Limits;
  readonly maxRequestsPerConnection: number;
  readonly maxStreamMs: number;
  readonly maxConnectionMs: number;
  readonly dial: DialOptions;
  readonly idleTimeoutMs: number;
  readonly destination: Cluster['destination'];
  readonly balancer: Balancer;
  readonly priorities: PriorityOptions;
  /** Status codes that outlier detection counts as errors; undefined: 5xx. */
  readonly errorStatuses: ReadonlySet<number> | undefined;
  /** Monotonic milliseconds. */
  now(): number;
}

/** Where no retry policy says how (TCP): another draw, a few times. */
const otherHosts: RetryHostRules = { avoidPrevious: true, maxAttempts: 4, priorityUpdateFrequency: 0 };

export class BalancedCluster implements Cluster {
  readonly name: string;
  readonly protocols: ClusterProtocols;
  readonly connectTimeoutMs: number;
  readonly limits: Limits;
  readonly maxRequestsPerConnection: number;
  readonly maxStreamMs: number;
  readonly maxConnectionMs: number;
  readonly dial: DialOptions;
  readonly idleTimeoutMs: number;
  readonly destination: Cluster['destination'];
  readonly use: Use;
  readonly recent: RequestWindow | undefined;
  readonly http2: UpstreamHttp2Stats;
  readonly high: Cluster;
  readonly inheritance: Inheritance;
  /** Set for clusters whose requests say where they go. */
  resolveDestination?: NonNullable<Cluster['resolveDestination']>;
  /** Set for clusters whose TLS names come from requests. */
  secured?: NonNullable<Cluster['secured']>;
  /** Set for clusters that speak the PROXY protocol. */
  forClient?: NonNullable<Cluster['forClient']>;
  private readonly balancer: Balancer;
  private readonly priorities: PriorityOptions;
  private readonly errorStatuses: ReadonlySet<number> | undefined;
  private readonly onClose: () => void;
  private outliers: OutlierDetection | undefined;
  private checker: HealthChecker | undefined;
  /** A health check has a result for some endpoint: from now on unchecked ones must wait. */
  private judged = false;
  private groups: readonly LocalityGroup[] = [];
  private all: readonly Endpoint[] = [];
  /** The balancer does not know of the last change yet. */
  private stale = true;
  /** What the last division by zone was made for. */
  private zoneMembers: unknown;

  constructor(options: BalancedOptions, inheritance: Inheritance, onClose: () => void) {
    this.balancer = options.balancer;
    this.priorities = options.priorities;
    this.inheritance = inheritance;
    this.onClose = onClose;
    this.name = options.name;
    this.protocols = options.protocols;
    this.connectTimeoutMs = options.connectTimeoutMs;
    this.limits = options.limits;
    this.maxRequestsPerConnection = options.maxRequestsPerConnection;
    this.idleTimeoutMs = options.idleTimeoutMs;
    this.destination = options.destination;
    this.maxStreamMs = options.maxStreamMs;
    this.maxConnectionMs = options.maxConnectionMs;
    this.dial = options.dial;
    this.use = inheritance.use;
    this.http2 = inheritance.http2;
    this.errorStatuses = options.errorStatuses;
    this.recent = recentOf(options.limits, options.now);
    const recent = recentOf(options.highLimits, options.now);
    this.high = new HighPriority(this, { limits: options.highLimits, use: inheritance.highUse, recent });
  }

  readonly endpoints = (): readonly Endpoint[] => this.all;

  detectOutliers(detection: OutlierDetection): void {
    this.outliers = detection;
  }

  /** @param make is given what a verdict changes */
  checkHealth(make: (changed: CheckerDeps['changed']) => HealthChecker): void {
    this.checker = make((host, healthy) => {
      this.judged = true;
      this.stale = true;
      if (healthy) this.outliers?.onHealthCheckPassed(host);
    });
  }

  /** Health changed. */
  readonly recompute = (): void => {
    this.stale = true;
  };

  /**
   * Every endpoint of now is among these and is reached and checked the same way. Otherwise the cluster needs a successor:
   * pools close what is idle to endpoints that left when they see one, and it makes new probes.
   */
  keepsEndpoints(groups: readonly LocalityGroup[]): boolean {
    const next = new Map(groups.flatMap(({ hosts }) => hosts.map((host) => [host.id, host as Host])));
    return this.all.every((host) => (host as Host).isReachedAs(next.get(host.id)));
  }

  /** Membership changed; forgets the state of removed endpoints. */
  setGroups(groups: readonly LocalityGroup[]): void {
    this.groups = groups;
    this.all = groups.flatMap((group) => group.hosts);
    const ids = new Set(this.all.map((host) => host.id));
    const { hosts, outliers } = this.inheritance;
    for (const id of hosts.keys()) if (!ids.has(id)) hosts.delete(id);
    for (const id of outliers.keys()) if (!ids.has(id)) outliers.delete(id);
    this.outliers?.recount();
    this.checker?.watch(this.all as readonly Host[]);
    this.judged ||= this.all.some((host) => (host as Host).state.failedActiveCheck === false);
    this.stale = true;
  }

  pick(
    hash: Hash64 | undefined,
    previous: readonly Endpoint[] | undefined,
    rules: RetryHostRules = otherHosts,
  ): Endpoint | undefined {
    this.outliers?.tick();
    const { zone } = this.priorities;
    if (zone) {
      const members = zone.proxies();
      if (members !== this.zoneMembers) {
        this.zoneMembers = members;
        this.stale = true;
      }
    }
    if (this.stale) {
      this.balancer.update(buildLevels(this.groups, this.healthOf, this.priorities));
      this.stale = false;
    }
    return this.balancer.pick(hash, previous, rules);
  }

  private readonly healthOf = (endpoint: Endpoint): Health => {
    const { edsHealth, state } = endpoint as Host;
    if (edsHealth !== 'UNKNOWN' && edsHealth !== 'HEALTHY' && edsHealth !== 'DEGRADED') return 'unhealthy';
    if (this.failsActiveCheck(endpoint as Host) || this.outliers?.isEjected(endpoint)) return 'unhealthy';
    return edsHealth === 'DEGRADED' || state.degraded ? 'degraded' : 'healthy';
  };

  /** Before the first verdict in the cluster all are used; then a new endpoint waits for its own. */
  private failsActiveCheck(host: Host): boolean {
    if (!this.checker || host.healthCheck.disabled) return false;
    return host.state.failedActiveCheck ?? this.judged;
  }

  health(endpoint: Endpoint): EndpointHealth {
    const { edsHealth, state } = endpoint as Host;
    return {
      eds: edsHealth,
      activeCheckTimedOut: state.checkTimedOut,
      degradedActiveCheck: state.degraded,
      failedActiveCheck: this.failsActiveCheck(endpoint as Host),
      failedOutlierCheck: this.outliers?.isEjected(endpoint) ?? false,
    };
  }

  healthChecks(): HealthCheckStats | undefined {
    if (!this.checker) return undefined;
    const checked = (this.all as readonly Host[]).filter((host) => !host.healthCheck.disabled);
    return {
      ...this.inheritance.checks,
      healthy: checked.filter(({ state }) => state.failedActiveCheck === false).length,
      degraded: checked.filter(({ state }) => state.degraded).length,
    };
  }

  report(endpoint: Endpoint, outcome: Outcome): void {
    const { stats } = endpoint;
    if (stats) {
      if (typeof outcome === 'number' && outcome < 500) stats.rqSuccess++;
      else stats.rqError++;
      if (outcome === 'timeout') stats.rqTimeout++;
    }
    this.outliers?.report(endpoint, this.judged5xx(outcome));
  }

  /** As in Envoy: statuses that are no errors here are successes, and errors below 500 are as 500. */
  private judged5xx(outcome: Outcome): Outcome {
    const { errorStatuses } = this;
    if (errorStatuses === undefined || typeof outcome !== 'number') return outcome;
    return errorStatuses.has(outcome) ? Math.max(outcome, 500) : 200;
  }

  onGrpcFailure({ stats }: Endpoint): void {
    if (!stats) return;
    stats.rqSuccess--;
    stats.rqError++;
  }

  /** Stops name resolution and health checks; requests under way continue. */
  close(): void {
    this.checker?.close();
    this.onClose();
  }
}

function recentOf({ retryBudget }: Limits, now: () => number): RequestWindow | undefined {
  const { intervalMs = 0 } = retryBudget ?? {};
  return intervalMs > 0 ? new RequestWindow(intervalMs, now) : undefined;
}

/** A cluster as routes of HIGH priority see it: the same endpoints, limits and connections of its own. */
class HighPriority implements Cluster {
  readonly name: string;
  readonly poolKey: string;
  readonly protocols: ClusterProtocols;
  readonly connectTimeoutMs: number;
  readonly limits: Limits;
  readonly use: Use;
  readonly http2: UpstreamHttp2Stats;
  readonly recent: RequestWindow | undefined;
  readonly maxRequestsPerConnection: number;
  readonly maxStreamMs: number;
  readonly maxConnectionMs: number;
  readonly dial: DialOptions;
  readonly idleTimeoutMs: number;
  readonly destination: Cluster['destination'];
  readonly endpoints: Cluster['endpoints'];
  private readonly cluster: BalancedCluster;

  constructor(cluster: BalancedCluster, { limits, use, recent }: Circuit) {
    this.cluster = cluster;
    this.name = cluster.name;
    // Another cluster's name cannot hold a NUL.
    this.poolKey = `${cluster.name}\0high`;
    this.protocols = cluster.protocols;
    this.connectTimeoutMs = cluster.connectTimeoutMs;
    this.limits = limits;
    this.use = use;
    this.http2 = cluster.http2;
    this.recent = recent;
    this.maxRequestsPerConnection = cluster.maxRequestsPerConnection;
    this.maxStreamMs = cluster.maxStreamMs;
    this.maxConnectionMs = cluster.maxConnectionMs;
    this.dial = cluster.dial;
    this.idleTimeoutMs = cluster.idleTimeoutMs;
    this.destination = cluster.destination;
    this.endpoints = cluster.endpoints;
  }

  get resolveDestination(): Cluster['resolveDestination'] {
    return this.cluster.resolveDestination;
  }

  get secured(): Cluster['secured'] {
    return this.cluster.secured;
  }

  get forClient(): Cluster['forClient'] {
    return this.cluster.forClient;
  }

  pick(...args: Parameters<Cluster['pick']>): Endpoint | undefined {
    return this.cluster.pick(...args);
  }

  health(endpoint: Endpoint): EndpointHealth {
    return this.cluster.health(endpoint);
  }

  report(endpoint: Endpoint, outcome: Outcome): void {
    this.cluster.report(endpoint, outcome);
  }

  onGrpcFailure(endpoint: Endpoint): void {
    this.cluster.onGrpcFailure(endpoint);
  }
}
