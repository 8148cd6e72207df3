/** Types of resources that are made of the resources of other types, for every type of proxy. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { ResourceType } from '../../../shared/xds/discovery.ts';
import { fixedDnsHosts, headlessDnsHosts } from '../dns/dns-hosts.ts';
import { gatewaySecrets } from '../gateway/secrets.ts';
import { sharedList, slicedGenerator } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { type Layer, layerOf } from '../output/resource-set.ts';
import { shared } from '../output/shared-resource.ts';
import { hostIndex } from '../routes/host-index.ts';
import { type SeparateHosts, separateHosts } from '../routes/separate-hosts.ts';
import { namesOf } from '../routes/virtual-host-names.ts';
import type { Place } from './place.ts';

export type AllLayers = { readonly [T in ResourceType]: readonly Layer[] };

/** Layers that replace those of their types. */
export interface Derived {
  readonly layers: { readonly [T in ResourceType]?: readonly Layer[] };
  readonly notes?: readonly string[];
}

/** In their order: each sees what those before it made. A type that is made of others is added here. */
export const DERIVATIONS: readonly ((place: Place, layers: AllLayers) => Work<Derived>)[] = [
  separateVirtualHosts,
  credentials,
  hostIndexes,
  dnsNames,
];

const NOTHING: Derived = { layers: {} };

/** The virtual hosts of route configurations, for nodes that take them apart. */
function* separateVirtualHosts({ takesHosts, proxy, scope }: Place, { routes }: AllLayers): Work<Derived> {
  if (!takesHosts) return NOTHING;
  const { type, namespace, dnsDomain, interception, httpProxyPort } = proxy;
  const { services } = scope;
  const separate: SeparateHosts[] = [];
  for (const [i, layer] of routes.entries()) {
    const line = [type, namespace, dnsDomain, interception, httpProxyPort, i].join(' ');
    separate.push(yield* separateHosts({ services, line, layer }));
  }
  return {
    layers: { routes: separate.map((each) => each.routes), virtualHosts: separate.map((each) => each.virtualHosts) },
  };
}

/** Secrets that listeners and clusters name, for proxies that may read them. */
function* credentials({ view, proxy, rules }: Place, { listeners, clusters }: AllLayers): Work<Derived> {
  const { readsCredentials } = proxy.traits;
  if (readsCredentials === 'never' || (readsCredentials === 'selected' && !rules.nameCredentials)) return NOTHING;
  const named = sharedList([...listeners, ...clusters]);
  const { layer, notes } = yield* secretLayer({
    layers: named,
    all: view.resources('Secret'),
    namespace: proxy.namespace,
  });
  return { layers: { secrets: [layer] }, notes };
}

const secretLayer = slicedGenerator<
  { layers: readonly Layer[]; all: readonly ResourceOfKind<'Secret'>[]; namespace: string },
  { readonly layer: Layer; readonly notes: readonly string[] }
>({ all: true, layers: true, namespace: true }, function* ({ layers: named, all, namespace }) {
  const resources = named.flatMap((each) => [...each.values()]);
  const { secrets, notes } = yield* gatewaySecrets(all, namespace, resources);
  return { layer: layerOf(secrets.map((secret) => shared('secrets', secret))), notes };
});

/** Which hosts there are, for nodes that fetch them on demand. */
function* hostIndexes({ view, scope, onDemand }: Place, { virtualHosts }: AllLayers): Work<Derived> {
  if (!onDemand) return NOTHING;
  const { services } = scope;
  const hosts: Layer[] = [];
  for (const each of virtualHosts)
    hosts.push(yield* hostIndex({ names: namesOf(each), services, settings: view.settings }));
  return { layers: { hosts } };
}

/** The names of the mesh, for nodes that answer DNS queries. */
function* dnsNames(place: Place): Work<Derived> {
  const layers = yield* dnsLayers(place);
  return layers.length === 0 ? NOTHING : { layers: { dnsHosts: layers } };
}

/** Only the last changes with endpoints. Empty for nodes that answer no DNS queries. */
export function* dnsLayers({
  view,
  scope,
  proxy,
  answersDns,
}: Pick<Place, 'view' | 'scope' | 'proxy' | 'answersDns'>): Work<readonly Layer[]> {
  if (!answersDns) return [];
  const { services, egress } = scope;
  const fixed = yield* fixedDnsHosts({ services, egress, domainSuffix: view.settings.domainSuffix });
  return [fixed.layer, yield* headlessDnsHosts(fixed, view, proxy.network)];
}
