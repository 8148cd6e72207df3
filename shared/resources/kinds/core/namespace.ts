import { dnsLabelViolation } from '../../checks/primitives.ts';
import { AGE, column } from '../../describe/columns.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { NamespaceBody } from '../../schema/core.ts';
import { Report } from '../../violations.ts';

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
  check: ({ metadata }) => {
    const report = new Report();
    if (metadata?.name) report.violationIf('metadata.name', 'metadata.name', dnsLabelViolation(metadata.name));
    return report.findings;
  },
  columns: [column('Status', '.status.phase', 'Phase of the namespace'), AGE],
  description: 'A scope for names and for policies.',
});
export type Namespace = ResourceOf<typeof namespace>;
