/** envoy.filters.http.ext_authz */
import { ExtAuthz, ExtAuthzPerRoute } from '../../../../shared/xds/filters/ext-authz.ts';
import { defineFilter } from '../definition.ts';
import { compileExtAuthz, compileRouteAuthz } from './compile.ts';
import { createExtAuthzFilter } from './filter.ts';
import { clusterCounts, verdictCounts } from './stats.ts';

export const extAuthz = defineFilter({
  type: 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
  schema: ExtAuthz,
  route: {
    type: 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute',
    schema: ExtAuthzPerRoute,
    compile: compileRouteAuthz,
  },
  create: (config, { env, routeConfig }) =>
    createExtAuthzFilter(
      compileExtAuthz(config, env),
      routeConfig,
      verdictCounts(env.managerCounter, config.statPrefix ?? ''),
      env.now,
      clusterCounts(env.stats, config.statPrefix ?? ''),
    ),
});
