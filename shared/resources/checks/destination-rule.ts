import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { DestinationRuleSpec } from '../schema/destination-rule.ts';

/** Rules of DestinationRule beyond its schema. */
export function checkDestinationRule(_spec: DestinationRuleSpec): Findings {
  return new Report().findings;
}
