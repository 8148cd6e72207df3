/** What the workload calls: listeners per service port, and their route configurations. */
import type { HttpFilter } from '../../shared/xds/http-connection-manager.ts';
import type { FilterChain, Listener } from '../../shared/xds/listener.ts';
import type { RouteConfiguration } from '../../shared/xds/route.ts';
import { isHttp } from '../mesh/protocol.ts';
import type { MeshService, ServicePort } from '../mesh/view.ts';
import { BLACK_HOLE, dnsCache, PASSTHROUGH } from './clusters.ts';
import { type CompileContext, detectionTimeout } from './context.ts';
import { HTTP_INSPECTOR, httpManager, TLS_INSPECTOR, tcpProxy } from './http-manager.ts';
import { wildcard } from './inbound.ts';
import { distinctChains, isTlsPort, serviceChains, usesSni, withDefault } from './l4-routes.ts';
import { httpPorts, httpProxyRoutes, routeConfiguration, servesHttp, sidecarVirtualHosts } from './routes.ts';
import { httpFilter } from './wire.ts';

export interface Outbound {
  listeners: Listener[];
  routes: RouteConfiguration[];
}

const HTTP_PROXY_ADDRESS = '127.0.0.1';

interface TcpTarget {
  service: MeshService;
  port: ServicePort;
}

/** Ports that are not HTTP, in the order of their services. */
function tcpTargets(ctx: CompileContext): TcpTarget[] {
  return ctx.scope.services.flatMap((service) =>
    service.ports
      .filter((port) => !isHttp(port.protocol) && port.protocol !== 'UDP')
      .map((port) => ({ service, port })),
  );
}

/**
 * Without capture: one listener a port number on the outbound bind address. HTTP first: it can serve many services;
 * of several TCP services on one port only TLS ones can share it, told apart by SNI, else the first has it.
 * @param served ports that get no listener: workloads of this host serve them
 */
export function boundOutbound(ctx: CompileContext, served: ReadonlySet<number>): Outbound {
  const bind = ctx.proxy.outboundBind;
  const listeners: Listener[] = [];
  const routes: RouteConfiguration[] = [];
  const add = (port: number, chains: FilterChain[], address = bind) => {
    const name = `${address}_${port}`;
    listeners.push({
      name,
      address: { socketAddress: { address, portValue: port } },
      trafficDirection: 'OUTBOUND',
      ...withDefault(chains),
      ...(usesSni(chains) && { listenerFilters: [TLS_INSPECTOR] }),
      listenerFiltersTimeout: detectionTimeout(ctx),
      continueOnListenerFiltersTimeout: true,
    });
  };
  const ports = httpPorts(ctx);
  for (const port of ports) {
    if (served.has(port)) {
      ctx.note(`${leftOut(bind, port)}; call HTTP services on it through the HTTP proxy (--http-proxy-port)`);
      continue;
    }
    routes.push(routeConfiguration(String(port), sidecarVirtualHosts(ctx, port)));
    add(port, [httpChain(ctx, `${bind}_${port}`, String(port))]);
  }
  const byPort = new Map<number, TcpTarget[]>();
  for (const target of tcpTargets(ctx)) {
    const { number } = target.port;
    if (ports.includes(number)) {
      ctx.note(`${target.service.hostname}:${number} has no listener: HTTP services use that port`);
      continue;
    }
    byPort.set(number, [...(byPort.get(number) ?? []), target]);
  }
  for (const [number, targets] of byPort) {
    if (served.has(number)) {
      const called = targets.map(({ service }) => service.hostname).join(', ');
      ctx.note(
        `${leftOut(bind, number)}; to call ${called}, run the caller on another host, or change one of the ports`,
      );
      continue;
    }
    add(number, tcpChains(ctx, `${bind}_${number}`, targets, targets.length > 1));
  }
  const proxyPort = ctx.proxy.httpProxyPort;
  if (proxyPort !== undefined) {
    // Loopback whatever the others bind to: an application's `http_proxy` is fixed, as in Istio.
    const name = `${HTTP_PROXY_ADDRESS}_${proxyPort}`;
    if (served.has(proxyPort)) ctx.note(`${leftOut(HTTP_PROXY_ADDRESS, proxyPort)}; choose another HTTP_PROXY_PORT`);
    else {
      add(proxyPort, [httpChain(ctx, name, 'http_proxy')], HTTP_PROXY_ADDRESS);
      routes.push(httpProxyRoutes(ctx));
    }
  }
  return { listeners: unique(ctx, listeners), routes };
}

function leftOut(address: string, port: number): string {
  return `no outbound listener ${address}_${port}: a workload of this host serves port ${port}`;
}

function unique(ctx: CompileContext, listeners: Listener[]): Listener[] {
  const seen = new Set<string>();
  return listeners.filter((listener) => {
    if (!seen.has(listener.name)) return seen.add(listener.name);
    ctx.note(`listener ${listener.name}: the port is taken by another one`);
    return false;
  });
}

/** Looks names up for services of resolution DYNAMIC_DNS at these ports. */
function dynamicDnsFilters(ctx: CompileContext, ports: readonly number[]): HttpFilter[] {
  return ctx.scope.services
    .filter((service) => service.resolution === 'DYNAMIC_DNS' && ports.some((port) => servesHttp(service, port)))
    .map((service) =>
      httpFilter(
        'envoy.filters.http.dynamic_forward_proxy',
        'envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig',
        { dnsCacheConfig: dnsCache(service) },
      ),
    );
}

