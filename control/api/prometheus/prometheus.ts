/** Where Prometheus finds the proxies, and the token with which it asks. */
import { Hono } from 'hono';
import type { Node } from '../../../shared/xds/core.ts';
import { permission, requirePermission } from '../access/permission.ts';
import { accepted, bearer } from '../auth.ts';
import type { ApiEnv } from '../caller.ts';
import { secretAnswer } from '../identity-body.ts';
import { ApiError, forbidden, respondToError, unauthorized } from '../resources/status.ts';
import type { ScrapeToken } from './scrape-token.ts';
import { targetsOf } from './targets.ts';

export interface PrometheusRoutesOptions {
  /** Of the connected proxies. */
  readonly nodes: () => Iterable<Node> | Promise<Iterable<Node>>;
  readonly token: Pick<ScrapeToken, 'check' | 'create' | 'revoke'>;
  readonly report?: (error: unknown) => void;
}

/**
 * - `GET /v1/prometheus/targets` (admin, or the scrape token as bearer token) -> http_sd's [{targets, labels}]
 * - `POST /v1/prometheus/token` (admin) -> {token}, which takes the place of the last one
 * - `DELETE /v1/prometheus/token` (admin) -> {revoked: true}; 404: there is none
 */
export function prometheusRoutes({ nodes, token, report = () => {} }: PrometheusRoutesOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.onError(respondToError(report));

  app.get('/v1/prometheus/targets', async (c) => {
    const caller = c.get('caller');
    const given = bearer(c.req.header('authorization'));
    if (caller.kind === 'user') requirePermission(c, { verb: 'list', resource: 'scrapetargets' });
    else {
      if (given === undefined || !token.check(given)) {
        if (caller.kind === 'workload') throw forbidden('the targets are for users and for the scrape token');
        throw unauthorized('the targets are for users and for the scrape token (tulle token create --scrape)');
      }
      accepted(c, 'scrape token');
    }
    return c.json(targetsOf(await nodes()));
  });

  app.post('/v1/prometheus/token', permission('create', 'scrapetokens'), async (c) =>
    secretAnswer(c, { token: await token.create() }),
  );

  app.delete('/v1/prometheus/token', permission('delete', 'scrapetokens'), async (c) => {
    if (!(await token.revoke())) throw new ApiError(404, 'NotFound', 'there is no scrape token');
    return c.json({ revoked: true });
  });

  return app;
}
