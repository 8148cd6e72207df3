/** The tunnels of a proxy: as a gateway those that workloads behind NAT keep to it, as such a workload those that it keeps. */
import type { Cluster as ClusterConfig } from '../shared/xds/cluster.ts';
import { TUNNEL_CLUSTER, type TunnelGateway } from '../shared/xds/filters/tunnel.ts';
import type { Terminal } from './listener/listener.ts';
import type { Runtime } from './runtime/runtime.ts';
import type { Stats } from './telemetry/stats.ts';
import type { InboundListeners } from './tunnel/served-tunnel.ts';
import { TunnelDialler } from './tunnel/tunnel-dialler.ts';
import { TunnelDirectory } from './tunnel/tunnel-directory.ts';
import { TunnelRegistry } from './tunnel/tunnel-registry.ts';
import { gatewayCounts, workloadCounts } from './tunnel/tunnel-stats.ts';
import { TunnelTerminal } from './tunnel/tunnel-terminal.ts';
import { withTunnels } from './tunnel/with-tunnels.ts';
import { tunnelGatewaysOf } from './xds/cluster/compile-tunnel.ts';
import type { RunningCluster } from './xds/cluster/running-clusters.ts';

export class Tunnels {
  /** With connections to endpoints behind NAT by their tunnels. */
  readonly runtime: Runtime;
  inbound: InboundListeners = () => undefined;
  private readonly stats: Stats;
  private readonly directory: TunnelDirectory;
  private readonly registry: TunnelRegistry;
  /** Of the cluster of gateways: most proxies have none. */
  private dialler: TunnelDialler | undefined;
  private gateways: RunningCluster | undefined;

  constructor(runtime: Runtime, stats: Stats, clusters: () => Iterable<RunningCluster>) {
    const { log } = runtime.process;
    this.stats = stats;
    this.directory = new TunnelDirectory(clusters);
    const counts = () => gatewayCounts(stats.scope('tunnel', 'gateway'));
    this.registry = new TunnelRegistry(runtime, this.directory, counts, (line) => log(line));
    this.runtime = withTunnels(runtime, this.registry);
  }

  /** @returns what takes the connections of workloads */
  terminal(config: TunnelGateway): Terminal {
    this.directory.onChanged = () => this.registry.recheck();
    return new TunnelTerminal(config, this.registry);
  }

  /** A cluster runs, or its next version. @throws ConfigError naming the field */
  runs(config: ClusterConfig, cluster: RunningCluster): void {
    this.changed();
    if (config.name !== TUNNEL_CLUSTER) return;
    const settings = tunnelGatewaysOf(config);
    if (!settings) return;
    this.gateways = cluster;
    const { log } = this.runtime.process;
    this.dialler ??= new TunnelDialler(
      this.runtime,
      (at) => this.inbound(at),
      workloadCounts(this.stats.scope('tunnel', 'workload')),
      (line) => log(line),
    );
    this.dialler.follow(settings, cluster);
  }

  closed(cluster: RunningCluster): void {
    this.changed();
    if (this.gateways !== cluster) return;
    this.gateways = undefined;
    this.dialler?.follow(undefined, undefined);
  }

  /** Endpoints of a cluster have changed. */
  changed(): void {
    this.directory.changed();
  }

  /** Gateways open no further connection to this workload. Those of this proxy drain with their listener. */
  drain(): void {
    this.dialler?.drain();
  }

  close(): void {
    this.directory.close();
    this.dialler?.stop();
  }
}