function httpChain(ctx: CompileContext, listener: string, rds: string): FilterChain {
  const ports = rds === 'http_proxy' ? httpPorts(ctx) : [Number(rds)];
  const last = dynamicDnsFilters(ctx, ports);
  const manager = httpManager(ctx, { side: 'outbound', statPrefix: `outbound_${listener};`, routes: { rds }, last });
  return { filters: [manager], transportSocketConnectTimeout: '15s' };
}

/**
 * The chains of one address and port. `shared`: other services may come there, so TLS ones are told apart by SNI; of
 * those that are not, the first has what no other chain takes.
 */
function tcpChains(ctx: CompileContext, name: string, targets: readonly TcpTarget[], shared: boolean): FilterChain[] {
  const chains = targets.flatMap((target) => serviceChains(ctx, target, shared && isTlsPort(target.port)));
  const matched = chains.filter((chain) => chain.filterChainMatch !== undefined);
  // What takes every connection goes last, so that no other target's chain is hidden behind it.
  return distinctChains(ctx, name, [...matched, ...chains.filter((chain) => !matched.includes(chain))]);
}

/** With capture: listeners that only the original destination leads to, and virtualOutbound in front of them. */
export function capturedOutbound(ctx: CompileContext): Outbound {
  const any = wildcard(ctx);
  const listeners = new Map<string, Listener>();
  const routes: RouteConfiguration[] = [];
  for (const port of httpPorts(ctx)) {
    const name = `${any}_${port}`;
    routes.push(routeConfiguration(String(port), sidecarVirtualHosts(ctx, port)));
    const chain = httpChain(ctx, name, String(port));
    chain.filterChainMatch = { transportProtocol: 'raw_buffer', applicationProtocols: ['http/1.1', 'h2c'] };
    listeners.set(name, {
      ...captured(ctx, name, any, port, [chain]),
      defaultFilterChain: { name: 'PassthroughFilterChain', filters: [tcpProxy(ctx, fallback(ctx))] },
      listenerFilters: [HTTP_INSPECTOR],
    });
  }
  for (const { service, port } of tcpTargets(ctx)) {
    const addresses = service.addresses.filter((address) => !address.includes('/'));
    for (const address of addresses.length > 0 ? addresses : [any])
      addCapturedTcp(ctx, listeners, service, port, address, any);
  }
  const list = [...listeners.values()];
  list.push(virtualOutbound(ctx, any));
  return { listeners: list, routes };
}

function addCapturedTcp(
  ctx: CompileContext,
  listeners: Map<string, Listener>,
  service: MeshService,
  port: ServicePort,
  address: string,
  any: string,
): void {
  const name = `${address}_${port.number}`;
  const own = tcpChains(ctx, name, [{ service, port }], address === any);
  const sniffing = usesSni(own);
  const existing = listeners.get(name);
  if (!existing) {
    const { filterChains, defaultFilterChain } = withDefault(own);
    const listener = captured(ctx, name, address, port.number, filterChains);
    if (sniffing) listener.listenerFilters = [TLS_INSPECTOR];
    if (defaultFilterChain) listener.defaultFilterChain = defaultFilterChain;
    else if (sniffing && address === any)
      listener.defaultFilterChain = { name: 'PassthroughFilterChain', filters: [tcpProxy(ctx, fallback(ctx))] };
    listeners.set(name, listener);
  } else if (sniffing && address === any) {
    existing.filterChains = distinctChains(ctx, name, [...(existing.filterChains ?? []), ...own]);
    if (!existing.listenerFilters?.some((filter) => filter.name === TLS_INSPECTOR.name))
      existing.listenerFilters = [TLS_INSPECTOR, ...(existing.listenerFilters ?? [])];
  } else ctx.note(`${service.hostname}:${port.number} has no listener: ${name} is taken`);
}

function captured(
  ctx: CompileContext,
  name: string,
  address: string,
  port: number,
  filterChains: FilterChain[],
): Listener {
  return {
    name,
    address: { socketAddress: { address, portValue: port } },
    bindToPort: false,
    trafficDirection: 'OUTBOUND',
    filterChains,
    listenerFiltersTimeout: detectionTimeout(ctx),
    continueOnListenerFiltersTimeout: true,
  };
}

function fallback(ctx: CompileContext): string {
  return ctx.scope.outboundTrafficPolicy === 'ALLOW_ANY' ? PASSTHROUGH : BLACK_HOLE;
}

function virtualOutbound(ctx: CompileContext, any: string): Listener {
  const cluster = fallback(ctx);
  const port = ctx.view.settings.config.proxyListenPort ?? 15001;
  return {
    name: 'virtualOutbound',
    address: { socketAddress: { address: any, portValue: port } },
    trafficDirection: 'OUTBOUND',
    useOriginalDst: true,
    filterChains: [
      {
        name: 'virtualOutbound-blackhole',
        filterChainMatch: { destinationPort: port },
        filters: [tcpProxy(ctx, BLACK_HOLE)],
      },
      { name: 'virtualOutbound-catchall-tcp', filters: [tcpProxy(ctx, cluster)] },
    ],
  };
}
