/** envoy.filters.http.rbac */
import { RbacPerRoute } from '../../../../shared/xds/http-filters.ts';
import { HttpRbac } from '../../../../shared/xds/rbac.ts';
import { errorAt } from '../../../config-error.ts';
import { defineFilter } from '../definition.ts';
import { compileHttpRbac, createRbacFilter } from './filter.ts';
import { verdictCounts } from './stats.ts';

export const rbac = defineFilter({
  type: 'envoy.extensions.filters.http.rbac.v3.RBAC',
  schema: HttpRbac,
  route: {
    type: 'envoy.extensions.filters.http.rbac.v3.RBACPerRoute',
    schema: RbacPerRoute,
    compile: ([{ config, path }]) => ({
      judge: config.rbac && errorAt(`${path}.rbac`, () => compileHttpRbac(config.rbac!)),
    }),
  },
  create: (config, { env: { managerCounter }, routeConfig }) => {
    const count = managerCounter && verdictCounts((name) => managerCounter(`rbac.${name}`));
    return createRbacFilter(config, routeConfig, count);
  },
});
