/** What proxies report about the health of their workloads, written into the conditions of WorkloadEntries. */
import { Hono } from 'hono';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Node } from '../../shared/xds/core.ts';
import { HealthReport } from '../../shared/xds/proxy-config.ts';
import { entriesOf } from '../compile/node/proxy-config.ts';
import { PROXY_TYPES } from '../compile/node/proxy-types.ts';
import { NodeError, proxyOf } from '../compile/scope/proxy.ts';
import type { MeshView } from '../mesh/view.ts';
import { type Condition, conditionsOf, DRAINING, HEALTHY, isUnhealthy } from '../mesh/workload/workload-health.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../store/store.ts';
import type { ControlEvents } from '../telemetry/events.ts';
import { isRegistered } from '../workloads/workload-entry.ts';
import type { ApiEnv, Caller } from './caller.ts';
import { callersNode, checkNodeSize } from './caller-node.ts';
import { ApiError, badRequest, forbidden, respondToError, unauthorized } from './resources/status.ts';
import { readJson } from './server/read-json.ts';

const REQUEST = { bytes: 256 * 1024, timeoutMs: 10_000, depth: 32, values: 16_384 };
/** Between two changes of one entry: each is a write, and a change for every client of the workload. */
const MIN_CHANGE_MS = 1000;

const WRITE_ATTEMPTS = 5;
/** How long the answer to a proxy that stops waits at most for its peers. */
const SETTLE_MS = 3000;

export interface WorkloadHealthOptions {
  readonly view: () => MeshView;
  readonly store: Pick<ResourceStore, 'get' | 'updateStatus'>;
  readonly keyOf: (resource: Resource) => ResourceKey | undefined;
  /** The certificates of the proxies that are connected with the node's identity and address, the oldest session first. */
  readonly holdersOf: (spiffeId: string, node: Node) => readonly ({ readonly serial?: string } | undefined)[];
  /** Whether two certificates, by their serial numbers, are of one machine. */
  readonly isSameMachine: (serial: string | undefined, other: string | undefined) => boolean;
  /** Removes the entry of a registered machine. @returns whether it had one */
  readonly leave: (node: Node, serial: string | undefined) => Promise<boolean>;
  readonly settled: (isInView: (view: MeshView) => boolean, limitMs: number) => Promise<boolean>;
  readonly now?: () => Date;
  readonly events?: Pick<ControlEvents, 'workloadHealth'>;
  readonly report?: (error: unknown) => void;
}

type WorkloadCaller = Caller & { kind: 'workload' };

/**
 * `POST /v1/workload-health` (workloads) {node, healthy, draining?} -> {entries}. A proxy may report about the WorkloadEntries of its
 * own namespace and service account at its node's addresses alone, and only while it is the one that is connected with that
 * address. 404: there is none; 409: another machine is connected with the address, or none; 429: the last change was a moment ago.
 */
export function workloadHealthRoutes(options: WorkloadHealthOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.onError(respondToError(options.report ?? (() => {})));

  app.post('/v1/workload-health', async (c) => {
    const caller = c.get('caller');
    if (caller.kind === 'anonymous') throw unauthorized();
    if (caller.kind !== 'workload' || caller.byToken)
      throw forbidden('only workloads with a certificate may report their health');
    const { node, healthy, draining = false } = reportOf(await readJson(c, REQUEST), caller);
    const found = entriesIn(options.view(), node);
    checkHolder(options, node, caller);
    if (draining) return c.json({ entries: await drain(options, node, caller, found) });
    if (found.length === 0)
      throw new ApiError(404, 'NotFound', 'no WorkloadEntry has the address and service account of this proxy');
    for (const entry of found) await write(options, entry, healthy ? HEALTHY_CONDITION : UNHEALTHY_CONDITION);
    return c.json({ entries: found.length });
  });

  return app;
}

/** @throws ApiError 400, 403 */
function reportOf(body: unknown, caller: WorkloadCaller): HealthReport {
  checkNodeSize(body);
  const parsed = HealthReport.safeParse(body);
  if (parsed.success) return { ...parsed.data, node: callersNode(parsed.data.node, caller) };
  const issue = parsed.error.issues[0];
  throw badRequest(`${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`);
}

