import type { FilterChain, Listener, NetworkFilter } from '../../shared/xds/listener.ts';
import type { Route, RouteConfiguration, VirtualHost } from '../../shared/xds/route.ts';
import type { CertificateValidationContext, CommonTlsContext } from '../../shared/xds/tls.ts';
import { type Fields, fields, namespaceOf, objects, specOf, strings, text } from '../mesh/fields.ts';
import { authorizationOf } from './authorization.ts';
import type { CompileContext } from './context.ts';
import { autoPassthroughChains, passthroughChains, tcpServerFilters } from './gateway-l4.ts';
import { familyOf, type GatewayServer, serverHosts, serversByPort, sharedHosts } from './gateway-server.ts';
import { httpManager, TLS_INSPECTOR } from './http-manager.ts';
import { MESH_TCP_ALPN } from './inbound.ts';
import { jwtSvidFilters } from './jwt-svid.ts';
import { chainOf, distinctChains } from './l4-routes.ts';
import type { Outbound } from './outbound.ts';
import { routeConfiguration, virtualServiceRoutes } from './routes.ts';
import { ADS, downstreamSocket, meshServerSocket, TLS_PARAMS } from './tls-context.ts';
import { resolveGatewayName } from './virtual-service.ts';
import { combinedContext, exactSan } from './wire.ts';

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

/** The chains of servers that end or pass TLS on one port. */
function tlsChains(ctx: CompileContext, servers: readonly GatewayServer[]): FilterChain[] {
  const chains = servers.flatMap((server) => {
    if (server.kind === 'passthrough') return passthroughChains(ctx, server);
    if (server.kind === 'auto-passthrough') return autoPassthroughChains(ctx, server);
    const transportSocket = serverSocket(ctx, server);
    const filters =
      server.kind === 'tls' ? tcpServerFilters(ctx, server) : [manager(ctx, server.port, server.routeName)];
    if (!transportSocket || !filters) return [];
    const serverNames = serverHosts(server);
    const chain = chainOf(serverNames.includes('*') ? undefined : { serverNames }, filters);
    return [{ ...chain, transportSocket }];
  });
  // A name can lead to one chain only: the older Gateway's.
  return distinctChains(ctx, `port ${servers[0]?.port}`, chains);
}

/** undefined, and noted: the server names no certificate. Without one nothing is served. */
function serverSocket(ctx: CompileContext, server: GatewayServer): FilterChain['transportSocket'] | undefined {
  const tls = server.tls ?? {};
  const { trustDomain, trustDomainAliases = [] } = ctx.view.settings;
  const web = ctx.proxy.offersHttp2 ? ['h2', 'http/1.1'] : ['http/1.1'];
  const alpn = server.kind === 'tls' ? [] : web;
  const mode = text(tls['mode']) ?? 'SIMPLE';
  if (mode === 'ISTIO_MUTUAL')
    return meshServerSocket(
      [trustDomain, ...trustDomainAliases],
      server.kind === 'tls' ? MESH_TCP_ALPN : web,
      ctx.view.settings.config.meshMTLS?.minProtocolVersion,
    );
  if (objects(tls['tlsCertificates']).length > 0 || strings(tls['credentialNames']).length > 0) {
    ctx.note(
      `Gateway ${server.gateway} port ${server.port}: several certificates on one server are not supported: not served`,
    );
    return undefined;
  }
  const common: CommonTlsContext = { ...(alpn.length > 0 && { alpnProtocols: alpn }), tlsParams: tlsParams(tls) };
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
    if (text(tls['caCrl']) !== undefined) {
      ctx.note(`Gateway ${server.gateway} port ${server.port}: caCrl: revocation lists are not supported: not served`);
      return undefined;
    }
    const context = clientRules(tls);
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

/** Versions and suites of a server; without any the mesh's own. */
function tlsParams(tls: Fields): NonNullable<CommonTlsContext['tlsParams']> {
  const cipherSuites = strings(tls['cipherSuites']);
  const version = (field: string) => {
    const name = text(tls[field]) ?? 'TLS_AUTO';
    // Envoy's own spelling, as in TLS_PARAMS.
    return name === 'TLS_AUTO' ? undefined : (name.replace('TLSV', 'TLSv') as 'TLSV1_2');
  };
  const [min, max] = [version('minProtocolVersion'), version('maxProtocolVersion')];
  return {
    ...TLS_PARAMS,
    ...(min && { tlsMinimumProtocolVersion: min }),
    ...(max && { tlsMaximumProtocolVersion: max }),
    ...(cipherSuites.length > 0 && { cipherSuites }),
  };
}

/** What a client's certificate must be besides signed by the CA. */
function clientRules(tls: Fields): CertificateValidationContext {
  const sans = strings(tls['subjectAltNames']).map(exactSan);
  const verifyCertificateHash = strings(tls['verifyCertificateHash']);
  const verifyCertificateSpki = strings(tls['verifyCertificateSpki']);
  return {
    ...(sans.length > 0 && { matchTypedSubjectAltNames: sans }),
    ...(verifyCertificateHash.length > 0 && { verifyCertificateHash }),
    ...(verifyCertificateSpki.length > 0 && { verifyCertificateSpki }),
  };
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
