/** The resource routes: every kind at its Kubernetes path, one set of verbs for all. */
import { type Context, Hono } from 'hono';
import { guardingRoles } from '../access/guard-roles.ts';
import type { ApiEnv } from '../caller.ts';
import { Neighbours } from '../neighbours.ts';
import { authored, getHistory } from './history/history.ts';
import { findTarget, hasStatus, type Target } from './kinds.ts';
import { pretending } from './lifecycle/pretend.ts';
import { Pages } from './listing/paging.ts';
import { patchOrApply } from './managed-fields/apply.ts';
import { OpenWatches } from './open-watches.ts';
import { get, listOrWatch } from './read.ts';
import { remove, removeCollection } from './remove.ts';
import type { Api, ResourceRoutes } from './routes.ts';
import { methodNotAllowed, pathNotFound } from './status.ts';
import { patchStatus, replaceStatus } from './subresource-status.ts';
import { BOOKMARK_MS } from './watch.ts';
import { create, replace } from './write.ts';

type C = Context<ApiEnv>;

export function resourceApi(given: ResourceRoutes): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  const routes: Api = {
    ...given,
    neighbours: given.neighbours ?? new Neighbours(given.store),
    pages: new Pages(),
    watches: given.watches ?? new OpenWatches(),
    bookmarkMs: given.bookmarkMs ?? BOOKMARK_MS,
  };
  const on = (handler: (routes: Api, c: C, target: Target) => Promise<Response>) => (c: C) => {
    const target = findTarget(routes.kinds.kinds, c.req.param() as Record<string, string>);
    const store = c.req.queries('dryRun') ? pretending(routes.store) : routes.store;
    return handler({ ...routes, store: guardingRoles(authored(store, c), c, target) }, c, target);
  };
  const onStatus = (handler: (routes: Api, c: C, target: Target) => Promise<Response>) =>
    on((dependencies, c, target) => {
      if (!hasStatus(target.kind)) throw pathNotFound();
      return handler(dependencies, c, target);
    });
  const refuse = async () => {
    throw methodNotAllowed();
  };
  for (const base of ['/api/:version', '/apis/:group/:version'])
    for (const scope of ['', '/namespaces/:namespace']) {
      const collection = `${base}${scope}/:plural`;
      app.get(collection, on(listOrWatch));
      app.post(collection, on(create));
      app.delete(collection, on(removeCollection));
      app.all(collection, on(refuse));
      app.get(`${collection}/:name`, on(get));
      app.put(`${collection}/:name`, on(replace));
      app.patch(`${collection}/:name`, on(patchOrApply));
      app.delete(`${collection}/:name`, on(remove));
      app.all(`${collection}/:name`, on(refuse));
      app.get(`${collection}/:name/history`, on(getHistory));
      app.all(`${collection}/:name/history`, on(refuse));
      const status = `${collection}/:name/status`;
      app.get(status, onStatus(get));
      app.put(status, onStatus(replaceStatus));
      app.patch(status, onStatus(patchStatus));
      app.all(status, onStatus(refuse));
    }
  return app;
}
