/** The HTTP filters of a connection manager, xDS -> runtime, in their order. */
import type { HttpFilter as XdsHttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import { ConfigFault } from '../../config-error.ts';
import { createBufferFilter } from '../../http/filters/buffer.ts';
import { createCorsFilter } from '../../http/filters/cors.ts';
import { createFaultFilter } from '../../http/filters/fault.ts';
import { createJwtAuthnFilter } from '../../http/filters/jwt-authn.ts';
import { createRbacFilter } from '../../http/filters/rbac.ts';
import type { RouteEntry, RouteTable } from '../../http/route-table.ts';
import type { HttpFilter, RequestContext } from '../../http/stream.ts';
import { compileHold } from './compile-per-filter.ts';

export { compileNetworkRbac } from '../../http/filters/rbac.ts';

export interface FilterEnv {
  /** Milliseconds since the epoch. */
  now(): number;
  /** [0, 1) */
  random(): number;
  /** Of this proxy: see JwtEnv. */
  trustDomain?: string;
  /** Default: a timer. */
  sleep?(ms: number): Promise<void>;
  /** The connection manager's current table: fault and cors are judged by the route. */
  routes(): RouteTable | undefined;
}

const TYPE = 'type.googleapis.com/envoy.extensions.filters.http.';

/** Throws ConfigFault where a filter cannot run as configured, or the router is not the last. */
export function compileHttpFilters(filters: readonly XdsHttpFilter[], env: FilterEnv): HttpFilter[] {
  const routerAt = filters.findIndex((filter) => filter.typedConfig['@type'] === `${TYPE}router.v3.Router`);
  if (filters.length > 0 && routerAt !== filters.length - 1)
    throw new ConfigFault('httpFilters', 'the last filter must be the router, and no other');
  return filters.flatMap((filter, i) => {
    try {
      return compileFilter(filter, env) ?? [];
    } catch (error) {
      const inner = error as Error;
      throw new ConfigFault(`httpFilters[${i}] (${filter.name})`, inner.message);
    }
  });
}

/** Undefined: nothing to do per request. */
function compileFilter(filter: XdsHttpFilter, env: FilterEnv): HttpFilter | undefined {
  const config = filter.typedConfig;
  const route = (request: RequestContext) => routeOf(request, env);
  switch (config['@type']) {
    case `${TYPE}rbac.v3.RBAC`:
      return createRbacFilter(config, route);
    case `${TYPE}fault.v3.HTTPFault`:
      return createFaultFilter({ random: env.random, sleep: env.sleep ?? sleep, route });
    case `${TYPE}cors.v3.Cors`:
      return createCorsFilter({ route });
    case `${TYPE}buffer.v3.Buffer`:
      return createBufferFilter(compileHold(config, ''), route);
    case `${TYPE}jwt_authn.v3.JwtAuthentication`:
      return createJwtAuthnFilter(config, env);
    // The cluster looks names up; the filter is there for Envoy.
    case `${TYPE}dynamic_forward_proxy.v3.FilterConfig`:
    case `${TYPE}grpc_stats.v3.FilterConfig`:
    case `${TYPE}router.v3.Router`:
      return undefined;
    default:
      throw new ConfigFault('typedConfig', 'is not supported');
  }
}

/** Looked up once per request, by whoever asks first. */
function routeOf(request: RequestContext, env: FilterEnv): RouteEntry | null {
  if (request.route === undefined) request.route = env.routes()?.match(request) ?? null;
  return request.route;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
