/** The effective ProxyConfig of a proxy, which it requests at its start. */
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { ProxyConfigRequest } from '../../shared/xds/proxy-config.ts';
import { proxyConfigAnswer } from '../compile/node/proxy-config.ts';
import { NodeError } from '../compile/scope/proxy.ts';
import type { MeshView } from '../mesh/view.ts';
import type { ApiEnv } from './caller.ts';
import { foreignNode, malformedNodeId } from './caller-node.ts';
import { badRequest, forbidden, respondToError, tooLarge, unauthorized } from './resources/status.ts';
import { readObject } from './server/body.ts';

/** A node with its labels, as in a discovery poll without subscriptions. */
const MAX_BODY = 256 * 1024;

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
  const limit = bodyLimit({
    maxSize: MAX_BODY,
    onError: () => {
      throw tooLarge(MAX_BODY);
    },
  });

  app.post('/v1/proxy-config', limit, async (c) => {
    const caller = c.get('caller');
    if (caller.kind === 'anonymous') throw unauthorized();
    if (caller.kind !== 'workload') throw forbidden('only workloads may request their proxy config');
    const parsed = ProxyConfigRequest.safeParse((await readObject(c)).value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw badRequest(`${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`);
    }
    const { node } = parsed.data;
    const malformed = malformedNodeId(node.id);
    if (malformed) throw badRequest(malformed);
    const foreign = foreignNode(node, caller);
    if (foreign) throw forbidden(foreign);
    try {
      return c.json(proxyConfigAnswer(view(), node));
    } catch (error) {
      throw error instanceof NodeError ? badRequest(`node: ${error.message}`) : error;
    }
  });

  return app;
}