/** @throws ApiError 400 */
function entriesIn(view: MeshView, node: Node): readonly Resource[] {
  try {
    return entriesOf(view, proxyOf(view, node, PROXY_TYPES));
  } catch (error) {
    throw error instanceof NodeError ? badRequest(`node: ${error.message}`) : error;
  }
}

/** A node says its address itself: what counts is who is connected with it. @throws ApiError 403, 409 */
function checkHolder({ holdersOf, isSameMachine }: WorkloadHealthOptions, node: Node, caller: WorkloadCaller): void {
  const [, address = ''] = node.id.split('~');
  const claimed = String(node.metadata?.['INSTANCE_IPS'] ?? address).split(',');
  if (claimed.some((each) => each.trim() !== address))
    throw forbidden(`node.metadata.INSTANCE_IPS: must be ${address}, the address of node.id, to report health`);
  const holders = holdersOf(caller.spiffeId, node);
  if (holders.length === 0)
    throw new ApiError(409, 'Conflict', `no proxy of this identity is connected with address ${address}`);
  if (!isSameMachine(holders[0]?.serial, caller.certificate?.serial))
    throw new ApiError(409, 'Conflict', `another machine is connected with address ${address}`);
}

/** Takes the workload out of discovery. @returns how many entries that concerns */
async function drain(
  options: WorkloadHealthOptions,
  node: Node,
  caller: WorkloadCaller,
  found: readonly Resource[],
): Promise<number> {
  // Another process of the workload continues.
  if (options.holdersOf(caller.spiffeId, node).length > 1) return 0;
  const left = await options.leave(node, caller.certificate?.serial);
  const others = found.filter((entry) => !isRegistered(entry));
  for (const entry of others) await write(options, entry, DRAINING_CONDITION);
  if (left || others.length > 0)
    await options.settled((view) => entriesIn(view, node).every((entry) => isUnhealthy(entry)), SETTLE_MS);
  return others.length + (left ? 1 : 0);
}

type HealthCondition = Pick<Condition, 'status' | 'reason'> & { readonly message: string };
const HEALTHY_CONDITION: HealthCondition = { status: 'True', message: 'the workload answers its probe' };
const UNHEALTHY_CONDITION: HealthCondition = { status: 'False', message: 'the workload does not answer its probe' };
const DRAINING_CONDITION: HealthCondition = { status: 'False', reason: DRAINING, message: 'the proxy is stopping' };

/** Another write of the status may come between: then it is read again. */
async function write(options: WorkloadHealthOptions, entry: Resource, health: HealthCondition): Promise<void> {
  for (let left = WRITE_ATTEMPTS; ; left--) {
    try {
      return await writeOnce(options, entry, health);
    } catch (error) {
      const isConflict = error instanceof StoreError && error.code === 'conflict';
      if (!isConflict || left <= 1) throw error;
    }
  }
}

/** A status that says so already is not written. */
async function writeOnce(
  { store, keyOf, events, now = () => new Date() }: WorkloadHealthOptions,
  entry: Resource,
  health: HealthCondition,
) {
  const key = keyOf(entry);
  const stored = key && (await store.get(key));
  if (!key || !stored) return;
  const all = conditionsOf(stored);
  const before = all.find(({ type }) => type === HEALTHY);
  if (before?.status === health.status && before.reason === health.reason) return;
  const at = now();
  const isSoon = before && at.getTime() - Date.parse(before.lastTransitionTime ?? '') < MIN_CHANGE_MS;
  if (isSoon && health.reason !== DRAINING)
    throw new ApiError(429, 'TooManyRequests', 'the health of this workload changed a moment ago');
  const condition: Condition = { type: HEALTHY, ...health, lastTransitionTime: at.toISOString() };
  const { uid, resourceVersion } = stored.metadata;
  const others = all.filter(({ type }) => type !== HEALTHY);
  await store.updateStatus(
    key,
    { ...(stored.status as object | undefined), conditions: [...others, condition] },
    { uid, resourceVersion },
  );
  const { namespace, name } = key;
  const { message } = health;
  if (health.status !== 'True' || before)
    events?.workloadHealth({ namespace, name, healthy: health.status === 'True', message });
}
