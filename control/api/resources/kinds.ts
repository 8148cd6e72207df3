/** The kinds an API serves, and which of them a path names. */
import type { Kind } from '../../../shared/resources/kind.ts';
import type { Resource, Violation } from '../../../shared/resources/resource.ts';
import type { ResourceKey, Selection } from '../../store/store.ts';
import { pathNotFound } from './status.ts';

/** What the API needs of `shared/resources`. */
export interface ResourceKinds {
  readonly kinds: readonly Kind[];
  /** Never throws; `resource` is there when there are no violations. */
  readonly validate: (value: unknown) => { resource?: Resource; violations: Violation[]; warnings: Violation[] };
  /** Takes the outcome of each write's validation. */
  readonly validated?: (target: Target, violations: readonly Violation[]) => void;
}

/** What a resource path names. */
export interface Target {
  kind: Kind;
  /** The version of the path: resources are answered in it. */
  version: string;
  /** `networking.istio.io/v1`, `v1` */
  apiVersion: string;
  /** '' for cluster-scoped kinds and for a list over all namespaces. */
  namespace: string;
  /** '' for a collection. */
  name: string;
}

export function apiVersionOf(group: string, version: string): string {
  return group === '' ? version : `${group}/${version}`;
}

/** @throws ApiError 404 for a path that names no served kind, or a scope that the kind does not have */
export function findTarget(kinds: readonly Kind[], params: Record<string, string | undefined>): Target {
  const { group = '', version = '', plural = '', namespace = '', name = '' } = params;
  const kind = kinds.find((each) => each.group === group && each.plural === plural);
  if (!kind?.versions.includes(version)) throw pathNotFound();
  if (namespace !== '' && !kind.namespaced) throw pathNotFound();
  if (name !== '' && kind.namespaced && namespace === '') throw pathNotFound();
  return { kind, version, apiVersion: apiVersionOf(group, version), namespace, name };
}

export function keyOf({ kind, namespace, name }: Target): ResourceKey {
  return { group: kind.group, plural: kind.plural, namespace, name };
}

export function selectionOf({ kind, namespace }: Target): Selection {
  const selected = { kind: { group: kind.group, plural: kind.plural } };
  return namespace === '' ? selected : { ...selected, namespace };
}

/** Whether the kind has a subresource `status`, which alone takes writes of the status. */
export function hasStatus({ body }: { readonly body?: Kind['body'] }): boolean {
  return body !== undefined && 'shape' in body && Object.hasOwn(body.shape as object, 'status');
}

/** The resource in the requested version. */
export function inVersion(target: Target, resource: Resource): Resource {
  return { ...resource, apiVersion: target.apiVersion };
}

/** The resource in its storage version. */
export function inStoredVersion({ kind }: Target, resource: Resource): Resource {
  return { ...resource, apiVersion: apiVersionOf(kind.group, kind.versions[0] ?? '') };
}

/** Kinds that Kubernetes deletes one by one only. */
export const isDeletedTogether = ({ group, kind }: Pick<Kind, 'group' | 'kind'>): boolean =>
  group !== '' || kind !== 'Namespace';
