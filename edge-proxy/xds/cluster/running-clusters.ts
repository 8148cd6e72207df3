/** The clusters that run, and the endpoints that EDS gives them. */
import type { Cluster as ClusterConfig, ClusterLoadAssignment } from '../../../shared/xds/cluster.ts';
import type { Cluster } from '../../upstream/cluster.ts';
import type { ClusterDeps } from './compile-cluster.ts';

export interface RunningCluster extends Cluster {
  close(): void;
  /**
   * Replaces the endpoints of an EDS cluster in place: connections, health checks, ejections and the balancer go on.
   * @returns false where that needs a new version of the cluster; nothing has changed then
   * @throws ConfigFault when an endpoint is refused; nothing has changed then
   */
  updateEndpoints(assignment: ClusterLoadAssignment): boolean;
}

/** See compileCluster. */
export type CompileCluster = (
  config: ClusterConfig,
  assignment: ClusterLoadAssignment | undefined,
  deps: ClusterDeps,
) => RunningCluster;

export class RunningClusters {
  readonly byName = new Map<string, RunningCluster>();
  private readonly compile: CompileCluster;
  private readonly deps: Omit<ClusterDeps, 'previous'>;
  /** The last accepted assignment of a service name. */
  private readonly assignmentOf: (serviceName: string) => ClusterLoadAssignment | undefined;
  /** EDS service name -> the clusters that take its endpoints, by name. */
  private readonly byService = new Map<string, Map<string, ClusterConfig>>();
  /** Cluster name -> EDS service name. */
  private readonly services = new Map<string, string>();

  constructor(
    compile: CompileCluster,
    deps: Omit<ClusterDeps, 'previous'>,
    assignmentOf: (serviceName: string) => ClusterLoadAssignment | undefined,
  ) {
    this.compile = compile;
    this.deps = deps;
    this.assignmentOf = assignmentOf;
  }

  /** Runs a cluster, or the next version of it. @throws ConfigFault when it is refused; the one before stays */
  run(config: ClusterConfig): void {
    const service = config.type === 'EDS' ? config.edsClusterConfig?.serviceName || config.name : undefined;
    this.swap(config, service === undefined ? undefined : this.assignmentOf(service));
    if (this.services.get(config.name) !== service) this.leaveService(config.name);
    if (service === undefined) return;
    this.services.set(config.name, service);
    let clusters = this.byService.get(service);
    if (!clusters) this.byService.set(service, (clusters = new Map()));
    clusters.set(config.name, config);
  }

  /** Hands endpoints to the clusters of their service name. @throws ConfigFault when one refuses them */
  assign(assignment: ClusterLoadAssignment): void {
    for (const config of this.byService.get(assignment.clusterName)?.values() ?? [])
      if (!this.byName.get(config.name)!.updateEndpoints(assignment)) this.swap(config, assignment);
  }

  remove(name: string): void {
    this.byName.get(name)?.close();
    this.byName.delete(name);
    this.leaveService(name);
  }

  private swap(config: ClusterConfig, assignment: ClusterLoadAssignment | undefined): void {
    const previous = this.byName.get(config.name);
    const deps = previous ? { ...this.deps, previous } : this.deps;
    this.byName.set(config.name, this.compile(config, assignment, deps));
    previous?.close();
  }

  private leaveService(name: string): void {
    const service = this.services.get(name);
    if (service === undefined) return;
    this.services.delete(name);
    const clusters = this.byService.get(service)!;
    clusters.delete(name);
    if (clusters.size === 0) this.byService.delete(service);
  }
}
