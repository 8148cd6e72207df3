/** What a sidecar or a worker runs: what reaches its workload, and what the workload calls. */

import type { RouteForm } from '../../mesh/routes/route-form.ts';
import { type AnyHostClusters, dynamicAnyCluster } from '../cluster/clusters.ts';
import { type DestinationRule, destinationRules } from '../cluster/destination-rule.ts';
import { localCluster } from '../cluster/zone-aware.ts';
import { labelsKey, sharedList } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import type { Produced } from '../output/produced.ts';
import { pluginsFor } from '../plugins/plugin-filters.ts';
import { meshConnectionRoutes, meshRoutes } from '../routes/bound-routes.ts';
import { looksUpHosts } from '../scope/outbound-policy.ts';
import type { Scope } from '../scope/scope.ts';
import { sidecarsOf } from '../scope/sidecars.ts';
import { type InboundResources, inbound, wildcard } from '../sidecar/inbound.ts';
import { type EgressCalls, egressCalls, leftOut, outboundListeners, outboundRoutes } from '../sidecar/outbound.ts';
import { type Parts, type Place, partsOf } from './place.ts';
import { servedPorts } from './served-ports.ts';

const isCaptured = ({ proxy }: Place): boolean => proxy.interception !== 'NONE';
const addressOf = ({ proxy }: Place): string => proxy.ips[0] ?? '127.0.0.1';

function inboundOf(place: Place): InboundResources {
  const { view, proxy, mtls, policies, authorizers, tokenPolicies, plugins } = place;
  const appPorts = Object.entries(proxy.appPorts).map(([name, port]) => [name, String(port)]);
  return inbound({
    instances: proxy.instances,
    workloads: proxy.workloads,
    policies,
    authorizers,
    plugins,
    tokenPolicies,
    mtls,
    rules: inboundRules(place),
    sidecars: sharedList(sidecarsOf(view, proxy)),
    settings: place.settings,
    namespace: proxy.namespace,
    ip: addressOf(place),
    appPorts: labelsKey(Object.fromEntries(appPorts)),
    captured: isCaptured(place),
  });
}

/** As istiod, rules for some workloads alone do not count for what reaches one. */
function inboundRules({ view, proxy, settings }: Place): readonly (DestinationRule | undefined)[] {
  const { namespace, instances } = proxy;
  const caller = { namespace, rootNamespace: settings.rootNamespace, labels: labelsKey({}) };
  const rules = destinationRules(view.resources('DestinationRule'), view.settings, caller);
  return sharedList(instances.map(({ service }) => rules.for(service)));
}

export function* sidecarInbound(place: Place): Work<Parts> {
  const { listeners, clusters, notes, errors } = inboundOf(place);
  yield;
  return partsOf(place, { listeners, clusters }, { notes, errors });
}

/** Without capture, ports that a workload of the host serves are left out. */
export function* sidecarOutbound(place: Place): Work<Parts> {
  const { view, proxy, asked, scope, rules } = place;
  const { dnsDomain, outboundBind: bind } = proxy;
  // 0 is none.
  const httpProxyPort = proxy.httpProxyPort ?? (place.settings.config.proxyHttpPort || undefined);
  const captured = isCaptured(place);
  const seen = {
    services: scope.services,
    rules,
    settings: place.settings,
    policy: scope.outboundPolicy,
    namespace: proxy.namespace,
    labels: asked.sourceLabels,
    captured,
  };
  const outbound = yield* outboundListeners({
    ...seen,
    egress: callsOf(scope, (list) => meshConnectionRoutes({ list })),
    bind,
    any: wildcard(addressOf(place)),
    plugins: pluginsFor(place.plugins, proxy.workloads, view.settings.rootNamespace),
    httpProxyPort: captured ? undefined : httpProxyPort,
  });
  yield;
  const served: ReadonlySet<number> = captured ? new Set() : servedPorts(view, proxy, inboundOf(place).ports);
  const isFree = ({ origin: { port } }: Produced) => port === undefined || !served.has(port);
  const notes = outbound.listeners
    .filter((item) => !isFree(item))
    .map((item) => leftOut(scope.services, item, httpProxyPort));
  const proxied = !captured && httpProxyPort !== undefined && !served.has(httpProxyPort);
  const { routes, errors } = yield* outboundRoutes({
    ...seen,
    egress: callsOf(scope, (list) => meshRoutes({ list })),
    dnsDomain,
    httpProxy: proxied,
  });
  const dials = proxied || looksUpHosts(scope.outboundPolicy);
  const any = dials ? dynamicAnyCluster({ settings: view.settings }) : NO_CLUSTERS;
  const made = {
    listeners: only(outbound.listeners, isFree),
    routes: only(routes, isFree),
    clusters: any.clusters,
  };
  return partsOf(place, made, {
    notes: [...outbound.notes, ...any.notes, ...notes],
    errors: [...errors, ...outbound.errors],
  });
}

const NO_CLUSTERS: AnyHostClusters = Object.freeze({ clusters: Object.freeze([]), notes: Object.freeze([]) });

/** What each group of listeners calls, with the routes of one sort. */
function callsOf(
  { egress }: Scope,
  routesOf: (all: readonly RouteForm[]) => readonly RouteForm[],
): readonly EgressCalls[] {
  return sharedList(
    egress.map(({ group, services, routes }) => egressCalls({ group, services, forms: routesOf(routes) })),
  );
}

/** The items that `keep` admits: the same list where it admits all. */
function only<T extends object>(items: readonly T[], keep: (item: T) => boolean): readonly T[] {
  const kept = items.filter(keep);
  return kept.length === items.length ? items : sharedList(kept);
}

/** The proxies like this one, where it asks for them: zone-aware routing compares their zones with those of endpoints. */
export function* sidecarPeers(place: Place): Work<Parts> {
  const { view, proxy, settings, selfDiscovers } = place;
  const [first] = proxy.instances;
  if (!selfDiscovers || !first) return partsOf(place, {});
  yield;
  const { service, port } = first;
  const made = localCluster({
    service,
    port: port.number,
    endpoints: view.endpoints(service),
    locality: proxy.locality,
    template: proxy.labels['pod-template-hash'] ?? '',
    settings,
  });
  return partsOf(place, made);
}
