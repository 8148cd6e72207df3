/** envoy.filters.http.jwt_authn */
import { JwtAuthentication } from '../../../../shared/xds/http-filters.ts';
import { defineFilter } from '../definition.ts';
import { createJwtAuthnFilter } from './filter.ts';

export const jwtAuthn = defineFilter({
  type: 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
  schema: JwtAuthentication,
  create: (config, { env }) => createJwtAuthnFilter(config, env),
});
