/** The implementation of Cluster: membership, health, balancing and counts of one compiled cluster. */
import type { Cluster, Endpoint } from './cluster.ts';
import type { Chooser } from './load-balancers.ts';
import type { Outcome, OutlierDetection, OutlierState } from './outlier-detection.ts';
import type { LocalityGroup, PriorityOptions, Share } from './priority-set.ts';
import { shares } from './priority-set.ts';

/** Requests under way on an address; shared by an endpoint and its successors when the config changes. */
export interface Counter {
  active: number;
}

export class Host implements Endpoint {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly hostname: string;
  readonly weight: number;
  readonly priority: number;
  readonly locality: string;
  readonly tls: Endpoint['tls'];
  readonly metadata: Endpoint['metadata'];
  /** By EDS' health status. */
  readonly healthy: boolean;
  private readonly counter: Counter;

  constructor(fields: Omit<Endpoint, 'active' | 'id'> & { healthy: boolean }, counters: Map<string, Counter>) {
    this.id = endpointId(fields.address, fields.port);
    this.address = fields.address;
    this.port = fields.port;
    this.hostname = fields.hostname;
    this.weight = fields.weight;
    this.priority = fields.priority;
    this.locality = fields.locality;
    this.tls = fields.tls;
    this.metadata = fields.metadata;
    this.healthy = fields.healthy;
    let counter = counters.get(this.id);
    if (!counter) counters.set(this.id, (counter = { active: 0 }));
    this.counter = counter;
  }

  get active(): number {
    return this.counter.active;
  }

  set active(value: number) {
    this.counter.active = value;
  }
}

export function endpointId(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** What a cluster hands to its successor when its config changes. */
export interface Inheritance {
  readonly use: Cluster['use'];
  readonly counters: Map<string, Counter>;
  readonly outliers: Map<string, OutlierState>;
  /** Last good addresses by host name. */
  readonly resolved: Map<string, readonly string[]>;
}

export interface BalancedOptions {
  readonly name: string;
  readonly connectTimeoutMs: number;
  readonly limits: Cluster['limits'];
  readonly maxRequestsPerConnection: number;
  readonly idleTimeoutMs: number;
  readonly destination: Cluster['destination'];
  readonly choose: Chooser;
  readonly random: () => number;
  readonly priorities: PriorityOptions;
}

/** How often another host is drawn when the one drawn was tried before (Istio's host_selection_retry_max_attempts). */
const maxDraws = 5;

export class BalancedCluster implements Cluster {
  readonly name: string;
  readonly connectTimeoutMs: number;
  readonly limits: Cluster['limits'];
  readonly maxRequestsPerConnection: number;
  readonly idleTimeoutMs: number;
  readonly destination: Cluster['destination'];
  readonly use: Cluster['use'];
  readonly inheritance: Inheritance;
  private readonly options: BalancedOptions;
  private readonly onClose: () => void;
  private outliers: OutlierDetection | undefined;
  private groups: readonly LocalityGroup[] = [];
  private all: readonly Endpoint[] = [];
  /** Undefined: to be computed anew. */
  private current: readonly Share[] | undefined;

  constructor(options: BalancedOptions, inheritance: Inheritance, onClose: () => void) {
    this.options = options;
    this.inheritance = inheritance;
    this.onClose = onClose;
    this.name = options.name;
    this.connectTimeoutMs = options.connectTimeoutMs;
    this.limits = options.limits;
    this.maxRequestsPerConnection = options.maxRequestsPerConnection;
    this.idleTimeoutMs = options.idleTimeoutMs;
    this.destination = options.destination;
    this.use = inheritance.use;
  }

  readonly endpoints = (): readonly Endpoint[] => this.all;

  detectOutliers(detection: OutlierDetection): void {
    this.outliers = detection;
  }

  /** Health changed. */
  readonly recompute = (): void => {
    this.current = undefined;
  };

  /** Membership changed; forgets the state of endpoints that are gone. */
  setGroups(groups: readonly LocalityGroup[]): void {
    this.groups = groups;
    this.all = groups.flatMap((group) => group.hosts);
    const ids = new Set(this.all.map((host) => host.id));
    const { counters, outliers } = this.inheritance;
    for (const id of counters.keys()) if (!ids.has(id)) counters.delete(id);
    for (const id of outliers.keys()) if (!ids.has(id)) outliers.delete(id);
    this.outliers?.recount();
    this.current = undefined;
  }

  pick(_hash: number | undefined, previous: readonly Endpoint[] | undefined): Endpoint | undefined {
    this.outliers?.tick();
    const usable = this.current ?? this.computeShares();
    let host = this.draw(usable);
    if (!host || !previous || previous.length === 0) return host;
    for (let i = 1; i < maxDraws && previous.some((tried) => tried.id === host?.id); i++) host = this.draw(usable);
    return host;
  }

  private draw(usable: readonly Share[]): Endpoint | undefined {
    if (usable.length === 0) return undefined;
    let share = usable[0]!;
    if (usable.length > 1) {
      let at = this.options.random();
      for (const candidate of usable) {
        share = candidate;
        at -= candidate.load;
        if (at < 0) break;
      }
    }
    return this.options.choose(share.hosts);
  }

  private computeShares(): readonly Share[] {
    const usable = (host: Endpoint) => (host as Host).healthy && !this.outliers?.isEjected(host);
    this.current = shares(this.groups, usable, this.options.priorities);
    return this.current;
  }

  report(endpoint: Endpoint, outcome: Outcome): void {
    this.outliers?.report(endpoint, outcome);
  }

  /** Stops name resolution; requests under way go on. */
  close(): void {
    this.onClose();
  }
}
