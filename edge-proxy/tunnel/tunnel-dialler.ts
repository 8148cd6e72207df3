/**
 * A workload behind NAT keeps connections to its tunnel gateways: several to each, all of them served. One that ends is dialled
 * again with a jittered delay; one whose certificates were replaced is followed by another before it ends.
 */
import type { TunnelGateways } from '../../shared/xds/filters/tunnel.ts';
import type { ClockAndRandom, TlsContext } from '../runtime/runtime.ts';
import type { Endpoint } from '../upstream/cluster.ts';
import { type Dialler, type Dialling, dial, targetOf } from '../upstream/dial.ts';
import { type InboundListeners, ServedTunnel, type ServedTunnelOwner } from './served-tunnel.ts';
import { tunnelOptions } from './tunnel-options.ts';
import type { DialCounts } from './tunnel-stats.ts';

const CONNECTIONS = 2;
/** Delays between dials of one connection, milliseconds. */
const SHORTEST_MS = 200;
const LONGEST_MS = 15_000;
/** A tunnel that lasted for so long was not refused: the delays begin again. */
const STABLE_MS = 10_000;
/** Between two looks at the certificates. */
const LOOK_MS = 5000;

/** The cluster of the gateways, as it runs. */
export interface GatewayCluster {
  readonly connectTimeoutMs: number;
  endpoints(): readonly Endpoint[];
}

export interface DiallerHost extends Dialler, ClockAndRandom {}

export interface DiallerState {
  readonly gateway: string;
  readonly ready: boolean;
  readonly served: number;
}

export class TunnelDialler {
  readonly host: DiallerHost;
  readonly inbound: InboundListeners;
  readonly counts: DialCounts;
  readonly log: (line: string) => void;
  settings: TunnelGateways = { workloads: [], ports: [] };
  connectTimeoutMs = 0;
  stopping = false;
  private readonly slots = new Map<string, Slot>();
  private looking: ReturnType<typeof setInterval> | undefined;

  constructor(host: DiallerHost, inbound: InboundListeners, counts: DialCounts, log: (line: string) => void) {
    this.host = host;
    this.inbound = inbound;
    this.counts = counts;
    this.log = log;
  }

  /** Gateways or settings have changed; undefined: there are none any more. */
  follow(settings: TunnelGateways | undefined, cluster: GatewayCluster | undefined): void {
    const wanted = new Map<string, Endpoint>();
    if (settings && cluster && !this.stopping) {
      this.connectTimeoutMs = cluster.connectTimeoutMs;
      for (const endpoint of cluster.endpoints())
        for (let i = 0; i < (settings.connections ?? CONNECTIONS); i++) wanted.set(`${endpoint.id} ${i}`, endpoint);
    }
    // A gateway knows a workload by what it said at the beginning.
    const named = settings?.workloads.join() === this.settings.workloads.join();
    this.settings = settings ?? { workloads: [], ports: [] };
    for (const [key, slot] of [...this.slots]) {
      if (wanted.has(key)) continue;
      this.slots.delete(key);
      slot.drain();
    }
    for (const [key, endpoint] of wanted) {
      const slot = this.slots.get(key);
      if (!slot) this.slots.set(key, new Slot(this, endpoint));
      else slot.update(endpoint, !named);
    }
    this.look(this.slots.size > 0);
  }

  private look(needed: boolean): void {
    if (!needed) {
      clearInterval(this.looking);
      this.looking = undefined;
    } else
      this.looking ??= setInterval(() => {
        for (const slot of this.slots.values()) slot.renew();
      }, LOOK_MS);
  }

  /** Gateways are asked to open no further connection. */
  drain(): void {
    this.stopping = true;
    for (const slot of this.slots.values()) slot.drain();
    this.look(false);
  }

  stop(): void {
    this.stopping = true;
    for (const slot of this.slots.values()) slot.destroy();
    this.slots.clear();
    this.look(false);
  }

  /** For the admin server. */
  states(): DiallerState[] {
    return [...this.slots.values()].map((slot) => slot.state);
  }
}

/** One of the connections that are kept to a gateway. */
class Slot implements ServedTunnelOwner {
  private readonly dialler: TunnelDialler;
  private endpoint: Endpoint;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private dialling: Dialling | undefined;
  private current: ServedTunnel | undefined;
  /** Their connections end; another tunnel has taken their place. */
  private readonly leaving = new Set<ServedTunnel>();
  private context: TlsContext | undefined;
  private ready = false;
  private openedAt = 0;
  private attempt = 0;
  private over = false;
  private served = 0;

