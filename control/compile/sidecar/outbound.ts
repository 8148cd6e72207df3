/** What the workload calls: listeners per service port, and their route configurations. */
import { isHttp } from '../../../shared/match/protocol.ts';
import type { Listener } from '../../../shared/xds/listener.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { DestinationRules } from '../cluster/destination-rule.ts';
import { generator, type Last, labelsFrom, sharedList, slicedGenerator, successiveGenerator } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { distinctFindings, type Finding } from '../output/finding.ts';
import { type Produced, produced } from '../output/produced.ts';
import type { Plugin } from '../plugins/plugin.ts';
import { changedForms, type FormChange, MeshFormRoutes } from '../routes/mesh-form-routes.ts';
import { proxiedRoutes } from '../routes/proxied-routes.ts';
import {
  configurationWith,
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
import { observed } from '../telemetry/observed.ts';
import { type BoundPlace, bound, boundListeners } from './bound-listeners.ts';
import { capturedListeners, virtualOutbound } from './captured-listeners.ts';
import type { ProxySettings } from './http-manager.ts';
import { withListenerSettings } from './manager-settings.ts';
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
  readonly formRoutes: MeshFormRoutes;
}

const { egress: _, ...SEEN_BESIDES_EGRESS } = SEEN;

/**
 * A route configuration for each HTTP port and each sniffed one, and `http_proxy`. Where groups have listeners that ask for
 * one name, the first group has its routes, as in istiod. Pauses between virtual hosts. Where only rules of some forms
 * changed, only the virtual hosts of these are made again.
 */
export const outboundRoutes = successiveGenerator<OutboundRoutesInput, OutboundRoutes>(
  { ...SEEN_BESIDES_EGRESS, dnsDomain: true, httpProxy: true, egress: true },
  function* (input, last) {
    return (last && afterChangedForms(last, input.egress)) ?? (yield* allOutboundRoutes(input));
  },
);

/** @returns undefined when more than rules of some forms is another */
function afterChangedForms(
  { input: { egress: before }, value }: Last<OutboundRoutesInput, OutboundRoutes>,
  after: readonly EgressCalls[],
): OutboundRoutes | undefined {
  const changes = changesOf(before, after);
  const changed = changes && value.formRoutes.changed(changes);
  if (!changed) return undefined;
  const { forms: formRoutes, replacements } = changed;
  const routes = value.routes.map((item) => configurationWith(item, replacements));
  return { routes: sharedList(routes), errors: distinctFindings(formRoutes.errors()), formRoutes };
}

/** Of groups that call the same: which forms replaced which. */
function changesOf(before: readonly EgressCalls[], after: readonly EgressCalls[]): FormChange[] | undefined {
  if (before.length !== after.length) return undefined;
  const changes = new Map<RouteForm, FormChange>();
  for (const [i, calls] of after.entries()) {
    const other = before[i]!;
    const same = other.group === calls.group && other.services === calls.services;
    const found = same ? changedForms(other.forms, calls.forms) : undefined;
    if (!found) return undefined;
    for (const change of found) changes.set(change.before, change);
  }
  return [...changes.values()];
}

function* allOutboundRoutes(seen: OutboundRoutesInput): Work<OutboundRoutes> {
  const { egress, services, rules, settings, policy, namespace, labels, dnsDomain, httpProxy, captured } = seen;
  const destinations = destinationsOf(services, rules);
  const caller = { namespace, labels: labelsFrom(labels), dnsDomain };
  const formRoutes = new MeshFormRoutes({ destinations, caller, settings });
  const inputOf = (calls: Pick<EgressCalls, 'services' | 'forms'>): SidecarRoutes => ({
    services: calls.services,
    forms: calls.forms,
    destinations,
    caller,
    settings,
    policy,
    formRoutes,
  });
  const routes = new Map<string, Produced<'routes'>>();
  const add = (made: readonly Produced<'routes'>[]) => {
    for (const one of made) {
      const name = String(one.resource.name);
      if (!routes.has(name)) routes.set(name, one);
    }
  };
  for (const calls of egress) add(yield* routesOf(inputOf(calls), calls.group, captured));
  if (httpProxy) {
    // As istiod, the services of the listeners without a port of their own.
    const calls = egress.find(({ group }) => !group.port) ?? { services: NO_SERVICES, forms: [] };
    add([yield* proxiedRoutes(inputOf(calls), { name: 'http_proxy', port: undefined, tunnels: true })]);
  }
  return { routes: sharedList([...routes.values()]), errors: distinctFindings(formRoutes.errors()), formRoutes };
}

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
  /** Those that select the proxy's workloads. */
  readonly plugins: readonly Plugin[];
  /** Where listeners bind without capture. */
  readonly bind: string;
  /** The wildcard address of the proxy's address family. */
  readonly any: string;
  readonly httpProxyPort: number | undefined;
}

export interface OutboundListeners {
  readonly listeners: readonly Produced<'listeners'>[];
  readonly notes: readonly string[];
  /** Why rules of connections are not in force as written. */
  readonly errors: readonly Finding[];
}

/** Pauses between listeners, and between the services behind them. */
export const outboundListeners = slicedGenerator<OutboundListenersInput, OutboundListeners>(
  { ...SEEN, plugins: true, bind: true, any: true, httpProxyPort: true },
  function* ({ egress, services, rules, settings, policy, namespace, labels, captured, ...rest }) {
    const notes = new Set<string>();
    const errors: Finding[] = [];
    const note = (message: string) => void notes.add(message);
    const shared = {
      destinations: destinationsOf(services, rules),
      caller: { namespace, labels: labelsFrom(labels) },
      settings,
      policy,
      plugins: rest.plugins,
      note,
      onError: (finding: Finding) => void errors.push(finding),
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
    const { connections } = settings.http;
    const own = [...listeners.values()].map((listener) => withListenerSettings(listener, connections, 'outbound'));
    return {
      listeners: own.map((one) => withOrigin(one, settings)),
      notes: [...notes],
      errors: distinctFindings(errors),
    };
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

/** Where traffic is captured, connections for which there is no filter chain end at `virtualOutbound`. */
function withOrigin(listener: Listener, { telemetry }: ProxySettings): Produced<'listeners'> {
  const resource = observed(listener, telemetry.client, listener.name === 'virtualOutbound');
  return produced('listeners', resource, { side: 'outbound', port: listener.address?.socketAddress?.portValue });
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
