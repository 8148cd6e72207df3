/** Reading resources: get, list, watch. */
import type { Context } from 'hono';
import type { ApiEnv } from '../caller.ts';
import { answer, answerList, mustGet, wantsTable } from './answer.ts';
import { inVersion, selectionOf, type Target } from './kinds.ts';
import { parseListOptions, parseWatchOptions } from './listing/list-options.ts';
import { isTrue, watchTimeoutMs } from './request-options.ts';
import type { Api } from './routes.ts';
import { parseSelectors } from './selectors.ts';
import { parseIncludeObject, toTable } from './table.ts';
import { watchBody } from './watch.ts';

type C = Context<ApiEnv>;

export async function get({ store }: Api, c: C, target: Target): Promise<Response> {
  const resource = await mustGet(store, target);
  return answer(c, target, resource);
}

export async function listOrWatch(routes: Api, c: C, target: Target): Promise<Response> {
  const selectors = parseSelectors(target.kind, c.req.query('labelSelector'), c.req.query('fieldSelector'));
  // Before any work: an answer that cannot be given is refused.
  wantsTable(c);
  if (isTrue(c.req.query('watch'))) return watch(routes, c, target, selectors);
  const options = parseListOptions(c);
  const page = await routes.pages.list(routes.store, selectionOf(target), options, selectors);
  return answerList(
    c,
    target,
    page.items.map((item) => inVersion(target, item)),
    page,
  );
}

function watch(routes: Api, c: C, target: Target, selectors: ReturnType<typeof parseSelectors>): Response {
  const include = parseIncludeObject(c.req.query('includeObject'));
  const asTable = wantsTable(c);
  const { revision, initial, bookmarks } = parseWatchOptions(c);
  const body = watchBody(
    routes.store,
    {
      target,
      selectors,
      fromRevision: initial || revision === 0 ? undefined : revision,
      markInitialEnd: initial && bookmarks,
      bookmarkMs: bookmarks ? routes.bookmarkMs : undefined,
      timeoutMs: watchTimeoutMs(c.req.query('timeoutSeconds')),
      presentation: asTable ? `table ${include}` : 'plain',
      present: (resource) =>
        asTable ? toTable(target.kind, [resource], resource.metadata.resourceVersion ?? '', include) : resource,
    },
    { client: c.req.raw.signal, open: routes.watches, report: routes.report },
  );
  return c.body(body, 200, { 'content-type': 'application/json' });
}
