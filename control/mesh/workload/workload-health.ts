/** Condition `Healthy` of a WorkloadEntry, which its proxy reports (WorkloadGroup `probe`): all that the mesh sees of a status. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { HEALTH_CHECKED } from './workload-records.ts';

export const HEALTHY = 'Healthy';

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly lastTransitionTime?: string;
  readonly reason?: string;
  readonly message?: string;
}

/** Reason of `Healthy: False`: the proxy is stopping. */
export const DRAINING = 'Draining';

export function conditionsOf({ status }: Pick<Resource, 'status'>): readonly Condition[] {
  const { conditions } = (status ?? {}) as { conditions?: unknown };
  return Array.isArray(conditions) ? (conditions as Condition[]) : [];
}

/** In its mesh form. */
export const isUnhealthy = (resource: Pick<Resource, 'kind' | 'status'>): boolean =>
  resource.kind === 'WorkloadEntry' && healthOf(resource) === 'False';

/**
 * As it is stored. An entry without the condition is healthy: its proxy does not ask. Where it says that its proxy asks, it is
 * unhealthy until the first answer.
 */
export function isStoredUnhealthy(resource: Pick<Resource, 'kind' | 'status' | 'metadata'>): boolean {
  if (resource.kind !== 'WorkloadEntry') return false;
  const isAsked = resource.metadata.annotations?.[HEALTH_CHECKED] === 'true';
  return (healthOf(resource) ?? (isAsked ? 'False' : 'True')) === 'False';
}

const healthOf = (resource: Pick<Resource, 'status'>): string | undefined =>
  conditionsOf(resource).find(({ type }) => type === HEALTHY)?.status;

/** The status of an unhealthy entry in the mesh. */
export const UNHEALTHY_STATUS = Object.freeze({ conditions: [{ type: HEALTHY, status: 'False' }] });
