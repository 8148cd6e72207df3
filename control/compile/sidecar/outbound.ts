/** What the workload calls: listeners per service port, and their route configurations. */
import { isHttp } from '../../../shared/match/protocol.ts';
import type { Listener } from '../../../shared/xds/listener.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { DestinationRules } from '../cluster/destination-rule.ts';
import { generator, labelsFrom, slicedGenerator } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { distinctFindings, type Finding } from '../output/finding.ts';
import { type Produced, produced } from '../output/produced.ts';
import { proxiedRoutes } from '../routes/proxied-routes.ts';
import {
  httpPorts,
  routeConfiguration,
  type SidecarRoutes,
  servesHttp,
  serviceVirtualHost,
  sidecarVirtualHosts,
} from '../routes/routes.ts';
import { type EgressGroup, servesAllPorts } from '../scope/egress.ts';
import type { OutboundPolicy } from '../scope/outbound-policy.ts';
import type { Services } from '../scope/scope.ts';
import { type BoundPlace, bound, boundListeners } from './bound-listeners.ts';
import { capturedListeners, virtualOutbound } from './captured-listeners.ts';
import type { ProxySettings } from './http-manager.ts';
import { allPorts, httpChain, type Outbound } from './outbound-chains.ts';
import { ownRouteName, sniffedRoutes } from './sniffed-ports.ts';

/** What one group of listeners calls, and the rules for it: of one sort, those of requests or those of connections. */
export interface EgressCalls {
  readonly group: EgressGroup;
  readonly services: Services;
  readonly forms: readonly RouteForm[];
}

/** The same object for the same parts. */
export const egressCalls = generator<EgressCalls, EgressCalls>(
  { forms: true, services: true, group: true },
  (calls) => calls,
);

/** What a class of sidecars sees, and who they are to rules that ask. */
interface Seen {
  readonly egress: readonly EgressCalls[];
  /** Those of all groups, and what routes lead to besides. */
  readonly services: Services;
  readonly rules: DestinationRules;
  readonly settings: ProxySettings;
  readonly policy: OutboundPolicy;
  readonly namespace: string;
  /** Those that source labels of rules name, as `labelsKey` writes them. */
  readonly labels: string;
  readonly captured: boolean;
}

