/** Gateway resources -> listeners and route configurations of a gateway proxy. HTTP, and HTTPS that ends here. */
import type { Resource } from '../../shared/resources/resource.ts';
import type { FilterChain, Listener } from '../../shared/xds/listener.ts';
import type { Route, RouteConfiguration, VirtualHost } from '../../shared/xds/route.ts';
import type { CommonTlsContext } from '../../shared/xds/tls.ts';
import {
  type Fields,
  fields,
  labelsOf,
  namespaceOf,
  numeric,
  objects,
  selects,
  specOf,
  strings,
  text,
} from '../mesh/fields.ts';
import { authorizationOf } from './authorization.ts';
import type { CompileContext } from './context.ts';
import { httpManager, TLS_INSPECTOR } from './http-manager.ts';
import { jwtSvidFilters } from './jwt-svid.ts';
import { hostCovers } from './names.ts';
import type { Outbound } from './outbound.ts';
import { domainsOf, routeConfiguration, virtualServiceRoutes } from './routes.ts';
import { ADS, downstreamSocket, meshServerSocket, TLS_PARAMS } from './tls-context.ts';
import { resolveGatewayName } from './virtual-service.ts';
import { combinedContext, exactSan } from './wire.ts';

/** One `server` of one Gateway. */
interface Server {
  gateway: string;
  name: string;
  namespace: string;
  port: number;
  portName: string;
  protocol: string;
  /** Hosts as written, `ns/host` or `host`. */
  hosts: string[];
  tls: Fields | undefined;
  bind: string | undefined;
  routeName: string;
}

export function gatewayOutbound(ctx: CompileContext): Outbound {
  const listeners: Listener[] = [];
  const routes: RouteConfiguration[] = [];
  for (const [port, servers] of serversByPort(ctx)) {
    const secured = isTls(servers[0]);
    const usable = servers.filter((server) => isTls(server) === secured);
    for (const server of servers)
      if (!usable.includes(server))
        ctx.note(`Gateway ${server.gateway}: port ${port} is already used with another protocol`);
    const built = secured ? httpsChains(ctx, usable) : [plainChain(ctx, listenPort(ctx, port))];
    if (built.length === 0) continue;
    listeners.push(listener(ctx, port, usable[0]?.bind, built, secured));
    const names = secured ? usable.map((server) => server.routeName) : [`http.${listenPort(ctx, port)}`];
    for (const name of new Set(names)) {
      if (!JSON.stringify(built).includes(JSON.stringify(name))) continue;
      const own = secured ? usable.filter((server) => server.routeName === name) : usable;
      routes.push(routeConfiguration(name, gatewayVirtualHosts(ctx, port, own)));
    }
  }
  return { listeners, routes };
}

function isTls(server: Server | undefined): boolean {
  return server?.protocol === 'HTTPS';
}

function serversByPort(ctx: CompileContext): Map<number, Server[]> {
  const byPort = new Map<number, Server[]>();
  for (const gateway of ctx.view.resources('Gateway')) {
    const selector = labelsOf(specOf(gateway)['selector']);
    if (!selects(selector, ctx.proxy.labels)) continue;
    for (const item of objects(specOf(gateway)['servers'])) {
      const server = serverOf(ctx, gateway, item);
      if (!server) continue;
      byPort.set(server.port, [...(byPort.get(server.port) ?? []), server]);
    }
  }
  return new Map([...byPort].sort(([a], [b]) => a - b));
}

function serverOf(ctx: CompileContext, gateway: Resource, item: Fields): Server | undefined {
  const namespace = namespaceOf(gateway);
  const { name } = gateway.metadata;
  const port = fields(item['port']);
  const number = numeric(port['number']) ?? 0;
  const protocol = (text(port['protocol']) ?? '').toUpperCase();
  const portName = text(port['name']) ?? '';
  const tls = item['tls'] === undefined ? undefined : fields(item['tls']);
  const label = `Gateway ${namespace}/${name} port ${number}`;
  const http = ['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB'].includes(protocol);
  const terminated = ['SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL', 'OPTIONAL_MUTUAL'].includes(text(tls?.['mode']) ?? 'SIMPLE');
  if (!http && !(protocol === 'HTTPS' && tls && terminated)) {
    ctx.note(
      `${label}: ${protocol || 'no protocol'} ${text(tls?.['mode']) ?? ''} is not supported: no listener`.replace(
        '  ',
        ' ',
      ),
    );
    return undefined;
  }
  return {
    gateway: `${namespace}/${name}`,
    name,
    namespace,
    port: number,
    portName,
    protocol: http ? 'HTTP' : 'HTTPS',
    hosts: strings(item['hosts']),
    tls,
    bind: text(item['bind']),
    routeName: http ? `http.${number}` : `https.${number}.${portName}.${name}.${namespace}`,
  };
}

