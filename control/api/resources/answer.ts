/** What a request is answered with: the resource or a table of it, in the version of its path; the store's errors in Kubernetes' wording. */
import type { Context } from 'hono';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { ResourceStore } from '../../store/store.ts';
import type { ApiEnv } from '../caller.ts';
import { inVersion, keyOf, type Target } from './kinds.ts';
import { fromStore, notAcceptable, notFound } from './status.ts';
import { parseIncludeObject, toTable } from './table.ts';

type C = Context<ApiEnv>;

export async function mustGet(store: ResourceStore, target: Target): Promise<Resource> {
  const resource = await store.get(keyOf(target));
  if (!resource) throw notFound(target.kind, target.name);
  return resource;
}

/** The store's errors in Kubernetes' wording. */
export async function withStoreErrors<T>(target: Target, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromStore(error, target.kind, target.name);
  }
}

export function answer(c: C, target: Target, resource: Resource, status: 200 | 201 | 202 = 200): Response {
  const shown = inVersion(target, resource);
  if (!wantsTable(c)) return c.json(shown, status);
  const include = parseIncludeObject(c.req.query('includeObject'));
  return c.json(toTable(target.kind, [shown], shown.metadata.resourceVersion ?? '', include), status);
}

/** What the metadata of a list says beside its items. */
export interface ListMeta {
  revision: number;
  /** Where the next page begins. */
  continue?: string | undefined;
  remainingItemCount?: number | undefined;
}

/** @param items in the version of the path */
export function answerList(c: C, target: Target, items: readonly Resource[], meta: ListMeta): Response {
  const { revision, continue: next, remainingItemCount } = meta;
  const metadata = {
    resourceVersion: String(revision),
    ...(next === undefined ? {} : { continue: next }),
    ...(remainingItemCount === undefined ? {} : { remainingItemCount }),
  };
  if (wantsTable(c)) {
    const table = toTable(
      target.kind,
      items,
      metadata.resourceVersion,
      parseIncludeObject(c.req.query('includeObject')),
    );
    return c.json({ ...table, metadata });
  }
  return c.json({ kind: `${target.kind.kind}List`, apiVersion: target.apiVersion, metadata, items });
}

/** The first media type of `Accept` that can be had. @throws ApiError 406 when none can */
export function wantsTable(c: C): boolean {
  const accept = c.req.header('accept');
  if (!accept) return false;
  for (const range of accept.split(',')) {
    const [type, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    if (type !== 'application/json' && type !== '*/*' && type !== 'application/*') continue;
    const as = parameters.find((parameter) => parameter.startsWith('as='));
    if (as === 'as=table' && parameters.includes('v=v1')) return true;
    if (!as) return false;
  }
  throw notAcceptable('application/json');
}
