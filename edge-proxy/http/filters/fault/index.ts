/** envoy.filters.http.fault */
import { HttpFault } from '../../../../shared/xds/http-filters.ts';
import { defineFilter } from '../definition.ts';
import { compileFault } from './compile.ts';
import { createFaultFilter } from './filter.ts';

const TYPE = 'envoy.extensions.filters.http.fault.v3.HTTPFault';

export const fault = defineFilter({
  type: TYPE,
  schema: HttpFault,
  route: { type: TYPE, schema: HttpFault, compile: ([{ config, path }]) => compileFault(config, path) },
  create: (config, { env, routeConfig }) => createFaultFilter(env, routeConfig, compileFault(config, 'typedConfig')),
});
