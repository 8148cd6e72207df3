/** envoy.filters.http.cors */
import { Cors, CorsPolicy } from '../../../../shared/xds/http-filters.ts';
import { defineFilter } from '../definition.ts';
import { compileCors } from './compile.ts';
import { createCorsFilter } from './filter.ts';

export const cors = defineFilter({
  type: 'envoy.extensions.filters.http.cors.v3.Cors',
  schema: Cors,
  route: {
    type: 'envoy.extensions.filters.http.cors.v3.CorsPolicy',
    schema: CorsPolicy,
    compile: compileCors,
  },
  // As in Envoy, only routes that forward have a policy.
  create: (_, { routeConfig }) =>
    createCorsFilter((request) => (request.route?.action.kind === 'forward' ? routeConfig(request) : undefined)),
});
