/** What the workload calls: listeners per service port, and their route configurations. */
import { isHttp } from '../../../shared/match/protocol.ts';
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { FilterChain, Listener } from '../../../shared/xds/listener.ts';
import type { VirtualHost } from '../../../shared/xds/route.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { MeshService, MeshSettings, ServicePort } from '../../mesh/view.ts';
import { ANY_DNS_CACHE, BLACK_HOLE, dnsCache, PASSTHROUGH } from '../cluster/clusters.ts';
import type { DestinationRules } from '../cluster/destination-rule.ts';
import { type Last, labelsFrom, sharedList, slicedGenerator, successiveGenerator } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { distinctFindings, type Finding } from '../output/finding.ts';
import { type Produced, produced } from '../output/produced.ts';
import { frozen } from '../output/shared-resource.ts';
import type { Plugin } from '../plugins/plugin.ts';
import { pluginFilters } from '../plugins/plugin-filters.ts';
import {
  distinctChains,
  isTlsPort,
  type L4Routes,
  type ServiceTarget,
  serviceChains,
  subnetMatch,
  usesSni,
  withDefault,
} from '../routes/l4-routes.ts';
import { changedForms, MeshFormRoutes } from '../routes/mesh-form-routes.ts';
import {
  configurationWith,
  httpPorts,
  httpProxyRoutes,
  routeConfiguration,
  servesHttp,
  serviceVirtualHost,
  sidecarVirtualHosts,
  tunnelHosts,
  withTunnels,
} from '../routes/routes.ts';
import type { Services } from '../scope/scope.ts';
import { observed } from '../telemetry/observed.ts';
import { httpFilter } from '../wire.ts';
import {
  detectionTimeout,
  HTTP_INSPECTOR,
  httpManager,
  NOT_LOGGED,
  type ProxySettings,
  plainTcpProxy,
  TLS_INSPECTOR,
} from './http-manager.ts';
import { HTTP_MATCH, isSniffed, ownAddresses, ownRouteName, sniffedRouteName, sniffedRoutes } from './sniffed-ports.ts';

type Policy = MeshSettings['outboundTrafficPolicy'];

/** What a class of sidecars sees, and who they are to rules that ask. */
interface Seen {
  readonly forms: readonly RouteForm[];
  readonly services: Services;
  readonly rules: DestinationRules;
  readonly settings: ProxySettings;
  readonly outboundTrafficPolicy: Policy;
  readonly namespace: string;
  /** Those that source labels of rules name, as `labelsKey` writes them. */
  readonly labels: string;
}

const SEEN = {
  forms: true,
  services: true,
  rules: true,
  settings: true,
  outboundTrafficPolicy: true,
  namespace: true,
  labels: true,
} as const;

export interface OutboundRoutesInput extends Seen {
  readonly captured: boolean;
  readonly dnsDomain: string;
  /** There is a listener that applications use as an HTTP proxy. */
  readonly httpProxy: boolean;
}

export interface OutboundRoutes {
  readonly routes: readonly Produced<'routes'>[];
  /** Why rules could not be translated. */
  readonly errors: readonly Finding[];
  readonly formRoutes: MeshFormRoutes;
}

const { forms: _, ...SEEN_BESIDES_FORMS } = SEEN;

/**
 * A route configuration for each HTTP port and each sniffed one, and `http_proxy`. Pauses between virtual hosts. Where only
 * rules of some forms changed, only the virtual hosts of these are made again.
 */
export const outboundRoutes = successiveGenerator<OutboundRoutesInput, OutboundRoutes>(
  { ...SEEN_BESIDES_FORMS, captured: true, dnsDomain: true, httpProxy: true, forms: true },
  function* (input, last) {
    return (last && afterChangedForms(last, input.forms)) ?? (yield* allOutboundRoutes(input));
  },
);

/** @returns undefined when more than rules of some forms is another */
function afterChangedForms(
  { input: { forms: before }, value }: Last<OutboundRoutesInput, OutboundRoutes>,
  after: readonly RouteForm[],
): OutboundRoutes | undefined {
  const changes = changedForms(before, after);
  const changed = changes && value.formRoutes.changed(changes);
  if (!changed) return undefined;
  const { forms: formRoutes, replacements } = changed;
  const routes = value.routes.map((item) => configurationWith(item, replacements));
  return { routes: sharedList(routes), errors: distinctFindings(formRoutes.errors()), formRoutes };
}

