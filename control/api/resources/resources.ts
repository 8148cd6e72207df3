/** The resource routes: every kind at its Kubernetes path, one set of verbs for all. */
import { type Context, Hono } from 'hono';
import type { Resource, Violation } from '../../../shared/resources/resource.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../../store/store.ts';
import type { ApiEnv } from '../caller.ts';
import { Neighbours } from '../neighbours.ts';
import { asObject, isObject, mediaType, parseBody, parseJson, readObject, readText } from '../server/body.ts';
import { type Admitted, admit } from './admission.ts';
import { fieldPolicy } from './field-validation.ts';
import { findTarget, inVersion, keyOf, type ResourceKinds, selectionOf, type Target } from './kinds.ts';
import { jsonPatch, mergePatch, strategicMergePatch } from './patch.ts';
import { parseSelectors } from './selectors.ts';
import {
  ApiError,
  badRequest,
  expired,
  forbidden,
  fromStore,
  methodNotAllowed,
  notAcceptable,
  notFound,
  pathNotFound,
  success,
  unsupportedMediaType,
} from './status.ts';
import { parseIncludeObject, toTable } from './table.ts';
import { warningHeader } from './warning-header.ts';
import { watchBody } from './watch.ts';

export interface ResourceRoutes {
  store: ResourceStore;
  kinds: ResourceKinds;
  /** Namespaces that exist from the start and may not be deleted. */
  protectedNamespaces: readonly string[];
  report: (error: unknown) => void;
  /** Default: one that lists the store at the first write. */
  neighbours?: Neighbours | undefined;
}

type C = Context<ApiEnv>;

/** The routes' dependencies, and what they keep between requests. */
interface Api extends ResourceRoutes {
  readonly neighbours: Neighbours;
}

export function resourceApi(given: ResourceRoutes): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  const routes: Api = { ...given, neighbours: given.neighbours ?? new Neighbours(given.store) };
  const on = (handler: (routes: Api, c: C, target: Target) => Promise<Response>) => (c: C) =>
    handler(routes, c, findTarget(routes.kinds.kinds, c.req.param() as Record<string, string>));
  const refuse = async () => {
    throw methodNotAllowed();
  };
  for (const base of ['/api/:version', '/apis/:group/:version'])
    for (const scope of ['', '/namespaces/:namespace']) {
      const collection = `${base}${scope}/:plural`;
      app.get(collection, on(listOrWatch));
      app.post(collection, on(create));
      app.all(collection, on(refuse));
      app.get(`${collection}/:name`, on(get));
      app.put(`${collection}/:name`, on(replace));
      app.patch(`${collection}/:name`, on(patch));
      app.delete(`${collection}/:name`, on(remove));
      app.all(`${collection}/:name`, on(refuse));
    }
  return app;
}

async function get({ store }: ResourceRoutes, c: C, target: Target): Promise<Response> {
  const resource = await mustGet(store, target);
  return answer(c, target, resource);
}

async function listOrWatch(routes: ResourceRoutes, c: C, target: Target): Promise<Response> {
  const selectors = parseSelectors(c.req.query('labelSelector'), c.req.query('fieldSelector'));
  const table = wantsTable(c);
  if (isTrue(c.req.query('watch'))) return watch(routes, c, target, selectors);
  // The API allows servers to ignore `limit`; such a server never issues a `continue` token.
  if (c.req.query('continue')) throw expired('the continue token is not of this server: list again without it');
  const { items, revision } = await routes.store.list(selectionOf(target));
  const asked = parseRevision(c);
  if (
    asked !== undefined &&
    (asked > revision || (c.req.query('resourceVersionMatch') === 'Exact' && asked !== revision))
  )
    throw expired(`resourceVersion ${asked} is not available: the store is at ${revision}`);
  const found = items.filter(selectors.matches).map((item) => inVersion(target, item));
  const resourceVersion = String(revision);
  if (table)
    return c.json(toTable(target.kind, found, resourceVersion, parseIncludeObject(c.req.query('includeObject'))));
  return c.json({
    kind: `${target.kind.kind}List`,
    apiVersion: target.apiVersion,
    metadata: { resourceVersion },
    items: found,
  });
}

