/** Listeners and route configurations of gateways. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { FilterChain, Listener, NetworkFilter } from '../../../shared/xds/listener.ts';
import type { Route, VirtualHost } from '../../../shared/xds/route.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { DestinationRules } from '../cluster/destination-rule.ts';
import { generator, labelsFrom, sharedList, slicedGenerator } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { distinctFindings, type Finding } from '../output/finding.ts';
import { type Produced, produced } from '../output/produced.ts';
import { frozen } from '../output/shared-resource.ts';
import type { Plugin } from '../plugins/plugin.ts';
import { pluginFilters, pluginsFor } from '../plugins/plugin-filters.ts';
import { formRoutes } from '../routes/form-routes.ts';
import { chainOf, distinctChains, type OwnedChain } from '../routes/l4-routes.ts';
import { joinedFor } from '../routes/precedence.ts';
import { routeConfiguration } from '../routes/routes.ts';
import type { Services } from '../scope/scope.ts';
import type { LocalWorkload } from '../scope/workloads.ts';
import { authorizations } from '../security/authorization.ts';
import type { Authorizers } from '../security/authorizers.ts';
import { authentications, type TokenPolicy, withTokens } from '../security/request-authentication.ts';
import { countsAttempts, httpManager, type ProxySettings, TLS_INSPECTOR } from '../sidecar/http-manager.ts';
import { withListenerSettings } from '../sidecar/manager-settings.ts';
import { destinationsOf } from '../sidecar/outbound.ts';
import { observed } from '../telemetry/observed.ts';
import { autoPassthroughChains, type GatewayL4, passthroughChains, tcpServerFilters } from './gateway-l4.ts';
import type { SelectedGateway } from './gateway-ports.ts';
import {
  type Family,
  type GatewayServer,
  type ListenerServers,
  serverHosts,
  serversByListener,
  sharedHosts,
} from './gateway-server.ts';
import { gatewayTlsSocket } from './gateway-tls.ts';
import { jwtSvidFilters } from './jwt-svid.ts';

export interface GatewayInput {
  /** Those bound to one of `gateways`. */
  readonly forms: readonly RouteForm[];
  /** Those that apply to the proxy, oldest first. */
  readonly gateways: readonly SelectedGateway[];
  readonly services: Services;
  readonly rules: DestinationRules;
  /** AuthorizationPolicies of the namespace and of the root namespace. */
  readonly policies: readonly ResourceOfKind<'AuthorizationPolicy'>[];
  /** What CUSTOM policies may name. */
  readonly authorizers: Authorizers;
  /** WasmPlugins and TrafficExtensions of the namespace and of the root namespace. */
  readonly plugins: readonly Plugin[];
  /** Which tokens the gateway accepts. */
  readonly tokenPolicies: readonly TokenPolicy[];
  /** What runs at the gateway's addresses. */
  readonly workloads: readonly LocalWorkload[];
  readonly settings: ProxySettings;
  readonly namespace: string;
  /** As `labelsKey` writes them. */
  readonly labels: string;
}

export interface GatewayResources {
  readonly listeners: readonly Produced<'listeners'>[];
  readonly routes: readonly Produced<'routes'>[];
  readonly notes: readonly string[];
  /** Why rules could not be translated. */
  readonly errors: readonly Finding[];
}

/** What the proxies of one gateway deployment serve. Pauses between virtual hosts. */
export const gatewayOutbound = slicedGenerator<GatewayInput, GatewayResources>(
  {
    forms: true,
    services: true,
    gateways: true,
    rules: true,
    policies: true,
    authorizers: true,
    plugins: true,
    tokenPolicies: true,
    workloads: true,
    settings: true,
    namespace: true,
    labels: true,
  },
  function* (given) {
    const notes = new Set<string>();
    const errors: Finding[] = [];
    const note = (message: string) => void notes.add(message);
    const labels = labelsFrom(given.labels);
    const { services, forms, rules, settings, namespace, workloads, policies, authorizers, tokenPolicies } = given;
    const onError = (finding: Finding) => void errors.push(finding);
    const gateway: Gateway = {
      services,
      forms,
      destinations: destinationsOf(services, rules),
      caller: { namespace, labels },
      settings,
      authorization: withTokens(
        authorizations({ policies, authorizers, settings, workloads, onError }),
        authentications(tokenPolicies, workloads, { rootNamespace: settings.rootNamespace, clearsRoutes: true }),
      ),
      plugins: pluginsFor(given.plugins, workloads, settings.rootNamespace, note),
      note,
      unserved: ({ owner, path, port }, reason) =>
        void errors.push({
          about: owner,
          reason: 'RuleWithoutEffect',
          message: `${path}: port ${port}: ${reason}: not served`,
        }),
      onError,
    };
    const listeners: Produced<'listeners'>[] = [];
    const routes = new Map<string, Produced<'routes'>>();
    for (const at of serversByListener(given.gateways, gateway.unserved)) {
      const built = yield* listenerOf(gateway, at);
      const [first] = at.servers;
      if (built.listener && first)
        listeners.push(
          produced('listeners', observed(built.listener, settings.telemetry.client, false), {
            side: 'gateway',
            port: first.port,
            owner: first.owner,
          }),
        );
      // A server that listens on several ports has the same routes at each.
      for (const one of built.routes) routes.set(String(one.resource.name), one);
    }
    return { listeners, routes: [...routes.values()], notes: [...notes], errors: distinctFindings(errors) };
  },
);

