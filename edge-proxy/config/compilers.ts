/** The compilers a real proxy runs with. */
import type { Runtime } from '../runtime/runtime.ts';
import type { Compilers } from './apply.ts';
import { compileCluster } from './compile-cluster.ts';
import { compileHttpFilters, compileNetworkRbac } from './compile-filters.ts';
import { compileRouteConfiguration } from './compile-routes.ts';

/** @param onFinished makes the listener of finished requests (metrics, access log) of one connection manager */
export function proxyCompilers(runtime: Runtime, onFinished: Compilers['onFinished']): Compilers {
  return {
    compileRoutes: compileRouteConfiguration,
    compileCluster,
    compileHttpFilters: (config, routes) =>
      compileHttpFilters(config.httpFilters ?? [], { now: runtime.now, random: Math.random, routes }),
    compileNetworkRbac: (config) => {
      const judge = compileNetworkRbac(config);
      return (downstream) => judge(downstream).allowed;
    },
    onFinished,
  };
}
