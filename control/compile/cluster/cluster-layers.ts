/** The outbound clusters of a class of proxies with their endpoints, brought up to date from one view to the next. */
import { resourceName } from '../../../shared/xds/discovery.ts';
import type { MeshService, MeshSettings, MeshView } from '../../mesh/view.ts';
import { generator, sharedList, slicedGenerator } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { distinctFindings, type Finding } from '../output/finding.ts';
import type { Produced } from '../output/produced.ts';
import type { Layer } from '../output/resource-set.ts';
import type { SharedResource } from '../output/shared-resource.ts';
import { type LeftOut, NO_PATCHES, type Patch, patched, patchesOn } from '../patches/patch.ts';
import type { Services } from '../scope/scope.ts';
import type { MtlsModes } from '../security/peer-authentication.ts';
import { type Caller, type ServiceClusters, serviceClusters } from './clusters.ts';
import type { DestinationRules } from './destination-rule.ts';
import { neighboursOf } from './neighbours.ts';

export interface ClusterClass extends Caller {
  readonly services: Services;
  readonly rules: DestinationRules;
  readonly settings: MeshSettings;
  readonly mtls: MtlsModes;
  readonly patches: readonly Patch[];
}

/**
 * The layers of a class of proxies: one object for all of them, whatever patches they have on other resources.
 * @param given with all patches of the proxy
 */
export function clusterLayers(given: ClusterClass): ClusterLayers {
  const onClusters = patchesOn(given.patches, 'clusters', 'outbound');
  const onEndpoints = patchesOn(given.patches, 'endpoints', 'outbound');
  const either = given.patches.filter((patch) => onClusters.includes(patch) || onEndpoints.includes(patch));
  return layersOfClass({ ...given, patches: either.length === 0 ? NO_PATCHES : sharedList(either) });
}

const layersOfClass = generator<ClusterClass, ClusterLayers>(
  {
    services: true,
    rules: true,
    settings: true,
    mtls: true,
    patches: true,
    clusterId: true,
    locality: true,
    failoverLabels: true,
    networks: true,
    readsCredentials: true,
    detectsProtocols: true,
    choosesAlpn: true,
    selfDiscovers: true,
  },
  (shared) => new ClusterLayers(shared),
);

interface State {
  readonly view: MeshView;
  /** By the service of the registry. Never given away, hence changed in place. */
  readonly units: Map<MeshService, ServiceClusters>;
  readonly clusters: Layer;
  readonly endpoints: Layer;
  /** Worked out when it is asked for. */
  leftOut?: readonly LeftOut[];
  findings?: readonly Finding[];
}

const NO_FINDINGS: readonly Finding[] = Object.freeze([]);
const NONE: readonly LeftOut[] = Object.freeze([]);

/** Everything but the endpoints is fixed: when something else changes, another object takes over. */
export class ClusterLayers {
  private readonly shared: ClusterClass;
  /** By the service of the registry: those of which only some ports are called. */
  private readonly called: ReadonlyMap<MeshService, MeshService>;
  private state: State | undefined;
  private readonly making = slicedGenerator<{ view: MeshView }, State>({ view: true }, ({ view }) => this.made(view));

  constructor(shared: ClusterClass) {
    this.shared = shared;
    const cut = shared.services.list.flatMap((service) => (service.whole ? [[service.whole, service] as const] : []));
    this.called = new Map(cut);
  }

  *at(view: MeshView): Work<{ readonly clusters: Layer; readonly endpoints: Layer }> {
    if (this.state?.view === view) return this.state;
    const moved = this.state && view.endpointsChangedSince(this.state.view);
    if (!this.state || !moved) return yield* this.making({ view });
    this.state = this.updated(this.state, view, moved);
    return this.state;
  }

  /** What of MeshConfig is without effect, by the last view. */
  notes(): string[] {
    return [...(this.state?.units.values() ?? [])].flatMap(({ notes }) => notes);
  }

