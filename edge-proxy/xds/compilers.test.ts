import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { expect, it } from 'vitest';
import { HttpConnectionManager } from '../../shared/xds/http-connection-manager.ts';
import { contextOf, noCalls, requestDouble } from '../http/testing/request-double.ts';
import { currentRuntime } from '../runtime/index.ts';
import { proxyCompilers } from './compilers.ts';

const ANY = 'type.googleapis.com/envoy.extensions.filters.';
const issuer = 'https://control.example';

/** What a gateway of `trustDomain` takes a caller for who shows a good token of `subject`'s trust domain. */
async function principal(trustDomain: string | undefined, subject: string): Promise<string | undefined> {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const keys = [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256', use: 'sig' }];
  const [, domain] = /^spiffe:\/\/([^/]+)/.exec(subject)!;
  const config = HttpConnectionManager.parse({
    statPrefix: 'x',
    routeConfig: {},
    httpFilters: [
      {
        name: 'tulle.filters.http.jwt_svid',
        typedConfig: {
          '@type': `${ANY}http.jwt_authn.v3.JwtAuthentication`,
          providers: {
            given: {
              issuer,
              audiences: ['gateway'],
              subjects: { prefix: `spiffe://${domain}/` },
              localJwks: { inlineString: JSON.stringify({ keys }) },
            },
          },
          rules: [{ match: { prefix: '/' }, requires: { providerName: 'given' } }],
        },
      },
      { name: 'router', typedConfig: { '@type': `${ANY}http.router.v3.Router` } },
    ],
  });
  const unused = () => {
    throw new Error('not used');
  };
  const compilers = proxyCompilers({ runtime: currentRuntime(), trustDomain }, unused, unused);
  const [filter] = compilers.compileHttpFilters(config, noCalls);
  const token = await new SignJWT({ sub: subject, aud: 'gateway', iss: issuer })
    .setProtectedHeader({ alg: 'ES256', kid: 'one', typ: 'JWT' })
    .setExpirationTime('1m')
    .sign(privateKey);
  const request = requestDouble({ path: '/', headers: { authorization: `Bearer ${token}` } });
  expect(await filter!.onRequestHead!(contextOf(request), true)).toBeUndefined();
  return request.tokenPrincipal;
}

it('a token makes a principal of the own trust domain only', async () => {
  const own = 'spiffe://mesh.example/ns/edge/sa/worker';
  expect(await principal('mesh.example', own)).toBe(own);
  expect(await principal('mesh.example', 'spiffe://other.example/ns/edge/sa/worker')).toBeUndefined();
});
