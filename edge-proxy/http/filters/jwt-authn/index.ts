/** envoy.filters.http.jwt_authn */
import { JWT_SVID_FILTER, JwtAuthentication, JwtPerRoute } from '../../../../shared/xds/filters/jwt-authn.ts';
import { defineFilter } from '../definition.ts';
import { compileRouteRequirement, createJwtAuthnFilter } from './filter.ts';
import { jwtStats } from './stats.ts';
import { createJwtSvidFilter } from './svid-filter.ts';

export const jwtAuthn = defineFilter({
  type: 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
  schema: JwtAuthentication,
  route: {
    type: 'envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig',
    schema: JwtPerRoute,
    compile: ([{ config, path }]) => compileRouteRequirement(config, path),
  },
  create: (config, { name, env, routeConfig }) =>
    name === JWT_SVID_FILTER
      ? createJwtSvidFilter(config, { env, routeConfig, stats: jwtStats(env.managerCounter, 'jwt_svid') })
      : createJwtAuthnFilter(config, { env, routeConfig, stats: jwtStats(env.managerCounter, 'jwt_authn') }),
});
