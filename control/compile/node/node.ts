/** (MeshView, node) -> everything the node runs. Pure: the same view and node give the same resources, byte for byte. */
import type { Node } from '../../../shared/xds/core.ts';
import { knownFeatures, RESOURCE_TYPES, type ResourceType, type Snapshot } from '../../../shared/xds/discovery.ts';
import type { MeshView } from '../../mesh/view.ts';
import { type ClusterLayers, clusterLayers } from '../cluster/cluster-layers.ts';
import { standardClusters } from '../cluster/clusters.ts';
import { destinationRules } from '../cluster/destination-rule.ts';
import { networkView } from '../cluster/network-view.ts';
import { sharedList } from '../memo.ts';
import { type CompiledNode, type CompileNode, type Eager, inOneGo, type Work } from '../output/compiled-node.ts';
import { distinctFindings, type Finding, findingText } from '../output/finding.ts';
import { type Layer, ResourceSet } from '../output/resource-set.ts';
import { snapshotOf } from '../output/snapshot.ts';
import { patchFindings } from '../patches/patch.ts';
import { pluginsOf } from '../plugins/plugin.ts';
import { routeFindings } from '../routes/route-findings.ts';
import { aliasFindings } from '../scope/alias-findings.ts';
import { type ProxyView, proxyOf } from '../scope/proxy.ts';
import { scopeOf, withServices } from '../scope/scope.ts';
import { exactHosts, sidecarFindings, sidecarsOf } from '../scope/sidecars.ts';
import { noteSharedAddress } from '../scope/workloads.ts';
import { noteServiceTargets, policiesOf } from '../security/authorization.ts';
import { authorizersFor, servicesAsked } from '../security/authorizers.ts';
import { mtlsModes } from '../security/peer-authentication.ts';
import {
  noteMissingKeys,
  type TokenPolicy,
  tokenPoliciesFor,
  tokenPolicyFindings,
} from '../security/request-authentication.ts';
import { proxySettings } from '../sidecar/http-manager.ts';
import { wildcard } from '../sidecar/inbound.ts';
import { additionsOf } from './additions.ts';
import { type AllLayers, DERIVATIONS, dnsLayers } from './derived-types.ts';
import { eagerOf } from './eager.ts';
import { noteNotCompiled } from './not-compiled.ts';
import { PATCH_SOURCES, type PatchSource, patchesOf } from './patch-sources.ts';
import { joinedParts, type Parts, type Place, partsOf } from './place.ts';
import { proxyClass } from './proxy-class.ts';
import { discoversItself, proxyHttpSettings } from './proxy-config.ts';
import { telemetryOf } from './proxy-telemetry.ts';
import { PROXY_TYPES } from './proxy-types.ts';
import { isTunnelled, sameTunnelGateways } from './tunnels.ts';

export interface Compiled {
  snapshot: Snapshot;
  /** What was written and could not be translated, one sentence each. */
  notes: string[];
}

/** A compile function whose resources go through the patches of `sources`. */
export function nodeCompiler(sources: readonly PatchSource[] = PATCH_SOURCES): CompileNode {
  return (view, node) => compileIncrementally(view, node, sources);
}

function* compileIncrementally(view: MeshView, node: Node, sources: readonly PatchSource[]): Work<CompiledNode> {
  const place = yield* placeOf(view, node, sources);
  const { sets, own } = yield* compileAt(place);
  return new NodeAt(place, sources, sets, own);
}

/** A compiled node that knows where it was compiled. */
class NodeAt implements CompiledNode {
  readonly sets: CompiledNode['sets'];
  readonly errors: readonly Finding[];
  readonly eager: Eager | undefined;
  private readonly place: Place;
  private readonly sources: readonly PatchSource[];
  /** What it has besides the clusters of the services that it may call. */
  private readonly own: Parts;

  constructor(place: Place, sources: readonly PatchSource[], sets: CompiledNode['sets'], own: Parts) {
    this.place = place;
    this.sources = sources;
    this.sets = sets;
    this.own = own;
    this.errors = findingsOf(own, clustersOf(place));
    this.eager = place.onDemand ? eagerIn(place, sets) : undefined;
  }

  next(view: MeshView): Work<CompiledNode> | undefined {
    return differsInEndpoints(this.place, this.sources, view) ? this.moved(view) : undefined;
  }

  /** A proxy whose services have other endpoints, and that is otherwise as it was. */
  private *moved(view: MeshView): Work<CompiledNode> {
    const place = { ...this.place, view };
    const { clusters, endpoints } = yield* clustersOf(place).at(view);
    const { sets } = this;
    const next = {
      ...sets,
      clusters: sets.clusters.withLast(clusters),
      endpoints: sets.endpoints.withLast(endpoints),
      dnsHosts: sets.dnsHosts.withLast((yield* dnsLayers(place)).at(-1) ?? sets.dnsHosts.last),
    };
    return new NodeAt(place, this.sources, next, this.own);
  }
}

