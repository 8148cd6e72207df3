/** The routes of the forms that are bound to the mesh, for one class of proxies, and what replaces them when rules change. */
import type { Route, VirtualHost } from '../../../shared/xds/route.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import { generator } from '../memo.ts';
import type { Finding } from '../output/finding.ts';
import { frozen } from '../output/shared-resource.ts';
import { type RouteInput, type Translated, translatedForm } from './form-routes.ts';

/** Of more changes than this nothing is replaced: all virtual hosts are looked at. */
const MAX_CHANGES = 50;

/** A form in the place of another. */
export interface FormChange {
  readonly before: RouteForm;
  readonly after: RouteForm;
}

/** What changed from one list of forms to another that has the same hosts in the same places; undefined: it has not. */
export function changedForms(
  before: readonly RouteForm[],
  after: readonly RouteForm[],
): readonly FormChange[] | undefined {
  if (before.length !== after.length) return undefined;
  const changes: FormChange[] = [];
  for (const [i, form] of after.entries()) {
    const other = before[i]!;
    if (other === form) continue;
    if (changes.length === MAX_CHANGES || !sameTexts(other.hosts, form.hosts)) return undefined;
    changes.push({ before: other, after: form });
  }
  return changes;
}

const sameTexts = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((text, i) => text === other[i]);

/** Routes that take the place of others, by the first of these. */
export type Replacements = ReadonlyMap<Route, Replacement>;
interface Replacement {
  readonly before: readonly Route[];
  readonly after: readonly Route[];
}

interface AtPort extends Translated {
  readonly port: number;
}

/** Remembers the routes that it gave. */
export class MeshFormRoutes {
  private readonly input: Omit<RouteInput, 'onError'>;
  private readonly given: Map<RouteForm, readonly AtPort[]>;

  constructor(input: Omit<RouteInput, 'onError'>, given: ReadonlyMap<RouteForm, readonly AtPort[]> = new Map()) {
    this.input = input;
    this.given = new Map(given);
  }

  /** The routes of a form for calls to `port`. */
  of(form: RouteForm, port: number): readonly Route[] {
    const others = this.given.get(form) ?? [];
    const known = others.find((one) => one.port === port);
    if (known) return known.routes;
    const translated = translatedForm(this.input, form, 'mesh', port);
    this.given.set(form, [...others, { port, ...translated }]);
    return translated.routes;
  }

  /** Why rules of the routes that it gave could not be translated. */
  errors(): Finding[] {
    return [...this.given.values()].flatMap((ports) => ports.flatMap(({ errors }) => errors));
  }

  /**
   * The same after changes of forms, and what takes the place of the routes that it gave.
   * @returns undefined where a form has routes only before or after: then it may concern other hosts
   */
  changed(changes: readonly FormChange[]): { forms: MeshFormRoutes; replacements: Replacements } | undefined {
    const forms = new MeshFormRoutes(this.input, this.given);
    const replacements = new Map<Route, Replacement>();
    for (const { before: form, after: next } of changes) {
      forms.given.delete(form);
      for (const { port, routes: before } of this.given.get(form) ?? []) {
        const after = forms.of(next, port);
        if ((before.length === 0) !== (after.length === 0)) return undefined;
        if (before[0]) replacements.set(before[0], { before, after });
      }
    }
    return { forms, replacements };
  }
}

/** The virtual host with other routes in the place of some; the same host where it has none of those. */
export function withReplacements(host: VirtualHost, replacements: Replacements): VirtualHost {
  const { routes: [first, second] = [] } = host;
  // A form's routes may follow a route for tunnels.
  const found = (first && replacements.get(first)) ?? (second && replacements.get(second));
  return found ? replacedHost({ host, ...found }) : host;
}

const replacedHost = generator<Replacement & { readonly host: VirtualHost }, VirtualHost>(
  { host: true, before: true, after: true },
  ({ host, before, after }) => {
    const { routes = [] } = host;
    const at = routes.indexOf(before[0]!);
    return frozen({ ...host, routes: [...routes.slice(0, at), ...after, ...routes.slice(at + before.length)] });
  },
);
