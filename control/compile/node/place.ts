/** A proxy in its mesh, and what is made for it: what the generators of a type of proxy are given, and what they give. */
import type { ResourceType } from '../../../shared/xds/discovery.ts';
import type { MeshView } from '../../mesh/view.ts';
import type { DestinationRules } from '../cluster/destination-rule.ts';
import { generator } from '../memo.ts';
import type { Finding } from '../output/finding.ts';
import type { Produced } from '../output/produced.ts';
import { type Layer, layerOf } from '../output/resource-set.ts';
import { type LeftOut, NO_PATCHES, type Patch, patched, patchesOn } from '../patches/patch.ts';
import type { Plugin } from '../plugins/plugin.ts';
import type { ProxyView } from '../scope/proxy.ts';
import type { Scope } from '../scope/scope.ts';
import type { Authorizers } from '../security/authorizers.ts';
import type { MtlsModes } from '../security/peer-authentication.ts';
import type { AuthorizationPolicy } from '../security/rbac.ts';
import type { TokenPolicy } from '../security/request-authentication.ts';
import type { ProxySettings } from '../sidecar/http-manager.ts';
import type { ProxyClass } from './proxy-class.ts';

export interface Place {
  readonly view: MeshView;
  readonly proxy: ProxyView;
  /** The settings of the mesh as they hold for the proxy. */
  readonly settings: ProxySettings;
  readonly asked: ProxyClass;
  readonly scope: Scope;
  readonly rules: DestinationRules;
  readonly mtls: MtlsModes;
  readonly policies: readonly AuthorizationPolicy[];
  /** What their CUSTOM policies may name; empty where there are none. */
  readonly authorizers: Authorizers;
  /** WasmPlugins and TrafficExtensions of the namespace and of the root namespace. */
  readonly plugins: readonly Plugin[];
  /** Which tokens its workloads accept. */
  readonly tokenPolicies: readonly TokenPolicy[];
  readonly patches: readonly Patch[];
  /** The node takes virtual hosts apart from their route configurations. */
  readonly takesHosts: boolean;
  /** It is given the endpoints of its own service, for zone-aware routing. */
  readonly selfDiscovers: boolean;
  /** It fetches hosts on demand. */
  readonly onDemand: boolean;
  /** It answers DNS queries with the names of the mesh. */
  readonly answersDns: boolean;
  /** What of the proxy's own settings (telemetry) is not in force as written. */
  readonly findings: readonly Finding[];
}

/** Layers of each type, the first of which has a name that several have. */
export type Layers = { readonly [T in ResourceType]?: readonly Layer[] };

/** What one generator makes. */
export interface Parts {
  readonly layers: Layers;
  readonly notes: readonly string[];
  /** What is not in force as written. */
  readonly errors: readonly Finding[];
  /** Patches that were left out. */
  readonly leftOut: readonly LeftOut[];
}

/** Lists of one type each, after the patches of the proxy. */
export function partsOf(
  { patches }: Pick<Place, 'patches'>,
  made: { readonly [T in ResourceType]?: readonly Produced<T>[] },
  { notes = [], errors = [] }: { readonly notes?: readonly string[]; readonly errors?: readonly Finding[] } = {},
): Parts {
  const entries = Object.entries(made) as [ResourceType, readonly Produced[]][];
  const done = entries.map(([type, items]) => [type, patchedLayer(items, patches)] as const);
  return {
    layers: Object.fromEntries(done.map(([type, { layer }]) => [type, [layer]])),
    notes,
    errors,
    leftOut: done.flatMap(([, { leftOut }]) => leftOut),
  };
}

/** The parts as one, those of the first in front. */
export function joinedParts(all: readonly Parts[]): Parts {
  const layers: { [T in ResourceType]?: readonly Layer[] } = {};
  for (const part of all)
    for (const [type, added] of Object.entries(part.layers) as [ResourceType, readonly Layer[]][])
      layers[type] = [...(layers[type] ?? []), ...added];
  return {
    layers,
    notes: all.flatMap(({ notes }) => notes),
    errors: all.flatMap(({ errors }) => errors),
    leftOut: all.flatMap(({ leftOut }) => leftOut),
  };
}

interface PatchedLayer {
  readonly layer: Layer;
  readonly leftOut: readonly LeftOut[];
}

/** Produced resources after the patches, as one layer: the same for the same list. */
function patchedLayer(items: readonly Produced[], patches: readonly Patch[]): PatchedLayer {
  const type = items[0]?.type;
  return patchedLayers({ items, patches: type ? patchesOn(patches, type, undefined) : NO_PATCHES });
}

const patchedLayers = generator<{ items: readonly Produced[]; patches: readonly Patch[] }, PatchedLayer>(
  { items: true, patches: true },
  ({ items, patches }) => {
    const done = items.map((item) => patched(item, patches));
    return {
      layer: layerOf(done.flatMap(({ resource }) => resource ?? [])),
      leftOut: done.flatMap(({ leftOut }) => leftOut),
    };
  },
);
