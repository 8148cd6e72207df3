/** Deleting resources: one, or all of a collection that selectors match. */
import type { Context } from 'hono';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { ApiEnv } from '../caller.ts';
import { answer, answerList } from './answer.ts';
import { inVersion, isDeletedTogether, selectionOf, type Target } from './kinds.ts';
import { deleteOne } from './lifecycle/delete-one.ts';
import { type DeleteOptions, readDeleteOptions } from './lifecycle/delete-options.ts';
import { parseListOptions } from './listing/list-options.ts';
import type { ResourceRoutes } from './routes.ts';
import { parseSelectors } from './selectors.ts';
import { ApiError, badRequest, methodNotAllowed, success } from './status.ts';

type C = Context<ApiEnv>;

/** Core kinds whose deletion Kubernetes answers with the object; the others with a Status. */
const ANSWERED_WITH_OBJECT: ReadonlySet<string> = new Set(['Namespace', 'Service', 'ServiceAccount']);

export async function remove(routes: ResourceRoutes, c: C, target: Target): Promise<Response> {
  const options = await readDeleteOptions(c);
  const { removed, resource } = await deleteOne(routes, target, options);
  const { kind, name } = target;
  if (!removed) return answer(c, target, resource, options.accepted ? 202 : 200);
  if (kind.group === '' && ANSWERED_WITH_OBJECT.has(kind.kind)) return answer(c, target, resource);
  const { uid } = resource.metadata;
  return c.json(
    success({ name, ...(kind.group ? { group: kind.group } : {}), kind: kind.plural, ...(uid ? { uid } : {}) }),
  );
}

/** As kube-apiserver's --request-timeout: what was deleted by then stays deleted, and the client asks again for the rest. */
const COLLECTION_MS = 60_000;
/** Deletions between two turns of the event loop. */
const SLICE = 50;

/**
 * Answered with the list of what was deleted. Each deletion is a write of its own, as in Kubernetes. With `limit` it deletes so many,
 * and `remainingItemCount` says how many are left. It ends when the client disconnects, or after a minute.
 */
export async function removeCollection(routes: ResourceRoutes, c: C, target: Target): Promise<Response> {
  if ((target.kind.namespaced && target.namespace === '') || !isDeletedTogether(target.kind)) throw methodNotAllowed();
  const selectors = parseSelectors(target.kind, c.req.query('labelSelector'), c.req.query('fieldSelector'));
  if (c.req.query('continue'))
    throw badRequest('continue: is not supported for a deletion: repeat it with the same limit');
  const { limit } = parseListOptions(c);
  const options = await readDeleteOptions(c);
  const { items, revision } = await routes.store.list(selectionOf(target));
  const matching = items.filter(selectors.matches);
  const selected = limit > 0 ? matching.slice(0, limit) : matching;
  const left = matching.length - selected.length;
  const end = performance.now() + (routes.collectionMs ?? COLLECTION_MS);
  for (const [i, item] of selected.entries()) {
    if (i % SLICE === SLICE - 1) await pause(c, end, { done: i, all: selected.length });
    await removeListed(routes, { ...target, name: item.metadata.name }, item, options);
  }
  return answerList(
    c,
    target,
    selected.map((item) => inVersion(target, item)),
    { revision, ...(left > 0 && { remainingItemCount: left }) },
  );
}

/** Other requests have their turn. @throws ApiError 504 */
async function pause(c: C, end: number, { done, all }: { done: number; all: number }): Promise<void> {
  await new Promise(setImmediate);
  if (!c.req.raw.signal.aborted && performance.now() < end) return;
  const message = `Timeout: request did not complete within the allotted time: ${done} of ${all} were deleted; repeat it, or set limit`;
  throw new ApiError(504, 'Timeout', message, { retryAfterSeconds: 1 });
}

/** One that another client has deleted meanwhile is gone, which is what was asked. */
async function removeListed(
  routes: ResourceRoutes,
  target: Target,
  { metadata: { uid } }: Resource,
  options: DeleteOptions,
): Promise<void> {
  try {
    const precondition = { ...options.precondition, ...(uid && !options.precondition.uid ? { uid } : {}) };
    await deleteOne(routes, target, { ...options, precondition });
  } catch (error) {
    const replaced =
      error instanceof ApiError &&
      error.code === 409 &&
      !options.precondition.uid &&
      !options.precondition.resourceVersion;
    if (!(error instanceof ApiError && error.code === 404) && !replaced) throw error;
  }
}
