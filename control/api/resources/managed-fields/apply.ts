/** Server-side apply (kubernetes.io/docs/reference/using-api/server-side-apply): creates a resource, or merges into it. */
import type { Context } from 'hono';
import { kindKey } from '../../../../shared/resources/kind.ts';
import { withoutUnknownFields } from '../../../../shared/resources/read/unknown-fields.ts';
import type { Resource } from '../../../../shared/resources/resource.ts';
import { attributesOf } from '../../../access/request-attributes.ts';
import { requireAccess } from '../../access/permission.ts';
import type { ApiEnv } from '../../caller.ts';
import { asObject, isObject, mediaType, parseBody, readText } from '../../server/body.ts';
import { type Admitted, admit } from '../admission.ts';
import { answer } from '../answer.ts';
import { applyFieldPolicy, type FieldPolicy, fieldPolicy } from '../field-validation.ts';
import { keyOf, type Target } from '../kinds.ts';
import { mustTakeContent } from '../lifecycle/namespace.ts';
import { isDryRun } from '../request-options.ts';
import type { Api } from '../routes.ts';
import { ApiError, badRequest } from '../status.ts';
import { APPLY, createOwned, patch, warn, write } from '../write.ts';
import { applyFields } from './field-manager.ts';
import { applyingManagerOf, isForced } from './request-manager.ts';

type C = Context<ApiEnv>;

/** A patch of any type. An apply that creates needs the right to create beside the one to patch. */
export function patchOrApply(api: Api, c: C, target: Target): Promise<Response> {
  return mediaType(c, '') === APPLY ? apply(api, c, target) : patch(api, c, target);
}

const MAX_ATTEMPTS = 5;
const NO_QUERY = new URLSearchParams();

async function apply(api: Api, c: C, target: Target): Promise<Response> {
  const dryRun = isDryRun(c);
  const manager = applyingManagerOf(c);
  const force = isForced(c);
  const { value, duplicates } = parseBody(await readText(c), 'YAML');
  const { body, warnings } = withKnownFields(target, asObject(value), fieldPolicy(c, duplicates));
  for (let attempt = 1; ; attempt++) {
    const live = await api.store.get(keyOf(target));
    if (!live) {
      requireAccess(c, { ...attributesOf(c.req.method, c.req.path, NO_QUERY), verb: 'create' });
      mustNotNameAnother(target, body);
    }
    const applied = applyFields({ target, live, applied: body, manager, force });
    const admitted = admit(api.kinds, target, applied.body, { policy: 'Ignore', duplicates: [] }, live);
    const owned = withPrecondition(applied.finish(admitted.resource), body, live);
    const found = { ...admitted, warnings: [...warnings, ...admitted.warnings] };
    try {
      return await stored(api, c, { target, live, owned, found, dryRun });
    } catch (error) {
      // Another write came in between: merge into what it left, unless the configuration names a revision.
      const isStale = error instanceof ApiError && (error.reason === 'Conflict' || error.reason === 'AlreadyExists');
      if (!isStale || attempt === MAX_ATTEMPTS || namesRevision(body)) throw error;
    }
  }
}

interface Write {
  target: Target;
  live: Resource | undefined;
  owned: Resource;
  found: Admitted;
  dryRun: boolean;
}

async function stored({ store, kinds, neighbours }: Api, c: C, { target, live, owned, found, dryRun }: Write) {
  if (!live) await mustTakeContent(store, kinds, target);
  const written = live ? await write(store, target, owned, live, dryRun) : await createOwned(store, target, owned);
  await warn(c, neighbours, found, live);
  return answer(c, target, written, live ? 200 : 201);
}

/** Unknown and duplicate fields of the configuration; those that are stored were judged when they were written. */
function withKnownFields(target: Target, body: Record<string, unknown>, fields: FieldPolicy) {
  const { apiVersion, kind } = body;
  if (apiVersion !== target.apiVersion || kind !== target.kind.kind)
    throw badRequest(`invalid object type: ${groupVersion(show(apiVersion))}, Kind=${show(kind)}`);
  const { status: _, ...desired } = body;
  return applyFieldPolicy(target, withoutUnknownFields(target.kind, desired), fields);
}

const metadataOf = ({ metadata }: Record<string, unknown>) => (isObject(metadata) ? metadata : {});

const namesRevision = (body: Record<string, unknown>) => Boolean(metadataOf(body)['resourceVersion']);

/** A configuration that names an existing object does not create another one. @throws ApiError 409 */
function mustNotNameAnother({ kind, name }: Target, body: Record<string, unknown>): void {
  const { uid } = metadataOf(body);
  if (!uid) return;
  const resource = `${kindKey(kind.group, kind.plural)} "${name}"`;
  const message = `Operation cannot be fulfilled on ${resource}: uid mismatch: the provided object specified uid ${show(uid)}, and no existing object was found`;
  throw new ApiError(409, 'Conflict', message, {
    name,
    ...(kind.group ? { group: kind.group } : {}),
    kind: kind.plural,
  });
}

/** The write holds for the revision that was merged into, or for the one that the configuration names. */
function withPrecondition(resource: Resource, body: Record<string, unknown>, live: Resource | undefined): Resource {
  if (!live) {
    const { resourceVersion: _, ...metadata } = resource.metadata;
    return { ...resource, metadata };
  }
  const { resourceVersion, uid } = metadataOf(body);
  const text = (value: unknown, otherwise: string | undefined) =>
    typeof value === 'string' && value !== '' ? value : (otherwise ?? '');
  return {
    ...resource,
    metadata: {
      ...resource.metadata,
      resourceVersion: text(resourceVersion, live.metadata.resourceVersion),
      uid: text(uid, live.metadata.uid),
    },
  };
}

const show = (value: unknown) => (typeof value === 'string' ? value.slice(0, 253) : '');

/** As Kubernetes writes it: the core group is the empty one. */
const groupVersion = (apiVersion: string) => (apiVersion.includes('/') ? apiVersion : `/${apiVersion}`);
