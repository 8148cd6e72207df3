/** What the fields of WasmPlugin and TrafficExtension do. */
import { differs, type FieldTable, inForce, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

const COMPILED = 'control/compile/plugins/plugins.test.ts';
const ON_THE_WIRE = 'tests/e2e/plugins.test.ts';
const AS_ENVOY = 'tests/interop/downstream/plugins.test.ts';

/** Proxies are sent the whole module configuration; an Envoy runs modules of file:// URLs. */
const FOR_ENVOY = differs('only an Envoy that runs the module uses it', COMPILED);
const NOT_FETCHED = reported('has no effect yet: no module is fetched from a registry');

const MODULE: FieldTable = {
  url: reported(
    'has no effect yet: a Tulle proxy runs no Wasm module; what would pass it is refused (503) or, with FAIL_OPEN, passes',
  ),
  sha256: FOR_ENVOY,
  pluginName: FOR_ENVOY,
  'pluginConfig.**': FOR_ENVOY,
  'vmConfig.**': FOR_ENVOY,
  imagePullPolicy: NOT_FETCHED,
  imagePullSecret: NOT_FETCHED,
  verificationKey: NOT_FETCHED,
  failStrategy: inForce(ON_THE_WIRE, AS_ENVOY, COMPILED),
  type: inForce(ON_THE_WIRE, COMPILED),
};

const under = (path: string, table: FieldTable): FieldTable =>
  Object.fromEntries(Object.entries(table).map(([field, state]) => [`${path}.${field}`, state]));

const PLACED: FieldTable = {
  ...STATUS,
  'spec.phase': inForce(ON_THE_WIRE, COMPILED),
  'spec.priority': inForce(COMPILED),
  'spec.match[].**': inForce(ON_THE_WIRE, COMPILED),
  'spec.selector.**': inForce(ON_THE_WIRE, COMPILED),
  'spec.targetRefs[].**': inForce(COMPILED),
};

export const WASM_PLUGIN_FIELDS: FieldTable = {
  ...PLACED,
  'spec.targetRef.**': inForce(COMPILED),
  ...under('spec', MODULE),
};

export const TRAFFIC_EXTENSION_FIELDS: FieldTable = {
  ...PLACED,
  ...under('spec.wasm', MODULE),
  'spec.lua.**': reported('has no effect yet: proxies run no Lua scripts'),
};
