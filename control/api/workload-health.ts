/** What proxies report about the health of their workloads, written into the conditions of WorkloadEntries. */
import { Hono } from 'hono';
import type { Resource } from '../../shared/resources/resource.ts';
import { HealthReport } from '../../shared/xds/proxy-config.ts';
import { entriesOf } from '../compile/node/proxy-config.ts';
import { PROXY_TYPES } from '../compile/node/proxy-types.ts';
import { NodeError, proxyOf } from '../compile/scope/proxy.ts';
import type { MeshView } from '../mesh/view.ts';
import { type Condition, conditionsOf, HEALTHY } from '../mesh/workload-health.ts';
import type { ResourceKey, ResourceStore } from '../store/store.ts';
import type { ApiEnv } from './caller.ts';
import { callersNode, checkNodeSize } from './caller-node.ts';
import { ApiError, badRequest, forbidden, respondToError, unauthorized } from './resources/status.ts';
import { readJson } from './server/read-json.ts';

const REQUEST = { bytes: 256 * 1024, timeoutMs: 10_000, depth: 32, values: 16_384 };
/** Between two changes of one entry: each is a write, and a change for every client of the workload. */
const MIN_CHANGE_MS = 1000;

export interface WorkloadHealthOptions {
  readonly view: () => MeshView;
  readonly store: Pick<ResourceStore, 'get' | 'updateStatus'>;
  readonly keyOf: (resource: Resource) => ResourceKey | undefined;
  readonly now?: () => Date;
  readonly report?: (error: unknown) => void;
}

/**
 * `POST /v1/workload-health` (workloads) {node, healthy} -> {entries}. A proxy may report about the WorkloadEntries of its own
 * namespace and service account at its node's addresses alone. 404: there is none; 429: the last change was a moment ago.
 */
export function workloadHealthRoutes(options: WorkloadHealthOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.onError(respondToError(options.report ?? (() => {})));

  app.post('/v1/workload-health', async (c) => {
    const caller = c.get('caller');
    if (caller.kind === 'anonymous') throw unauthorized();
    if (caller.kind !== 'workload' || caller.byToken)
      throw forbidden('only workloads with a certificate may report their health');
    const body = await readJson(c, REQUEST);
    checkNodeSize(body);
    const parsed = HealthReport.safeParse(body);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw badRequest(`${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`);
    }
    const node = callersNode(parsed.data.node, caller);
    try {
      const view = options.view();
      const entries = entriesOf(view, proxyOf(view, node, PROXY_TYPES));
      if (entries.length === 0)
        throw new ApiError(404, 'NotFound', 'no WorkloadEntry has the address and service account of this proxy');
      for (const entry of entries) await write(options, entry, parsed.data.healthy);
      return c.json({ entries: entries.length });
    } catch (error) {
      throw error instanceof NodeError ? badRequest(`node: ${error.message}`) : error;
    }
  });

  return app;
}

/** A status that says so already is not written. */
async function write(
  { store, keyOf, now = () => new Date() }: WorkloadHealthOptions,
  entry: Resource,
  healthy: boolean,
) {
  const key = keyOf(entry);
  const stored = key && (await store.get(key));
  if (!key || !stored) return;
  const all = conditionsOf(stored);
  const before = all.find(({ type }) => type === HEALTHY);
  const status = healthy ? 'True' : 'False';
  if (before?.status === status) return;
  const at = now();
  if (before && at.getTime() - Date.parse(before.lastTransitionTime ?? '') < MIN_CHANGE_MS)
    throw new ApiError(429, 'TooManyRequests', 'the health of this workload changed a moment ago');
  const message = healthy ? 'the workload answers its probe' : 'the workload does not answer its probe';
  const condition: Condition = { type: HEALTHY, status, lastTransitionTime: at.toISOString(), message };
  const { uid, resourceVersion } = stored.metadata;
  const others = all.filter(({ type }) => type !== HEALTHY);
  await store.updateStatus(
    key,
    { ...(stored.status as object | undefined), conditions: [...others, condition] },
    { uid, resourceVersion },
  );
}
