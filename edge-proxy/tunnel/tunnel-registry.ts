/** The tunnels of a gateway, by the workloads that they lead to. */
import type {
  Clock,
  Connection,
  ConnectionEnds,
  ConnectionHandler,
  DialTarget,
  TunnelTarget,
} from '../runtime/runtime.ts';
import { GatewayTunnel, type GatewayTunnelOwner } from './gateway-tunnel.ts';
import { targetText } from './protocol.ts';
import { TunnelDial } from './tunnel-dial.ts';
import { tunnelOptions } from './tunnel-options.ts';
import type { TunnelCounts } from './tunnel-stats.ts';

export interface TunnelLimits {
  readonly tunnels: number;
  readonly tunnelsPerWorkload: number;
  readonly streamsPerTunnel: number;
}

/** The workloads that the control plane says are behind NAT, with the SPIFFE ids that they may have. */
export interface KnownWorkloads {
  identitiesOf(workload: string): readonly string[] | undefined;
}

export interface TunnelState {
  readonly workloads: readonly string[];
  readonly identity: string;
  readonly address: string;
  readonly streams: number;
  readonly served: number;
  readonly ageMs: number;
  readonly leaving: boolean;
}

/** A workload may be known to its proxy before it is known here: for so long its tunnel waits, milliseconds. */
const UNKNOWN_MS = 10_000;
/** Tunnels of one identity that are not known to serve a workload yet: others have places, too. */
const MOST_WAITING = 64;
/** Names of workloads must have come by then. */
const HELLO_MS = 10_000;
/** Timers hold at most 2^31 ms. */
const LONGEST_TIMER_MS = 2_147_000_000;

export class TunnelRegistry implements GatewayTunnelOwner {
  private readonly clock: Pick<Clock, 'monotonicMs' | 'now'>;
  private readonly random: () => number;
  private readonly known: KnownWorkloads;
  private readonly makeCounts: () => TunnelCounts;
  private made: TunnelCounts | undefined;
  private readonly log: (line: string) => void;
  /** None is open. */
  get empty(): boolean {
    return this.open.size === 0;
  }

  private readonly open = new Map<GatewayTunnel, TunnelLimits>();
  private readonly byWorkload = new Map<string, GatewayTunnel[]>();
  /** Those whose workloads are not known, with what ends their wait. */
  private readonly unknown = new Map<GatewayTunnel, ReturnType<typeof setTimeout>>();
  /** Tunnels that no workload has yet, with their identity, and how many each identity has. */
  private readonly waits = new Map<GatewayTunnel, string>();
  private readonly waiting = new Map<string, number>();
  private readonly expiries = new Map<GatewayTunnel, ReturnType<typeof setTimeout>>();
  private readonly timers = new Map<GatewayTunnel, ReturnType<typeof setTimeout>>();

  constructor(
    host: Pick<Clock, 'monotonicMs' | 'now'> & { random(): number },
    known: KnownWorkloads,
    counts: () => TunnelCounts,
    log: (line: string) => void,
  ) {
    this.clock = host;
    this.random = () => host.random();
    this.known = known;
    this.makeCounts = counts;
    this.log = log;
  }

  /** Made with the first tunnel: most proxies have none. */
  private get counts(): TunnelCounts {
    return (this.made ??= this.makeCounts());
  }

  /**
   * Takes over an accepted connection whose peer TLS has verified as a workload of the mesh.
   * @returns undefined: it was closed, there are too many
   */
  accept(connection: Connection, limits: TunnelLimits): GatewayTunnel | undefined {
    const { tls } = connection;
    const [identity] = tls?.peerUris ?? [];
    const waiting = this.waiting.get(identity ?? '') ?? 0;
    if (identity === undefined || waiting >= MOST_WAITING || this.open.size >= limits.tunnels) {
      this.counts.refused.value++;
      connection.destroy(new Error('tunnel: the limit of tunnels is reached'));
      return undefined;
    }
    const options = tunnelOptions(this.random, limits.streamsPerTunnel);
    const tunnel: GatewayTunnel = new GatewayTunnel(connection, options, this, this.clock.monotonicMs());
    this.open.set(tunnel, limits);
    this.waiting.set(identity, waiting + 1);
    this.waits.set(tunnel, identity);
    this.counts.active.value++;
    this.counts.total.value++;
    this.timers.set(
      tunnel,
      setTimeout(() => tunnel.destroy(), HELLO_MS),
    );
    this.closeAtExpiry(tunnel, tls?.peerNotAfter);
    return tunnel;
  }

  /** It is admitted or closed. */
  private endWaiting(tunnel: GatewayTunnel): void {
    const identity = this.waits.get(tunnel);
    if (identity === undefined) return;
    this.waits.delete(tunnel);
    const left = (this.waiting.get(identity) ?? 1) - 1;
    if (left > 0) this.waiting.set(identity, left);
    else this.waiting.delete(identity);
  }

  /** The workload replaces its tunnels when its certificate is renewed, long before. */
  private closeAtExpiry(tunnel: GatewayTunnel, notAfter: number | undefined): void {
    if (notAfter === undefined) return;
    const left = Math.max(0, notAfter - this.clock.now());
    const again = () => (left > LONGEST_TIMER_MS ? this.closeAtExpiry(tunnel, notAfter) : tunnel.destroy());
    this.expiries.set(tunnel, setTimeout(again, Math.min(left, LONGEST_TIMER_MS)));
  }

