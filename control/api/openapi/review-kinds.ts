/** Kinds that are asked and not stored, as discovery lists them. */
import type { Kind } from '../../../shared/resources/kind.ts';

/** The part of a kind that discovery shows. */
export type ServedKind = Pick<
  Kind,
  'group' | 'kind' | 'plural' | 'singular' | 'namespaced' | 'shortNames' | 'categories' | 'versions'
> & {
  readonly body?: Kind['body'];
  readonly verbs: readonly string[];
};

const review = (group: string, kind: string, namespaced = false): ServedKind => ({
  group,
  kind,
  plural: `${kind.toLowerCase()}s`,
  singular: kind.toLowerCase(),
  namespaced,
  shortNames: [],
  categories: [],
  versions: ['v1'],
  verbs: ['create'],
});

export const reviewKinds: readonly ServedKind[] = [
  review('authentication.k8s.io', 'SelfSubjectReview'),
  review('authentication.k8s.io', 'TokenReview'),
  review('authorization.k8s.io', 'LocalSubjectAccessReview', true),
  review('authorization.k8s.io', 'SelfSubjectAccessReview'),
  review('authorization.k8s.io', 'SelfSubjectRulesReview'),
  review('authorization.k8s.io', 'SubjectAccessReview'),
];
