/** (MeshView, node) -> everything the node runs. Pure: the same view and node give the same resources, byte for byte. */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Node } from '../../../shared/xds/core.ts';
import { knownFeatures, RESOURCE_TYPES, type ResourceType, type Snapshot } from '../../../shared/xds/discovery.ts';
import type { MeshService, MeshView } from '../../mesh/view.ts';
import { clusterLayers } from '../cluster/cluster-layers.ts';
import { standardClusters } from '../cluster/clusters.ts';
import { type DestinationRules, destinationRules } from '../cluster/destination-rule.ts';
import { neighboursOf } from '../cluster/neighbours.ts';
import { gatewayOutbound } from '../gateway/gateway.ts';
import { sniClusters } from '../gateway/gateway-l4.ts';
import { gatewaysFor } from '../gateway/gateway-server.ts';
import { gatewaySecrets } from '../gateway/secrets.ts';
import { generator, labelsKey, sharedList, slicedGenerator } from '../memo.ts';
import { type CompiledNode, type CompileNode, type Eager, inOneGo, type Work } from '../output/compiled-node.ts';
import { type Finding, findingText } from '../output/finding.ts';
import type { Produced } from '../output/produced.ts';
import { type Layer, layerOf, ResourceSet } from '../output/resource-set.ts';
import { shared } from '../output/shared-resource.ts';
import { snapshotOf } from '../output/snapshot.ts';
import { NO_PATCHES, type Patch, patched, patchesOn } from '../patches/patch.ts';
import { gatewayRoutes, meshConnectionRoutes, meshRoutes } from '../routes/bound-routes.ts';
import { hostIndex } from '../routes/host-index.ts';
import { type SeparateHosts, separateHosts } from '../routes/separate-hosts.ts';
import { type ProxyView, proxyOf } from '../scope/proxy.ts';
import { exactHosts, type Scope, scopeOf, sidecarsOf } from '../scope/scope.ts';
import { noteSharedAddress } from '../scope/workloads.ts';
import { noteServiceTargets, policiesOf } from '../security/authorization.ts';
import { type MtlsModes, mtlsModes } from '../security/peer-authentication.ts';
import type { AuthorizationPolicy } from '../security/rbac.ts';
import { proxySettings } from '../sidecar/http-manager.ts';
import { inbound, wildcard } from '../sidecar/inbound.ts';
import { leftOut, outboundListeners, outboundRoutes } from '../sidecar/outbound.ts';
import { eagerOf } from './eager.ts';
import { noteNotCompiled } from './not-compiled.ts';
import { type ProxyClass, proxyClass } from './proxy-class.ts';
import { proxyHttpSettings } from './proxy-config.ts';
import { servedPorts } from './served-ports.ts';

export interface Compiled {
  snapshot: Snapshot;
  /** What was written and could not be translated, one sentence each. */
  notes: string[];
}

/** Which patches a proxy's resources go through, in their order. Pure, and the same list for the same patches. */
export type PatchSource = (view: MeshView, proxy: ProxyView) => readonly Patch[];

/** A proxy in its mesh: what every type of proxy is compiled from. */
interface Place {
  readonly view: MeshView;
  readonly proxy: ProxyView;
  readonly asked: ProxyClass;
  readonly scope: Scope;
  readonly rules: DestinationRules;
  readonly mtls: MtlsModes;
  readonly policies: readonly AuthorizationPolicy[];
  readonly source: PatchSource;
  readonly patches: readonly Patch[];
  /** The node takes virtual hosts apart from their route configurations. */
  readonly takesHosts: boolean;
  /** It fetches hosts on demand. */
  readonly onDemand: boolean;
}

/** What one type of proxy runs besides the clusters of the services it may call. */
interface Parts {
  readonly layers: { readonly [T in ResourceType]?: readonly Layer[] };
  readonly notes: readonly string[];
  readonly errors: readonly Finding[];
}

/** The types of proxies, by the first word of their node id. */
const PROXY_TYPES: { readonly [T in ProxyView['type']]: (place: Place) => Work<Parts> } = {
  sidecar: sidecarParts,
  worker: sidecarParts,
  router: gatewayParts,
};

/** A compile function whose resources go through `patches`. */
export function nodeCompiler(patches: PatchSource = () => NO_PATCHES): CompileNode {
  return (view, node) => compileIncrementally(view, node, patches);
}

function* compileIncrementally(view: MeshView, node: Node, patches: PatchSource): Work<CompiledNode> {
  const place = yield* placeOf(view, node, patches);
  const { sets, errors, eager } = yield* compileAt(place);
  return new NodeAt(place, sets, errors, eager);
}

/** A compiled node that knows where it was compiled. */
class NodeAt implements CompiledNode {
  readonly sets: CompiledNode['sets'];
  readonly errors: readonly Finding[];
  readonly eager: Eager | undefined;
  private readonly place: Place;

