/** The compilers a real proxy runs with. */

import { MISSING_DETAILS, type Missing } from '../../shared/xds/filters/missing.ts';
import { FAILED_CLOSED, failsClosed, type Wasm } from '../../shared/xds/filters/wasm.ts';
import type { Listener } from '../../shared/xds/listener.ts';
import { proxyAuthorization } from '../http/downstream/proxy-authorization.ts';
import { compileNetworkExtAuthz } from '../http/filters/ext-authz/network.ts';
import type { ClusterCounters } from '../http/filters/grpc-method-stats.ts';
import { HTTP_FILTERS } from '../http/filters/index.ts';
import { compileNetworkRbac } from '../http/filters/rbac/network.ts';
import type { CancelSignal } from '../http/request/cancellation.ts';
import type { ConnectionFilter } from '../listener/connection-filter.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { HttpProxyAccess } from '../settings/http-proxy-access.ts';
import type { OwnNode } from '../telemetry/own-node.ts';
import type { WorkloadLookup } from '../upstream/workload-metadata.ts';
import type { Compilers } from './apply.ts';
import { compileCluster } from './cluster/compile-cluster.ts';
import { compileHttpFilters } from './filter/compile-filters.ts';
import { filterRegistry } from './filter/filter-registry.ts';
import { compileRouteConfiguration } from './route/compile-routes.ts';

export interface CompilerEnv {
  readonly runtime: Runtime;
  /** Of this proxy's certificate; undefined where a static file gives it none. See JwtEnv. */
  readonly trustDomain: string | undefined;
  /** This proxy's node; absent: it tells peers nothing of itself. */
  readonly own?: OwnNode | undefined;
  /** The workloads behind its endpoints, by address; absent: none is looked up. */
  readonly workloads?: WorkloadLookup | undefined;
  /** Counters of clusters; absent: nothing reads them. */
  readonly stats?: ClusterCounters | undefined;
  /** Absent: there is no HTTP proxy. */
  readonly httpProxy?: HttpProxyAccess | undefined;
}

const refuseLog: Compilers['connectionLog'] = (listener) => {
  if (listener.accessLog?.length) throw new Error('accessLog: access logs are not supported here');
  return undefined;
};

/**
 * @param requestObservers makes the subscribers (metrics, access log) to the requests of one connection manager
 * @param connectionObservers the same for connections of one tcp_proxy
 * @param connectionLog makes the access log of a listener; without it, one that is configured is refused
 */
export function proxyCompilers(
  { runtime, trustDomain, own, workloads, stats, httpProxy }: CompilerEnv,
  requestObservers: Compilers['requestObservers'],
  connectionObservers: Compilers['connectionObservers'],
  connectionLog: Compilers['connectionLog'] = refuseLog,
): Compilers {
  const filters = filterRegistry(HTTP_FILTERS);
  const warn = onceEach(runtime.process.log);
  return {
    compileRoutes: (config) => compileRouteConfiguration(config, { env: runtime, filters }),
    filters,
    compileCluster,
    compileHttpFilters: (config, call) =>
      compileHttpFilters(
        config.httpFilters ?? [],
        {
          now: () => runtime.now(),
          random: () => runtime.random(),
          trustDomain,
          own,
          workloads,
          sleep,
          stats,
          managerCounter: stats?.ofManager && ((name) => stats.ofManager!(config.statPrefix, name)),
          warn,
          call,
        },
        filters,
      ),
    httpProxy: httpProxyOf(httpProxy),
    compileNetworkRbac,
    compileNetworkExtAuthz: (config, call, counters) => compileNetworkExtAuthz(config, { call, own, stats: counters }),
    compileNetworkWasm: (config) => wasmDenial(config, warn),
    compileNetworkMissing: (config) => missingDenial(config, warn),
    requestObservers,
    connectionObservers,
    connectionLog,
  };
}

/** Modules are not run here: connections end as the failure policy of the plugin says. */
function wasmDenial({ config = {} }: Wasm, warn: (line: string) => void): ConnectionFilter {
  const denial = failsClosed(config) ? { details: FAILED_CLOSED } : undefined;
  warn(
    `Wasm plugin ${config.name ?? ''} is not run: ${denial ? 'its connections are closed' : 'connections pass without it'}`,
  );
  return () => denial;
}

/** Where a filter is missing, connections are closed. */
function missingDenial({ filter, reason }: Missing, warn: (line: string) => void): ConnectionFilter {
  warn(`network filter ${filter} is not run (${reason}): its connections are closed`);
  return () => ({ details: MISSING_DETAILS });
}

/** Most lines that are kept to be written once each. */
const MAX_LINES = 1000;

function onceEach(log: (line: string) => void): (line: string) => void {
  const written = new Set<string>();
  return (line) => {
    if (written.has(line) || written.size >= MAX_LINES) return;
    written.add(line);
    log(line);
  };
}

/** The control plane chooses what the listener serves, this process who may use it. */
function httpProxyOf(access: HttpProxyAccess | undefined): Compilers['httpProxy'] {
  if (!access) return () => undefined;
  const added = { filters: access.credentials === undefined ? [] : [proxyAuthorization(access.credentials)] };
  return (listener) => (isHttpProxy(listener, access.port) ? added : undefined);
}

function isHttpProxy({ address, trafficDirection }: Listener, port: number): boolean {
  const at = address.socketAddress;
  return at?.address === '127.0.0.1' && at.portValue === port && trafficDirection !== 'INBOUND';
}

/** Ends early, without an error, on abort. */
function sleep(ms: number, signal: CancelSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