function* allOutboundRoutes(seen: OutboundRoutesInput): Work<OutboundRoutes> {
  const { services, forms, rules, settings, outboundTrafficPolicy, namespace, labels, ...rest } = seen;
  const destinations = destinationsOf(services, rules);
  const caller = { namespace, labels: labelsFrom(labels), dnsDomain: rest.dnsDomain };
  const formRoutes = new MeshFormRoutes({ destinations, caller, settings });
  const input = { services, forms, destinations, caller, settings, outboundTrafficPolicy, formRoutes };
  const sniffed = sniffedRoutes({ services: services.list, captured: rest.captured });
  const byPort: { port: number; hosts: readonly VirtualHost[] }[] = [];
  for (const port of [...httpPorts(services), ...sniffed.shared])
    byPort.push({ port, hosts: yield* sidecarVirtualHosts(input, port) });
  const routes = byPort.map(({ port, hosts }) => routeConfiguration(String(port), hosts, 'outbound', port));
  for (const target of sniffed.own) {
    const { number } = target.port;
    const host = yield* serviceVirtualHost(input, target.service, number);
    routes.push(routeConfiguration(ownRouteName(target), [host], 'outbound', number));
  }
  if (rest.httpProxy) {
    const known = new Set(byPort.map(({ port }) => port));
    const numbers = new Set(sniffed.own.map(({ port }) => port.number).filter((number) => !known.has(number)));
    for (const port of numbers) byPort.push({ port, hosts: yield* sidecarVirtualHosts(input, port) });
    const tunnels = tunnelHosts({ services: services.list, dnsDomain: rest.dnsDomain });
    const proxied = byPort
      .sort((a, b) => a.port - b.port)
      .map(({ port, hosts }) => ({ port, hosts: withTunnels({ services, port, hosts: sharedList(hosts) }) }));
    routes.push(yield* httpProxyRoutes([...proxied, ...tunnels], outboundTrafficPolicy));
  }
  return { routes: sharedList(routes), errors: distinctFindings(formRoutes.errors()), formRoutes };
}

export function destinationsOf(services: Services, rules: DestinationRules) {
  return {
    service: (hostname: string) => services.byHost.get(hostname),
    rule: (service: MeshService) => rules.for(service),
  };
}

export interface OutboundListenersInput extends Seen {
  /** Those that select the proxy's workloads. */
  readonly plugins: readonly Plugin[];
  readonly captured: boolean;
  /** Where listeners bind without capture. */
  readonly bind: string;
  /** The wildcard address of the proxy's address family. */
  readonly any: string;
  readonly httpProxyPort: number | undefined;
}

export interface OutboundListeners {
  readonly listeners: readonly Produced<'listeners'>[];
  readonly notes: readonly string[];
}

/** Pauses between listeners, and between the services behind them. */
export const outboundListeners = slicedGenerator<OutboundListenersInput, OutboundListeners>(
  { ...SEEN, plugins: true, captured: true, bind: true, any: true, httpProxyPort: true },
  function* ({ services, forms, rules, settings, outboundTrafficPolicy, namespace, labels, ...rest }) {
    const notes = new Set<string>();
    const input: Outbound = {
      services,
      forms,
      destinations: destinationsOf(services, rules),
      caller: { namespace, labels: labelsFrom(labels) },
      settings,
      outboundTrafficPolicy,
      plugins: rest.plugins,
      note: (message) => void notes.add(message),
    };
    const listeners = rest.captured
      ? yield* capturedOutbound(input, rest.any)
      : yield* boundOutbound(input, rest.bind, rest.httpProxyPort);
    return { listeners: listeners.map((one) => withOrigin(one, settings)), notes: [...notes] };
  },
);

function withOrigin(listener: Listener, { telemetry }: ProxySettings): Produced<'listeners'> {
  const resource = observed(listener, telemetry.client, listener.name === VIRTUAL_OUTBOUND);
  return produced('listeners', resource, { side: 'outbound', port: listener.address?.socketAddress?.portValue });
}

interface Outbound extends L4Routes {
  readonly settings: ProxySettings;
  readonly services: Services;
  readonly outboundTrafficPolicy: Policy;
  readonly plugins: readonly Plugin[];
  note(message: string): void;
}

const HTTP_PROXY_ADDRESS = '127.0.0.1';

