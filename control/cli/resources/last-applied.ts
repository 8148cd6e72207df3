/**
 * Three-way merge of `apply` (https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/): what the file
 * says is set, what an earlier file said and this one does not is removed, and everything else is left to those who wrote it.
 * The earlier file is kept in kubectl's own annotation, so that kubectl and tulle continue each other's work.
 */
import type { Resource } from '../../../shared/resources/resource.ts';

export const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** Kubernetes' limit for all annotations of a resource, in bytes. */
const MAX_ANNOTATIONS = 256 * 1024;

/** The resource with itself in the annotation; without one where the annotation would be too large. */
export function withLastApplied(resource: Resource): Resource {
  const annotations = { ...resource.metadata.annotations };
  delete annotations[LAST_APPLIED];
  const written = `${JSON.stringify({ ...resource, metadata: { ...resource.metadata, annotations } }, sortedKeys)}\n`;
  const size = Object.entries({ ...annotations, [LAST_APPLIED]: written })
    .flat()
    .reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (size > MAX_ANNOTATIONS) return { ...resource, metadata: { ...resource.metadata, annotations } };
  return { ...resource, metadata: { ...resource.metadata, annotations: { ...annotations, [LAST_APPLIED]: written } } };
}

/** In kubectl's order, so that its text and this one are the same for the same file. */
function sortedKeys(_key: string, value: unknown): unknown {
  return isObject(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value;
}

/** Whether a file was applied to the resource before. */
export function isApplied(live: Resource): boolean {
  return lastApplied(live) !== undefined;
}

/**
 * The RFC 7386 merge patch that makes `live` what the file says. Lists are replaced whole.
 * @param desired the file's resource with its annotation, as `withLastApplied` gives it
 */
export function applyPatch(live: Resource, desired: Resource): Record<string, unknown> {
  const before = lastApplied(live) ?? {};
  const { apiVersion: _version, kind: _kind, ...wanted } = desired;
  const { apiVersion: _beforeVersion, kind: _beforeKind, ...earlier } = before;
  const patch = difference(earlier, wanted);
  if (isApplied(desired) || !isApplied(live)) return patch;
  // Too large to be kept: the one of an earlier file must not stay.
  const metadata = patch['metadata'] as Record<string, unknown>;
  return {
    ...patch,
    metadata: { ...metadata, annotations: { ...(metadata['annotations'] as object), [LAST_APPLIED]: null } },
  };
}

function lastApplied(live: Resource): Record<string, unknown> | undefined {
  const text = live.metadata.annotations?.[LAST_APPLIED];
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `wanted`, with a null for each field that the earlier file had and this one has not. */
function difference(earlier: Record<string, unknown>, wanted: Record<string, unknown>): Record<string, unknown> {
  const removed = Object.keys(earlier).filter((name) => !Object.hasOwn(wanted, name));
  const patch: Record<string, unknown> = Object.fromEntries(removed.map((name) => [name, null]));
  for (const [name, value] of Object.entries(wanted)) {
    const before = earlier[name];
    patch[name] = isObject(value) && isObject(before) ? difference(before, value) : value;
  }
  return patch;
}