  constructor(place: Place, sets: CompiledNode['sets'], errors: readonly Finding[], eager: Eager | undefined) {
    this.place = place;
    this.sets = sets;
    this.errors = errors;
    this.eager = eager;
  }

  next(view: MeshView): Work<CompiledNode> | undefined {
    return differsInEndpoints(this.place, view) ? this.moved(view) : undefined;
  }

  /** A sidecar whose services have other endpoints, and that is otherwise as it was. */
  private *moved(view: MeshView): Work<CompiledNode> {
    const place = { ...this.place, view };
    const { clusters, endpoints } = yield* clustersOf(place).at(view);
    const { sets } = this;
    const next = {
      ...sets,
      clusters: sets.clusters.withLast(clusters),
      endpoints: sets.endpoints.withLast(endpoints),
    };
    return new NodeAt(place, next, this.errors, this.eager && eagerIn(place, next));
  }
}

/** Kinds that a node's resources are made of, besides services, their endpoints and routes. */
const KINDS = [
  'DestinationRule',
  'Sidecar',
  'PeerAuthentication',
  'AuthorizationPolicy',
  'Gateway',
  'Secret',
  'ProxyConfig',
  'WorkloadGroup',
] as const;

/** Whether nothing that the proxy is compiled from can have changed but endpoints at other addresses than its own. */
function differsInEndpoints({ view: before, proxy, source, patches }: Place, view: MeshView): boolean {
  if (before.settings !== view.settings || before.services !== view.services || before.routes !== view.routes)
    return false;
  if (source(view, proxy) !== patches) return false;
  if (proxy.type === 'router' || KINDS.some((kind) => before.resources(kind) !== view.resources(kind))) return false;
  return proxy.ips.every((ip) => {
    const { namespace } = proxy;
    const here = view.servicesAt(ip);
    return (
      before.servicesAt(ip) === here &&
      before.workloadEntriesAt(ip, namespace) === view.workloadEntriesAt(ip, namespace) &&
      here.every((service) => before.endpoints(service) === view.endpoints(service))
    );
  });
}

export const compileInSlices: CompileNode = nodeCompiler();

/** @throws NodeError when the node's id or metadata is malformed */
export function compileNode(view: MeshView, node: Node): Snapshot {
  return snapshotOf(inOneGo(compileInSlices(view, node)).sets);
}

/**
 * @param patches those of the control plane, so that what is shown offline is what it serves
 * @throws NodeError when the node's id or metadata is malformed
 */
export function compileWithNotes(view: MeshView, node: Node, patches: PatchSource = () => NO_PATCHES): Compiled {
  const place = inOneGo(placeOf(view, node, patches));
  const notes = new Set<string>();
  const note = (message: string) => void notes.add(message);
  noteNotCompiled(view, place.proxy, place.scope, note);
  const compiled = inOneGo(compileAt(place));
  for (const message of [
    ...place.scope.routes.flatMap(({ notes }) => notes),
    ...compiled.notes(),
    ...compiled.errors.map(findingText),
  ])
    note(message);
  for (const workload of place.proxy.workloads) noteServiceTargets(view, workload, note);
  noteSharedAddress(place.proxy, note);
  return { snapshot: snapshotOf(compiled.sets), notes: [...notes] };
}

/** Pauses between the indexes, which read all resources of their kinds when one of these has changed. */
function* placeOf(view: MeshView, node: Node, source: PatchSource): Work<Place> {
  const { settings } = view;
  const { rootNamespace } = settings;
  const proxy = proxyOf(view, node);
  const { namespace } = proxy;
  yield;
  const asked = proxyClass(view, proxy);
  yield;
  const scope = scopeOf(view, proxy);
  yield;
  const caller = { namespace, rootNamespace, labels: asked.ruleLabels };
  const rules = destinationRules(view.resources('DestinationRule'), settings, caller);
  yield;
  const mtls = mtlsModes({ policies: view.resources('PeerAuthentication'), rootNamespace });
  yield;
  const policies = policiesOf(view.resources('AuthorizationPolicy'), namespace, rootNamespace);
  const patches = source(view, proxy);
  const features = knownFeatures(node.clientFeatures);
  const takesHosts = features.has('tulle.virtual-hosts');
  const onDemand = features.has('tulle.on-demand') && proxy.type === 'sidecar';
  return { view, proxy, asked, scope, rules, mtls, policies, source, patches, takesHosts, onDemand };
}

