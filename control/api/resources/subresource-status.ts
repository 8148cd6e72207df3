/** The subresource `status`: replaces or patches the status of a resource, and nothing else. */
import type { Context } from 'hono';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { ApiEnv } from '../caller.ts';
import { asObject, isObject, mediaType, parseBody, readObject, readText } from '../server/body.ts';
import { admit } from './admission.ts';
import { answer, mustGet, withStoreErrors } from './answer.ts';
import { type FieldPolicy, fieldPolicy } from './field-validation.ts';
import { inVersion, keyOf, type Target } from './kinds.ts';
import { trackStatus } from './managed-fields/field-manager.ts';
import { managerOf } from './managed-fields/request-manager.ts';
import { checkPrecondition, preconditionOf } from './precondition.ts';
import { isDryRun } from './request-options.ts';
import type { Api } from './routes.ts';
import { ApiError, badRequest } from './status.ts';
import { namesRevision, patchFunction } from './write.ts';

type C = Context<ApiEnv>;

export async function replaceStatus(api: Api, c: C, target: Target): Promise<Response> {
  const dryRun = isDryRun(c);
  const manager = managerOf(c);
  const { value, duplicates } = await readObject(c);
  const stored = await mustGet(api.store, target);
  return answer(
    c,
    target,
    await write(api, target, { stored, body: value, fields: fieldPolicy(c, duplicates), dryRun, manager }),
  );
}

export async function patchStatus(api: Api, c: C, target: Target): Promise<Response> {
  const dryRun = isDryRun(c);
  const manager = managerOf(c);
  const apply = patchFunction(target, mediaType(c, ''));
  const { value, duplicates } = parseBody(await readText(c), 'JSON');
  const fields = fieldPolicy(c, duplicates);
  for (let attempt = 1; ; attempt++) {
    const stored = await mustGet(api.store, target);
    const body = asObject(apply(inVersion(target, stored), value));
    try {
      return answer(c, target, await write(api, target, { stored, body, fields, dryRun, manager }));
    } catch (error) {
      const stale = error instanceof ApiError && error.reason === 'Conflict';
      if (!stale || attempt === 5 || namesRevision(value)) throw error;
    }
  }
}

interface StatusWrite {
  stored: Resource;
  body: Record<string, unknown>;
  fields: FieldPolicy;
  dryRun: boolean;
  manager: string;
}

/** Type and name of the body are checked as those of the resource; its spec is not read. */
function write(
  { store, kinds }: Api,
  target: Target,
  { stored, body, fields, dryRun, manager }: StatusWrite,
): Promise<Resource> {
  const { apiVersion, kind, metadata, status } = body;
  const head = { ...inVersion(target, stored), ...(apiVersion === undefined ? {} : { apiVersion }) };
  admit(kinds, target, { ...head, ...(kind === undefined ? {} : { kind }), metadata: metadata ?? {} }, fields, stored);
  if (status !== undefined && !isObject(status)) throw badRequest('status: must be an object');
  const { resourceVersion } = preconditionOf(metadata);
  const wanted = { ...(resourceVersion ? { resourceVersion } : {}), uid: stored.metadata.uid ?? '' };
  const given = isObject(metadata) ? metadata['managedFields'] : undefined;
  const owners = (live: Resource, written: Resource) => trackStatus({ target, live, written, given, manager });
  // Before the transaction: what is wrong with them is the client's error.
  owners(stored, stored);
  return withStoreErrors(target, async () => {
    if (!dryRun) return store.updateStatus(keyOf(target), status, { ...wanted, owners });
    checkPrecondition(stored, wanted);
    const { status: _, ...rest } = stored;
    const next = status === undefined ? rest : { ...rest, status };
    const managedFields = owners(stored, next);
    return managedFields === undefined ? next : { ...next, metadata: { ...next.metadata, managedFields } };
  });
}