/** A gateway behind a Service whose port maps elsewhere listens on the port the Service sends to. */
function listenPort(ctx: CompileContext, port: number): number {
  return ctx.proxy.instances.find((instance) => instance.port.number === port)?.endpoint.port ?? port;
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

function manager(ctx: CompileContext, port: number, rds: string) {
  return httpManager(ctx, {
    side: 'gateway',
    statPrefix: `outbound_0.0.0.0_${port};`,
    // Identity first: policies judge the principal it proves.
    policies: [...jwtSvidFilters(ctx), ...authorizationOf(ctx).http],
    routes: { rds },
  });
}

function plainChain(ctx: CompileContext, port: number): FilterChain {
  return { filters: [manager(ctx, port, `http.${port}`)], transportSocketConnectTimeout: '15s' };
}

function httpsChains(ctx: CompileContext, servers: readonly Server[]): FilterChain[] {
  const taken = new Set<string>();
  const chains: FilterChain[] = [];
  for (const server of servers) {
    const transportSocket = serverSocket(ctx, server);
    if (!transportSocket) continue;
    const names = server.hosts.map((host) => host.slice(host.indexOf('/') + 1));
    // A name can lead to one chain only: the older Gateway's.
    const free = names.filter((name) => !taken.has(name));
    for (const name of names)
      if (taken.has(name))
        ctx.note(`Gateway ${server.gateway}: host ${name} on port ${server.port} belongs to another server`);
    if (free.length === 0) continue;
    for (const name of free) taken.add(name);
    chains.push({
      ...(!free.includes('*') && { filterChainMatch: { serverNames: free } }),
      filters: [manager(ctx, server.port, server.routeName)],
      transportSocket,
      transportSocketConnectTimeout: '15s',
    });
  }
  return chains;
}

/** undefined, and noted: the server names no certificate. Without one nothing is served. */
function serverSocket(ctx: CompileContext, server: Server): FilterChain['transportSocket'] | undefined {
  const tls = server.tls ?? {};
  const { trustDomain, trustDomainAliases = [] } = ctx.view.settings;
  const alpnProtocols = ctx.proxy.offersHttp2 ? ['h2', 'http/1.1'] : ['http/1.1'];
  const mode = text(tls['mode']) ?? 'SIMPLE';
  if (mode === 'ISTIO_MUTUAL') return meshServerSocket([trustDomain, ...trustDomainAliases], alpnProtocols);
  if (objects(tls['tlsCertificates']).length > 0 || strings(tls['credentialNames']).length > 0) {
    ctx.note(
      `Gateway ${server.gateway} port ${server.port}: several certificates on one server are not supported: not served`,
    );
    return undefined;
  }
  const common: CommonTlsContext = { alpnProtocols, tlsParams: TLS_PARAMS };
  const credential = text(tls['credentialName']);
  const certificate = text(tls['serverCertificate']);
  const key = text(tls['privateKey']);
  if (credential) common.tlsCertificateSdsSecretConfigs = [{ name: `kubernetes://${credential}`, sdsConfig: ADS }];
  else if (certificate && key)
    common.tlsCertificates = [{ certificateChain: { filename: certificate }, privateKey: { filename: key } }];
  else {
    ctx.note(`Gateway ${server.gateway} port ${server.port}: no certificate is named: not served`);
    return undefined;
  }
  if (mode === 'MUTUAL' || mode === 'OPTIONAL_MUTUAL') {
    const sans = strings(tls['subjectAltNames']).map(exactSan);
    const context = sans.length > 0 ? { matchTypedSubjectAltNames: sans } : {};
    const ca = text(tls['caCertificates']);
    if (credential)
      common.combinedValidationContext = combinedContext(context, `kubernetes://${credential}-cacert`, ADS);
    else if (ca) common.validationContext = { trustedCa: { filename: ca }, ...context };
    else {
      ctx.note(`Gateway ${server.gateway} port ${server.port}: MUTUAL names no CA: not served`);
      return undefined;
    }
  }
  return downstreamSocket({ commonTlsContext: common, requireClientCertificate: mode === 'MUTUAL' });
}

/** The VirtualServices bound to these servers, by host; several for one host are joined, oldest first. */
function gatewayVirtualHosts(ctx: CompileContext, port: number, servers: readonly Server[]): VirtualHost[] {
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
      for (const hostname of found.size > 0 ? found : redirectHosts(server)) virtualHost(hostname).requireTls = 'ALL';
    }
  }
  if (hosts.size === 0) return [{ name: `blackhole:${port}`, domains: ['*'] }];
  return [...hosts.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function redirectHosts(server: Server): string[] {
  return server.hosts.map((host) => host.slice(host.indexOf('/') + 1));
}

/** Host names both have, the narrower of two that overlap. A server host may demand the VirtualService's namespace. */
function sharedHosts(ctx: CompileContext, vs: Resource, server: Server): string[] {
  const namespace = namespaceOf(vs);
  const wanted = strings(specOf(vs)['hosts']).map((host) => domainsOf(ctx, host, undefined)[0] ?? host);
  const shared = new Set<string>();
  for (const written of server.hosts) {
    const slash = written.indexOf('/');
    const from = slash < 0 ? '*' : written.slice(0, slash);
    const pattern = written.slice(slash + 1);
    if (from !== '*' && from !== namespace && !(from === '.' && namespace === server.namespace)) continue;
    for (const host of wanted) {
      if (hostCovers(pattern, host)) shared.add(host);
      else if (hostCovers(host, pattern)) shared.add(pattern);
    }
  }
  return [...shared];
}

/** Routes that match everything go last, so that no VirtualService hides another's rules. */
function catchAllLast(routes: Route[]): Route[] {
  const isCatchAll = ({ match }: Route) =>
    match.prefix === '/' && !match.headers?.length && !match.queryParameters?.length;
  return [...routes.filter((route) => !isCatchAll(route)), ...routes.filter(isCatchAll)];
}