/** Says why a listener is left out whose port a workload of the host serves, and the way out. */
export function leftOut(
  services: Services,
  { resource, origin }: Produced<'listeners'>,
  httpProxyPort: number | undefined,
): string {
  const { port = 0 } = origin;
  const reason = `no outbound listener ${resource.name}: a workload of this host serves port ${port}`;
  if (port === httpProxyPort && resource.name === `${HTTP_PROXY_ADDRESS}_${port}`)
    return `${reason}; choose another HTTP_PROXY_PORT`;
  if (services.list.some((service) => servesHttp(service, port)))
    return `${reason}; call HTTP services on it through the HTTP proxy (--http-proxy-port)`;
  const called = services.list.filter((service) =>
    service.ports.some((item) => item.number === port && !isHttp(item.protocol) && item.protocol !== 'UDP'),
  );
  const names = called.map(({ hostname }) => hostname).join(', ');
  return `${reason}; to call ${names}, run the caller on another host, or change one of the ports`;
}

interface TcpTarget extends ServiceTarget {
  service: MeshService;
  port: ServicePort;
}

/** Ports that are not HTTP, in the order of their services. */
function tcpTargets({ services }: Outbound): TcpTarget[] {
  return services.list.flatMap((service) =>
    service.ports
      .filter((port) => !isHttp(port.protocol) && port.protocol !== 'UDP')
      .map((port) => ({ service, port })),
  );
}

/**
 * Without capture: one listener a port number on the outbound bind address. HTTP first: it can serve many services;
 * of several TCP services on one port TLS ones are distinguished by SNI, others by the address that the client connects to;
 * the first has the connections that no address distinguishes. A TCP service with a loopback address of its own
 * (`spec.addresses`) has its listener there, and no other comes into its way.
 */
function* boundOutbound(input: Outbound, bind: string, httpProxyPort: number | undefined): Work<Listener[]> {
  const { settings, services, note } = input;
  const listeners: Listener[] = [];
  const add = (port: number, chains: FilterChain[], address = bind) =>
    listeners.push(
      frozen<Listener>({
        name: `${address}_${port}`,
        address: { socketAddress: { address, portValue: port } },
        trafficDirection: 'OUTBOUND',
        ...withDefault(chains),
        ...inspectors(chains),
        listenerFiltersTimeout: detectionTimeout(settings),
        continueOnListenerFiltersTimeout: true,
      }),
    );
  const ports = httpPorts(services);
  for (const port of ports) {
    add(port, [httpChain(input, `${bind}_${port}`, String(port), [port])]);
    yield;
  }
  for (const { address, number, targets } of tcpPlaces(input, bind, ports)) {
    const name = `${address}_${number}`;
    const alone = targets.length === 1;
    const distinct = alone ? targets : toldApart(input, name, targets);
    add(number, yield* tcpChains(input, name, distinct, { shared: !alone, captured: false }), address);
    yield;
  }
  if (httpProxyPort !== undefined) {
    // Loopback whatever the others bind to: an application's `http_proxy` is fixed, as in Istio.
    const name = `${HTTP_PROXY_ADDRESS}_${httpProxyPort}`;
    add(httpProxyPort, [httpProxyChain(input, name)], HTTP_PROXY_ADDRESS);
  }
  return unique(listeners, note);
}

/** A listener of services that are not HTTP. */
interface TcpPlace {
  readonly address: string;
  readonly number: number;
  readonly targets: TcpTarget[];
}

/** Where the services that are not HTTP are found, without capture. @param taken ports of `bind` that HTTP services have */
function tcpPlaces(input: Outbound, bind: string, taken: readonly number[]): Iterable<TcpPlace> {
  const places = new Map<string, TcpPlace>();
  for (const target of tcpTargets(input)) {
    const { service, port } = target;
    const own = ownAddresses(service, false);
    for (const address of own.length > 0 ? own : [bind]) {
      if (address === bind && taken.includes(port.number)) {
        const what = isSniffed(port) ? 'is called over HTTP alone' : 'has no listener';
        input.note(`${service.hostname}:${port.number} ${what}: HTTP services use that port; ${OWN_ADDRESS}`);
        continue;
      }
      const name = `${address}_${port.number}`;
      const place = places.get(name);
      if (place) place.targets.push(target);
      else places.set(name, { address, number: port.number, targets: [target] });
    }
  }
  return places.values();
}

const OWN_ADDRESS =
  'give it an address of its own in 127.0.0.0/8 (spec.addresses of its ServiceEntry), where it gets a listener, or another port';