function watch(routes: ResourceRoutes, c: C, target: Target, selectors: ReturnType<typeof parseSelectors>): Response {
  const include = parseIncludeObject(c.req.query('includeObject'));
  const asTable = wantsTable(c);
  const revision = parseRevision(c);
  const initial = isTrue(c.req.query('sendInitialEvents'));
  const body = watchBody(
    routes.store,
    {
      target,
      selectors,
      fromRevision: initial || revision === 0 ? undefined : revision,
      markInitialEnd: initial && isTrue(c.req.query('allowWatchBookmarks')),
      timeoutMs: watchTimeoutMs(c.req.query('timeoutSeconds')),
      presentation: asTable ? `table ${include}` : 'plain',
      present: (resource) =>
        asTable ? toTable(target.kind, [resource], resource.metadata.resourceVersion ?? '', include) : resource,
    },
    c.req.raw.signal,
    routes.report,
  );
  return c.body(body, 200, { 'content-type': 'application/json' });
}

async function create({ store, kinds, neighbours }: Api, c: C, target: Target): Promise<Response> {
  if (target.kind.namespaced && target.namespace === '') throw methodNotAllowed();
  const dryRun = isDryRun(c);
  const { value, duplicates } = await readObject(c);
  const admitted = admit(kinds, target, value, fieldPolicy(c, duplicates));
  if (admitted.resource.metadata.resourceVersion)
    throw badRequest('resourceVersion should not be set on objects to be created');
  await warn(c, neighbours, admitted);
  await mustHaveNamespace(store, kinds, target);
  const key = keyOf(admitted.target);
  const created = await withStoreErrors(admitted.target, () =>
    dryRun ? pretendCreate(store, key, admitted.resource) : store.create(key, admitted.resource),
  );
  return answer(c, target, created, 201);
}

async function replace({ store, kinds, neighbours }: Api, c: C, target: Target): Promise<Response> {
  const dryRun = isDryRun(c);
  const { value, duplicates } = await readObject(c);
  const stored = await mustGet(store, target);
  const admitted = admit(kinds, target, value, fieldPolicy(c, duplicates), stored);
  await warn(c, neighbours, admitted);
  return answer(c, target, await write(store, target, admitted.resource, stored, dryRun));
}

const patchTypes = {
  'application/json-patch+json': jsonPatch,
  'application/merge-patch+json': mergePatch,
  'application/strategic-merge-patch+json': (target: unknown, body: unknown) => strategicMergePatch(target, body),
};

async function patch({ store, kinds, neighbours }: Api, c: C, target: Target): Promise<Response> {
  const dryRun = isDryRun(c);
  const apply = patchFunction(target, mediaType(c, ''));
  const { value: body, duplicates } = parseBody(await readText(c), 'JSON');
  const fields = fieldPolicy(c, duplicates);
  for (let attempt = 1; ; attempt++) {
    const stored = await mustGet(store, target);
    const patched = asObject(apply(inVersion(target, stored), body));
    const admitted = admit(kinds, target, patched, fields, stored);
    try {
      // The precondition is the revision that was read, or the patch's own resourceVersion.
      const updated = await write(store, target, admitted.resource, stored, dryRun);
      await warn(c, neighbours, admitted);
      return answer(c, target, updated);
    } catch (error) {
      const stale = error instanceof ApiError && error.reason === 'Conflict';
      if (!stale || attempt === 5 || namesRevision(body)) throw error;
    }
  }
}

function patchFunction(target: Target, type: string): (target: unknown, body: unknown) => unknown {
  const accepted = Object.keys(patchTypes).filter((each) => target.kind.group === '' || !each.includes('strategic'));
  if (!accepted.includes(type)) throw unsupportedMediaType(accepted);
  return patchTypes[type as keyof typeof patchTypes];
}

const namesRevision = (body: unknown) =>
  Array.isArray(body) || (isObject(body) && isObject(body['metadata']) && 'resourceVersion' in body['metadata']);

