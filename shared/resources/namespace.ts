import { AGE, column } from './columns.ts';
import { defineKind, type ResourceOf } from './kind.ts';
import { NamespaceBody } from './schema/core.ts';

export const namespace = defineKind({
  kind: 'Namespace',
  group: '',
  versions: ['v1'],
  plural: 'namespaces',
  singular: 'namespace',
  shortNames: ['ns'],
  categories: [],
  namespaced: false,
  body: NamespaceBody,
  check: () => ({ faults: [], warnings: [] }),
  columns: [column('Status', '.status.phase', 'Phase of the namespace'), AGE],
  description: 'A scope for names and for policies.',
});
export type Namespace = ResourceOf<typeof namespace>;
