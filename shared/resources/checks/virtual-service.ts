import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { VirtualServiceSpec } from '../schema/virtual-service.ts';

/** Rules of VirtualService beyond its schema. */
export function checkVirtualService(_spec: VirtualServiceSpec): Findings {
  return new Report().findings;
}