/** Begins a `bind` that is a unix socket. */
const UNIX = 'unix://';

interface Gateway extends GatewayL4 {
  readonly settings: ProxySettings;
}

/** A listener, and what its connection managers ask for. */
function* listenerOf(
  gateway: Gateway,
  { listening, bind, family, servers }: ListenerServers,
): Work<{ listener?: Listener; routes: Produced<'routes'>[] }> {
  const port = servers[0]?.port ?? listening;
  const chains = chainsOf(gateway, family, listening, servers);
  if (chains.length === 0) return { routes: [] };
  const bare = boundListener(listening, bind, chains, family === 'tls');
  const listener = withListenerSettings(bare, gateway.settings.http.connections, 'gateway');
  if (family === 'tcp') return { listener, routes: [] };
  const named = new Set(chains.flatMap(({ filters }) => filters ?? []).map(routeNameOf));
  const routes: Produced<'routes'>[] = [];
  for (const name of new Set(servers.map((server) => server.routeName))) {
    if (!named.has(name)) continue;
    const own = servers.filter((server) => server.routeName === name);
    routes.push(routeConfiguration(name, yield* gatewayVirtualHosts(gateway, port, own), 'gateway', port));
  }
  return { listener, routes };
}

/** The route configuration that a connection manager asks for; undefined for other filters. */
function routeNameOf({ typedConfig }: NetworkFilter): string | undefined {
  return typedConfig && 'rds' in typedConfig ? typedConfig.rds?.routeConfigName : undefined;
}

function chainsOf(
  gateway: Gateway,
  family: Family,
  listening: number,
  servers: readonly GatewayServer[],
): FilterChain[] {
  const [first] = servers;
  if (!first) return [];
  if (family === 'http') return [plainChain(gateway, listening, first.routeName, servers)];
  if (family === 'tls') return tlsChains(gateway, servers);
  const filters = tcpServerFilters(gateway, first);
  return filters ? [chainOf(undefined, filters)] : [];
}

/** @param bind an IP address or `unix://` with a path; undefined: all addresses */
function boundListener(
  listening: number,
  bind: string | undefined,
  filterChains: FilterChain[],
  secured: boolean,
): Listener {
  const address = bind ?? '0.0.0.0';
  const path = bind?.startsWith(UNIX) ? bind.slice(UNIX.length) : undefined;
  return {
    name: `${address}_${listening}`,
    address: path === undefined ? { socketAddress: { address, portValue: listening } } : { pipe: { path } },
    trafficDirection: 'OUTBOUND',
    filterChains,
    ...(secured && { listenerFilters: [TLS_INSPECTOR] }),
  };
}

/** @param listening the port the gateway listens on, `port` unless its Service maps it */
function manager(
  { settings, caller, authorization, plugins }: Gateway,
  port: number,
  listening: number,
  rds: string,
  grpcWeb = false,
): NetworkFilter[] {
  const { http, beforeAuthorization, afterAuthorization } = pluginFilters(plugins, 'CLIENT', [port]);
  const served = httpManager(settings, {
    side: 'gateway',
    statPrefix: `outbound_0.0.0.0_${port};`,
    policies: { identity: jwtSvidFilters(settings, caller.namespace), ...authorization(listening).http, ...http },
    routes: { rds },
    grpcWeb,
  });
  return [...beforeAuthorization, ...afterAuthorization, served];
}

