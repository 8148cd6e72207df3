/** The route forms of a mesh, kept between its writes. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { byAge } from '../order.ts';
import type { MeshSettings } from '../view.ts';
import type { RouteForm } from './route-form.ts';
import type { ResourcesOfKind, RouteReader } from './route-reader.ts';

const NONE: readonly RouteForm[] = Object.freeze([]);

export class RouteIndex {
  private readonly parts: readonly ReaderForms[];
  private forms = NONE;

  constructor(readers: readonly RouteReader[]) {
    this.parts = readers.map((reader) => new ReaderForms(reader));
  }

  /** All forms, oldest first, then by name, then by namespace; the same list where no form changed. */
  formsOf(resources: (kind: string) => readonly Resource[], settings: MeshSettings): readonly RouteForm[] {
    const before = this.parts.map(({ forms }) => forms);
    // A list holds resources of its kind alone, as validated.
    const now = this.parts.map((part) => part.formsOf(resources as ResourcesOfKind, settings));
    if (now.some((forms, i) => forms !== before[i])) this.forms = now.flat().sort(byOrigin);
    return this.forms;
  }
}

/** The forms of one reader. */
class ReaderForms {
  forms = NONE;
  private readonly reader: RouteReader;
  private read: { readonly lists: readonly (readonly Resource[])[]; readonly settings: MeshSettings } | undefined;

  constructor(reader: RouteReader) {
    this.reader = reader;
  }

  formsOf(resources: ResourcesOfKind, settings: MeshSettings): readonly RouteForm[] {
    const lists = this.reader.kinds.map((kind) => resources(kind));
    if (this.read?.settings === settings && sameItems(this.read.lists, lists)) return this.forms;
    const forms = this.reader.read(resources, settings);
    this.read = { lists, settings };
    if (!sameItems(this.forms, forms)) this.forms = forms;
    return this.forms;
  }
}

function sameItems(one: readonly object[], other: readonly object[]): boolean {
  return one.length === other.length && one.every((item, i) => item === other[i]);
}

function byOrigin(a: RouteForm, b: RouteForm): number {
  return byAge(a.origin.resource, b.origin.resource);
}
