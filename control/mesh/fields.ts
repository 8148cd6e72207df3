/** Reading resources. Those of a known kind are typed by its schema; the accessors for `unknown` are total and never throw. */
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { Resource } from '../../shared/resources/resource.ts';

export type Fields = Record<string, unknown>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
/** The object at `value`, or an empty one. */
export function fields(value: unknown): Fields {
  return isFields(value) ? value : {};
}
/** The list of objects at `value`; anything else in it is dropped. */
export function objects(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}
/** The list of strings at `value`. */
export function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}
export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
/** A number, also in its proto3 JSON string form. */
export function numeric(value: unknown): number | undefined {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  return typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : undefined;
}
/** A map of strings; other values are dropped. */
export function labelsOf(value: unknown): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [key, item] of Object.entries(fields(value))) if (typeof item === 'string') labels[key] = item;
  return labels;
}
/** The spec as the schema of its kind has it, or an empty one; of a resource of any kind, whatever is there. */
export function specOf<R extends Resource>(resource: R): SpecOf<R> {
  return fields(resource.spec) as SpecOf<R>;
}
type SpecOf<R extends Resource> = unknown extends R['spec'] ? Fields : Partial<NonNullable<R['spec']>>;

/** Narrows a resource to what the schema of its kind makes of it. */
export function isKind<Kind extends string>(resource: Resource, kind: Kind): resource is ResourceOfKind<Kind> {
  return resource.kind === kind;
}
export function namespaceOf(resource: Resource): string {
  return resource.metadata.namespace ?? 'default';
}
/** Whether `labels` hold every pair of `selector`; an empty selector selects everything. */
export function selects(selector: Record<string, string>, labels: Record<string, string>): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}
