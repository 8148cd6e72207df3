/** Updates of a resource whose deletion has begun. */
import type { Resource } from '../../../../shared/resources/resource.ts';
import { addedFinalizers, isDeleting, isFree } from '../../../lifecycle/deletion.ts';
import type { Target } from '../kinds.ts';
import { invalid } from '../status.ts';

/** @throws ApiError 422 */
export function mustNotAddFinalizers({ kind, name }: Target, stored: Resource, next: Resource): void {
  const added = addedFinalizers(stored, next);
  if (added.length === 0) return;
  const list = `[]string{${added.map((each) => JSON.stringify(each)).join(', ')}}`;
  const why = `no new finalizers can be added if the object is being deleted, found new finalizers ${list}`;
  throw invalid(kind, name, [{ path: 'metadata.finalizers', rule: 'forbidden', message: `Forbidden: ${why}` }]);
}

/** Whether nothing holds the resource any more, so that the update removes it. */
export function finishesDeletion(next: Resource): boolean {
  return isDeleting(next) && isFree(next);
}
