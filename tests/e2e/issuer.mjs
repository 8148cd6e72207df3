// An OpenID provider on loopback (npm oidc-provider): discovery, keys, JWT access tokens for the client `mesh`, and ID tokens for the
// users that sign in to the client `kubectl`, whose groups are the words of their password.
// Arguments: port, the private keys that tokens are signed with, as a JSON Web Key Set, and perhaps {cert, key} in PEM: https then.
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const [port, jwks] = [Number(process.argv[2]), JSON.parse(process.argv[3])];
const tls = process.argv[4] === undefined ? undefined : JSON.parse(process.argv[4]);
const mesh = {
  client_id: 'mesh',
  client_secret: 'meshsecret',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
};
const kubectl = {
  client_id: 'kubectl',
  token_endpoint_auth_method: 'none',
  application_type: 'native',
  grant_types: ['authorization_code'],
  redirect_uris: ['http://127.0.0.1/callback'],
  response_types: ['code'],
};
const provider = new Provider(`${tls ? 'https' : 'http'}://127.0.0.1:${port}`, {
  jwks,
  clients: [mesh, kubectl],
  claims: { openid: ['sub'], groups: ['groups'], email: ['email', 'email_verified'] },
  scopes: ['openid', 'groups', 'email'],
  conformIdTokenClaims: false,
  // The name that a user signs in with is `NAME GROUP GROUP …`.
  findAccount: (_context, id) => {
    const [sub, ...groups] = id.split(' ');
    return { accountId: id, claims: () => ({ sub, groups, email: `${sub}@shop.example`, email_verified: true }) };
  },
  ttl: { IdToken: 3600 },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: tls !== undefined },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'https://api.example',
      getResourceServerInfo: (_context, audience) => ({
        scope: 'read write',
        audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 3600,
      }),
      useGrantedResource: () => true,
    },
  },
});
const server = tls ? createServer(tls, provider.callback()) : provider;
const listening = server.listen(port, '127.0.0.1', () => console.log('up'));
process.once('SIGTERM', () => {
  listening.close();
  listening.closeAllConnections();
});