  constructor(dialler: TunnelDialler, endpoint: Endpoint) {
    this.dialler = dialler;
    this.endpoint = endpoint;
    // Many workloads may get their gateways at the same moment.
    this.dialLater(dialler.host.random() * SHORTEST_MS);
  }

  get state(): DiallerState {
    return { gateway: this.endpoint.id, ready: this.ready, served: this.served };
  }

  update(endpoint: Endpoint, renamed: boolean): void {
    this.endpoint = endpoint;
    if (renamed) this.replace();
  }

  /** Follows a rotation of certificates. */
  renew(): void {
    if (this.current && this.ready && this.endpoint.tls('raw') !== this.context) this.replace();
  }

  /** The next tunnel is dialled, and this one ends once that is there. */
  private replace(): void {
    if (this.over || this.dialling || !this.current) return;
    clearTimeout(this.timer);
    this.dial();
  }

  private dialLater(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.dial(), ms);
  }

  private dialAgain(): void {
    if (this.over) return;
    const longest = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** Math.min(this.attempt++, 20));
    this.dialLater(longest * (0.5 + this.dialler.host.random() / 2));
  }

  private dial(): void {
    if (this.over) return;
    const { host, connectTimeoutMs } = this.dialler;
    const context = this.endpoint.tls('raw');
    // Never in plaintext: without its certificate the cluster connects to nothing.
    if (!context) {
      this.dialAgain();
      return;
    }
    this.dialling = dial(host, targetOf(this.endpoint, undefined), context, connectTimeoutMs, {
      onOpen: (connection) => {
        this.dialling = undefined;
        const before = this.current;
        if (before) this.leave(before);
        this.context = context;
        this.openedAt = host.monotonicMs();
        this.current = new ServedTunnel(
          connection,
          tunnelOptions(() => host.random()),
          this,
        );
        this.dialler.counts.total.value++;
      },
      onFailed: (reason, detail) => {
        this.dialling = undefined;
        this.failed(detail || reason);
      },
    });
  }

  private failed(detail: string): void {
    this.dialler.counts.failed.value++;
    // The first of a row.
    if (this.attempt === 0 && !this.over) this.dialler.log(`tunnel to gateway ${this.endpoint.id}: ${detail}`);
    this.dialAgain();
  }

  workloads(): readonly string[] {
    return this.dialler.settings.workloads;
  }

  readonly inbound: InboundListeners = (at) => {
    const { settings, inbound, counts } = this.dialler;
    const accept = settings.ports.includes(at.port) ? inbound(at) : undefined;
    if (!accept) return undefined;
    this.served++;
    counts.connections.value++;
    return accept;
  };

  onReady(tunnel: ServedTunnel): void {
    if (tunnel === this.current) this.setReady(true);
  }

  private setReady(ready: boolean): void {
    if (this.ready === ready) return;
    this.ready = ready;
    this.dialler.counts.active.value += ready ? 1 : -1;
  }

  /** Another one takes its place; the gateway may be gone for a while. */
  onLeaving(tunnel: ServedTunnel): void {
    if (tunnel !== this.current) return;
    this.leave(tunnel);
    this.dialAgain();
  }

  private leave(tunnel: ServedTunnel): void {
    this.leaving.add(tunnel);
    this.current = undefined;
    this.setReady(false);
    tunnel.drain();
  }

  onClosed(tunnel: ServedTunnel): void {
    if (this.leaving.delete(tunnel) || tunnel !== this.current) return;
    this.current = undefined;
    this.setReady(false);
    if (this.dialler.host.monotonicMs() - this.openedAt >= STABLE_MS) this.attempt = 0;
    if (!this.dialling) this.failed('the gateway closed it');
  }

  onInternalError(error: unknown): void {
    this.dialler.log(
      `tunnel to gateway ${this.endpoint.id}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }

  /** Takes no further connection. */
  drain(): void {
    this.end();
    if (this.current) this.leave(this.current);
  }

  destroy(): void {
    this.end();
    this.current?.destroy();
    for (const tunnel of this.leaving) tunnel.destroy();
  }

  private end(): void {
    this.over = true;
    clearTimeout(this.timer);
    this.dialling?.cancel();
  }
}
