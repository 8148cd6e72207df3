/** An endpoint in a cluster, and what is remembered of its address when the cluster is updated. */
import type { Endpoint, EndpointHealth } from './cluster.ts';

/** Shared by an endpoint and its successors when the config changes. */
export interface HostState {
  /** Requests under way. */
  active: number;
  /** Monotonic milliseconds at which it joined, or was last found healthy again: slow start begins there. */
  since: number;
  /** Active health checking has found it down; undefined: not judged. */
  failedActiveCheck: boolean | undefined;
  /** Its last health check answered with x-envoy-degraded. */
  degraded: boolean;
}

export type HostFields = Omit<Endpoint, 'active' | 'id'> & { readonly edsHealth: EndpointHealth['eds'] };

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
  readonly edsHealth: EndpointHealth['eds'];
  readonly state: HostState;

  /** @param now monotonic milliseconds */
  constructor(fields: HostFields, states: Map<string, HostState>, now: number) {
    this.id = endpointId(fields.address, fields.port);
    this.address = fields.address;
    this.port = fields.port;
    this.hostname = fields.hostname;
    this.weight = fields.weight;
    this.priority = fields.priority;
    this.locality = fields.locality;
    this.tls = fields.tls;
    this.metadata = fields.metadata;
    this.edsHealth = fields.edsHealth;
    let state = states.get(this.id);
    if (!state) {
      state = { active: 0, since: now, failedActiveCheck: undefined, degraded: false };
      states.set(this.id, state);
    }
    this.state = state;
  }

  get active(): number {
    return this.state.active;
  }

  set active(value: number) {
    this.state.active = value;
  }
}

export function endpointId(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
