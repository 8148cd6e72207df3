/** What a client requires of the stored resource. */
import { kindKey } from '../../../shared/resources/kind.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { StoreError } from '../../store/store.ts';
import { isObject } from '../server/body.ts';
import type { Target } from './kinds.ts';
import { ApiError, badRequest } from './status.ts';

export interface Precondition {
  resourceVersion?: string;
  uid?: string;
}

export function checkPrecondition(stored: Resource, wanted: Precondition): void {
  const { resourceVersion, uid } = stored.metadata;
  if ((wanted.resourceVersion && wanted.resourceVersion !== resourceVersion) || (wanted.uid && wanted.uid !== uid))
    throw new StoreError('conflict', `it is at resourceVersion ${resourceVersion} with uid ${uid}`);
}

/** Before a deletion. @throws ApiError 409 in Kubernetes' wording, which names the kind and not its plural */
export function checkDeletePrecondition({ kind, name }: Target, stored: Resource, wanted: Precondition): void {
  const { resourceVersion, uid } = stored.metadata;
  const refuse = (why: string) =>
    new ApiError(
      409,
      'Conflict',
      `Operation cannot be fulfilled on ${kindKey(kind.group, kind.kind)} "${name}": ${why}`,
      {
        name,
        ...(kind.group ? { group: kind.group } : {}),
        kind: kind.kind,
      },
    );
  if (wanted.uid && wanted.uid !== uid)
    throw refuse(
      `the UID in the precondition (${wanted.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
    );
  if (wanted.resourceVersion && wanted.resourceVersion !== resourceVersion)
    throw refuse(
      `the ResourceVersion in the precondition (${wanted.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`,
    );
}

/** @throws ApiError 400 for what is no precondition: it must not be passed over */
export function preconditionOf(value: unknown): Precondition {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw badRequest('preconditions: must be an object');
  const text = (name: string) => {
    const found = value[name];
    if (found === undefined || found === null) return {};
    if (typeof found !== 'string') throw badRequest(`preconditions.${name}: must be a string`);
    return { [name]: found };
  };
  return { ...text('resourceVersion'), ...text('uid') };
}
