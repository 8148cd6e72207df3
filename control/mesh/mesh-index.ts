/** The mesh as it changes: keeps indexes between writes, so that a view costs what the writes changed. */
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { DiscoveryFilter } from './discovery-filter.ts';
import { namespaceOf } from './fields.ts';
import { type KeySets, NO_KEY_SETS } from './key-sets.ts';
import { settingsFrom } from './mesh-config.ts';
import { resourceId } from './mesh-resource.ts';
import { byAge } from './order.ts';
import { type Replacement, Variant } from './revisions/variant.ts';
import { ROUTE_READERS } from './routes/readers.ts';
import type { RouteForm } from './routes/route-form.ts';
import { RouteIndex } from './routes/route-index.ts';
import type { RouteReader } from './routes/route-reader.ts';
import { ServiceIndex } from './service-index.ts';
import { replaced } from './sorted-list.ts';
import type { JwtSvidSettings, MeshChange, MeshService, MeshSettings, MeshUpdate, MeshView } from './view.ts';

export interface MeshIndexOptions {
  /** In force instead of what ConfigMap istio-system/istio says. */
  settings?: MeshSettings;
  /** Becomes `settings.jwtSvid`. */
  jwtSvid?: JwtSvidSettings;
  /** Becomes `settings.multipleAuthorizers`. */
  multipleAuthorizers?: boolean;
  /** Default: `ROUTE_READERS`. */
  routeReaders?: readonly RouteReader[];
}

/** What a view has of resources, besides services. */
interface Resources {
  readonly kinds: ReadonlyMap<string, readonly Resource[]>;
  readonly routes: readonly RouteForm[];
}

/** How many steps back `endpointsChangedSince` can look. */
const HISTORY = 64;
const NONE: readonly Resource[] = [];

export class MeshIndex {
  private readonly options: MeshIndexOptions;
  private readonly filter = new DiscoveryFilter();
  private services: ServiceIndex;
  private kinds: ReadonlyMap<string, readonly Resource[]> = new Map();
  private settings: MeshSettings;
  private readonly routeIndex: RouteIndex;
  private keySets: KeySets = NO_KEY_SETS;
  private steps: readonly { readonly step: number; readonly services: readonly MeshService[] }[] = [];
  private step = 0;
  private readonly views = new WeakMap<MeshView, number>();
  private current: MeshView | undefined;
  /** By key; of each the view that it has beside the current one. */
  private variants = new Map<string, { readonly variant: Variant; view?: MeshView; base?: MeshView }>();

  constructor(options: MeshIndexOptions = {}) {
    this.options = options;
    this.settings = this.settingsOf(NONE);
    this.services = new ServiceIndex(this.settings);
    this.routeIndex = new RouteIndex(options.routeReaders ?? ROUTE_READERS);
  }

  /** In force from the next step on. */
  setKeySets(keySets: KeySets): void {
    this.keySets = keySets;
  }

  /**
   * Takes one step and gives the view after it.
   * @throws MeshConfigError when the mesh configuration cannot be read; nothing has been taken then
   */
  apply(update: MeshUpdate, revision: number): { view: MeshView; change: MeshChange } {
    const settings = this.settingsAfter(update);
    const settingsChanged = settings !== this.settings;
    const { removed, added } = this.filter.apply(update, settings);
    const changed = byKind(removed, added);
    const kinds = new Map(this.kinds);
    for (const [kind, { out, in: new_ }] of changed)
      kinds.set(kind, replaced(kinds.get(kind) ?? NONE, new Set(out), new_, byAge));
    const routes = this.routeIndex.formsOf((kind) => kinds.get(kind) ?? NONE, settings);
    // Nothing throws from here on.
    this.kinds = kinds;
    this.settings = settings;
    const { services, endpoints, endpointsOf } = settingsChanged ? this.rebuilt() : this.services.apply(removed, added);
    this.step += 1;
    // Those that no proxy asked for since the last step are over.
    this.variants = new Map([...this.variants].filter(([, { base }]) => base === this.current));
    this.steps = [...this.steps.slice(1 - HISTORY), { step: this.step, services: endpointsOf }];
    const resources = new Map([...changed].map(([kind, { keys }]) => [kind, keys]));
    this.current = this.view(revision, { kinds, routes });
    return {
      view: this.current,
      change: {
        resources,
        written: update.added,
        deleted: deletedOf(update.removed, update.added),
        services,
        endpoints,
        settings: settingsChanged,
      },
    };
  }

