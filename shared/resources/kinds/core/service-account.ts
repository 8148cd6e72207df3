import { AGE, count } from '../../describe/columns.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { ServiceAccountBody } from '../../schema/core.ts';

export const serviceAccount = defineKind({
  kind: 'ServiceAccount',
  group: '',
  versions: ['v1'],
  plural: 'serviceaccounts',
  singular: 'serviceaccount',
  shortNames: ['sa'],
  categories: [],
  namespaced: true,
  body: ServiceAccountBody,
  check: () => ({ violations: [], warnings: [] }),
  columns: [count('Secrets', ['.secrets'], 'Number of secrets'), AGE],
  description: 'The identity workloads run as.',
});
export type ServiceAccount = ResourceOf<typeof serviceAccount>;
