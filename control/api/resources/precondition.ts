/** What a client requires of the stored resource. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { StoreError } from '../../store/store.ts';
import { isObject } from '../server/body.ts';

export interface Precondition {
  resourceVersion?: string;
  uid?: string;
}

export function checkPrecondition(stored: Resource, wanted: Precondition): void {
  const { resourceVersion, uid } = stored.metadata;
  if ((wanted.resourceVersion && wanted.resourceVersion !== resourceVersion) || (wanted.uid && wanted.uid !== uid))
    throw new StoreError('conflict', `it is at resourceVersion ${resourceVersion} with uid ${uid}`);
}

export function preconditionOf(value: unknown): Precondition {
  if (!isObject(value)) return {};
  const text = (name: string) => (typeof value[name] === 'string' ? { [name]: value[name] } : {});
  return { ...text('resourceVersion'), ...text('uid') };
}
