/** Deleting resources. */
import type { Context } from 'hono';
import type { Resource } from '../../../shared/resources/resource.ts';
import { StoreError } from '../../store/store.ts';
import type { ApiEnv } from '../caller.ts';
import { asObject, parseJson, readText } from '../server/body.ts';
import { mustGet, withStoreErrors } from './answer.ts';
import { keyOf, type Target } from './kinds.ts';
import { checkPrecondition, preconditionOf } from './precondition.ts';
import { isDryRun } from './request-options.ts';
import type { ResourceRoutes } from './routes.ts';
import { forbidden, success } from './status.ts';

type C = Context<ApiEnv>;

export async function remove(routes: ResourceRoutes, c: C, target: Target): Promise<Response> {
  const { store, protectedNamespaces } = routes;
  const text = await readText(c);
  const options = text === '' ? {} : asObject(parseJson(text));
  const dryRun = isDryRun(c, options['dryRun']);
  const stored = await mustGet(store, target);
  const isNamespace = target.kind.group === '' && target.kind.kind === 'Namespace';
  if (isNamespace && protectedNamespaces.includes(target.name))
    throw forbidden(`namespaces "${target.name}" is forbidden: this namespace may not be deleted`);
  const precondition = preconditionOf(options['preconditions']);
  await withStoreErrors(target, async () => {
    mustHaveNoFinalizers(stored);
    if (dryRun) return checkPrecondition(stored, precondition);
    if (isNamespace) {
      checkPrecondition(stored, precondition);
      await emptyNamespace(routes, target.name);
    }
    await store.delete(keyOf(target), precondition);
  });
  const { kind, name } = target;
  const uid = stored.metadata.uid;
  return c.json(
    success({ name, ...(kind.group ? { group: kind.group } : {}), kind: kind.plural, ...(uid ? { uid } : {}) }),
  );
}

/** Deletes a namespace's resources first, so that a crash in between leaves no resource without its namespace. */
async function emptyNamespace({ store, kinds }: ResourceRoutes, namespace: string): Promise<void> {
  for (const item of (await store.list({ namespace })).items) mustHaveNoFinalizers(item);
  for (const { group, plural, namespaced } of kinds.kinds) {
    if (!namespaced) continue;
    const { items } = await store.list({ kind: { group, plural }, namespace });
    for (const item of items) {
      await store.delete({ group, plural, namespace, name: item.metadata.name }).catch((error: unknown) => {
        if (!(error instanceof StoreError && error.code === 'not-found')) throw error;
      });
    }
  }
}

/** Finalizers are not supported: deletion is refused, so that none is skipped. */
function mustHaveNoFinalizers({ metadata }: Resource): void {
  if (!metadata.finalizers?.length) return;
  throw new StoreError('conflict', `"${metadata.name}" has finalizers: remove them first`);
}
