import type { Findings } from '../kind.ts';
import type { WasmPluginSpec } from '../schema/wasm-plugin.ts';
import { Report } from '../violations.ts';
import { checkPolicyTargets } from './primitives.ts';

/** Rules of WasmPlugin beyond its schema: what it applies to. */
export function checkWasmPlugin(spec: WasmPluginSpec): Findings {
  const report = new Report();
  checkPolicyTargets(report, spec);
  return report.findings;
}
