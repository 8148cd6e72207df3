/** A column besides those of Istio's CRDs, of tables of resources: what of a resource is not in force. */
import type { Kind } from '../kind.ts';
import type { Resource } from '../resource.ts';

export const CONDITION = 'Condition';

/** Whether resources of the kind are given conditions when a part of them is not in force. */
export const hasConditions = ({ group }: Pick<Kind, 'group'>): boolean => group.endsWith('.istio.io');

/** The reasons of the conditions that are not `True`; '': there are none. */
export function violatedConditions({ status }: Pick<Resource, 'status'>): string {
  const { conditions } = (status ?? {}) as { conditions?: unknown };
  if (!Array.isArray(conditions)) return '';
  const violated = conditions.filter((one: { status?: unknown } | null) => one && one.status !== 'True');
  return violated.map(({ reason, type }: { reason?: unknown; type?: unknown }) => String(reason ?? type)).join(',');
}