async function remove(routes: ResourceRoutes, c: C, target: Target): Promise<Response> {
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

async function mustGet(store: ResourceStore, target: Target): Promise<Resource> {
  const resource = await store.get(keyOf(target));
  if (!resource) throw notFound(target.kind, target.name);
  return resource;
}

async function mustHaveNamespace(store: ResourceStore, kinds: ResourceKinds, target: Target): Promise<void> {
  if (!target.kind.namespaced) return;
  const kind = kinds.kinds.find((each) => each.group === '' && each.kind === 'Namespace');
  if (!kind) throw pathNotFound();
  const key = { group: '', plural: kind.plural, namespace: '', name: target.namespace };
  if (!(await store.get(key))) throw notFound(kind, target.namespace);
}

function write(
  store: ResourceStore,
  target: Target,
  resource: Resource,
  stored: Resource,
  dryRun: boolean,
): Promise<Resource> {
  return withStoreErrors(target, async () => {
    if (!dryRun) return store.update(keyOf(target), resource);
    checkPrecondition(stored, resource.metadata);
    const { uid, creationTimestamp, generation, resourceVersion } = stored.metadata;
    const kept = { uid, creationTimestamp, generation, resourceVersion } as Partial<Resource['metadata']>;
    return { ...resource, metadata: { ...resource.metadata, ...kept } };
  });
}

async function pretendCreate(store: ResourceStore, key: ResourceKey, resource: Resource): Promise<Resource> {
  if (await store.get(key)) throw new StoreError('already-exists', 'exists');
  const creationTimestamp = `${new Date().toISOString().slice(0, 19)}Z`;
  return {
    ...resource,
    metadata: { ...resource.metadata, uid: crypto.randomUUID(), creationTimestamp, generation: 1 },
  };
}

interface Precondition {
  resourceVersion?: string;
  uid?: string;
}

function checkPrecondition(stored: Resource, wanted: Precondition): void {
  const { resourceVersion, uid } = stored.metadata;
  if ((wanted.resourceVersion && wanted.resourceVersion !== resourceVersion) || (wanted.uid && wanted.uid !== uid))
    throw new StoreError('conflict', `it is at resourceVersion ${resourceVersion} with uid ${uid}`);
}

function preconditionOf(value: unknown): Precondition {
  if (!isObject(value)) return {};
  const text = (name: string) => (typeof value[name] === 'string' ? { [name]: value[name] } : {});
  return { ...text('resourceVersion'), ...text('uid') };
}

/** The store's errors in Kubernetes' wording. */
async function withStoreErrors<T>(target: Target, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromStore(error, target.kind, target.name);
  }
}

function answer(c: C, target: Target, resource: Resource, status: 200 | 201 = 200): Response {
  const shown = inVersion(target, resource);
  if (!wantsTable(c)) return c.json(shown, status);
  const include = parseIncludeObject(c.req.query('includeObject'));
  return c.json(toTable(target.kind, [shown], shown.metadata.resourceVersion ?? '', include), status);
}

/** The first media type of `Accept` that can be had. @throws ApiError 406 when none can */
function wantsTable(c: C): boolean {
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

/** Headers of one response; clients limit them. */
const MAX_WARNINGS = 60;

async function warn(c: C, neighbours: Neighbours, { resource, warnings }: Admitted): Promise<void> {
  const all: readonly Violation[] = [...warnings, ...(await neighbours.warnings(resource))];
  const shown = all.length > MAX_WARNINGS ? all.slice(0, MAX_WARNINGS - 1) : all;
  const left = all.length - shown.length;
  const more = left > 0 ? [{ path: '', rule: 'more', message: `${left} more warnings: see tulle validate` }] : [];
  for (const each of [...shown, ...more]) c.header('Warning', warningHeader(each), { append: true });
}

function isDryRun(c: C, option?: unknown): boolean {
  const asked = c.req.queries('dryRun') ?? (Array.isArray(option) ? option : []);
  if (asked.some((value) => value !== 'All')) throw badRequest('dryRun: must be All');
  if (asked.length > 0) c.set('dryRun', true);
  return asked.length > 0;
}

const isTrue = (value: string | undefined) => value === 'true' || value === '1';

function parseRevision(c: C): number | undefined {
  const text = c.req.query('resourceVersion');
  if (!text) return undefined;
  if (!/^(0|[1-9][0-9]{0,14})$/.test(text)) throw badRequest(`resourceVersion: Invalid value: "${text.slice(0, 40)}"`);
  return Number(text);
}

/** The requested timeout, else 30 to 60 minutes at random, so that clients do not reconnect at once. */
function watchTimeoutMs(text: string | undefined): number {
  if (!text) return (30 + Math.random() * 30) * 60_000;
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < 0) throw badRequest('timeoutSeconds: must be a whole number of seconds');
  return Math.min(seconds || 1800, 86_400) * 1000;
}