  /** @throws MeshConfigError */
  private settingsAfter({ removed, added }: MeshUpdate): MeshSettings {
    if (![...removed, ...added].some(({ kind }) => kind === 'ConfigMap')) return this.settings;
    const { out, in: new_ } = byKind(removed, added).get('ConfigMap')!;
    return this.settingsOf(replaced(this.kinds.get('ConfigMap') ?? NONE, new Set(out), new_, byAge));
  }

  /** Services follow some settings (`defaultServiceExportTo`): with others, all of them are defined again. */
  private rebuilt() {
    this.services = new ServiceIndex(this.settings);
    return this.services.apply([], [...this.kinds.values()].flat());
  }

  private settingsOf(configMaps: readonly Resource[]): MeshSettings {
    const { settings: given, jwtSvid, multipleAuthorizers } = this.options;
    const settings = given ?? settingsFrom(configMaps);
    const next = { ...settings, ...(jwtSvid && { jwtSvid }), ...(multipleAuthorizers && { multipleAuthorizers }) };
    // Other ConfigMaps, and a rewrite that says the same, leave the settings as they were.
    return this.settings && JSON.stringify(this.settings) === JSON.stringify(next) ? this.settings : next;
  }

  /**
   * The current view with other revisions of some resources, none of them of a kind in `NOT_REPLACED`.
   * @param key of these replacements, and of no others at any time
   */
  variant(key: string, replacements: readonly Replacement[]): MeshView {
    const { current, settings } = this;
    if (!current) throw new Error('there is no view yet');
    let known = this.variants.get(key);
    const readers = this.options.routeReaders ?? ROUTE_READERS;
    if (!known) this.variants.set(key, (known = { variant: new Variant(replacements, readers) }));
    if (known.view && known.base === current) return known.view;
    const own = known.variant.over(this.kinds, settings, (resource) => this.filter.sees(resource, settings));
    known.base = current;
    known.view = this.view(current.revision, own);
    return known.view;
  }

  private view(revision: number, { kinds, routes }: Resources): MeshView {
    const { settings, keySets, step } = this;
    const { services, ...lookups } = this.services.snapshot();
    const view: MeshView = {
      revision,
      settings,
      services,
      ...lookups,
      // A list holds resources of its kind alone, as validated.
      resources: (kind) => (kinds.get(kind) ?? NONE) as readonly ResourceOfKind<typeof kind>[],
      routes,
      keySets,
      endpointsChangedSince: (earlier) => this.changedBetween(this.views.get(earlier), step),
    };
    this.views.set(view, step);
    return view;
  }

  private changedBetween(from: number | undefined, to: number): readonly MeshService[] | undefined {
    if (from === undefined || from > to) return undefined;
    const first = this.steps[0]?.step ?? 0;
    if (from + 1 < first) return undefined;
    const found = new Set<MeshService>();
    for (const { step, services } of this.steps)
      if (step > from && step <= to) for (const service of services) found.add(service);
    return [...found];
  }
}

/** Those of `removed` that nothing in `added` replaces. */
function deletedOf(removed: readonly Resource[], added: readonly Resource[]): readonly Resource[] {
  if (removed.length === 0) return NONE;
  const replacing = new Set(added.map(resourceId));
  return removed.filter((resource) => !replacing.has(resourceId(resource)));
}

interface KindChange {
  out: Resource[];
  in: Resource[];
  keys: Set<string>;
}

function byKind(removed: readonly Resource[], added: readonly Resource[]): Map<string, KindChange> {
  const kinds = new Map<string, KindChange>();
  const of = (resource: Resource): KindChange => {
    let change = kinds.get(resource.kind);
    if (!change) kinds.set(resource.kind, (change = { out: [], in: [], keys: new Set() }));
    change.keys.add(`${namespaceOf(resource)}/${resource.metadata.name}`);
    return change;
  };
  for (const resource of removed) of(resource).out.push(resource);
  for (const resource of added) of(resource).in.push(resource);
  return kinds;
}
