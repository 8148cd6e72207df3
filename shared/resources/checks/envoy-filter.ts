import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { EnvoyFilterSpec } from '../schema/envoy-filter.ts';

/** EnvoyFilter is judged by its schema alone so far, and says that its patches are not applied. */
export function checkEnvoyFilter(spec: EnvoyFilterSpec): Findings {
  const report = new Report();
  if (spec.configPatches?.length) report.warn('spec.configPatches', 'not-applied', 'patches are not applied yet');
  return report.findings;
}