/**
 * Targets of one listener, with the addresses by which those that are not TLS are distinguished. The first has, besides,
 * what is distinguished by nothing; of the others a note says how they are reached.
 */
function toldApart(input: Outbound, name: string, targets: readonly TcpTarget[]): TcpTarget[] {
  const plain = targets.filter(({ port }) => !isTlsPort(port));
  const [first, ...others] = plain;
  const anywhere = name.startsWith('0.0.0.0_') || name.startsWith('::_');
  for (const { service, port } of others)
    if (!anywhere || service.addresses.length === 0)
      input.note(
        `listener ${name}: its connections go to ${first!.service.hostname}, not to ${service.hostname}:${port.number}: ` +
          OWN_ADDRESS,
      );
  return targets.flatMap((target) => {
    if (isTlsPort(target.port) || target.service.addresses.length === 0) return [target];
    const byAddress = { ...target, addresses: target.service.addresses };
    return target === first ? [byAddress, target] : [byAddress];
  });
}

function unique(listeners: Listener[], note: (message: string) => void): Listener[] {
  const seen = new Set<string>();
  return listeners.filter((listener) => {
    if (!seen.has(listener.name)) return seen.add(listener.name);
    note(`listener ${listener.name}: the port is taken by another one`);
    return false;
  });
}

const dynamicForwardProxy = (dnsCacheConfig: object): HttpFilter =>
  httpFilter(
    'envoy.filters.http.dynamic_forward_proxy',
    'envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig',
    { dnsCacheConfig },
  );

/** Looks names up for services of resolution DYNAMIC_DNS at these ports. */
function dynamicDnsFilters(services: Services, ports: readonly number[]): HttpFilter[] {
  return services.list
    .filter((service) => service.resolution === 'DYNAMIC_DNS' && ports.some((port) => servesHttp(service, port)))
    .map((service) => dynamicForwardProxy(dnsCache(service)));
}

/** @param ports of the services that its routes lead to */
function httpChain(
  { services, settings, plugins }: Outbound,
  listener: string,
  rds: string,
  ports: readonly number[],
  more: readonly HttpFilter[] = [],
): FilterChain {
  const grpcWeb = services.list.some((service) =>
    service.ports.some(({ number, protocol }) => protocol === 'GRPC-WEB' && ports.includes(number)),
  );
  const manager = httpManager(settings, {
    side: 'outbound',
    statPrefix: `outbound_${listener};`,
    policies: pluginFilters(plugins, 'CLIENT', ports).http,
    routes: { rds },
    grpcWeb,
    last: [...dynamicDnsFilters(services, ports), ...more],
  });
  return { filters: [manager], transportSocketConnectTimeout: '15s' };
}

function httpProxyChain(input: Outbound, listener: string): FilterChain {
  const ports = input.services.list.flatMap((service) => service.ports.map(({ number }) => number));
  return httpChain(input, listener, 'http_proxy', ports, [dynamicForwardProxy(ANY_DNS_CACHE)]);
}

/** The chain of what is HTTP on a port that declares no protocol. */
function sniffedChain(input: Outbound, listener: string, target: TcpTarget, captured: boolean): FilterChain {
  const { port, addresses = [] } = target;
  const rds = sniffedRouteName(input.services.list, target, captured);
  const filterChainMatch = { ...subnetMatch(addresses), ...HTTP_MATCH };
  return { ...httpChain(input, listener, rds, [port.number]), filterChainMatch };
}

/** What chains are chosen by has to be read first. */
function inspectors(chains: readonly FilterChain[]): Pick<Listener, 'listenerFilters'> {
  const detects = chains.some(({ filterChainMatch }) => filterChainMatch?.applicationProtocols?.includes('h2c'));
  const listenerFilters = [...(usesSni(chains) ? [TLS_INSPECTOR] : []), ...(detects ? [HTTP_INSPECTOR] : [])];
  return listenerFilters.length > 0 ? { listenerFilters } : {};
}

/**
 * The chains of one address and port. `shared`: other services may come there, so TLS ones are distinguished by SNI; of
 * those that are not, the first has what no other chain takes.
 */
