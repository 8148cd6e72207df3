/**
 * A view beside the current one: the same mesh with other revisions of a few resources. What does not depend on them are the
 * same objects, so that proxies of both views share what is made of it.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import { byAge } from '../order.ts';
import type { RouteForm } from '../routes/route-form.ts';
import { RouteIndex } from '../routes/route-index.ts';
import type { RouteReader } from '../routes/route-reader.ts';
import { replaced } from '../sorted-list.ts';
import type { MeshSettings } from '../view.ts';

/** The kinds of resources that services and settings are made of cannot be replaced: an index of their own would be needed. */
export const NOT_REPLACED: ReadonlySet<string> = new Set([
  'Service',
  'ServiceEntry',
  'WorkloadEntry',
  'EndpointSlice',
  'ConfigMap',
  'Namespace',
]);

export interface Replacement {
  /** The very object in the current view; undefined: there is none. */
  readonly effective: Resource | undefined;
  /** In its place; undefined: none. */
  readonly candidate: Resource | undefined;
}

type KindLists = ReadonlyMap<string, readonly Resource[]>;

interface Replaced {
  readonly base: readonly Resource[];
  readonly list: readonly Resource[];
}

const NONE: readonly Resource[] = [];

/** Keeps the lists and routes of one set of replacements from view to view, so that what did not change is the same object. */
export class Variant {
  private readonly replacements: readonly Replacement[];
  private readonly lists = new Map<string, Replaced>();
  private readonly routeIndex: RouteIndex;

  constructor(replacements: readonly Replacement[], readers: readonly RouteReader[]) {
    this.replacements = replacements;
    this.routeIndex = new RouteIndex(readers);
  }

  /** @param sees whether a namespace's resources are seen at all (discoverySelectors) */
  over(
    kinds: KindLists,
    settings: MeshSettings,
    sees: (resource: Resource) => boolean,
  ): { readonly kinds: KindLists; readonly routes: readonly RouteForm[] } {
    const own = new Map(kinds);
    for (const kind of new Set(this.replacements.map(kindOf))) {
      const base = kinds.get(kind) ?? NONE;
      let known = this.lists.get(kind);
      if (known?.base !== base) this.lists.set(kind, (known = { base, list: this.listOf(kind, base, sees) }));
      own.set(kind, known.list);
    }
    return { kinds: own, routes: this.routeIndex.formsOf((kind) => own.get(kind) ?? NONE, settings) };
  }

  private listOf(kind: string, base: readonly Resource[], sees: (resource: Resource) => boolean): readonly Resource[] {
    const ofKind = this.replacements.filter((each) => kindOf(each) === kind);
    const out = new Set(ofKind.flatMap(({ effective }) => effective ?? []));
    const come = ofKind.flatMap(({ candidate }) => candidate ?? []).filter(sees);
    return Object.freeze(replaced(base, out, come, byAge));
  }
}

const kindOf = ({ effective, candidate }: Replacement): string => (candidate ?? effective)?.kind ?? '';
