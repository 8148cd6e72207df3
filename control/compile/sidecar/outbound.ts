/** What the workload calls: listeners per service port, and their route configurations. */
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { FilterChain, Listener } from '../../../shared/xds/listener.ts';
import type { VirtualHost } from '../../../shared/xds/route.ts';
import { isHttp } from '../../mesh/protocol.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { MeshService, MeshSettings, ServicePort } from '../../mesh/view.ts';
import { ANY_DNS_CACHE, BLACK_HOLE, dnsCache, PASSTHROUGH } from '../cluster/clusters.ts';
import type { DestinationRules } from '../cluster/destination-rule.ts';
import { labelsFrom, slicedGenerator } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { distinctFindings, type Finding } from '../output/finding.ts';
import { type Produced, produced } from '../output/produced.ts';
import { frozen } from '../output/shared-resource.ts';
import {
  distinctChains,
  isTlsPort,
  type L4Routes,
  type ServiceTarget,
  serviceChains,
  usesSni,
  withDefault,
} from '../routes/l4-routes.ts';
import {
  httpPorts,
  httpProxyRoutes,
  routeConfiguration,
  servesHttp,
  sidecarVirtualHosts,
  tunnelHosts,
} from '../routes/routes.ts';
import type { Services } from '../scope/scope.ts';
import { httpFilter } from '../wire.ts';
import {
  detectionTimeout,
  HTTP_INSPECTOR,
  httpManager,
  type ProxySettings,
  plainTcpProxy,
  TLS_INSPECTOR,
} from './http-manager.ts';

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
  readonly dnsDomain: string;
  /** There is a listener that applications use as an HTTP proxy. */
  readonly httpProxy: boolean;
}

export interface OutboundRoutes {
  readonly routes: readonly Produced<'routes'>[];
  /** Why rules could not be translated. */
  readonly errors: readonly Finding[];
}

/** A route configuration for each HTTP port, and `http_proxy`. Pauses between virtual hosts. */
export const outboundRoutes = slicedGenerator<OutboundRoutesInput, OutboundRoutes>(
  { ...SEEN, dnsDomain: true, httpProxy: true },
  function* ({ services, forms, rules, settings, outboundTrafficPolicy, namespace, labels, ...rest }) {
    const errors: Finding[] = [];
    const input = {
      services,
      forms,
      destinations: destinationsOf(services, rules),
      caller: { namespace, labels: labelsFrom(labels), dnsDomain: rest.dnsDomain },
      settings,
      outboundTrafficPolicy,
      onError: (finding: Finding) => void errors.push(finding),
    };
    const byPort: { port: number; hosts: VirtualHost[] }[] = [];
    for (const port of httpPorts(services)) byPort.push({ port, hosts: yield* sidecarVirtualHosts(input, port) });
    const routes = byPort.map(({ port, hosts }) => routeConfiguration(String(port), hosts, 'outbound', port));
    if (rest.httpProxy) {
      const tunnels = tunnelHosts({ services: services.list, dnsDomain: rest.dnsDomain });
      routes.push(yield* httpProxyRoutes([...byPort, ...tunnels], outboundTrafficPolicy));
    }
    return { routes, errors: distinctFindings(errors) };
  },
);

export function destinationsOf(services: Services, rules: DestinationRules) {
  return {
    service: (hostname: string) => services.byHost.get(hostname),
    rule: (service: MeshService) => rules.for(service),
  };
}

export interface OutboundListenersInput extends Seen {
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
  { ...SEEN, captured: true, bind: true, any: true, httpProxyPort: true },
  function* ({ services, forms, rules, settings, outboundTrafficPolicy, namespace, labels, ...rest }) {
    const notes = new Set<string>();
    const input: Outbound = {
      services,
      forms,
      destinations: destinationsOf(services, rules),
      caller: { namespace, labels: labelsFrom(labels) },
      settings,
      outboundTrafficPolicy,
      note: (message) => void notes.add(message),
    };
    const listeners = rest.captured
      ? yield* capturedOutbound(input, rest.any)
      : yield* boundOutbound(input, rest.bind, rest.httpProxyPort);
    return { listeners: listeners.map(withOrigin), notes: [...notes] };
  },
);

function withOrigin(listener: Listener): Produced<'listeners'> {
  return produced('listeners', listener, { side: 'outbound', port: listener.address?.socketAddress?.portValue });
}

