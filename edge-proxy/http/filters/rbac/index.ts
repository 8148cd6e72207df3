/** envoy.filters.http.rbac */
import { RbacPerRoute } from '../../../../shared/xds/http-filters.ts';
import { HttpRbac } from '../../../../shared/xds/rbac.ts';
import { faultAt } from '../../../config-error.ts';
import { defineFilter } from '../definition.ts';
import { compileHttpRbac, createRbacFilter } from './filter.ts';

export const rbac = defineFilter({
  type: 'envoy.extensions.filters.http.rbac.v3.RBAC',
  schema: HttpRbac,
  route: {
    type: 'envoy.extensions.filters.http.rbac.v3.RBACPerRoute',
    schema: RbacPerRoute,
    compile: ([{ config, path }]) => ({
      judge: config.rbac && faultAt(`${path}.rbac`, () => compileHttpRbac(config.rbac!)),
    }),
  },
  create: (config, { routeConfig }) => createRbacFilter(config, routeConfig),
});
