/** The network filter of a tunnel gateway: connections of workloads become tunnels. */
import type { TunnelGateway } from '../../shared/xds/filters/tunnel.ts';
import type { DownstreamInfo } from '../http/request/request-context.ts';
import type { ConnectionFacts } from '../listener/filter-chain.ts';
import type { Reassign, Terminal } from '../listener/listener.ts';
import type { Connection } from '../runtime/runtime.ts';
import type { GatewayTunnel } from './gateway-tunnel.ts';
import { MOST_STREAMS } from './tunnel-options.ts';
import type { TunnelLimits, TunnelRegistry } from './tunnel-registry.ts';

const MOST_TUNNELS = 10_000;
const MOST_PER_WORKLOAD = 16;

interface Accepted {
  readonly downstream: DownstreamInfo;
  readonly facts: ConnectionFacts | undefined;
}

export class TunnelTerminal implements Terminal {
  private readonly tunnels: Pick<TunnelRegistry, 'accept'>;
  private readonly limits: TunnelLimits;
  private readonly open = new Map<GatewayTunnel, Accepted>();

  constructor(config: TunnelGateway, tunnels: Pick<TunnelRegistry, 'accept'>) {
    this.tunnels = tunnels;
    this.limits = {
      tunnels: config.maxTunnels ?? MOST_TUNNELS,
      tunnelsPerWorkload: config.maxTunnelsPerWorkload ?? MOST_PER_WORKLOAD,
      streamsPerTunnel: config.maxStreamsPerTunnel ?? MOST_STREAMS,
    };
  }

  accept(connection: Connection, downstream: DownstreamInfo, firstBytes?: Uint8Array, facts?: ConnectionFacts): void {
    // What a filter held back would have to be read first.
    if (firstBytes && firstBytes.length > 0) {
      connection.destroy(new Error('tunnel: unexpected bytes'));
      return;
    }
    for (const tunnel of this.open.keys()) if (tunnel.closed) this.open.delete(tunnel);
    const tunnel = this.tunnels.accept(connection, this.limits);
    if (tunnel) this.open.set(tunnel, { downstream, facts });
  }

  /** Tunnels stay where the next version of the listener takes them. */
  handOverTo(reassign: Reassign): (() => void) | undefined {
    const leaving: GatewayTunnel[] = [];
    for (const [tunnel, accepted] of [...this.open]) {
      const { facts, downstream } = accepted;
      const next = facts && reassign(facts, downstream);
      if (next === this) continue;
      this.open.delete(tunnel);
      if (next instanceof TunnelTerminal) next.open.set(tunnel, accepted);
      else leaving.push(tunnel);
    }
    for (const tunnel of leaving) tunnel.leave();
    if (leaving.length === 0) return undefined;
    return () => {
      for (const tunnel of leaving) tunnel.destroy();
    };
  }

  /** Workloads move to other gateways. */
  drain(): void {
    for (const tunnel of this.open.keys()) tunnel.leave();
  }

  closeAll(): void {
    for (const tunnel of this.open.keys()) tunnel.destroy();
    this.open.clear();
  }
}
