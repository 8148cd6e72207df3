/** The real parts of a proxy joined together: compilers, telemetry, identity; for mesh and for static proxies. */
import { parseSpiffeId } from '../shared/identity/spiffe.ts';
import type { Node } from '../shared/xds/core.ts';
import { STATS_FILTER, STATS_TYPE, StatsConfig } from '../shared/xds/filters/istio-stats.ts';
import type { HttpConnectionManager } from '../shared/xds/http-connection-manager.ts';
import type { Listener } from '../shared/xds/listener.ts';
import type { Secret } from '../shared/xds/tls.ts';
import type { ListenerState } from './admin/admin.ts';
import { clusterStates } from './admin/clusters.ts';
import { serveAdmin } from './admin/server.ts';
import type { IdentityManager } from './control-client/identity.ts';
import { http2Protocol } from './http/codec/h2/upstream-connection.ts';
import type { ClusterCounters } from './http/filters/grpc-method-stats.ts';
import type { RequestContext } from './http/request/request-context.ts';
import type { RequestObserver } from './http/request/request-observer.ts';
import { OwnListeners, withoutOwnListeners } from './listener/own-listeners.ts';
import {
  adminOf,
  lifecycle,
  type ProcessActions,
  type ProxyPart,
  portsOf,
  type RunningProcess,
  readText,
} from './mesh-proxy.ts';
import { Admission } from './overload/admission.ts';
import { OverloadManager } from './overload/overload-manager.ts';
import { OverloadState } from './overload/overload-state.ts';
import { bootstrapLimits, meshLimits, type ProcessLimits } from './overload/process-limits.ts';
import { DataPlane } from './proxy.ts';
import type { Runtime } from './runtime/runtime.ts';
import type { HttpProxyAccess } from './settings/http-proxy-access.ts';
import type { InheritedSockets } from './settings/inherited-sockets.ts';
import { hostOf, type ProcessSettings, processSettings } from './settings/process-settings.ts';
import type { MeshSettings, StaticSettings } from './settings/settings.ts';
import { BootstrapError, loadBootstrap, runBootstrap } from './static.ts';
import { compileAccessLog } from './telemetry/access-log.ts';
import { tellHealthChecks } from './telemetry/health-check-stats.ts';
import type { Direction } from './telemetry/istio-labels.ts';
import { ownListenerRefusals } from './telemetry/own-listener-stats.ts';
import { type OwnNode, ownNode } from './telemetry/own-node.ts';
import { Stats } from './telemetry/stats.ts';
import { createTelemetry, type Telemetry } from './telemetry/telemetry.ts';
import { reportUpstreamHttp2 } from './telemetry/upstream-http2-stats.ts';
import { Tunnels } from './tunnels.ts';
import { WorkloadDirectory } from './upstream/workload-directory.ts';
import { WorkerPool } from './workers/pool.ts';
import { poolPart, workerInit } from './workers/pool-part.ts';
import type { Compilers } from './xds/apply.ts';
import { compileCluster } from './xds/cluster/compile-cluster.ts';
import type { RunningCluster } from './xds/cluster/running-clusters.ts';
import { type CompilerEnv, proxyCompilers } from './xds/compilers.ts';
import { readMessage } from './xds/read-message.ts';

/** What the control plane calls the cluster of the proxies like this one, as istiod does. */
const LOCAL_CLUSTER = 'local_cluster';

/** What a whole proxy is given: it has a node in any case. */
export type ProxyEnv = CompilerEnv & {
  readonly own: OwnNode;
  /** On which captured connections arrive; absent: none are captured. */
  readonly sockets?: InheritedSockets | undefined;
};

interface Assembled {
  readonly proxy: DataPlane;
  readonly part: ProxyPart;
  /** For the identity: `default`, `ROOTCA`. */
  readonly setSecrets: (secrets: readonly Secret[], principal: string) => void;
}

const pooled = (pool: WorkerPool): Pick<Assembled, 'part' | 'setSecrets'> => ({
  part: poolPart(pool),
  setSecrets: (secrets, principal) => pool.setSecrets(secrets, principal),
});

