/** Deleting resources: one, or all of a collection that selectors match. */
import type { Context } from 'hono';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { ApiEnv } from '../caller.ts';
import { answer, answerList } from './answer.ts';
import { inVersion, isDeletedTogether, selectionOf, type Target } from './kinds.ts';
import { deleteOne } from './lifecycle/delete-one.ts';
import { type DeleteOptions, readDeleteOptions } from './lifecycle/delete-options.ts';
import type { ResourceRoutes } from './routes.ts';
import { parseSelectors } from './selectors.ts';
import { ApiError, methodNotAllowed, success } from './status.ts';

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

/** Answered with the list of what was deleted. Each deletion is a write of its own, as in Kubernetes. */
export async function removeCollection(routes: ResourceRoutes, c: C, target: Target): Promise<Response> {
  if ((target.kind.namespaced && target.namespace === '') || !isDeletedTogether(target.kind)) throw methodNotAllowed();
  const selectors = parseSelectors(target.kind, c.req.query('labelSelector'), c.req.query('fieldSelector'));
  const options = await readDeleteOptions(c);
  const { items, revision } = await routes.store.list(selectionOf(target));
  const selected = items.filter(selectors.matches);
  for (const item of selected) await removeListed(routes, { ...target, name: item.metadata.name }, item, options);
  return answerList(
    c,
    target,
    selected.map((item) => inVersion(target, item)),
    { revision },
  );
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
