// An OpenID provider on loopback (npm oidc-provider): discovery, keys, and JWT access tokens for the client `mesh`.
// Arguments: port, and the private keys that tokens are signed with, as a JSON Web Key Set.
import Provider from 'oidc-provider';

const [port, jwks] = [Number(process.argv[2]), JSON.parse(process.argv[3])];
const client = {
  client_id: 'mesh',
  client_secret: 'meshsecret',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
};
const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks,
  clients: [client],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
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
const server = provider.listen(port, '127.0.0.1', () => console.log('up'));
process.once('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