const SEEN = {
  egress: true,
  services: true,
  rules: true,
  settings: true,
  policy: true,
  namespace: true,
  labels: true,
  captured: true,
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

/**
 * A route configuration for each HTTP port and each sniffed one, and `http_proxy`. Where groups have listeners that ask for
 * one name, the first group has its routes, as in istiod. Pauses between virtual hosts.
 */
export const outboundRoutes = slicedGenerator<OutboundRoutesInput, OutboundRoutes>(
  { ...SEEN, dnsDomain: true, httpProxy: true },
  function* ({ egress, services, rules, settings, policy, namespace, labels, dnsDomain, ...rest }) {
    const errors: Finding[] = [];
    const destinations = destinationsOf(services, rules);
    const caller = { namespace, labels: labelsFrom(labels), dnsDomain };
    const inputOf = (calls: Pick<EgressCalls, 'services' | 'forms'>): SidecarRoutes => ({
      services: calls.services,
      forms: calls.forms,
      destinations,
      caller,
      settings,
      policy,
      onError: (finding) => void errors.push(finding),
    });
    const routes = new Map<string, Produced<'routes'>>();
    const add = (made: readonly Produced<'routes'>[]) => {
      for (const one of made) {
        const name = String(one.resource.name);
        if (!routes.has(name)) routes.set(name, one);
      }
    };
    for (const calls of egress) add(yield* routesOf(inputOf(calls), calls.group, rest.captured));
    if (rest.httpProxy) {
      // As istiod, the services of the listeners without a port of their own.
      const calls = egress.find(({ group }) => !group.port) ?? { services: NO_SERVICES, forms: [] };
      add([yield* proxiedRoutes(inputOf(calls), { name: 'http_proxy', port: undefined, tunnels: true })]);
    }
    return { routes: [...routes.values()], errors: distinctFindings(errors) };
  },
);

const NO_SERVICES: Services = { list: [], byHost: new Map() };

/** The route configurations of one group. */
function* routesOf(input: SidecarRoutes, group: EgressGroup, isCaptured: boolean): Work<Produced<'routes'>[]> {
  const { port: own, bind } = group;
  if (own && servesAllPorts(group)) {
    if (input.services.list.length === 0) return [];
    const port = own.number || undefined;
    return [yield* proxiedRoutes(input, { name: port ? String(port) : bind, port, tunnels: false })];
  }
  const routes: Produced<'routes'>[] = [];
  const { list } = input.services;
  const sniffed = sniffedRoutes({ services: list, captured: isCaptured && !isBoundIn(group) });
  for (const port of [...httpPorts(input.services), ...sniffed.shared]) {
    const hosts = yield* sidecarVirtualHosts(input, port);
    routes.push(routeConfiguration(String(port), hosts, 'outbound', port));
  }
  for (const target of sniffed.own) {
    const { number } = target.port;
    const host = yield* serviceVirtualHost(input, target.service, number);
    routes.push(routeConfiguration(ownRouteName(target), [host], 'outbound', number));
  }
  return routes;
}

/** Among captured connections: the group has listeners at one address. */
const isBoundIn = ({ bind, bound: own }: EgressGroup): boolean => own || bind !== '';

export function destinationsOf(services: Services, rules: DestinationRules) {
  return {
    service: (hostname: string) => services.byHost.get(hostname),
    rule: (service: Parameters<DestinationRules['for']>[0]) => rules.for(service),
  };
}

export interface OutboundListenersInput extends Seen {
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
  { ...SEEN, bind: true, any: true, httpProxyPort: true },
  function* ({ egress, services, rules, settings, policy, namespace, labels, captured, ...rest }) {
    const notes = new Set<string>();
    const note = (message: string) => void notes.add(message);
    const shared = {
      destinations: destinationsOf(services, rules),
      caller: { namespace, labels: labelsFrom(labels) },
      settings,
      policy,
      note,
    };
    const listeners = new Map<string, Listener>();
    for (const { group, ...calls } of egress) {
      const made = yield* groupListeners({ ...shared, ...calls }, group, { captured, ...rest });
      if (group.port && made.length === 0) note(`${group.name}: ${withoutListener(group)}`);
      for (const listener of made) {
        if (!listeners.has(listener.name)) listeners.set(listener.name, listener);
        else if (group.port) note(`${group.name}: listener ${listener.name} belongs to an item before it`);
      }
    }
    const { httpProxyPort: port } = rest;
    if (captured) listeners.set('virtualOutbound', virtualOutbound(shared, rest.any));
    else if (port !== undefined) {
      const proxy = httpProxyListener({ ...shared, services: proxiedServices(egress), forms: [] }, port);
      if (!listeners.has(proxy.name)) listeners.set(proxy.name, proxy);
      else note(`listener ${proxy.name}: the port is taken by another one`);
    }
    return { listeners: [...listeners.values()].map(withOrigin), notes: [...notes] };
  },
);

const proxiedServices = (egress: readonly EgressCalls[]): Services =>
  egress.find(({ group }) => !group.port)?.services ?? NO_SERVICES;

function withoutListener({ port }: EgressGroup): string {
  return port?.number
    ? `no host of it has port ${port.number}: there is no listener`
    : 'it has no hosts: there is no listener';
}

interface Places {
  readonly captured: boolean;
  readonly bind: string;
  readonly any: string;
}

function* groupListeners(input: Outbound, group: EgressGroup, { captured, bind, any }: Places): Work<Listener[]> {
  if (group.port && input.services.list.length === 0) return [];
  if (captured && (!isBoundIn(group) || (group.bind === any && !group.bound)))
    return yield* capturedListeners(input, group, any);
  const place: BoundPlace = {
    address: group.bind || (captured ? LOOPBACK : bind),
    spreads: group.bind === '',
    bindToPort: !captured || group.bound,
  };
  return yield* boundListeners(input, group, place);
}

function withOrigin(listener: Listener): Produced<'listeners'> {
  return produced('listeners', listener, { side: 'outbound', port: listener.address?.socketAddress?.portValue });
}

const LOOPBACK = '127.0.0.1';

/** Loopback whatever the others bind to: an application's `http_proxy` is fixed, as in Istio. */
function httpProxyListener(input: Outbound, port: number): Listener {
  const chain = httpChain(input, `${LOOPBACK}_${port}`, 'http_proxy', allPorts(input.services), true);
  return bound(input, { address: LOOPBACK, spreads: false, bindToPort: true }, port, [chain]);
}

/** Says why a listener is left out whose port a workload of the host serves, and the way out. */
export function leftOut(
  services: Services,
  { resource, origin }: Produced<'listeners'>,
  httpProxyPort: number | undefined,
): string {
  const { port = 0 } = origin;
  const reason = `no outbound listener ${resource.name}: a workload of this host serves port ${port}`;
  if (port === httpProxyPort && resource.name === `${LOOPBACK}_${port}`)
    return `${reason}; choose another HTTP_PROXY_PORT`;
  if (services.list.some((service) => servesHttp(service, port)))
    return `${reason}; call HTTP services on it through the HTTP proxy (--http-proxy-port)`;
  const called = services.list.filter((service) =>
    service.ports.some((item) => item.number === port && !isHttp(item.protocol) && item.protocol !== 'UDP'),
  );
  const names = called.map(({ hostname }) => hostname).join(', ');
  return `${reason}; to call ${names}, run the caller on another host, or change one of the ports`;
}
