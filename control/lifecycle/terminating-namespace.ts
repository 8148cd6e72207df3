/** Empties a namespace that is being deleted, and then removes it. */
import { kindKey } from '../../shared/resources/kind.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { sameJson } from '../store/stamp.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../store/store.ts';
import { isDeleting } from './deletion.ts';
import { remove } from './garbage.ts';
import { namespaceKey } from './owner-index.ts';

export interface NamespaceDependencies {
  readonly store: ResourceStore;
  readonly keyOf: (resource: Resource) => ResourceKey | undefined;
  readonly now: () => Date;
}

/** Deletions at a time: they become one transaction. */
const BATCH = 64;

/** Deleted after everything else, so that no workload is without its policies before it has gone. */
const isPolicy = ({ apiVersion }: Resource): boolean => apiVersion.startsWith('security.istio.io/');

/**
 * Begins the deletion of what is in the namespace, and removes the namespace when it is empty. Also of one that has gone: a
 * write that had read it before its deletion may have left a resource there.
 * @throws StoreError
 */
export async function emptyNamespace(dependencies: NamespaceDependencies, name: string): Promise<void> {
  const { store } = dependencies;
  const namespace = await store.get(namespaceKey(name));
  if (namespace && !isDeleting(namespace)) return;
  await deleteContent(dependencies, name);
  const { items } = await store.list({ namespace: name });
  if (!namespace) return;
  if (items.length > 0) return reportRemaining(dependencies, namespace, items);
  if ((namespace.metadata.finalizers ?? []).length > 0) return;
  const { uid, resourceVersion } = namespace.metadata;
  await store.delete(namespaceKey(name), { uid, resourceVersion });
}

async function deleteContent({ store, keyOf, now }: NamespaceDependencies, name: string): Promise<void> {
  for (const last of [false, true]) {
    const { items } = await store.list({ namespace: name });
    if (last && !items.every(isPolicy)) return;
    const doomed = items.filter((item) => !isDeleting(item) && (last || !isPolicy(item)));
    for (let at = 0; at < doomed.length; at += BATCH)
      await Promise.all(
        doomed.slice(at, at + BATCH).map(async (item) => {
          const key = keyOf(item);
          if (key) await remove({ store, now }, key, item).catch(ignoreOvertaken);
        }),
      );
  }
}

/** Another writer was first: what it left is found in the next list. */
function ignoreOvertaken(error: unknown): void {
  if (!(error instanceof StoreError && (error.code === 'conflict' || error.code === 'not-found'))) throw error;
}

/** Why the namespace is still there, in Kubernetes' conditions. */
async function reportRemaining(
  { store, keyOf, now }: NamespaceDependencies,
  namespace: Resource,
  items: readonly Resource[],
): Promise<void> {
  const kinds = new Map<string, number>();
  const finalizers = new Map<string, number>();
  for (const item of items) {
    const { group = '', plural = '' } = keyOf(item) ?? {};
    count(kinds, kindKey(group, plural));
    for (const finalizer of item.metadata.finalizers ?? []) count(finalizers, finalizer);
  }
  const remaining = list(kinds, (kind, count) => `${kind} has ${count} resource instances`);
  const held = list(finalizers, (finalizer, count) => `${finalizer} in ${count} resource instances`);
  const conditions = [
    condition('NamespaceContentRemaining', 'SomeResourcesRemain', `Some resources are remaining: ${remaining}`),
    ...(held
      ? [
          condition(
            'NamespaceFinalizersRemaining',
            'SomeFinalizersRemain',
            `Some content in the namespace has finalizers remaining: ${held}`,
          ),
        ]
      : []),
  ];
  const status = (namespace.status ?? {}) as { conditions?: Record<string, unknown>[] };
  const before = (status.conditions ?? []).map(({ lastTransitionTime: _, ...rest }) => rest);
  if (sameJson(before, conditions)) return;
  const since = `${now().toISOString().slice(0, 19)}Z`;
  const dated = conditions.map((each) => ({ ...each, lastTransitionTime: since }));
  const { uid } = namespace.metadata;
  await store.updateStatus(
    namespaceKey(namespace.metadata.name),
    { ...status, phase: 'Terminating', conditions: dated },
    { uid },
  );
}

const condition = (type: string, reason: string, message: string) => ({ type, status: 'True', reason, message });

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function list(counts: ReadonlyMap<string, number>, text: (name: string, count: number) => string): string {
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => text(name, count))
    .join(', ');
}
