/** JWT-SVIDs at gateways: how an edge worker, which cannot present a client certificate, proves its SPIFFE id. */
import { JWT_SVID_FILTER } from '../../../shared/xds/filters/jwt-authn.ts';
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { MeshSettings } from '../../mesh/view.ts';
import { httpFilter } from '../wire.ts';

/** A header of its own: `authorization` belongs to the application. */
const JWT_SVID_HEADER = 'x-tulle-jwt-svid';
const PROVIDER = 'tulle-jwt-svid';

/** The audience of tokens for the gateways of a namespace. */
function gatewayAudience(namespace: string): string {
  return `tulle-gateway.${namespace}`;
}

/**
 * jwt_authn as a gateway runs it before authorization: a valid token makes its subject the source principal and goes no
 * further, a bad one is answered with 401, without one the connection's principal remains. Empty where the mesh
 * signs no JWT-SVIDs (`tulle compile`).
 */
export function jwtSvidFilters(
  { jwtSvid, trustDomain }: Pick<MeshSettings, 'jwtSvid' | 'trustDomain'>,
  namespace: string,
): HttpFilter[] {
  if (!jwtSvid) return [];
  return [
    httpFilter(JWT_SVID_FILTER, 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication', {
      providers: {
        [PROVIDER]: {
          issuer: jwtSvid.issuer,
          audiences: [gatewayAudience(namespace)],
          // Keys speak for their own trust domain alone.
          subjects: { prefix: `spiffe://${trustDomain}/` },
          requireExpiration: true,
          localJwks: { inlineString: jwtSvid.jwks },
          fromHeaders: [{ name: JWT_SVID_HEADER }],
          forward: false,
        },
      },
      rules: [
        {
          match: { prefix: '/' },
          requires: { requiresAny: { requirements: [{ providerName: PROVIDER }, { allowMissing: {} }] } },
        },
      ],
    }),
  ];
}
