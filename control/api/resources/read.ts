/** Reading resources: get, list, watch. */
import type { Context } from 'hono';
import type { ApiEnv } from '../caller.ts';
import { answer, mustGet, wantsTable } from './answer.ts';
import { inVersion, selectionOf, type Target } from './kinds.ts';
import { isTrue, parseRevision, watchTimeoutMs } from './request-options.ts';
import type { ResourceRoutes } from './routes.ts';
import { parseSelectors } from './selectors.ts';
import { expired } from './status.ts';
import { parseIncludeObject, toTable } from './table.ts';
import { watchBody } from './watch.ts';

type C = Context<ApiEnv>;

export async function get({ store }: ResourceRoutes, c: C, target: Target): Promise<Response> {
  const resource = await mustGet(store, target);
  return answer(c, target, resource);
}

export async function listOrWatch(routes: ResourceRoutes, c: C, target: Target): Promise<Response> {
  const selectors = parseSelectors(target.kind, c.req.query('labelSelector'), c.req.query('fieldSelector'));
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
