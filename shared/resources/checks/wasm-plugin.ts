import { Report } from '../faults.ts';
import type { Findings } from '../kind.ts';
import type { WasmPluginSpec } from '../schema/wasm-plugin.ts';

/** Rules of WasmPlugin beyond its schema. */
export function checkWasmPlugin(_spec: WasmPluginSpec): Findings {
  return new Report().findings;
}
