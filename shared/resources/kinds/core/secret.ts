import { AGE, column, count } from '../../describe/columns.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { SecretBody } from '../../schema/core.ts';
import { Report } from '../../violations.ts';
import { checkBase64Map } from './config-map.ts';

export const secret = defineKind({
  kind: 'Secret',
  group: '',
  versions: ['v1'],
  plural: 'secrets',
  singular: 'secret',
  shortNames: [],
  categories: [],
  namespaced: true,
  body: SecretBody,
  check: (resource) => {
    const report = new Report();
    checkBase64Map(report, 'data', resource.data);
    if (resource.type === 'kubernetes.io/tls') {
      for (const key of ['tls.crt', 'tls.key']) {
        if (resource.data?.[key] === undefined && resource.stringData?.[key] === undefined) {
          report.violation(`data["${key}"]`, 'secret.tls', 'is required in a secret of type kubernetes.io/tls');
        }
      }
    }
    return report.findings;
  },
  columns: [column('Type', '.type', 'What the secret is for'), count('Data', ['.data'], 'Number of values'), AGE],
  description: 'Sensitive data, as the key and certificate of a gateway.',
});
export type Secret = ResourceOf<typeof secret>;
