/** envoy.filters.http.fault */
import { FaultFilter, HttpFault } from '../../../../shared/xds/http-filters.ts';
import { defineFilter } from '../definition.ts';
import { compileFault } from './compile.ts';
import { createFaultFilter } from './filter.ts';

const TYPE = 'envoy.extensions.filters.http.fault.v3.HTTPFault';

export const fault = defineFilter({
  type: TYPE,
  schema: FaultFilter,
  route: { type: TYPE, schema: HttpFault, compile: ([{ config, path }]) => compileFault(config, path) },
  create: (_, { env, routeConfig }) => createFaultFilter(env, routeConfig),
});
