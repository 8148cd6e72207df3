/** What the fields of EnvoyFilter do. */
import { differs, type FieldTable, inForce, partly, reported } from '../field-table.ts';
import { STATUS } from './status.ts';

const CASES = 'control/compile/envoy-filter/reference-cases.test.ts';
const COMPILED = 'control/compile/envoy-filter/envoy-filters.test.ts';
const MATCHES = 'control/compile/envoy-filter/match-resource.test.ts';
const RUNNING = 'tests/e2e/envoy-filter.test.ts';

const WAYPOINT = 'has no effect: there are no waypoints';
const BOOTSTRAP = 'BOOTSTRAP has no effect: what a proxy starts with is no part of discovery';

export const ENVOY_FILTER_FIELDS: FieldTable = {
  ...STATUS,
  'spec.workloadSelector.labels{}': inForce(COMPILED, 'golden:ef-http-filter-insert'),
  'spec.targetRefs[].**': inForce(COMPILED),
  'spec.priority': inForce(CASES, 'golden:ef-priority'),
  'spec.configPatches[].applyTo': partly(
    BOOTSTRAP,
    (value) => (value === 'BOOTSTRAP' ? BOOTSTRAP : undefined),
    CASES,
    COMPILED,
    'golden:ef-network-filter',
  ),
  'spec.configPatches[].match.context': partly(
    `WAYPOINT ${WAYPOINT}`,
    (value) => (value === 'WAYPOINT' ? WAYPOINT : undefined),
    CASES,
    'golden:ef-http-filter-insert',
  ),
  'spec.configPatches[].match.proxy.**': inForce(CASES, COMPILED),
  'spec.configPatches[].match.listener.**': inForce(
    CASES,
    MATCHES,
    'golden:ef-http-filter-insert',
    'golden:ef-network-filter',
  ),
  'spec.configPatches[].match.listener.portName': reported('has no effect, as in Istio: use portNumber or name'),
  'spec.configPatches[].match.routeConfiguration.**': inForce(CASES, MATCHES, 'golden:ef-add-remove'),
  'spec.configPatches[].match.cluster.**': inForce(CASES, MATCHES, 'golden:ef-add-remove'),
  'spec.configPatches[].match.waypoint.**': reported(WAYPOINT),
  'spec.configPatches[].patch.operation': inForce(CASES, COMPILED, RUNNING),
  'spec.configPatches[].patch.filterClass': reported(
    'has no effect, as in Istio: use the operations INSERT_BEFORE and INSERT_AFTER',
  ),
  'spec.configPatches[].patch.value': differs(
    'a filter that Tulle proxies do not have refuses what would pass it, and is reported (FilterMissing); Envoys are sent it',
    CASES,
    COMPILED,
    RUNNING,
  ),
};
