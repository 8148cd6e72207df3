/** Condition `Healthy` of a WorkloadEntry, which its proxy reports (WorkloadGroup `probe`): all that the mesh sees of a status. */
import type { Resource } from '../../shared/resources/resource.ts';

export const HEALTHY = 'Healthy';

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly lastTransitionTime?: string;
  readonly message?: string;
}

export function conditionsOf({ status }: Pick<Resource, 'status'>): readonly Condition[] {
  const { conditions } = (status ?? {}) as { conditions?: unknown };
  return Array.isArray(conditions) ? (conditions as Condition[]) : [];
}

/** An entry without the condition is healthy: its proxy does not ask. */
export const isUnhealthy = (resource: Pick<Resource, 'kind' | 'status'>): boolean =>
  resource.kind === 'WorkloadEntry' &&
  conditionsOf(resource).some(({ type, status }) => type === HEALTHY && status === 'False');

/** The status of an unhealthy entry in the mesh. */
export const UNHEALTHY_STATUS = Object.freeze({ conditions: [{ type: HEALTHY, status: 'False' }] });
