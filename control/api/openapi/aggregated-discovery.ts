/**
 * Discovery of everything in two answers (https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery):
 * kubectl asks for it by its Accept header and saves a request for each group version.
 */
import { hasStatus } from '../resources/kinds.ts';
import type { ServedKind } from './review-kinds.ts';

const PARAMETERS = 'g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

/** Of an answer in this form; clients recognise the form by it. */
export const AGGREGATED_TYPE = `application/json;${PARAMETERS}`;

/** Whether an Accept header asks for it. v2beta1 has the same fields under another name: its clients get the plain form. */
export function wantsAggregated(accept: string | undefined): boolean {
  return (accept ?? '').split(',').some((range) => {
    const [type, ...parameters] = range.split(';').map((part) => part.trim());
    return type === 'application/json' && PARAMETERS.split(';').every((each) => parameters.includes(each));
  });
}

/** @param groups those of /apis, or `['']` for /api */
export function groupDiscoveryList(kinds: readonly ServedKind[], groups: readonly string[]) {
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: groups.map((group) => ({ metadata: { name: group }, versions: versionsOf(kinds, group) })),
  };
}

function versionsOf(kinds: readonly ServedKind[], group: string) {
  const ours = kinds.filter((kind) => kind.group === group);
  return [...new Set(ours.flatMap(({ versions }) => versions))].map((version) => ({
    version,
    freshness: 'Current',
    resources: ours.filter(({ versions }) => versions.includes(version)).map((kind) => resourceOf(kind, version)),
  }));
}

function resourceOf(described: ServedKind, version: string) {
  const { group, kind, plural, singular, namespaced, shortNames, categories, verbs } = described;
  const responseKind = { group, version, kind };
  return {
    resource: plural,
    singularResource: singular,
    responseKind,
    scope: namespaced ? 'Namespaced' : 'Cluster',
    verbs,
    shortNames,
    categories,
    ...(hasStatus(described)
      ? { subresources: [{ subresource: 'status', responseKind, verbs: ['get', 'patch', 'update'] }] }
      : {}),
  };
}
