/** Annotations that Istio's webhook judges on every kind of its own (validateMetadata, checkDryRunAnnotation). */

import type { Resource } from '../resource.ts';
import { keyPath, type Report } from '../violations.ts';

const DRY_RUN = 'istio.io/dry-run';
/** Istio sets these itself when it converts other APIs; on a user's resource they would lend it rights. */
const INTERNAL = ['internal.istio.io/parents', 'internal.istio.io/parent-namespace'];
const BOOL = /^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/;

export function checkIstioMetadata(report: Report, resource: Resource): void {
  const annotations = resource.metadata?.annotations ?? {};
  const at = (name: string) => keyPath('metadata.annotations', name);
  for (const name of INTERNAL) {
    if (name in annotations) report.violation(at(name), 'metadata.internal', 'is set by the mesh alone');
  }
  const dryRun = annotations[DRY_RUN];
  if (dryRun === undefined) return;
  const path = at(DRY_RUN);
  const rule = 'authorizationpolicy.dry-run';
  const { action = 'ALLOW' } = (resource.spec ?? {}) as { action?: string };
  if (resource.kind !== 'AuthorizationPolicy') report.violation(path, rule, `is not supported on ${resource.kind}`);
  else if (action !== 'ALLOW' && action !== 'DENY')
    report.violation(path, rule, `is not supported with action ${action}`);
  else if (!BOOL.test(dryRun)) report.violation(path, rule, 'must be "true" or "false"');
}