interface Outbound extends L4Routes {
  readonly settings: ProxySettings;
  readonly services: Services;
  readonly outboundTrafficPolicy: Policy;
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
  if (httpPorts(services).includes(port))
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
        ...(usesSni(chains) && { listenerFilters: [TLS_INSPECTOR] }),
        listenerFiltersTimeout: detectionTimeout(settings),
        continueOnListenerFiltersTimeout: true,
      }),
    );
  const ports = httpPorts(services);
  for (const port of ports) {
    add(port, [httpChain(input, `${bind}_${port}`, String(port))]);
    yield;
  }
  for (const { address, number, targets } of tcpPlaces(input, bind, ports)) {
    const name = `${address}_${number}`;
    const alone = targets.length === 1;
    add(number, yield* tcpChains(input, name, alone ? targets : toldApart(input, name, targets), !alone), address);
    yield;
  }
  if (httpProxyPort !== undefined) {
    // Loopback whatever the others bind to: an application's `http_proxy` is fixed, as in Istio.
    const name = `${HTTP_PROXY_ADDRESS}_${httpProxyPort}`;
    add(httpProxyPort, [httpChain(input, name, 'http_proxy')], HTTP_PROXY_ADDRESS);
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
    const own = service.addresses.filter(isLoopback);
    for (const address of own.length > 0 ? own : [bind]) {
      if (address === bind && taken.includes(port.number)) {
        input.note(`${service.hostname}:${port.number} has no listener: HTTP services use that port; ${OWN_ADDRESS}`);
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

/** Every host may bind it, and no other host is reached by it. */
const isLoopback = (address: string): boolean => /^127\.\d+\.\d+\.\d+$/.test(address);

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

function httpChain(input: Outbound, listener: string, rds: string): FilterChain {
  const { services, settings } = input;
  const isProxy = rds === 'http_proxy';
  const last = dynamicDnsFilters(services, isProxy ? httpPorts(services) : [Number(rds)]);
  if (isProxy) last.push(dynamicForwardProxy(ANY_DNS_CACHE));
  const grpcWeb = services.list.some(({ ports }) =>
    ports.some(({ number, protocol }) => protocol === 'GRPC-WEB' && (isProxy || number === Number(rds))),
  );
  const manager = httpManager(settings, {
    side: 'outbound',
    statPrefix: `outbound_${listener};`,
    routes: { rds },
    grpcWeb,
    last,
  });
  return { filters: [manager], transportSocketConnectTimeout: '15s' };
}

/**
 * The chains of one address and port. `shared`: other services may come there, so TLS ones are distinguished by SNI; of
 * those that are not, the first has what no other chain takes.
 */
function* tcpChains(
  input: Outbound,
  name: string,
  targets: readonly TcpTarget[],
  shared: boolean,
): Work<FilterChain[]> {
  const chains: FilterChain[] = [];
  for (const target of targets) {
    chains.push(...serviceChains(input, target, shared && isTlsPort(target.port)));
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
    const chain = httpChain(input, name, String(port));
    chain.filterChainMatch = { transportProtocol: 'raw_buffer', applicationProtocols: ['http/1.1', 'h2c'] };
    listeners.set(name, {
      ...captured(settings, name, any, port, [chain]),
      defaultFilterChain: passthroughChain(input),
      listenerFilters: [HTTP_INSPECTOR],
    });
    yield;
  }
  for (const { service, port } of tcpTargets(input)) {
    const addresses = service.addresses.filter((address) => !address.includes('/'));
    for (const address of addresses.length > 0 ? addresses : [any])
      yield* addCapturedTcp(input, listeners, service, port, address, any);
  }
  return [...listeners.values(), virtualOutbound(input, any)];
}

function passthroughChain({ settings, outboundTrafficPolicy }: Outbound): FilterChain {
  return { name: 'PassthroughFilterChain', filters: [plainTcpProxy(settings, fallback(outboundTrafficPolicy))] };
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
  const own = yield* tcpChains(input, name, [{ service, port }], address === any);
  const sniffing = usesSni(own);
  const existing = listeners.get(name);
  if (!existing) {
    const { filterChains, defaultFilterChain } = withDefault(own);
    const listener = captured(input.settings, name, address, port.number, filterChains);
    if (sniffing) listener.listenerFilters = [TLS_INSPECTOR];
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

function virtualOutbound({ settings, outboundTrafficPolicy }: Outbound, any: string): Listener {
  const port = settings.config.proxyListenPort ?? 15001;
  return {
    name: 'virtualOutbound',
    address: { socketAddress: { address: any, portValue: port } },
    trafficDirection: 'OUTBOUND',
    useOriginalDst: true,
    filterChains: [
      {
        name: 'virtualOutbound-blackhole',
        filterChainMatch: { destinationPort: port },
        filters: [plainTcpProxy(settings, BLACK_HOLE)],
      },
      {
        name: 'virtualOutbound-catchall-tcp',
        filters: [plainTcpProxy(settings, fallback(outboundTrafficPolicy))],
      },
    ],
  };
}
