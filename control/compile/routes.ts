/** Route configurations of sidecars: a virtual host per service, as VirtualServices shape it. */
import type { Resource } from '../../shared/resources/resource.ts';
import type { Route, RouteConfiguration, VirtualHost } from '../../shared/xds/route.ts';
import { namespaceOf, specOf, strings } from '../mesh/fields.ts';
import { isHttp } from '../mesh/protocol.ts';
import type { MeshService } from '../mesh/view.ts';
import { PASSTHROUGH } from './clusters.ts';
import { destinationHashPolicy } from './consistent-hash.ts';
import type { CompileContext } from './context.ts';
import { bracketed, hostCovers, moreSpecific, outboundCluster, resolveHost } from './names.ts';
import { defaultRoute, translateHttpRoutes } from './virtual-service.ts';

const DIRECT_RESPONSE_LIMIT = 1048576;

export function routeConfiguration(name: string, virtualHosts: VirtualHost[]): RouteConfiguration {
  return {
    name,
    virtualHosts,
    validateClusters: false,
    ignorePortInHostMatching: true,
    maxDirectResponseBodySizeBytes: DIRECT_RESPONSE_LIMIT,
  };
}

export function servesHttp(service: MeshService, port: number): boolean {
  return service.ports.some(
    (item) => item.number === port && (isHttp(item.protocol) || item.protocol === 'UNSUPPORTED'),
  );
}

/** The routes of one VirtualService through `gateway` for calls to `port`. */
export function virtualServiceRoutes(ctx: CompileContext, vs: Resource, gateway: string, port: number): Route[] {
  return translateHttpRoutes(vs, {
    proxyLabels: ctx.proxy.labels,
    proxyNamespace: ctx.proxy.namespace,
    gateway,
    port,
    domainSuffix: ctx.view.settings.domainSuffix,
    defaultRetries: ctx.view.settings.config.defaultHttpRetryPolicy,
    clusterName: (host, subset, destinationPort) =>
      outboundCluster(
        destinationPort ?? destinationPortOf(ctx, resolve(ctx, vs, host), port),
        subset,
        resolve(ctx, vs, host),
      ),
    hashPolicy: (host, subset, destinationPort) => {
      const hostname = resolve(ctx, vs, host);
      return destinationHashPolicy(ctx, hostname, destinationPort ?? destinationPortOf(ctx, hostname, port), subset);
    },
  });
}

function resolve(ctx: CompileContext, vs: Resource, host: string): string {
  return resolveHost(host, namespaceOf(vs), ctx.view.settings.domainSuffix);
}

/** A destination without port means the service's only port, else the port the request came to. */
export function destinationPortOf(ctx: CompileContext, hostname: string, port: number): number {
  const ports = ctx.scope.service(hostname)?.ports ?? [];
  return ports.length === 1 ? (ports[0]?.number ?? port) : port;
}

/** Whether a VirtualService applies to sidecars; without gateways it does. */
export function boundToMesh(vs: Resource): boolean {
  const gateways = strings(specOf(vs)['gateways']);
  return gateways.length === 0 || gateways.includes('mesh');
}

/** The virtual hosts of the HTTP services at `port`, by name; the last catches everything else. */
export function sidecarVirtualHosts(ctx: CompileContext, port: number): VirtualHost[] {
  const services = ctx.scope.services.filter((service) => servesHttp(service, port));
  const taken = new Set<string>();
  const hosts: VirtualHost[] = [];
  const add = (hostname: string, service: MeshService | undefined, routes: Route[]) => {
    const domains = domainsOf(ctx, hostname, service).filter((domain) => !taken.has(domain.toLowerCase()));
    if (domains.length === 0) return;
    for (const domain of domains) taken.add(domain.toLowerCase());
    hosts.push({ name: `${hostname}:${port}`, domains, routes, includeRequestAttemptCount: true });
  };
  const covered = new Set<MeshService>();
  for (const vs of ctx.scope.virtualServices) {
    if (!boundToMesh(vs) || specOf(vs)['http'] === undefined) continue;
    const routes = virtualServiceRoutes(ctx, vs, 'mesh', port);
    if (routes.length === 0) continue;
    for (const { hostname, service } of virtualServiceHosts(ctx, vs, services, port)) {
      if (service ? covered.has(service) : false) continue;
      if (service) covered.add(service);
      add(hostname, service, routes);
    }
  }
  for (const service of services)
    if (!covered.has(service)) {
      const cluster = outboundCluster(port, undefined, service.hostname);
      const hash = destinationHashPolicy(ctx, service.hostname, port, undefined);
      const { defaultHttpRetryPolicy } = ctx.view.settings.config;
      const route = defaultRoute(cluster, `${service.hostname}:${port}/*`, hash, defaultHttpRetryPolicy);
      add(service.hostname, service, [route]);
    }
  hosts.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  if (!taken.has('*')) hosts.push(catchAll(ctx));
  return hosts;
}