  onHello(tunnel: GatewayTunnel): void {
    this.stopTimer(this.timers, tunnel);
    if (this.admit(tunnel)) return;
    this.unknown.set(
      tunnel,
      setTimeout(() => this.refuse(tunnel), UNKNOWN_MS),
    );
  }

  private refuse(tunnel: GatewayTunnel): void {
    this.counts.refused.value++;
    const [identity = ''] = tunnel.identities;
    this.log(`tunnel of ${identity} from ${tunnel.address}: ${tunnel.workloads.join(', ')} is no workload behind NAT`);
    tunnel.destroy();
  }

  /** Its identity is that of one of the workloads that it names. @returns false: of none that is known */
  private admit(tunnel: GatewayTunnel): boolean {
    const admitted = tunnel.workloads.filter((workload) => this.mayServe(tunnel, workload));
    for (const workload of admitted) this.add(workload, tunnel);
    if (admitted.length > 0) this.endWaiting(tunnel);
    return admitted.length > 0;
  }

  private mayServe({ identities }: GatewayTunnel, workload: string): boolean {
    const allowed = this.known.identitiesOf(workload);
    return allowed !== undefined && identities.some((identity) => allowed.includes(identity));
  }

  private add(workload: string, tunnel: GatewayTunnel): void {
    const tunnels = this.byWorkload.get(workload) ?? [];
    if (tunnels.includes(tunnel)) return;
    tunnels.push(tunnel);
    this.byWorkload.set(workload, tunnels);
    const { tunnelsPerWorkload } = this.open.get(tunnel)!;
    if (tunnels.length > tunnelsPerWorkload) tunnels[0]!.leave();
  }

  /** The workloads that are known have changed: tunnels of those that are not any more take no further connection. */
  recheck(): void {
    for (const [tunnel, timer] of [...this.unknown]) {
      if (!this.admit(tunnel)) continue;
      clearTimeout(timer);
      this.unknown.delete(tunnel);
    }
    for (const [workload, tunnels] of [...this.byWorkload]) {
      for (const tunnel of [...tunnels]) if (!this.mayServe(tunnel, workload)) this.withdraw(workload, tunnel);
    }
    for (const tunnel of this.open.keys())
      if (!this.unknown.has(tunnel) && tunnel.workloads.length > 0) this.admit(tunnel);
  }

  private withdraw(workload: string, tunnel: GatewayTunnel): void {
    this.forget(workload, tunnel);
    const serves = tunnel.workloads.some((other) => this.byWorkload.get(other)?.includes(tunnel));
    if (!serves) tunnel.leave();
  }

  private forget(workload: string, tunnel: GatewayTunnel): void {
    const left = this.byWorkload.get(workload)?.filter((other) => other !== tunnel) ?? [];
    if (left.length > 0) this.byWorkload.set(workload, left);
    else this.byWorkload.delete(workload);
  }

  onClosed(tunnel: GatewayTunnel): void {
    if (!this.open.delete(tunnel)) return;
    this.counts.active.value--;
    this.endWaiting(tunnel);
    for (const timers of [this.timers, this.unknown, this.expiries]) this.stopTimer(timers, tunnel);
    for (const workload of tunnel.workloads) this.forget(workload, tunnel);
  }

  private stopTimer(timers: Map<GatewayTunnel, ReturnType<typeof setTimeout>>, tunnel: GatewayTunnel): void {
    clearTimeout(timers.get(tunnel));
    timers.delete(tunnel);
  }

  /**
   * As Runtime.connect in plaintext: opens a connection by the tunnel of the workload that has the fewest streams. It fails at
   * once where there is none: another gateway may have one.
   */
  connect(
    to: DialTarget & { readonly tunnel: TunnelTarget },
    handler: ConnectionHandler,
    onOpen: (connection: Connection) => void,
  ): Connection {
    const dial = new TunnelDial(handler, onOpen);
    const tunnel = this.choose(to.tunnel);
    if (!tunnel) {
      this.counts.noTunnel.value++;
      dial.failLater(new Error(`no tunnel of the workload ${to.tunnel.workload}`));
      return dial;
    }
    this.counts.streams.value++;
    const ends: ConnectionEnds = {
      remoteAddress: to.address,
      remotePort: to.port,
      localAddress: tunnel.address,
      localPort: 0,
    };
    dial.cancels(tunnel.open(targetText(to), ends, to.tunnel.client, dial));
    return dial;
  }

  private choose({ workload, identities }: TunnelTarget): GatewayTunnel | undefined {
    let best: GatewayTunnel | undefined;
    for (const tunnel of this.byWorkload.get(workload) ?? []) {
      if (!tunnel.takesStreams || !tunnel.identities.some((identity) => identities.includes(identity))) continue;
      if (best === undefined || tunnel.streams < best.streams) best = tunnel;
    }
    return best;
  }

  /** For the admin server. */
  states(): TunnelState[] {
    const now = this.clock.monotonicMs();
    return [...this.open.keys()].map((tunnel) => ({
      workloads: tunnel.workloads,
      identity: tunnel.identities[0] ?? '',
      address: tunnel.address,
      streams: tunnel.streams,
      served: tunnel.served,
      ageMs: now - tunnel.openedAt,
      leaving: tunnel.leaving || this.unknown.has(tunnel),
    }));
  }
}
