/** What the control planes that share a store ask each other. */
import { Hono } from 'hono';
import * as z from 'zod';
import type { DiscoveryService } from '../../discovery/service.ts';
import { type AdminCheck, accepted, bearer } from '../auth.ts';
import type { ApiEnv } from '../caller.ts';
import { shownConfig } from '../discovery.ts';
import { readRequest } from '../identity-body.ts';
import { ApiError, forbidden, respondToError, unauthorized } from '../resources/status.ts';

const LIMITS = { bytes: 4096, timeoutMs: 10_000, depth: 2, values: 8 };
const PlaceRequest = z.strictObject({ namespace: z.string(), serviceAccount: z.string(), address: z.string() });
const SettledRequest = z.strictObject({ revision: z.int().min(0), limitMs: z.int().min(0).max(30_000) });

export interface ReplicaRoutesOptions {
  readonly discovery: Pick<
    DiscoveryService,
    'status' | 'configOf' | 'presented' | 'connectedNodes' | 'isPresent' | 'settled'
  >;
  /** Whether a token is the secret that control planes share. */
  readonly isReplica: AdminCheck;
  readonly report?: (error: unknown) => void;
}

/** All under `/v1/replica/`, for bearers of the shared secret alone. */
export function replicaRoutes({ discovery, isReplica, report = () => {} }: ReplicaRoutesOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.onError(respondToError(report));
  app.use('/v1/replica/*', async (c, next) => {
    const token = bearer(c.req.header('authorization'));
    if (token === undefined || !isReplica(token)) {
      if (c.get('caller').kind !== 'anonymous') throw forbidden('this is for control planes of the same store alone');
      throw unauthorized('this is for control planes of the same store alone');
    }
    accepted(c, 'control plane');
    await next();
  });
  app.get('/v1/replica/proxies', (c) => c.json({ proxies: discovery.status() }));
  app.get('/v1/replica/proxies/:id/config', (c) => {
    const { type, serviceAccount } = c.req.query();
    const config = shownConfig(discovery, c.req.param('id'), { type, serviceAccount });
    if (!config) throw new ApiError(404, 'NotFound', 'no such proxy is known');
    return c.json(config);
  });
  app.get('/v1/replica/presented', (c) => c.json({ proxies: [...discovery.presented()] }));
  app.get('/v1/replica/nodes', (c) => c.json({ nodes: [...discovery.connectedNodes()] }));
  app.post('/v1/replica/present', async (c) => {
    const place = await readRequest(c, PlaceRequest, LIMITS);
    return c.json({ present: discovery.isPresent(place) });
  });
  app.post('/v1/replica/settled', async (c) => {
    const { revision, limitMs } = await readRequest(c, SettledRequest, LIMITS);
    return c.json({ settled: await discovery.settled((view) => view.revision >= revision, limitMs) });
  });
  return app;
}