const NO_FINDINGS: readonly Finding[] = Object.freeze([]);

/** The same list for the same findings. */
function findingsOf({ errors, leftOut }: Parts, called: ClusterLayers): readonly Finding[] {
  const [ofClusters, leftOutOfClusters] = [called.findings(), called.leftOut()];
  if (errors.length + leftOut.length + ofClusters.length + leftOutOfClusters.length === 0) return NO_FINDINGS;
  const found = distinctFindings([...errors, ...ofClusters]);
  return sharedList([...found, ...patchFindings([...leftOut, ...leftOutOfClusters])]);
}

/** Kinds that a node's resources are made of, besides services, their endpoints and routes. */
export const NODE_KINDS = [
  'DestinationRule',
  'Sidecar',
  'PeerAuthentication',
  'AuthorizationPolicy',
  'Gateway',
  'Secret',
  'ProxyConfig',
  'WorkloadGroup',
  'Telemetry',
  'WasmPlugin',
  'TrafficExtension',
] as const;

/** Whether nothing that the proxy is compiled from can have changed but endpoints at other addresses than its own. */
function differsInEndpoints(
  { view: before, proxy, tokenPolicies, patches }: Place,
  sources: readonly PatchSource[],
  view: MeshView,
): boolean {
  if (before.settings !== view.settings || before.services !== view.services || before.routes !== view.routes)
    return false;
  if (patchesOf(sources, view, proxy) !== patches || tokenPoliciesOf(view, proxy) !== tokenPolicies) return false;
  if (proxy.traits.readsEndpoints || NODE_KINDS.some((kind) => before.resources(kind) !== view.resources(kind)))
    return false;
  if (isTunnelled(proxy) && !sameTunnelGateways(before, view)) return false;
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
 * @param sources those of the control plane, so that what is shown offline is what it serves
 * @throws NodeError when the node's id or metadata is malformed
 */
export function compileWithNotes(
  view: MeshView,
  node: Node,
  sources: readonly PatchSource[] = PATCH_SOURCES,
): Compiled {
  const place = inOneGo(placeOf(view, node, sources));
  const notes = new Set<string>();
  const note = (message: string) => void notes.add(message);
  noteNotCompiled(view, place.proxy, place.scope, note);
  const { sets, own, called } = inOneGo(compileAt(place));
  const findings = findingsOf(own, called).map(findingText);
  for (const message of [...called.notes(), ...own.notes, ...findings]) note(message);
  for (const workload of place.proxy.workloads) noteServiceTargets(view, workload, note);
  noteMissingKeys(place.tokenPolicies, note);
  noteSharedAddress(place.proxy, note);
  return { snapshot: snapshotOf(sets), notes: [...notes] };
}

/** Pauses between the indexes, which read all resources of their kinds when one of these has changed. */
function* placeOf(view: MeshView, node: Node, sources: readonly PatchSource[]): Work<Place> {
  const { settings } = view;
  const { rootNamespace } = settings;
  const proxy = proxyOf(view, node, PROXY_TYPES);
  const { namespace } = proxy;
  yield;
  const asked = proxyClass(view, proxy);
  yield;
  const scope = scopeOf(view, proxy);
  yield;
  const telemetry = telemetryOf(view, proxy, scope.services);
  const own = proxySettings({ settings, telemetry: telemetry.compiled, ...proxyHttpSettings(view, proxy) });
  const caller = { namespace, rootNamespace, labels: asked.ruleLabels };
  const rules = destinationRules(view.resources('DestinationRule'), settings, caller);
  yield;
  const mtls = mtlsModes({ policies: view.resources('PeerAuthentication'), rootNamespace });
  yield;
  const policies = policiesOf(view.resources('AuthorizationPolicy'), namespace, rootNamespace);
  const authorizers = authorizersFor(policies, view);
  const plugins = pluginsOf({
    plugins: view.resources('WasmPlugin'),
    extensions: view.resources('TrafficExtension'),
    namespace,
    rootNamespace,
  });
  const tokenPolicies = tokenPoliciesOf(view, proxy);
  const patches = patchesOf(sources, view, proxy);
  const features = knownFeatures(node.clientFeatures);
  const takesHosts = features.has('tulle.virtual-hosts');
  const onDemand = features.has('tulle.on-demand') && proxy.traits.fetchesOnDemand;
  const answersDns = features.has('tulle.dns');
  return {
    view,
    proxy,
    settings: own,
    asked,
    scope,
    rules,
    mtls,
    policies,
    authorizers,
    plugins,
    tokenPolicies,
    patches,
    takesHosts,
    onDemand,
    answersDns,
    selfDiscovers: discoversItself(view, proxy),
    findings: telemetry.findings,
  };
}

function tokenPoliciesOf(view: MeshView, { workloads }: Pick<ProxyView, 'workloads'>): readonly TokenPolicy[] {
  const policies = view.resources('RequestAuthentication');
  return tokenPoliciesFor(policies, view.keySets, workloads, view.settings.rootNamespace);
}

interface CompiledPlace {
  readonly sets: CompiledNode['sets'];
  readonly own: Parts;
  readonly called: ClusterLayers;
}

function* compileAt(place: Place): Work<CompiledPlace> {
  const called = clustersOf(place);
  const clusters = yield* called.at(place.view);
  const made = [standardParts(place)];
  yield;
  for (const generate of PROXY_TYPES.get(place.proxy.type)?.generators ?? []) {
    made.push(yield* generate(place));
    yield;
  }
  const own = joinedParts(made);
  const notes = [...own.notes];
  const added = additionsOf(place, allLayers(own, clusters));
  let layers = added.layers;
  for (const derive of DERIVATIONS) {
    const derived = yield* derive(place, layers);
    layers = { ...layers, ...derived.layers };
    notes.push(...(derived.notes ?? []));
  }
  yield;
  yield* version([...layers.listeners, ...layers.virtualHosts, ...layers.routes]);
  const sets = Object.fromEntries(RESOURCE_TYPES.map((type) => [type, new ResourceSet(layers[type])]));
  const errors = [
    ...own.errors,
    ...added.findings,
    ...place.patches.flatMap(({ findings = [] }) => findings),
    ...routeFindings({ forms: place.scope.routes }),
    ...sidecarFindings(place.view, place.proxy),
    ...aliasFindings({
      services: place.view.services,
      forms: place.view.routes,
      rules: place.view.resources('DestinationRule'),
      domainSuffix: place.view.settings.domainSuffix,
    }),
    ...tokenPolicyFindings({
      workloads: place.proxy.workloads,
      tokenPolicies: place.tokenPolicies,
      rootNamespace: place.settings.rootNamespace,
    }),
  ];
  return { sets: sets as CompiledNode['sets'], own: { ...own, notes, errors }, called };
}

/** The clusters of the services come last: they are the most, and the ones that change with endpoints. */
function allLayers({ layers }: Parts, called: { readonly clusters: Layer; readonly endpoints: Layer }): AllLayers {
  const of = (type: ResourceType) => {
    const own = layers[type] ?? [];
    return type === 'clusters' || type === 'endpoints' ? [...own, called[type]] : own;
  };
  return Object.fromEntries(RESOURCE_TYPES.map((type) => [type, of(type)])) as unknown as AllLayers;
}

/** The clusters that every proxy has. */
function standardParts(place: Place): Parts {
  const { view, proxy } = place;
  const ipv6 = wildcard(proxy.ips[0] ?? '') === '::';
  const { passesThrough: passthrough } = proxy.traits;
  const { findings: errors } = place;
  return partsOf(place, { clusters: standardClusters({ settings: view.settings, passthrough, ipv6 }) }, { errors });
}

function eagerIn({ view, proxy }: Place, sets: CompiledNode['sets']): Eager {
  return eagerOf({
    virtualHosts: sets.virtualHosts.last,
    clusters: sets.clusters.last,
    holders: [...sets.listeners.all, ...sets.routes.all],
    exactHosts: exactHosts({ sidecars: sharedList(sidecarsOf(view, proxy)) }),
  });
}

/** The clusters of the services that a proxy may call, and their endpoints. */
function clustersOf(place: Place): ClusterLayers {
  const { view, proxy, asked, scope, rules, mtls, patches, policies, authorizers } = place;
  const { clusterId, locality } = proxy;
  return clusterLayers({
    // The authorizers of its policies are asked, even where a Sidecar hides them.
    services: withServices(scope.services, servicesAsked(policies, authorizers, view.services)),
    rules,
    settings: view.settings,
    mtls,
    patches,
    clusterId,
    locality,
    failoverLabels: asked.failoverLabels,
    networks: networkView(view, proxy.network, proxy.tunnelPort !== undefined),
    readsCredentials: proxy.traits.readsCredentials,
    detectsProtocols: proxy.traits.detectsProtocols,
    choosesAlpn: proxy.choosesAlpn,
    selfDiscovers: place.selfDiscovers,
  });
}

const versionedLayers = new WeakSet<Layer>();

/** Makes the versions, which is most of the work, where it can pause; once for a layer that proxies share. */
function* version(layers: readonly Layer[]): Work<void> {
  for (const each of layers) {
    if (versionedLayers.has(each)) continue;
    for (const resource of each.values()) if (!resource.isVersioned) yield* resource.versioned();
    versionedLayers.add(each);
  }
}
