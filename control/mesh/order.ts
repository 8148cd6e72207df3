/** Istio's order of conflicting resources. */
import type { Resource } from '../../shared/resources/resource.ts';
import { namespaceOf } from './fields.ts';
import { compare } from './sorted-list.ts';

/** The oldest first, then by name, then by namespace. */
export function byAge(a: Resource, b: Resource): number {
  return (
    compare(a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? '') ||
    compare(a.metadata.name, b.metadata.name) ||
    compare(namespaceOf(a), namespaceOf(b))
  );
}
