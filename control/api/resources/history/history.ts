/**
 * The subresource `history`, of Tulle's own: what each write left of a resource, also of one that was deleted. RBAC knows it as
 * `get` of `PLURAL/history`.
 */
import type { Context } from 'hono';
import type { Author, HistoryEntry } from '../../../store/history/history.ts';
import { overriding } from '../../../store/overriding.ts';
import type { ResourceKey, ResourceStore } from '../../../store/store.ts';
import { callerName } from '../../access/permission.ts';
import type { ApiEnv } from '../../caller.ts';
import { answer, withStoreErrors } from '../answer.ts';
import { inVersion, keyOf, type Target } from '../kinds.ts';
import { agentOf, managerOf } from '../managed-fields/request-manager.ts';
import type { Api } from '../routes.ts';
import { ApiError, badRequest, notFound } from '../status.ts';

type C = Context<ApiEnv>;

/** Of the answer, which no Kubernetes kind has. */
export const HISTORY_API_VERSION = 'history.tulle.dev/v1';
export const HISTORY_KIND = 'ResourceHistory';

/** What `GET …/NAME/history` lists for each write, newest first. */
export interface Revision {
  revision: number;
  /** RFC 3339. */
  time: string;
  operation: HistoryEntry['operation'];
  /** Absent: the control plane itself. */
  user?: string;
  fieldManager?: string;
}

/** `?revision=N` answers the resource as that write left it. @throws ApiError 404: nothing is kept of it */
export async function getHistory({ store }: Api, c: C, target: Target): Promise<Response> {
  const wanted = c.req.query('revision');
  if (wanted !== undefined && !/^[1-9]\d{0,15}$/.test(wanted)) throw badRequest('revision: must be a revision number');
  const entries = await withStoreErrors(target, () => historyInNamespace(store, keyOf(target)));
  if (entries.length === 0 && !(await store.get(keyOf(target)))) throw notFound(target.kind, target.name);
  if (wanted === undefined) return c.json(listOf(target, entries));
  const found = entries.find(({ revision }) => revision === Number(wanted));
  if (!found?.resource) throw noRevision(target, wanted, found);
  return answer(c, target, inVersion(target, found.resource));
}

/** Without what an earlier namespace of the same name held: that was of others. */
async function historyInNamespace(store: ResourceStore, key: ResourceKey): Promise<readonly HistoryEntry[]> {
  const entries = await store.history(key);
  if (key.namespace === '' || entries.length === 0) return entries;
  const place: ResourceKey = { group: '', plural: 'namespaces', namespace: '', name: key.namespace };
  const namespace = await store.get(place);
  if (!namespace) return [];
  const made = (await store.history(place)).find(({ operation }) => operation === 'Create');
  if (made) return entries.filter(({ revision }) => revision > made.revision);
  // Its creation is not kept any more. Times of resources are whole seconds.
  const since = Date.parse(namespace.metadata.creationTimestamp ?? '');
  return entries.filter(({ time }) => time >= since);
}

function listOf({ namespace, name }: Target, entries: readonly HistoryEntry[]) {
  const revisions = entries.map(
    ({ revision, time, operation, author }): Revision => ({
      ...{ revision, time: new Date(time).toISOString(), operation },
      ...(author && { user: author.user, fieldManager: author.manager }),
    }),
  );
  const metadata = namespace === '' ? { name } : { name, namespace };
  return { apiVersion: HISTORY_API_VERSION, kind: HISTORY_KIND, metadata, revisions };
}

function noRevision({ kind, name }: Target, wanted: string, found: HistoryEntry | undefined): ApiError {
  const why = found ? 'was too large to be kept' : 'is not kept';
  return new ApiError(404, 'NotFound', `revision ${wanted} of ${kind.plural} "${name}" ${why}: see its history`, {
    name,
    ...(kind.group ? { group: kind.group } : {}),
    kind: `${kind.plural}/history`,
  });
}

/** The store, whose writes are recorded as those of the request's user and field manager. */
export function authored(store: ResourceStore, c: C): ResourceStore {
  const author = (manager: string): Author => ({ user: callerName(c.get('caller')), manager });
  return overriding(store, {
    create: async (key, resource) => store.create(key, resource, author(managerOf(c))),
    update: async (key, resource) => store.update(key, resource, author(managerOf(c))),
    // Deletions have no field manager in Kubernetes.
    delete: async (key, precondition) => store.delete(key, precondition, author(agentOf(c))),
  });
}
