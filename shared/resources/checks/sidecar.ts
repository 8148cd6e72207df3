import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { SidecarSpec } from '../schema/sidecar.ts';

/** Rules of Sidecar beyond its schema. */
export function checkSidecar(_spec: SidecarSpec): Findings {
  return new Report().findings;
}
