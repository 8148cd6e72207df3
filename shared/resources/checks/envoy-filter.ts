import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { EnvoyFilterSpec } from '../schema/envoy-filter.ts';

/** Rules of EnvoyFilter beyond its schema. */
export function checkEnvoyFilter(_spec: EnvoyFilterSpec): Findings {
  return new Report().findings;
}
