/** deploy/kubernetes/crds.yaml: what a cluster installs to take the resources of Istio and Tulle. */
import { stringify } from 'yaml';
import { kinds } from '../../shared/resources/index.ts';
import { definitionOfKind, isCustom } from '../api/openapi/custom-resource-definitions.ts';

export function customResourceDefinitions(): string {
  const documents = kinds
    .filter(isCustom)
    .map((kind) => stringify(definitionOfKind(kind), { aliasDuplicateObjects: false, lineWidth: 0 }));
  return `# Written by "npm run docs".\n---\n${documents.join('---\n')}`;
}
