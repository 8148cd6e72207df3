import { checkWasmPlugin } from '../checks/wasm-plugin.ts';
import { AGE } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { WasmPluginSpec } from '../schema/wasm-plugin.ts';
import { defineIstioKind } from './istio-kind.ts';

export const wasmPlugin = defineIstioKind({
  kind: 'WasmPlugin',
  group: 'extensions.istio.io',
  versions: ['v1alpha1'],
  plural: 'wasmplugins',
  shortNames: [],
  spec: WasmPluginSpec,
  columns: [AGE],
  description: 'A WebAssembly module that proxies run as a filter.',
  check: checkWasmPlugin,
  specRequired: true,
});
export type WasmPlugin = ResourceOf<typeof wasmPlugin>;