function* compileAt(place: Place): Work<CompiledNode & { notes: () => readonly string[] }> {
  const { view, proxy, patches } = place;
  const { settings } = view;
  const router = proxy.type === 'router';
  const called = clustersOf(place);
  const clusters = yield* called.at(view);
  const ipv6 = wildcard(proxy.ips[0] ?? '') === '::';
  const standard = layer(standardClusters({ settings, passthrough: !router, ipv6 }), patches);
  yield;
  const own = yield* PROXY_TYPES[proxy.type](place);
  yield;
  const routes = own.layers.routes ?? [];
  const separate = place.takesHosts ? yield* separated(routes) : undefined;
  const layers: { [T in ResourceType]: readonly Layer[] } = {
    secrets: own.layers.secrets ?? [],
    clusters: [standard.layer, ...(own.layers.clusters ?? []), clusters.clusters],
    endpoints: [...(own.layers.endpoints ?? []), clusters.endpoints],
    listeners: own.layers.listeners ?? [],
    hosts: [],
    virtualHosts: separate?.map(({ virtualHosts }) => virtualHosts) ?? [],
    routes: separate?.map((each) => each.routes) ?? routes,
  };
  yield* version([...layers.listeners, ...layers.virtualHosts, ...layers.routes]);
  const secrets = router ? yield* secretsOf(place, [...layers.listeners, ...layers.clusters]) : undefined;
  if (secrets) layers.secrets = [secrets.layer];
  if (place.onDemand) layers.hosts = yield* indexOf(place, layers.virtualHosts);
  const sets = Object.fromEntries(
    RESOURCE_TYPES.map((type) => [type, new ResourceSet(layers[type])]),
  ) as CompiledNode['sets'];
  return {
    sets,
    eager: place.onDemand ? eagerIn(place, sets) : undefined,
    errors: own.errors,
    notes: () => [...standard.notes, ...called.notes(), ...own.notes, ...(secrets?.notes ?? [])],
  };
}

function* separated(routes: readonly Layer[]): Work<readonly SeparateHosts[]> {
  const found: SeparateHosts[] = [];
  for (const layer of routes) found.push(yield* separateHosts({ layer }));
  return found;
}

function* indexOf({ view, scope }: Place, virtualHosts: readonly Layer[]): Work<readonly Layer[]> {
  const { services } = scope;
  const layers: Layer[] = [];
  for (const each of virtualHosts)
    layers.push(yield* hostIndex({ virtualHosts: each, services, settings: view.settings }));
  return layers;
}

function eagerIn({ view, proxy }: Place, sets: CompiledNode['sets']): Eager {
  return eagerOf({
    virtualHosts: sets.virtualHosts.last,
    clusters: sets.clusters.last,
    holders: sharedList([...sets.listeners.all, ...sets.routes.all]),
    exactHosts: exactHosts({ sidecars: sharedList(sidecarsOf(view, proxy)) }),
  });
}

/** The clusters of the services that a proxy may call, and their endpoints. */
function clustersOf({ view, proxy, asked, scope, rules, mtls, patches }: Place) {
  const { clusterId, locality } = proxy;
  return clusterLayers({
    services: scope.services,
    rules,
    settings: view.settings,
    mtls,
    patches,
    clusterId,
    locality,
    failoverLabels: asked.failoverLabels,
    readsCredentials: proxy.type === 'router',
  });
}

/** Makes the versions, which is most of the work, where it can pause. */
function* version(layers: readonly Layer[]): Work<void> {
  for (const each of layers) for (const resource of each.values()) yield* resource.versioned();
}

/** The mesh's settings as they hold for this proxy. */
function settingsOf(view: MeshView, proxy: ProxyView) {
  const { logsByDefault } = proxy;
  return proxySettings({ settings: view.settings, logsByDefault, ...proxyHttpSettings(view, proxy) });
}

function* gatewayParts({ view, proxy, asked, scope, rules, mtls, policies, patches }: Place): Work<Parts> {
  const settings = settingsOf(view, proxy);
  const { namespace, labels, clusterId, locality, instances, offersHttp2 } = proxy;
  const gateways = sharedList(gatewaysFor(view.resources('Gateway'), proxy));
  const listenPorts: Record<string, string> = {};
  for (const { port, endpoint } of instances) listenPorts[String(port.number)] ??= String(endpoint.port);
  const { listeners, routes, notes, errors } = yield* gatewayOutbound({
    forms: gatewayRoutes({ list: scope.routes, gateways }),
    services: scope.services,
    gateways,
    rules,
    policies,
    workloads: proxy.workloads,
    settings,
    namespace,
    labels: labelsKey(labels),
    listenPorts: labelsKey(listenPorts),
    offersHttp2,
  });
  yield;
  const { failoverLabels } = asked;
  const endpoints = (service: MeshService) => view.endpoints(service);
  const neighbours = (service: MeshService) => neighboursOf(view, service, mtls);
  const { services } = scope;
  const sni = sniClusters({
    gateways,
    services,
    rules,
    settings,
    mtls,
    clusterId,
    locality,
    failoverLabels,
    endpoints,
    neighbours,
  });
  const made = {
    listeners: layer(listeners, patches),
    routes: layer(routes, patches),
    clusters: layer(sharedList(sni.clusters), patches),
    endpoints: layer(sharedList(sni.assignments), patches),
  };
  return parts(made, [...notes, ...sni.notes], errors);
}

