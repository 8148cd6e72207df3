/** The effective ProxyConfig of a proxy, which it requests at its start. */
import { Hono } from 'hono';
import { ProxyConfigRequest } from '../../shared/xds/proxy-config.ts';
import { proxyConfigAnswer } from '../compile/node/proxy-config.ts';
import { NodeError } from '../compile/scope/proxy.ts';
import type { MeshView } from '../mesh/view.ts';
import type { ApiEnv } from './caller.ts';
import { callersNode, checkNodeSize } from './caller-node.ts';
import { badRequest, forbidden, respondToError, unauthorized } from './resources/status.ts';
import { readJson } from './server/read-json.ts';

/** A node, as in a discovery poll without subscriptions. */
const REQUEST = { bytes: 256 * 1024, timeoutMs: 10_000, depth: 32, values: 16_384 };

export interface ProxyConfigRoutesOptions {
  view: () => MeshView;
  /** Reports internal errors; details are not sent to clients. */
  report?: (error: unknown) => void;
}

/**
 * `POST /v1/proxy-config` (workloads) {node} -> ProxyConfigAnswer. As in discovery, a proxy may only request its own: the node
 * must be of the caller's namespace and service account. Mount behind `authenticate`.
 */
export function proxyConfigRoutes({ view, report = () => {} }: ProxyConfigRoutesOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.onError(respondToError(report));

  app.post('/v1/proxy-config', async (c) => {
    const caller = c.get('caller');
    if (caller.kind === 'anonymous') throw unauthorized();
    if (caller.kind !== 'workload') throw forbidden('only workloads may request their proxy config');
    const body = await readJson(c, REQUEST);
    checkNodeSize(body);
    const parsed = ProxyConfigRequest.safeParse(body);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw badRequest(`${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`);
    }
    const node = callersNode(parsed.data.node, caller);
    try {
      return c.json(proxyConfigAnswer(view(), node));
    } catch (error) {
      throw error instanceof NodeError ? badRequest(`node: ${error.message}`) : error;
    }
  });

  return app;
}