function* tcpChains(
  input: Outbound,
  name: string,
  targets: readonly TcpTarget[],
  { shared, captured }: { readonly shared: boolean; readonly captured: boolean },
): Work<FilterChain[]> {
  const chains: FilterChain[] = [];
  for (const target of targets) {
    if (isSniffed(target.port)) chains.push(sniffedChain(input, name, target, captured));
    const { beforeAuthorization: first, afterAuthorization: second } = pluginFilters(input.plugins, 'CLIENT', [
      target.port.number,
    ]);
    const own = serviceChains(input, target, shared && isTlsPort(target.port));
    chains.push(...own.map((chain) => ({ ...chain, filters: [...first, ...second, ...(chain.filters ?? [])] })));
    yield;
  }
  const matched = chains.filter((chain) => chain.filterChainMatch !== undefined);
  // What takes every connection goes last, so that no other target's chain is hidden behind it.
  return distinctChains(name, [...matched, ...chains.filter((chain) => !matched.includes(chain))], input.note);
}

/** With capture: listeners that only the original destination leads to, and virtualOutbound in front of them. */
function* capturedOutbound(input: Outbound, any: string): Work<Listener[]> {
  const { settings } = input;
  const listeners = new Map<string, Listener>();
  for (const port of httpPorts(input.services)) {
    const name = `${any}_${port}`;
    const chain = httpChain(input, name, String(port), [port]);
    chain.filterChainMatch = HTTP_MATCH;
    listeners.set(name, {
      ...captured(settings, name, any, port, [chain]),
      defaultFilterChain: passthroughChain(input),
      listenerFilters: [HTTP_INSPECTOR],
    });
    yield;
  }
  for (const { service, port } of tcpTargets(input)) {
    const addresses = ownAddresses(service, true);
    for (const address of addresses.length > 0 ? addresses : [any])
      yield* addCapturedTcp(input, listeners, service, port, address, any);
  }
  return [...listeners.values(), virtualOutbound(input, any)];
}

function passthroughChain({ settings, outboundTrafficPolicy }: Outbound): FilterChain {
  return {
    name: 'PassthroughFilterChain',
    filters: [plainTcpProxy(settings.telemetry.client, fallback(outboundTrafficPolicy))],
  };
}

function* addCapturedTcp(
  input: Outbound,
  listeners: Map<string, Listener>,
  service: MeshService,
  port: ServicePort,
  address: string,
  any: string,
): Work<void> {
  const name = `${address}_${port.number}`;
  const existing = listeners.get(name);
  // Its HTTP is routed with that of the services that declare it.
  if (existing && isSniffed(port)) return;
  const own = yield* tcpChains(input, name, [{ service, port }], { shared: address === any, captured: true });
  const sniffing = usesSni(own);
  if (!existing) {
    const { filterChains, defaultFilterChain } = withDefault(own);
    const listener = { ...captured(input.settings, name, address, port.number, filterChains), ...inspectors(own) };
    if (defaultFilterChain) listener.defaultFilterChain = defaultFilterChain;
    else if (sniffing && address === any) listener.defaultFilterChain = passthroughChain(input);
    listeners.set(name, listener);
  } else if (sniffing && address === any) {
    existing.filterChains = distinctChains(name, [...(existing.filterChains ?? []), ...own], input.note);
    if (!existing.listenerFilters?.some((filter) => filter.name === TLS_INSPECTOR.name))
      existing.listenerFilters = [TLS_INSPECTOR, ...(existing.listenerFilters ?? [])];
  } else
    input.note(
      `${service.hostname}:${port.number} has no listener: ${name} is taken; ` +
        'give it an address of its own (spec.addresses), or another port',
    );
}

function captured(
  settings: MeshSettings,
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
    listenerFiltersTimeout: detectionTimeout(settings),
    continueOnListenerFiltersTimeout: true,
  };
}

function fallback(policy: Policy): string {
  return policy === 'ALLOW_ANY' ? PASSTHROUGH : BLACK_HOLE;
}

const VIRTUAL_OUTBOUND = 'virtualOutbound';

function virtualOutbound({ settings, outboundTrafficPolicy }: Outbound, any: string): Listener {
  const port = settings.config.proxyListenPort ?? 15001;
  return {
    name: VIRTUAL_OUTBOUND,
    address: { socketAddress: { address: any, portValue: port } },
    trafficDirection: 'OUTBOUND',
    useOriginalDst: true,
    filterChains: [
      {
        name: 'virtualOutbound-blackhole',
        filterChainMatch: { destinationPort: port },
        filters: [plainTcpProxy(NOT_LOGGED, BLACK_HOLE)],
      },
      {
        name: 'virtualOutbound-catchall-tcp',
        filters: [plainTcpProxy(settings.telemetry.client, fallback(outboundTrafficPolicy))],
      },
    ],
  };
}