function plainChain(gateway: Gateway, port: number, routeName: string, servers: readonly GatewayServer[]): FilterChain {
  const grpcWeb = servers.some((server) => server.grpcWeb);
  const filters = manager(gateway, port, port, routeName, grpcWeb);
  return { filters, transportSocketConnectTimeout: '15s' };
}

/** The chains of servers that end or pass TLS on one port. */
function tlsChains(gateway: Gateway, servers: readonly GatewayServer[]): FilterChain[] {
  const chains = servers.flatMap((server): OwnedChain[] => {
    if (server.kind === 'passthrough') return passthroughChains(gateway, server);
    if (server.kind === 'auto-passthrough') return autoPassthroughChains(gateway, server);
    const { settings, caller, unserved } = gateway;
    const transportSocket = gatewayTlsSocket(server, { settings, namespace: caller.namespace, unserved });
    const filters =
      server.kind === 'tls'
        ? tcpServerFilters(gateway, server)
        : manager(gateway, server.port, server.listening, server.routeName);
    if (!transportSocket || !filters) return [];
    const serverNames = serverHosts(server);
    const chain = chainOf(serverNames.includes('*') ? undefined : { serverNames }, filters);
    return [{ chain: { ...chain, transportSocket }, owner: { about: server.owner, path: server.path } }];
  });
  // A name can lead to one chain only: the older Gateway's.
  return distinctChains(`port ${servers[0]?.port}`, chains, gateway);
}

/** What one virtual host is made of. */
interface HostDraft {
  /** The forms with a rule for it, by the server that they are bound to. */
  readonly forms: Map<GatewayServer, RouteForm[]>;
  requireTls: boolean;
}

/** A virtual host for each host of the forms bound to these servers; several forms for one host are joined, oldest first. */
function* gatewayVirtualHosts(gateway: Gateway, port: number, servers: readonly GatewayServer[]): Work<VirtualHost[]> {
  const drafts = draftsOf(gateway, servers);
  if (drafts.size === 0) return [{ name: `blackhole:${port}`, domains: ['*'] }];
  const hosts: VirtualHost[] = [];
  for (const [hostname, { forms, requireTls }] of drafts) {
    const routes: (readonly Route[])[] = [];
    for (const [server, bound] of forms)
      for (const form of joinedFor(bound, hostname))
        routes.push(formRoutes(gateway, form, server.gateway, server.port));
    hosts.push(
      virtualHost({
        routes: sharedList(routes),
        hostname,
        requireTls,
        port,
        countsAttempts: countsAttempts(gateway.settings),
      }),
    );
    yield;
  }
  return hosts.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function draftsOf({ forms }: Gateway, servers: readonly GatewayServer[]): ReadonlyMap<string, HostDraft> {
  const drafts = new Map<string, HostDraft>();
  const draft = (hostname: string) => {
    let found = drafts.get(hostname);
    if (!found) drafts.set(hostname, (found = { forms: new Map(), requireTls: false }));
    return found;
  };
  for (const server of servers) {
    const found = new Set<string>();
    for (const form of forms) {
      if (!form.gateways.includes(server.gateway)) continue;
      for (const hostname of sharedHosts(form, server)) {
        found.add(hostname);
        const { forms: bound } = draft(hostname);
        const others = bound.get(server);
        if (others) others.push(form);
        else bound.set(server, [form]);
      }
    }
    if (server.tls?.httpsRedirect)
      for (const hostname of found.size > 0 ? found : serverHosts(server)) draft(hostname).requireTls = true;
  }
  return drafts;
}

const virtualHost = generator<
  {
    routes: readonly (readonly Route[])[];
    hostname: string;
    requireTls: boolean;
    port: number;
    countsAttempts: boolean;
  },
  VirtualHost
>(
  { routes: true, hostname: true, requireTls: true, port: true, countsAttempts: true },
  ({ routes, hostname, requireTls, port, countsAttempts: counts }) =>
    frozen<VirtualHost>({
      name: `${hostname}:${port}`,
      domains: [hostname],
      routes: catchAllLast(routes.flat()),
      ...(counts && { includeRequestAttemptCount: true }),
      ...(requireTls && { requireTls: 'ALL' as const }),
    }),
);

/** Routes that match everything go last, so that no form hides another's rules. */
function catchAllLast(routes: Route[]): Route[] {
  const isCatchAll = ({ match }: Route) =>
    match.prefix === '/' && !match.headers?.length && !match.queryParameters?.length && !match.dynamicMetadata?.length;
  return [...routes.filter((route) => !isCatchAll(route)), ...routes.filter(isCatchAll)];
}
