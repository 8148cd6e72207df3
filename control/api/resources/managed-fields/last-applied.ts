/** The annotation in which `kubectl apply` without `--server-side` keeps what it applied last. */
import type { Resource } from '../../../../shared/resources/resource.ts';
import { isObject } from '../../server/body.ts';
import { difference, EMPTY, type FieldSet, union } from './field-set.ts';
import type { MergeType } from './merge-type.ts';
import { compare, fieldSetOf } from './typed-value.ts';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** The manager of `kubectl apply --server-side`; for others the annotation means nothing. */
export const KUBECTL = 'kubectl';

/** Fields that the live value still has as the annotation says: `kubectl` may take them without a conflict. */
export function fieldsLastApplied(type: MergeType, apiVersion: string, live: Resource): FieldSet {
  const applied = parsed(live.metadata.annotations?.[LAST_APPLIED]);
  if (!isObject(applied) || applied['apiVersion'] !== apiVersion) return EMPTY;
  const { removed, modified, added } = compare(type, applied, live);
  return difference(fieldSetOf(type, applied), union(removed, union(modified, added)));
}

/** The resource with the annotation renewed, where it has one. */
export function withLastApplied(resource: Resource, applied: Record<string, unknown>): Resource {
  const { annotations } = resource.metadata;
  if (!annotations?.[LAST_APPLIED]) return resource;
  const text = `${JSON.stringify(withoutAnnotation(applied))}\n`;
  return { ...resource, metadata: { ...resource.metadata, annotations: { ...annotations, [LAST_APPLIED]: text } } };
}

function withoutAnnotation(applied: Record<string, unknown>): Record<string, unknown> {
  const { metadata } = applied;
  if (!isObject(metadata) || !isObject(metadata['annotations'])) return applied;
  const { [LAST_APPLIED]: _, ...annotations } = metadata['annotations'];
  const { annotations: _all, ...rest } = metadata;
  return { ...applied, metadata: Object.keys(annotations).length > 0 ? { ...rest, annotations } : rest };
}

function parsed(text: string | undefined): unknown {
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
