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

/** The group that the kind is stored in. */
const storedGroup = ({ group, stored }: Kind): string => stored?.group ?? group;

export function keyOf({ kind, namespace, name }: Target): ResourceKey {
  return { group: storedGroup(kind), plural: kind.plural, namespace, name };
}

export function selectionOf({ kind, namespace }: Target): Selection {
  const selected = { kind: { group: storedGroup(kind), plural: kind.plural } };
  return namespace === '' ? selected : { ...selected, namespace };
}

/** Whether the kind has a subresource `status`, which alone takes writes of the status. */
export function hasStatus({ body }: { readonly body?: Kind['body'] }): boolean {
  return body !== undefined && 'shape' in body && Object.hasOwn(body.shape as object, 'status');
}

/** A stored resource in the requested group and version. */
export function inVersion(target: Target, resource: Resource): Resource {
  const { stored } = target.kind;
  return { ...(stored ? stored.fromStored(resource) : resource), apiVersion: target.apiVersion };
}

/** The resource as it is stored. */
export function inStoredVersion({ kind }: Target, resource: Resource): Resource {
  if (kind.stored) return kind.stored.toStored(resource);
  return { ...resource, apiVersion: apiVersionOf(kind.group, kind.versions[0] ?? '') };
}

/** Whether the kind is one of Kubernetes' own, and not of a CustomResourceDefinition: it takes strategic merge patches. */
export const isBuiltIn = ({ group }: Pick<Kind, 'group'>): boolean => group === '' || group.endsWith('.k8s.io');

/** Kinds that Kubernetes deletes one by one only. */
export const isDeletedTogether = ({ group, kind }: Pick<Kind, 'group' | 'kind'>): boolean =>
  group !== '' || kind !== 'Namespace';
