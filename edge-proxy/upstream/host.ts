/** An endpoint in a cluster, and what is remembered of its address when the cluster is updated. */

import { isUnixAddress } from '../../shared/match/unix-address.ts';
import type { ConnectionEnds } from '../runtime/runtime.ts';
import type { Endpoint, EndpointHealth, EndpointStats } from './cluster.ts';
import { clientHeader, ownHeader, type ProxyProtocolVersion } from './proxy-header.ts';

/** Shared by an endpoint and its successors when the config changes. */
export interface HostState {
  /** Requests under way. */
  active: number;
  /** Monotonic milliseconds at which it joined, or was last found healthy again: slow start begins there. */
  since: number;
  /** Active health checking has found it down; undefined: not checked. */
  failedActiveCheck: boolean | undefined;
  /** It is down, and the last check had no answer in time. */
  checkTimedOut: boolean;
  /** Its last health check answered with x-envoy-degraded. */
  degraded: boolean;
  readonly stats: EndpointStats;
}

/** Address and protocol of an endpoint's health checks; 0 and '': as its traffic. */
export interface HealthCheckTarget {
  readonly port: number;
  readonly hostname: string;
  readonly disabled: boolean;
  /** Absent: as its traffic. */
  readonly tls?: Endpoint['tls'];
}

const asTraffic: HealthCheckTarget = { port: 0, hostname: '', disabled: false };

export type HostFields = Omit<Endpoint, 'active' | 'id' | 'stats'> & {
  readonly edsHealth: EndpointHealth['eds'];
  readonly proxyProtocol?: ProxyProtocolVersion | undefined;
  readonly healthCheck?: HealthCheckTarget;
};

export class Host implements Endpoint {
  readonly id: string;
  readonly poolId: string | undefined;
  readonly address: string;
  readonly port: number;
  readonly hostname: string;
  readonly weight: number;
  readonly priority: number;
  readonly locality: string;
  readonly tls: Endpoint['tls'];
  /** Its connections begin with a PROXY protocol header of this version. */
  readonly proxyProtocol: ProxyProtocolVersion | undefined;
  readonly preface: Endpoint['preface'];
  readonly metadata: Endpoint['metadata'];
  readonly tunnel: Endpoint['tunnel'];
  readonly edsHealth: EndpointHealth['eds'];
  readonly healthCheck: HealthCheckTarget;
  readonly state: HostState;
  readonly stats: EndpointStats;

  /** @param now monotonic milliseconds */
  constructor(fields: HostFields, states: Map<string, HostState>, now: number) {
    this.id = endpointId(fields.address, fields.port);
    this.poolId = fields.poolId;
    this.address = fields.address;
    this.port = fields.port;
    this.hostname = fields.hostname;
    this.weight = fields.weight;
    this.priority = fields.priority;
    this.locality = fields.locality;
    this.tls = fields.tls;
    this.proxyProtocol = fields.proxyProtocol;
    this.preface = fields.preface ?? (fields.proxyProtocol && ownHeader(fields.proxyProtocol));
    this.metadata = fields.metadata;
    this.tunnel = fields.tunnel;
    this.edsHealth = fields.edsHealth;
    this.healthCheck = fields.healthCheck ?? asTraffic;
    let state = states.get(this.id);
    if (!state) {
      const unjudged = { failedActiveCheck: undefined, checkTimedOut: false, degraded: false };
      state = { active: 0, since: now, ...unjudged, stats: newStats() };
      states.set(this.id, state);
    }
    this.state = state;
    this.stats = state.stats;
  }

  /** The same endpoint with other connections: one health, one set of counts. */
  withTls(tls: Endpoint['tls'], name: string): Host {
    return this.as({ ...this, tls, poolId: `${this.id} ${name}` });
  }

  /** The same endpoint with connections of one client's own, which name it. */
  forClient(client: ConnectionEnds): Host {
    const { proxyProtocol } = this;
    if (proxyProtocol === undefined) return this;
    const { remoteAddress, remotePort, localAddress, localPort } = client;
    const poolId = `${this.poolId ?? this.id} ${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
    return this.as({ ...this, poolId, preface: clientHeader(proxyProtocol, client) });
  }

  private as(fields: HostFields): Host {
    return new Host(fields, new Map([[this.id, this.state]]), this.state.since);
  }

  /** `other` has the same TLS, PROXY protocol, host name and health checks. */
  isReachedAs(other: Host | undefined): boolean {
    if (other?.tls !== this.tls || other.hostname !== this.hostname) return false;
    if (other.proxyProtocol !== this.proxyProtocol || other.tunnel?.workload !== this.tunnel?.workload) return false;
    const [mine, its] = [this.healthCheck, other.healthCheck];
    return (
      mine.port === its.port && mine.hostname === its.hostname && mine.disabled === its.disabled && mine.tls === its.tls
    );
  }

  get active(): number {
    return this.state.active;
  }

  set active(value: number) {
    this.state.active = value;
  }
}

function newStats(): EndpointStats {
  return { cxActive: 0, cxTotal: 0, cxConnectFail: 0, rqTotal: 0, rqSuccess: 0, rqError: 0, rqTimeout: 0 };
}

export function endpointId(address: string, port: number): string {
  if (isUnixAddress(address)) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
