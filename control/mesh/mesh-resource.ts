/** What the mesh sees of a stored resource: of its status only automatic addresses and that a workload is unhealthy, and not who manages which field. */
import { kindKey } from '../../shared/resources/kind.ts';
import { kinds } from '../../shared/resources/registry.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { sameJson } from '../store/stamp.ts';
import { statusAddresses } from './auto-addresses.ts';
import { isStoredUnhealthy, UNHEALTHY_STATUS } from './workload/workload-health.ts';
import { annotationsInMesh } from './workload/workload-records.ts';

/** Versions of one group are one resource, so only the group counts. */
export function resourceId({ apiVersion, kind, metadata }: Resource): string {
  return `${kindKey(groupOf(apiVersion), kind)} ${metadata.namespace ?? ''}/${metadata.name}`;
}

const groupOf = (apiVersion: string): string =>
  apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';

/** Kinds that are about the control API alone. */
const API_ONLY = new Set(
  kinds.filter(({ isForApiOnly }) => isForApiOnly).map(({ group, kind }) => kindKey(group, kind)),
);

/** Of what the control plane keeps in the store for itself: of no kind that is served. */
export const INTERNAL_GROUP = 'internal.tulle.dev';

/** Whether the mesh sees resources of this kind. */
export function isOfMesh({ apiVersion, kind }: Resource): boolean {
  return groupOf(apiVersion) !== INTERNAL_GROUP && !API_ONLY.has(kindKey(groupOf(apiVersion), kind));
}

/**
 * The resource without `managedFields` and the records of registration, and of its status what the mesh sees; itself where there
 * is nothing to leave out or to add.
 */
export function meshForm(resource: Resource): Resource {
  const isEntry = resource.kind === 'WorkloadEntry';
  if (!isEntry && resource.status === undefined && resource.metadata.managedFields === undefined) return resource;
  const { status: _status, ...rest } = resource;
  const { managedFields: _managed, ...metadata } = resource.metadata;
  if (isEntry && metadata.annotations) metadata.annotations = annotationsInMesh(metadata.annotations);
  const status = statusInMesh(resource);
  return { ...rest, metadata, ...(status && { status }) };
}

function statusInMesh(resource: Resource): object | undefined {
  if (isStoredUnhealthy(resource)) return UNHEALTHY_STATUS;
  const addresses = resource.kind === 'ServiceEntry' ? statusAddresses(resource) : [];
  return addresses.length > 0 ? { addresses } : undefined;
}

/**
 * Whether a later state of a resource, in its mesh form, says the same to the mesh: it was written since, but only in what
 * the mesh form leaves out.
 */
export function isSameInMesh(before: Resource, after: Resource): boolean {
  const { uid, resourceVersion, generation } = after.metadata;
  if (uid === undefined || before.metadata.uid !== uid) return false;
  if (resourceVersion !== undefined && before.metadata.resourceVersion === resourceVersion) return true;
  if (before.metadata.generation !== generation || !sameJson(before.status, after.status)) return false;
  const { metadata: _before, ...own } = before;
  const { metadata: _after, ...others } = after;
  // The same generation is the same but for metadata; not every store numbers generations.
  const sameBody = generation === undefined ? sameJson(own, others) : before.apiVersion === after.apiVersion;
  return sameBody && sameJson(unversioned(before), unversioned(after));
}

function unversioned({ metadata }: Resource): unknown {
  const { resourceVersion: _, ...rest } = metadata;
  return rest;
}
