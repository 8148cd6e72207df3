/** Writing resources: create, replace, patch. */
import type { Context } from 'hono';
import type { Resource, Violation } from '../../../shared/resources/resource.ts';
import type { ResourceStore } from '../../store/store.ts';
import type { ApiEnv } from '../caller.ts';
import type { Neighbours } from '../neighbours.ts';
import { asObject, isObject, mediaType, parseBody, readObject, readText } from '../server/body.ts';
import { type Admitted, admit } from './admission.ts';
import { answer, mustGet, withStoreErrors } from './answer.ts';
import { fieldPolicy } from './field-validation.ts';
import { inVersion, isBuiltIn, keyOf, type Target } from './kinds.ts';
import { knownRefusals } from './lifecycle/known-refusals.ts';
import { mustTakeContent } from './lifecycle/namespace.ts';
import { keepManaged } from './lifecycle/pretend.ts';
import { finishesDeletion, mustNotAddFinalizers } from './lifecycle/update.ts';
import { trackUpdate } from './managed-fields/field-manager.ts';
import { managerOf } from './managed-fields/request-manager.ts';
import { jsonPatch, mergePatch, strategicMergePatch } from './patch.ts';
import { checkPrecondition } from './precondition.ts';
import { isDryRun } from './request-options.ts';
import type { Api } from './routes.ts';
import { ApiError, badRequest, methodNotAllowed, unsupportedMediaType } from './status.ts';
import { warningHeader } from './warning-header.ts';

type C = Context<ApiEnv>;

export async function create({ store, kinds, neighbours }: Api, c: C, target: Target): Promise<Response> {
  if (target.kind.namespaced && target.namespace === '') throw methodNotAllowed();
  // The store is one that pretends then.
  isDryRun(c);
  const manager = managerOf(c);
  const { value, duplicates } = await readObject(c);
  const admitted = admit(kinds, target, value, fieldPolicy(c, duplicates));
  if (admitted.resource.metadata.resourceVersion)
    throw badRequest('resourceVersion should not be set on objects to be created');
  c.set('objectName', admitted.target.name);
  await warn(c, neighbours, admitted);
  await mustTakeContent(store, kinds, admitted.target);
  const given = managedFieldsOf(value);
  const owned = trackUpdate({ target: admitted.target, written: admitted.resource, given, manager });
  const created = await createOwned(store, admitted.target, owned);
  return answer(c, target, created, 201);
}

export async function replace({ store, kinds, neighbours }: Api, c: C, target: Target): Promise<Response> {
  const dryRun = isDryRun(c);
  const manager = managerOf(c);
  const { value, duplicates } = await readObject(c);
  const stored = await mustGet(store, target);
  const admitted = admit(kinds, target, value, fieldPolicy(c, duplicates), stored);
  await warn(c, neighbours, admitted, stored);
  const given = managedFieldsOf(value);
  const owned = trackUpdate({ target, live: stored, written: admitted.resource, given, manager });
  return answer(c, target, await write(store, target, owned, stored, dryRun));
}

/** The media type of server-side apply. */
export const APPLY = 'application/apply-patch+yaml';

const patchTypes = {
  'application/json-patch+json': jsonPatch,
  'application/merge-patch+json': mergePatch,
  'application/strategic-merge-patch+json': (target: unknown, body: unknown) => strategicMergePatch(target, body),
};

export async function patch({ store, kinds, neighbours }: Api, c: C, target: Target): Promise<Response> {
  const dryRun = isDryRun(c);
  const manager = managerOf(c);
  const apply = patchFunction(target, mediaType(c, ''), [APPLY]);
  const { value: body, duplicates } = parseBody(await readText(c), 'JSON');
  const fields = fieldPolicy(c, duplicates);
  for (let attempt = 1; ; attempt++) {
    const stored = await mustGet(store, target);
    const patched = asObject(apply(inVersion(target, stored), body));
    const admitted = admit(kinds, target, patched, fields, stored);
    try {
      // The precondition is the revision that was read, or the patch's own resourceVersion.
      const given = managedFieldsOf(patched);
      const owned = trackUpdate({ target, live: stored, written: admitted.resource, given, manager });
      const updated = await write(store, target, owned, stored, dryRun);
      await warn(c, neighbours, admitted, stored);
      return answer(c, target, updated);
    } catch (error) {
      const stale = error instanceof ApiError && error.reason === 'Conflict';
      if (!stale || attempt === 5 || namesRevision(body)) throw error;
    }
  }
}

/** @param further media types that the route takes beside patches @throws ApiError 415 */
export function patchFunction(
  target: Target,
  type: string,
  further: readonly string[] = [],
): (target: unknown, body: unknown) => unknown {
  const accepted = Object.keys(patchTypes).filter((each) => isBuiltIn(target.kind) || !each.includes('strategic'));
  if (!accepted.includes(type)) throw unsupportedMediaType([...accepted, ...further]);
  return patchTypes[type as keyof typeof patchTypes];
}

export const namesRevision = (body: unknown) =>
  Array.isArray(body) || (isObject(body) && isObject(body['metadata']) && 'resourceVersion' in body['metadata']);

/** The owners that a body names. */
function managedFieldsOf({ metadata }: Record<string, unknown>): unknown {
  return isObject(metadata) ? metadata['managedFields'] : undefined;
}

/** @throws ApiError 409 when it exists */
export function createOwned(store: ResourceStore, target: Target, resource: Resource): Promise<Resource> {
  const key = keyOf(target);
  return withStoreErrors(target, () => store.create(key, resource));
}

/** Stores an update of `stored`, or shows what it would be. @throws ApiError 404, 409 */
export function write(
  store: ResourceStore,
  target: Target,
  resource: Resource,
  stored: Resource,
  dryRun: boolean,
): Promise<Resource> {
  mustNotAddFinalizers(target, stored, resource);
  return withStoreErrors(target, async () => {
    if (!dryRun && finishesDeletion(resource)) return finish(store, target, resource, stored);
    return store.update(keyOf(target), resource);
  });
}

/** The update takes off the last finalizer of a resource that is being deleted. */
async function finish(store: ResourceStore, target: Target, resource: Resource, stored: Resource): Promise<Resource> {
  checkPrecondition(stored, resource.metadata);
  const { uid, resourceVersion } = stored.metadata;
  await store.delete(keyOf(target), { uid, resourceVersion });
  return keepManaged(resource, stored);
}

/** Headers of one response; clients limit them. */
const MAX_WARNINGS = 60;

/**
 * Sends what was found about the resource as warning headers.
 * @param stored as it was before the write
 */
export async function warn(
  c: C,
  neighbours: Neighbours,
  { resource, warnings }: Admitted,
  stored?: Resource,
): Promise<void> {
  const known = knownRefusals(stored, resource);
  const all: readonly Violation[] = [...warnings, ...known, ...(await neighbours.warnings(resource))];
  const shown = all.length > MAX_WARNINGS ? all.slice(0, MAX_WARNINGS - 1) : all;
  const left = all.length - shown.length;
  const more = left > 0 ? [{ path: '', rule: 'more', message: `${left} more warnings: see tulle validate` }] : [];
  for (const each of [...shown, ...more]) c.header('Warning', warningHeader(each), { append: true });
}
