/** What is known of a write before anything is compiled for it: the same resource is refused already. */
import type { Resource, Violation } from '../../../../shared/resources/resource.ts';
import { sameJson } from '../../../store/stamp.ts';
import { isObject } from '../../server/body.ts';

/** Conditions that say what proxies, or compiling for them, made of the spec. What has no effect is found by each write. */
const TYPES = ['Reconciled', 'Effective'];

/** Warnings of a write that leaves the spec as it is stored, from the conditions of that spec that are `False`. */
export function knownRefusals(stored: Resource | undefined, written: Resource): Violation[] {
  if (!stored || !sameJson(stored.spec, written.spec)) return [];
  const { status, metadata } = stored;
  const conditions = isObject(status) && Array.isArray(status['conditions']) ? status['conditions'] : [];
  return conditions
    .filter(isObject)
    .filter(
      ({ type, status, observedGeneration }) =>
        TYPES.includes(String(type)) && status === 'False' && observedGeneration === metadata.generation,
    )
    .map(({ type, reason, message }) => ({
      path: '',
      rule: `condition.${String(type)}`,
      message: `the resource is stored as it is written and not in force everywhere: ${String(reason)}: ${String(message)}`,
    }));
}
