/**
 * Lists in pages of one revision (https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks).
 * The first page keeps the whole list for those after it, within bounds. Where it is kept no more, as after a restart, the next
 * page is cut from the list of now when nothing has changed since, else it is refused with 410 and a token to continue with.
 */
import type { Resource } from '../../../../shared/resources/resource.ts';
import type { ResourceStore, Selection } from '../../../store/store.ts';
import type { Selectors } from '../selectors.ts';
import { ApiError, expired } from '../status.ts';
import { type ContinueToken, readToken, writeToken } from './continue-token.ts';
import type { ListOptions } from './list-options.ts';

export interface Page {
  items: readonly Resource[];
  revision: number;
  /** Absent: there are no more. */
  continue?: string;
  /** Absent under selectors, as in Kubernetes. */
  remainingItemCount?: number;
}

interface Listed {
  /** All of the selection, sorted by namespace and name. */
  items: readonly Resource[];
  revision: number;
}

export interface KeptLists {
  readonly lists: number;
  /** Resources in all kept lists together. */
  readonly items: number;
  readonly ms: number;
}

const KEPT: KeptLists = { lists: 32, items: 50_000, ms: 5 * 60_000 };

export class Pages {
  private readonly limits: KeptLists;
  private readonly kept = new Map<string, Listed & { until: number }>();
  private items = 0;

  constructor(limits: Partial<KeptLists> = {}) {
    this.limits = { ...KEPT, ...limits };
  }

  /** @throws ApiError 400 a bad token; 410 a revision that cannot be had any more; 504 one that is not there yet */
  async list(
    store: Pick<ResourceStore, 'list'>,
    selection: Selection,
    options: ListOptions,
    selectors: Pick<Selectors, 'matches' | 'selective'>,
  ): Promise<Page> {
    const token = options.continue === '' ? undefined : readToken(options.continue);
    const listed = token ? await this.continued(store, selection, token) : await newest(store, selection, options);
    const from = token ? listed.items.filter((item) => isAfter(item, token.after)) : listed.items;
    const found = from.filter(selectors.matches);
    if (options.limit === 0 || found.length <= options.limit) return { items: found, revision: listed.revision };
    const items = found.slice(0, options.limit);
    const { namespace = '', name } = items.at(-1)!.metadata;
    this.keep(selection, listed);
    const next = { revision: listed.revision, count: listed.items.length, after: [namespace, name] as const };
    const remaining = selectors.selective ? {} : { remainingItemCount: found.length - items.length };
    return { items, revision: listed.revision, continue: writeToken(next), ...remaining };
  }

  private async continued(
    store: Pick<ResourceStore, 'list'>,
    selection: Selection,
    token: ContinueToken,
  ): Promise<Listed> {
    this.expire();
    const kept = this.kept.get(nameOf(selection, token.revision));
    if (kept) return kept;
    const listed = await store.list(selection);
    if (token.revision === -1) return listed;
    if (token.revision > listed.revision) throw notYet(token.revision, listed.revision);
    if (!isUnchanged(listed, token)) throw tooOld(token);
    return { ...listed, revision: token.revision };
  }

  private keep(selection: Selection, listed: Listed): void {
    this.expire();
    const name = nameOf(selection, listed.revision);
    if (this.kept.has(name) || listed.items.length > this.limits.items) return;
    this.kept.set(name, { ...listed, until: performance.now() + this.limits.ms });
    this.items += listed.items.length;
    while (this.kept.size > this.limits.lists || this.items > this.limits.items)
      this.forget(this.kept.keys().next().value!);
  }

  private expire(): void {
    const now = performance.now();
    for (const [name, { until }] of this.kept) if (until <= now) this.forget(name);
  }

  private forget(name: string): void {
    this.items -= this.kept.get(name)?.items.length ?? 0;
    this.kept.delete(name);
  }
}

async function newest(
  store: Pick<ResourceStore, 'list'>,
  selection: Selection,
  { revision, exact }: ListOptions,
): Promise<Listed> {
  const listed = await store.list(selection);
  if (revision === undefined || revision === listed.revision) return listed;
  if (revision > listed.revision) throw notYet(revision, listed.revision);
  if (exact)
    throw expired(`The resourceVersion for the provided list is too old: ${revision}, current: ${listed.revision}`);
  return listed;
}

/** Nothing was written since, and as many are there: nothing was deleted either. */
function isUnchanged({ items }: Listed, { revision, count }: ContinueToken): boolean {
  return items.length === count && items.every(({ metadata }) => Number(metadata.resourceVersion) <= revision);
}

/** Code points, as the store sorts. */
function isAfter(
  { metadata: { namespace = '', name } }: Resource,
  [afterNamespace, afterName]: readonly [string, string],
): boolean {
  return namespace === afterNamespace ? name > afterName : namespace > afterNamespace;
}

const nameOf = ({ kind, namespace }: Selection, revision: number): string =>
  `${revision} ${kind?.group}/${kind?.plural} ${namespace ?? '*'}`;

function notYet(asked: number, current: number): ApiError {
  return new ApiError(504, 'Timeout', `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

function tooOld(token: ContinueToken): ApiError {
  const message =
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.';
  return new ApiError(410, 'Expired', message, undefined, { continue: writeToken({ ...token, revision: -1 }) });
}