/** @param principal the SPIFFE id of this proxy; '' before it has one */
export function assemble(
  env: ProxyEnv,
  version: string,
  principal: () => string,
  limits: ProcessLimits,
  sharesPorts = false,
): Assembled {
  const stats = new Stats();
  const own = new OwnListeners(env.runtime);
  const { log } = env.runtime.process;
  const refused = ownListenerRefusals(stats, log, () => env.runtime.monotonicMs());
  const clusters = new Map<string, RunningCluster>();
  const tunnels = new Tunnels(withoutOwnListeners(env.runtime, own, refused), stats, () => clusters.values());
  const { runtime } = tunnels;
  const workloads = new WorkloadDirectory(() => clusters.values(), runtime);
  const telemetry = createTelemetry({
    runtime,
    version,
    own: { workload: env.own.workload, principal },
    workloads,
    clusters: () => clusters.values(),
  });
  const random = () => runtime.random();
  const shed = new OverloadState(random);
  const admission = new Admission(stats, shed, limits.connections, limits.drainMs, limits.closeOnExpiry);
  tellHealthChecks(stats, () => clusters.values());
  reportUpstreamHttp2(stats, () => clusters.values());
  admission.sharesPorts = sharesPorts;
  const proxy = new DataPlane(runtime, {
    compilers: compilersOf(
      { ...env, runtime, workloads, stats: countersOf(stats) },
      telemetry,
      clusters,
      workloads,
      tunnels,
    ),
    admission,
    fetchLimits: limits.fetches,
    sockets: env.sockets,
  });
  tunnels.inbound = (at) => proxy.inboundAt(at);
  const overload =
    limits.overload &&
    new OverloadManager(limits.overload, runtime, admission.overload, stats, () => proxy.applyTimerScale());
  const part: ProxyPart = {
    apply: (changes) => proxy.apply(changes),
    listeners: () => [...proxy.bound].map(([name, at]): ListenerState => ({ name, ...at })),
    clusters: () => clusterStates(clusters.values()),
    // Dumps are already in xDS JSON; their types are those of the resources they were made from.
    config: () => proxy.configDump() as never,
    drain(ms) {
      tunnels.drain();
      return proxy.drain(ms);
    },
    drainListeners: (options) => proxy.drainListeners(options),
    certificates: () => proxy.secrets.held(),
    setHealthy: (healthy) => proxy.setHealthy(healthy),
    draining: () => proxy.draining,
    revokePeers: (serials) => runtime.revokePeers(new Set(serials)),
    refuseConnectionsTo: (listener) => void own.add(listener),
    exposition: () => telemetry.metrics.expose() + stats.expose(),
    statistics: () => stats.entries(),
    onWanted: (want) => proxy.onWanted(want),
    takeUsed: () => proxy.takeUsed(),
    close: () => {
      overload?.stop();
      tunnels.close();
      return proxy.stop();
    },
  };
  const setSecrets = (secrets: readonly Secret[]) => {
    for (const secret of secrets) proxy.secrets.set(secret);
  };
  return { proxy, part, setSecrets };
}

function countersOf(stats: Stats): ClusterCounters {
  return {
    counter: (cluster, name) => stats.scope('cluster', cluster).counter(name),
    ofManager: (statPrefix, name) => stats.scope('http', statPrefix).counter(name),
  };
}

function compilersOf(
  env: CompilerEnv,
  telemetry: Telemetry,
  clusters: Map<string, RunningCluster>,
  workloads: WorkloadDirectory,
  tunnels: Tunnels,
): Compilers {
  const { runtime, own } = env;
  const local = own?.localCluster ?? LOCAL_CLUSTER;
  const zone = {
    locality: own?.locality ?? '',
    byDefault: own?.localCluster !== undefined,
    localCluster: () => clusters.get(local),
  };
  const requestObservers: Compilers['requestObservers'] = (listener, config) => {
    const metrics = telemetry.requestObserver(directionOf(listener), managerStats(config));
    const log = compileAccessLog(config.accessLog ?? [], telemetry.sinks);
    return log ? [metrics, ofServed((request) => log(request, request.endMs))] : [metrics];
  };
  const connectionObservers: Compilers['connectionObservers'] = (listener, config) => {
    const metrics = telemetry.connectionObserver(directionOf(listener), listenerStats(listener));
    const log = compileAccessLog(config.accessLog ?? [], telemetry.sinks);
    return log ? [metrics, { closed: (connection) => log(connection, connection.endMs) }] : [metrics];
  };
  const connectionLog: Compilers['connectionLog'] = (listener) => {
    const log = compileAccessLog(listener.accessLog ?? [], telemetry.sinks);
    return log && ((connection) => log(connection, runtime.monotonicMs()));
  };
  return {
    ...proxyCompilers(env, requestObservers, connectionObservers, connectionLog),
    compileTunnels: (config) => tunnels.terminal(config),
    compileCluster(config, assignment, deps) {
      const http2 = { protocol: http2Protocol, random: () => env.runtime.random() };
      const compiled = compileCluster(config, assignment, { ...deps, http2, zone });
      const close = compiled.close.bind(compiled);
      const updateEndpoints = compiled.updateEndpoints.bind(compiled);
      compiled.close = () => {
        if (clusters.get(compiled.name) === compiled) clusters.delete(compiled.name);
        workloads.changed();
        tunnels.closed(compiled);
        close();
      };
      compiled.updateEndpoints = (next) => {
        workloads.changed();
        const updated = updateEndpoints(next);
        tunnels.changed();
        return updated;
      };
      clusters.set(compiled.name, compiled);
      workloads.changed();
      tunnels.runs(config, compiled);
      return compiled;
    },
  };
}

/** As the metrics: each request once. */
function ofServed(log: (request: RequestContext) => void): RequestObserver {
  return {
    finished: (request) => {
      if (!request.carriesRequests) log(request);
    },
  };
}

/** A static proxy does not start where something is refused. */
const NONE: ReadonlyMap<string, string> = new Map();

