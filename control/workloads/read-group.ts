import { kindOf } from '../../shared/resources/index.ts';
import type { ResourceStore } from '../store/store.ts';
import type { WorkloadGroup } from './group-template.ts';

/** The WorkloadGroup of a namespace, as it is stored now; undefined: there is none. */
export type GroupReader = (namespace: string, name: string) => Promise<WorkloadGroup | undefined>;

export function groupReader(store: Pick<ResourceStore, 'get'>): GroupReader {
  const { group, plural } = kindOf('networking.istio.io/v1', 'WorkloadGroup')!;
  return async (namespace, name) => (await store.get({ group, plural, namespace, name })) as WorkloadGroup | undefined;
}
