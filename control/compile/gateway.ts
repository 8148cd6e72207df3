import type { FilterChain, Listener, NetworkFilter } from '../../shared/xds/listener.ts';
import type { Route, RouteConfiguration, VirtualHost } from '../../shared/xds/route.ts';
import { fields, namespaceOf, specOf, strings } from '../mesh/fields.ts';
import type { CompileContext } from './context.ts';
import { autoPassthroughChains, passthroughChains, tcpServerFilters } from './gateway-l4.ts';
import { familyOf, type GatewayServer, listenPort, serverHosts, serversByPort, sharedHosts } from './gateway-server.ts';
import { gatewayTlsSocket } from './gateway-tls.ts';
import { httpManager, TLS_INSPECTOR } from './http-manager.ts';
import { jwtSvidFilters } from './jwt-svid.ts';
import { chainOf, distinctChains } from './l4-routes.ts';
import type { Outbound } from './outbound.ts';
import { routeConfiguration, virtualServiceRoutes } from './routes.ts';
import { resolveGatewayName } from './virtual-service.ts';

export function gatewayOutbound(ctx: CompileContext): Outbound {
  const listeners: Listener[] = [];
  const routes: RouteConfiguration[] = [];
  for (const [port, servers] of serversByPort(ctx)) {
    const family = familyOf(servers[0]);
    const secured = family === 'tls';
    const usable = servers.filter((server) => familyOf(server) === family).slice(0, family === 'tcp' ? 1 : undefined);
    for (const server of servers)
      if (!usable.includes(server))
        ctx.note(`Gateway ${server.gateway}: port ${port} is already used with another protocol`);
    const built = chainsOf(ctx, family, port, usable);
    if (built.length === 0) continue;
    listeners.push(listener(ctx, port, usable[0]?.bind, built, secured));
    if (family === 'tcp') continue;
    const named = new Set(built.flatMap(({ filters }) => filters ?? []).map(routeNameOf));
    const names = secured ? usable.map((server) => server.routeName) : [`http.${listenPort(ctx, port)}`];
    for (const name of new Set(names)) {
      if (!named.has(name)) continue;
      const own = secured ? usable.filter((server) => server.routeName === name) : usable;
      routes.push(routeConfiguration(name, gatewayVirtualHosts(ctx, port, own)));
    }
  }
  return { listeners, routes };
}

/** The route configuration that a connection manager asks for; undefined for other filters. */
function routeNameOf({ typedConfig }: NetworkFilter): string | undefined {
  return typedConfig && 'rds' in typedConfig ? typedConfig.rds?.routeConfigName : undefined;
}

function chainsOf(
  ctx: CompileContext,
  family: 'http' | 'tcp' | 'tls',
  port: number,
  servers: readonly GatewayServer[],
): FilterChain[] {
  if (family === 'http') return [plainChain(ctx, listenPort(ctx, port))];
  if (family === 'tls') return tlsChains(ctx, servers);
  const filters = servers[0] && tcpServerFilters(ctx, servers[0]);
  return filters ? [chainOf(undefined, filters)] : [];
}

function listener(
  ctx: CompileContext,
  port: number,
  bind: string | undefined,
  filterChains: FilterChain[],
  secured: boolean,
): Listener {
  const target = listenPort(ctx, port);
  const address = bind ?? '0.0.0.0';
  return {
    name: `${address}_${target}`,
    address: { socketAddress: { address, portValue: target } },
    trafficDirection: 'OUTBOUND',
    filterChains,
    ...(secured && { listenerFilters: [TLS_INSPECTOR] }),
  };
}

/** @param listening the port the gateway listens on, `port` unless its Service maps it */
function manager(ctx: CompileContext, port: number, listening: number, rds: string) {
  return httpManager(ctx, {
    side: 'gateway',
    statPrefix: `outbound_0.0.0.0_${port};`,
    // Identity first: policies judge the principal it proves.
    policies: [...jwtSvidFilters(ctx), ...ctx.authorization(listening).http],
    routes: { rds },
  });
}

function plainChain(ctx: CompileContext, port: number): FilterChain {
  return { filters: [manager(ctx, port, port, `http.${port}`)], transportSocketConnectTimeout: '15s' };
}

/** The chains of servers that end or pass TLS on one port. */
function tlsChains(ctx: CompileContext, servers: readonly GatewayServer[]): FilterChain[] {
  const chains = servers.flatMap((server) => {
    if (server.kind === 'passthrough') return passthroughChains(ctx, server);
    if (server.kind === 'auto-passthrough') return autoPassthroughChains(ctx, server);
    const transportSocket = gatewayTlsSocket(ctx, server);
    const filters =
      server.kind === 'tls'
        ? tcpServerFilters(ctx, server)
        : [manager(ctx, server.port, listenPort(ctx, server.port), server.routeName)];
    if (!transportSocket || !filters) return [];
    const serverNames = serverHosts(server);
    const chain = chainOf(serverNames.includes('*') ? undefined : { serverNames }, filters);
    return [{ ...chain, transportSocket }];
  });
  // A name can lead to one chain only: the older Gateway's.
  return distinctChains(ctx, `port ${servers[0]?.port}`, chains);
}

/** The VirtualServices bound to these servers, by host; several for one host are joined, oldest first. */
function gatewayVirtualHosts(ctx: CompileContext, port: number, servers: readonly GatewayServer[]): VirtualHost[] {
  const hosts = new Map<string, VirtualHost>();
  const virtualHost = (hostname: string) => {
    const existing = hosts.get(hostname);
    if (existing) return existing;
    const created: VirtualHost = {
      name: `${hostname}:${port}`,
      domains: [hostname],
      routes: [],
      includeRequestAttemptCount: true,
    };
    hosts.set(hostname, created);
    return created;
  };
  for (const server of servers) {
    const found = new Set<string>();
    for (const vs of ctx.scope.virtualServices) {
      const namespace = namespaceOf(vs);
      const gateways = strings(specOf(vs)['gateways']).map((name) => resolveGatewayName(name, namespace));
      if (!gateways.includes(server.gateway)) continue;
      const shared = sharedHosts(ctx, vs, server);
      if (shared.length === 0) continue;
      const routes = virtualServiceRoutes(ctx, vs, server.gateway, server.port);
      for (const hostname of shared) {
        found.add(hostname);
        const host = virtualHost(hostname);
        host.routes = catchAllLast([...(host.routes ?? []), ...routes]);
      }
    }
    if (fields(server.tls)['httpsRedirect'] === true) {
      for (const hostname of found.size > 0 ? found : serverHosts(server)) virtualHost(hostname).requireTls = 'ALL';
    }
  }
  if (hosts.size === 0) return [{ name: `blackhole:${port}`, domains: ['*'] }];
  return [...hosts.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Routes that match everything go last, so that no VirtualService hides another's rules. */
function catchAllLast(routes: Route[]): Route[] {
  const isCatchAll = ({ match }: Route) =>
    match.prefix === '/' && !match.headers?.length && !match.queryParameters?.length;
  return [...routes.filter((route) => !isCatchAll(route)), ...routes.filter(isCatchAll)];
}
