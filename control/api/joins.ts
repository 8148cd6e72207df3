/** Joins over HTTP, for the administrator: which there are, and taking one back. */
import { Hono } from 'hono';
import type { Join, Joins } from '../ca/joins.ts';
import { permission } from './access/permission.ts';
import type { ApiEnv } from './caller.ts';
import { ApiError, respondToError } from './resources/status.ts';

export interface HeldJoinRoutesOptions {
  readonly joins: Joins;
  /** Node ids of connected proxies with the serial numbers of the certificates that they present. */
  readonly proxies: () => Promise<Iterable<{ readonly node: string; readonly serial: string }>>;
  readonly report?: (error: unknown) => void;
}

/**
 * - `GET /v1/joins?namespace=&serviceAccount=` -> {joins}, the oldest first, each with the ids of its connected proxies; times are
 *   RFC 3339
 * - `POST /v1/joins/ID/revoke` -> the join as it is then; its certificates are refused by the whole mesh within seconds
 */
export function heldJoinRoutes({ joins, proxies, report = () => {} }: HeldJoinRoutesOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.onError((error, c) => respondToError(report)(error, c));
  app.get('/v1/joins', permission('list', 'joins'), async (c) => {
    const { namespace, serviceAccount } = c.req.query();
    const found = joins
      .list()
      .filter(
        (join) =>
          (namespace === undefined || join.namespace === namespace) &&
          (serviceAccount === undefined || join.serviceAccount === serviceAccount),
      );
    const nodes = new Map<string, string[]>();
    for (const { node, serial } of await proxies()) {
      const id = joins.ofSerial(serial)?.id;
      if (id !== undefined) nodes.set(id, [...(nodes.get(id) ?? []), node]);
    }
    return c.json({ joins: found.map((join) => ({ ...shown(join), proxies: nodes.get(join.id) ?? [] })) });
  });
  app.post('/v1/joins/:id/revoke', permission('create', 'joins/revoke'), async (c) => {
    const id = c.req.param('id');
    const join = await joins.revoke(id, 'revoked by the administrator');
    if (!join) throw new ApiError(404, 'NotFound', `join "${id}" is not known here: see "tulle revoke --list"`);
    return c.json(shown(join));
  });
  return app;
}

function shown({ id, namespace, serviceAccount, group, by, labels, ephemeral, ...join }: Join) {
  const { created, notAfter, serial, revoked, reason } = join;
  return {
    ...{ id, namespace, serviceAccount, group, by, labels, ephemeral, serial, reason },
    created: rfc3339(created),
    notAfter: rfc3339(notAfter),
    ...(revoked !== undefined && { revoked: rfc3339(revoked) }),
  };
}

const rfc3339 = (milliseconds: number): string => new Date(milliseconds).toISOString();