function* sidecarParts(place: Place): Work<Parts> {
  const { view, proxy, asked, scope, rules, mtls, policies, patches } = place;
  const settings = settingsOf(view, proxy);
  const { namespace, instances, offersHttp2, dnsDomain, httpProxyPort, outboundBind: bind } = proxy;
  const ip = proxy.ips[0] ?? '127.0.0.1';
  const captured = proxy.interception !== 'NONE';
  const own = inbound({
    instances,
    workloads: proxy.workloads,
    policies,
    mtls,
    sidecars: sharedList(sidecarsOf(view, proxy)),
    settings,
    namespace,
    ip,
    appPorts: labelsKey(Object.fromEntries(Object.entries(proxy.appPorts).map(([name, port]) => [name, String(port)]))),
    captured,
    offersHttp2,
  });
  yield;
  const seen = {
    services: scope.services,
    rules,
    settings,
    outboundTrafficPolicy: scope.outboundTrafficPolicy,
    namespace,
    labels: asked.sourceLabels,
  };
  const any = wildcard(ip);
  const outbound = yield* outboundListeners({
    ...seen,
    forms: meshConnectionRoutes({ list: scope.routes }),
    captured,
    bind,
    any,
    httpProxyPort: captured ? undefined : httpProxyPort,
  });
  yield;
  const served: ReadonlySet<number> = captured ? new Set() : servedPorts(view, proxy, own.ports);
  const isFree = ({ origin: { port } }: Produced) => port === undefined || !served.has(port);
  const free = outbound.listeners.filter(isFree);
  const notes = [...own.notes, ...outbound.notes];
  for (const item of outbound.listeners) if (!isFree(item)) notes.push(leftOut(scope.services, item, httpProxyPort));
  const proxied = !captured && httpProxyPort !== undefined && !served.has(httpProxyPort);
  const { routes, errors } = yield* outboundRoutes({
    ...seen,
    forms: meshRoutes({ list: scope.routes }),
    dnsDomain,
    httpProxy: proxied,
  });
  const freeRoutes = routes.filter(isFree);
  const made = {
    listeners: layer(own.listeners, patches),
    clusters: layer(own.clusters, patches),
    outbound: layer(free.length === outbound.listeners.length ? outbound.listeners : sharedList(free), patches),
    routes: layer(freeRoutes.length === routes.length ? routes : sharedList(freeRoutes), patches),
  };
  const { outbound: called, ...rest } = made;
  const { layers, ...said } = parts(rest, [...notes, ...called.notes], errors);
  return { layers: { ...layers, listeners: [made.listeners.layer, called.layer] }, ...said };
}

function parts(
  made: { readonly [T in ResourceType]?: LayerAndNotes },
  notes: readonly string[],
  errors: readonly Finding[],
): Parts {
  const layers = Object.fromEntries(Object.entries(made).map(([type, one]) => [type, [one.layer]]));
  return { layers, notes: [...notes, ...Object.values(made).flatMap((one) => one.notes)], errors };
}

interface LayerAndNotes {
  readonly layer: Layer;
  readonly notes: readonly string[];
}

/** Produced resources after the patches, as one layer: the same for the same list. */
function layer(items: readonly Produced[], patches: readonly Patch[]): LayerAndNotes {
  const type = items[0]?.type;
  return layers({ items, patches: type ? patchesOn(patches, type, undefined) : NO_PATCHES });
}

const layers = generator<{ items: readonly Produced[]; patches: readonly Patch[] }, LayerAndNotes>(
  { items: true, patches: true },
  ({ items, patches }) => {
    const done = items.map((item) => patched(item, patches));
    const resources = done.flatMap(({ resource }) => resource ?? []);
    return { layer: layerOf(resources), notes: done.flatMap(({ notes }) => notes) };
  },
);

/** Credentials that the patched resources name. */
function secretsOf({ view, proxy }: Place, named: readonly Layer[]): Work<LayerAndNotes> {
  return secretLayer({ layers: sharedList(named), all: view.resources('Secret'), namespace: proxy.namespace });
}

const secretLayer = slicedGenerator<
  { layers: readonly Layer[]; all: readonly Resource[]; namespace: string },
  LayerAndNotes
>({ all: true, layers: true, namespace: true }, function* ({ layers: named, all, namespace }) {
  const { secrets, notes } = yield* gatewaySecrets(
    all,
    namespace,
    named.flatMap((each) => [...each.values()]),
  );
  return { layer: layerOf(secrets.map((secret) => shared('secrets', secret))), notes };
});