/**
 * What a VirtualService's hosts are at `port`: services of the registry it covers there, and hosts unknown to the
 * registry, which exist at the covered services' ports, or at port 80 when it covers none at all.
 */
function virtualServiceHosts(
  ctx: CompileContext,
  vs: Resource,
  services: readonly MeshService[],
  port: number,
): { hostname: string; service: MeshService | undefined }[] {
  const hosts = strings(specOf(vs)['hosts']).map((host) => resolve(ctx, vs, host));
  const found: { hostname: string; service: MeshService | undefined }[] = [];
  const unknown: string[] = [];
  let known = false;
  for (const host of hosts) {
    const here = services.filter(
      (service) => hostCovers(host, service.hostname) && mostSpecific(ctx, vs, host, service),
    );
    found.push(...here.map((service) => ({ hostname: service.hostname, service })));
    if (here.length === 0 && !ctx.scope.services.some((service) => hostCovers(host, service.hostname)))
      unknown.push(host);
    else known = true;
  }
  if (found.length > 0 || (!known && port === 80))
    found.push(...unknown.map((hostname) => ({ hostname, service: undefined })));
  return found;
}

/** A wildcard host leaves alone the services that another VirtualService names more exactly. */
function mostSpecific(ctx: CompileContext, vs: Resource, host: string, service: MeshService): boolean {
  if (!host.startsWith('*')) return true;
  return !ctx.scope.virtualServices.some(
    (other) =>
      other !== vs &&
      boundToMesh(other) &&
      strings(specOf(other)['hosts']).some((item) => {
        const name = resolve(ctx, other, item);
        return hostCovers(name, service.hostname) && moreSpecific(name, host) < 0;
      }),
  );
}

function catchAll(ctx: CompileContext): VirtualHost {
  if (ctx.scope.outboundTrafficPolicy === 'ALLOW_ANY')
    return {
      name: 'allow_any',
      domains: ['*'],
      includeRequestAttemptCount: true,
      routes: [
        {
          name: 'allow_any',
          match: { prefix: '/' },
          route: { cluster: PASSTHROUGH, timeout: '0s', maxGrpcTimeout: '0s' },
        },
      ],
    };
  return {
    name: 'block_all',
    domains: ['*'],
    includeRequestAttemptCount: true,
    routes: [{ name: 'block_all', match: { prefix: '/' }, directResponse: { status: 502 } }],
  };
}

/** Every name a client may use for a host: the full name, its short forms from the proxy's namespace, the virtual IPs. */
export function domainsOf(ctx: CompileContext, hostname: string, service: MeshService | undefined): string[] {
  const domains = [hostname];
  if (hostname !== '*') domains.push(`${hostname}.`);
  if (!hostname.startsWith('*')) domains.push(...shortNames(hostname, ctx.proxy.dnsDomain));
  for (const address of service?.addresses ?? []) if (!address.includes('/')) domains.push(bracketed(address));
  return [...new Set(domains)];
}

/** Kubernetes search paths: `web.shop.svc.cluster.local` from namespace `shop` is also `web`, `web.shop.svc`, `web.shop`. */
function shortNames(hostname: string, dnsDomain: string): string[] {
  const own = dnsDomain.split('.');
  const svc = own.indexOf('svc');
  if (svc < 1) return [];
  const suffix = own.slice(svc).join('.');
  if (!hostname.endsWith(`.${suffix}`)) return [];
  const rest = hostname.slice(0, -suffix.length - 1).split('.');
  if (rest.length < 2) return [];
  const [name, namespace] = [rest.slice(0, -1).join('.'), rest[rest.length - 1]];
  const qualified = [`${name}.${namespace}.svc`, `${name}.${namespace}`];
  return namespace === own.slice(0, svc).join('.') ? [name, ...qualified] : qualified;
}

/** HTTP service ports in the proxy's scope, ascending. */
export function httpPorts(ctx: CompileContext): number[] {
  const ports = new Set<number>();
  for (const service of ctx.scope.services)
    for (const port of service.ports) if (isHttp(port.protocol)) ports.add(port.number);
  return [...ports].sort((a, b) => a - b);
}

/** `http_proxy`: every HTTP service's virtual host, told apart by the port in the authority. */
export function httpProxyRoutes(ctx: CompileContext): RouteConfiguration {
  const virtualHosts: VirtualHost[] = [];
  const taken = new Set<string>();
  for (const port of httpPorts(ctx))
    for (const host of sidecarVirtualHosts(ctx, port)) {
      if (host.name === 'allow_any' || host.name === 'block_all') continue;
      const names = host.domains.flatMap((domain) => (port === 80 ? [`${domain}:80`, domain] : [`${domain}:${port}`]));
      const domains = names.filter((name) => !taken.has(name.toLowerCase()));
      for (const domain of domains) taken.add(domain.toLowerCase());
      if (domains.length > 0) virtualHosts.push({ ...host, domains });
    }
  virtualHosts.push(catchAll(ctx));
  const config = routeConfiguration('http_proxy', virtualHosts);
  delete config.ignorePortInHostMatching;
  return config;
}