  /** What DestinationRules set and is without effect, by the last view. */
  findings(): readonly Finding[] {
    if (!this.state) return NO_FINDINGS;
    this.state.findings ??= distinctFindings([...this.state.units.values()].flatMap(({ findings }) => findings));
    return this.state.findings;
  }

  /** Patches that were left out, by the last view. */
  leftOut(): readonly LeftOut[] {
    const { patches } = this.shared;
    if (!this.state || patches.length === 0) return NONE;
    this.state.leftOut ??= leftOutOf(this.state.units, patches);
    return this.state.leftOut;
  }

  private unit(view: MeshView, service: MeshService): ServiceClusters {
    const { rules, services: _, patches: __, ...inputs } = this.shared;
    const { whole = service } = service;
    const endpoints = view.endpoints(whole);
    const neighbours = neighboursOf(view, whole, inputs.mtls);
    return serviceClusters({ ...inputs, endpoints, neighbours, service, rule: rules.for(service) });
  }

  private *made(view: MeshView): Work<State> {
    const units = new Map<MeshService, ServiceClusters>();
    const clusters = new Map<string, SharedResource>();
    const endpoints = new Map<string, SharedResource>();
    for (const service of this.shared.services.list) {
      const unit = this.unit(view, service);
      units.set(service.whole ?? service, unit);
      // Versions are made here, where the work can pause.
      for (const name of this.put(clusters, unit.clusters)) clusters.get(name)?.makeVersion();
      for (const name of this.put(endpoints, unit.assignments)) endpoints.get(name)?.makeVersion();
      yield;
    }
    this.state = { view, units, clusters, endpoints };
    return this.state;
  }

  private updated(state: State, view: MeshView, moved: readonly MeshService[]): State {
    const mine = moved.filter((service) => state.units.has(service));
    if (mine.length === 0) return { ...state, view };
    const { units } = state;
    let clusters: Map<string, SharedResource> | undefined;
    let endpoints: Map<string, SharedResource> | undefined;
    for (const service of mine) {
      const before = units.get(service);
      const unit = this.unit(view, this.called.get(service) ?? service);
      units.set(service, unit);
      if (!sameItems(before?.clusters, unit.clusters))
        this.replace((clusters ??= new Map(state.clusters)), before?.clusters, unit.clusters);
      if (!sameItems(before?.assignments, unit.assignments))
        this.replace((endpoints ??= new Map(state.endpoints)), before?.assignments, unit.assignments);
    }
    return { view, units, clusters: clusters ?? state.clusters, endpoints: endpoints ?? state.endpoints };
  }

  /** Puts `after`; what a patch removes now, or is not made any more, leaves the layer. */
  private replace(
    layer: Map<string, SharedResource>,
    before: readonly Produced[] | undefined,
    after: readonly Produced[],
  ): void {
    const left = new Set(before?.map(({ type, resource }) => resourceName(type, resource)));
    for (const name of this.put(layer, after)) left.delete(name);
    for (const name of left) layer.delete(name);
  }

  /** @returns the names that were put */
  private put(layer: Map<string, SharedResource>, items: readonly Produced[]): string[] {
    const names: string[] = [];
    for (const item of items) {
      const { resource } = patched(item, this.shared.patches);
      if (!resource) continue;
      layer.set(resource.name, resource);
      names.push(resource.name);
    }
    return names;
  }
}

function sameItems(before: readonly object[] | undefined, after: readonly object[]): boolean {
  return before?.length === after.length && before.every((item, i) => item === after[i]);
}

function leftOutOf(units: ReadonlyMap<MeshService, ServiceClusters>, patches: readonly Patch[]): readonly LeftOut[] {
  const found: LeftOut[] = [];
  for (const { clusters, assignments } of units.values())
    for (const item of [...clusters, ...assignments]) found.push(...patched(item, patches).leftOut);
  return found;
}
