/** Hand-written WorkloadEntries of proxies that stopped: healthy again once a proxy is back. */
import type { Node } from '../../shared/xds/core.ts';
import { namespaceOf, specOf, text } from '../mesh/fields.ts';
import type { MeshView } from '../mesh/view.ts';
import { conditionsOf, DRAINING, HEALTHY, isUnhealthy } from '../mesh/workload/workload-health.ts';
import { type EntryStore, EntryWriter, entryKey } from './entry-writer.ts';

/** A proxy opened a session: takes back what it said when it stopped. Its probe, if there is one, decides from now on. */
export async function endDraining(
  store: EntryStore,
  view: Pick<MeshView, 'workloadEntriesAt'>,
  { id, metadata = {} }: Node,
): Promise<void> {
  const [, address = ''] = id.split('~');
  const entries = view.workloadEntriesAt(address, text(metadata['NAMESPACE']) ?? '');
  for (const entry of entries) {
    if (!isUnhealthy(entry) || (specOf(entry).serviceAccount || 'default') !== metadata['SERVICE_ACCOUNT']) continue;
    const key = entryKey(namespaceOf(entry), entry.metadata.name);
    const stored = await store.get(key);
    const drained = stored && conditionsOf(stored).some(({ type, reason }) => type === HEALTHY && reason === DRAINING);
    if (drained) await new EntryWriter(store).setCondition(key, HEALTHY, undefined);
  }
}
