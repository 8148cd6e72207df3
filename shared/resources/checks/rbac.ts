/** Rules of roles and bindings beyond their schemas, in the words of kube-apiserver. */
import type { Findings } from '../kind.ts';
import type { BindingBody, PolicyRule } from '../schema/rbac.ts';
import { Report } from '../violations.ts';

const GROUP = 'rbac.authorization.k8s.io';

export function checkRules(rules: readonly PolicyRule[] = [], isNamespaced: boolean): Findings {
  const report = new Report();
  rules.forEach((rule, i) => {
    const { verbs, apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule;
    const at = `rules[${i}]`;
    const required = (field: string, what: string) => report.violation(`${at}.${field}`, 'required', what);
    const invalid = (field: string, what: string) => report.violation(`${at}.${field}`, 'role.rule', what);
    if (verbs.length === 0) required('verbs', 'Required value: verbs must contain at least one value');
    if (nonResourceURLs.length > 0) {
      if (isNamespaced) invalid('nonResourceURLs', 'Invalid value: namespaced rules cannot apply to non-resource URLs');
      if (apiGroups.length + resources.length + resourceNames.length > 0)
        invalid('nonResourceURLs', 'Invalid value: rules cannot apply to both regular resources and non-resource URLs');
      return;
    }
    if (apiGroups.length === 0)
      required('apiGroups', 'Required value: resource rules must supply at least one api group');
    if (resources.length === 0)
      required('resources', 'Required value: resource rules must supply at least one resource');
  });
  return report.findings;
}

export function checkBinding({ subjects = [], roleRef }: BindingBody, isNamespaced: boolean): Findings {
  const report = new Report();
  const violation = (path: string, rule: string, what: string) => report.violation(path, rule, what);
  const kinds = isNamespaced ? ['Role', 'ClusterRole'] : ['ClusterRole'];
  if ((roleRef.apiGroup ?? GROUP) !== GROUP)
    violation('roleRef.apiGroup', 'enum', unsupported(roleRef.apiGroup, [GROUP]));
  if (!kinds.includes(roleRef.kind)) violation('roleRef.kind', 'enum', unsupported(roleRef.kind, kinds));
  if (roleRef.name === '') violation('roleRef.name', 'required', 'Required value');
  subjects.forEach(({ kind, apiGroup, name, namespace }, i) => {
    const at = `subjects[${i}]`;
    if (name === '') violation(`${at}.name`, 'required', 'Required value');
    if (kind === 'ServiceAccount') {
      if (apiGroup) violation(`${at}.apiGroup`, 'enum', unsupported(apiGroup, ['']));
      if (!namespace) violation(`${at}.namespace`, 'required', 'Required value');
    } else if (kind === 'User' || kind === 'Group') {
      if ((apiGroup ?? GROUP) !== GROUP) violation(`${at}.apiGroup`, 'enum', unsupported(apiGroup, [GROUP]));
    } else violation(`${at}.kind`, 'enum', unsupported(kind, ['ServiceAccount', 'User', 'Group']));
  });
  return report.findings;
}

const unsupported = (value: unknown, supported: readonly string[]) =>
  `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported.map((each) => JSON.stringify(each)).join(', ')}`;
