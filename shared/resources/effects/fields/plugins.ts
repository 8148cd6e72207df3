/** What the fields of WasmPlugin and TrafficExtension do. */
import { type FieldTable, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

export const WASM_PLUGIN_FIELDS: FieldTable = {
  ...STATUS,
  '**': reported('WasmPlugin is not compiled yet: it has no effect'),
};

export const TRAFFIC_EXTENSION_FIELDS: FieldTable = {
  ...STATUS,
  '**': reported('TrafficExtension is not compiled yet: it has no effect'),
};
