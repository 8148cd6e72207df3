import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { ProxyConfigSpec } from '../schema/proxy-config.ts';

/** Rules of ProxyConfig beyond its schema. */
export function checkProxyConfig(_spec: ProxyConfigSpec): Findings {
  return new Report().findings;
}