/** istio.stats of a connection manager. */
function managerStats({ httpFilters = [] }: HttpConnectionManager): StatsConfig | undefined {
  const found = httpFilters.find(({ typedConfig, disabled }) => !disabled && typedConfig['@type'].endsWith(STATS_TYPE));
  return found && (found.typedConfig as StatsConfig);
}

/** The same for connections. @throws ConfigError naming the field */
function listenerStats({ metadata }: Listener): StatsConfig | undefined {
  const written = metadata?.filterMetadata?.[STATS_FILTER];
  return (
    written &&
    readMessage({ '@type': STATS_TYPE, ...written }, StatsConfig, {}, `metadata.filter_metadata["${STATS_FILTER}"]`)
  );
}

const directionOf = (listener: Listener): Direction =>
  listener.trafficDirection === 'INBOUND' ? 'inbound' : 'outbound';

/** A renewed certificate is of the same SPIFFE id, so this holds for the proxy's life. */
function trustDomainOf(identity: IdentityManager): string | undefined {
  return identity.current && parseSpiffeId(identity.current.spiffeId).trustDomain;
}

/** What a mesh proxy is given by its process, besides its settings. */
export interface GivenToProcess {
  /** Undefined: there is no HTTP proxy. */
  readonly httpProxy: HttpProxyAccess | undefined;
  /** Undefined: no connections are captured. */
  readonly sockets: InheritedSockets | undefined;
}

/** The proxy part of a mesh proxy: its secrets `default` and `ROOTCA` follow the identity. */
export function meshProxyPart(
  runtime: Runtime,
  version: string,
  settings: MeshSettings,
  { httpProxy, sockets }: GivenToProcess,
) {
  return (identity: IdentityManager, { workers, drainMs, maxConnections }: ProcessSettings, node: Node): ProxyPart => {
    const name = settings.name ?? settings['service-account'];
    // Of the cluster as the control plane names it for proxies that name none.
    const own = ownNode(node, { app: name, cluster: 'Kubernetes' });
    const env = { runtime, trustDomain: trustDomainOf(identity), own, httpProxy, sockets };
    const principal = () => identity.current?.spiffeId ?? '';
    const limits = meshLimits({ ...settings, 'max-connections': maxConnections }, drainMs);
    const { part, setSecrets } =
      workers > 1
        ? pooled(new WorkerPool(runtime, workers, workerInit(version, own, env, limits, workers)))
        : assemble(env, version, principal, limits);
    const follow = () => {
      const held = identity.current;
      if (!held) return;
      const { certificateChain, privateKey } = held.keyPair;
      const own: Secret = {
        name: 'default',
        tlsCertificate: {
          certificateChain: { inlineString: certificateChain },
          privateKey: { inlineString: privateKey },
        },
      };
      const roots: Secret = { name: 'ROOTCA', validationContext: { trustedCa: { inlineString: held.trustBundle } } };
      setSecrets([own, roots], held.spiffeId);
    };
    follow();
    identity.subscribe(follow);
    return part;
  };
}

/** `-c FILE`. @throws Error naming every violation in the file */
export async function startStaticProxy(
  runtime: Runtime,
  version: string,
  settings: StaticSettings,
  actions: ProcessActions,
  sockets?: InheritedSockets,
): Promise<RunningProcess> {
  const text = await readText(runtime, settings.config, '--config');
  const refused = (error: unknown): never => {
    throw error instanceof BootstrapError ? new Error(`--config ${settings.config}: ${error.message}`) : error;
  };
  const bootstrap = await Promise.resolve(text).then(loadBootstrap).catch(refused);
  const nodeId = bootstrap.node?.id ?? 'static';
  const { localClusterName } = bootstrap.clusterManager ?? {};
  const node = {
    ...ownNode({ ...bootstrap.node, id: nodeId }, { app: bootstrap.node?.cluster ?? '' }),
    ...(localClusterName && { localCluster: localClusterName }),
  };
  const taken = processSettings(settings, {}, hostOf(runtime));
  const { workers, drainMs } = taken;
  const limits = bootstrapLimits(bootstrap, settings, drainMs);
  const env = { runtime, trustDomain: undefined, own: node, sockets };
  const { part } =
    workers > 1
      ? pooled(new WorkerPool(runtime, workers, workerInit(version, node, env, limits, workers)))
      : assemble(env, version, () => '', limits);
  await runBootstrap(part, bootstrap).catch(refused);
  const life = lifecycle(part, taken, async () => {});
  const own = { failure: () => undefined, metrics: () => '', refused: () => NONE };
  const state = { ready: () => true, draining: life.draining, ...actions, taken, ...own };
  const at = bootstrap.admin?.address?.socketAddress;
  const port = settings['admin-port'] ?? at?.portValue ?? settings.defaultAdminPort;
  const admin = adminOf({ runtime, version }, part, nodeId, state);
  const adminAddress = at?.address ?? settings['admin-address'];
  life.listening = await serveAdmin(runtime, adminAddress, port, admin, taken.statsCompression);
  part.refuseConnectionsTo(life.listening);
  const { port: adminPort } = life.listening;
  return { adminPort, ready: Promise.resolve(), ports: () => portsOf(part), stop: life.stop };
}
