import { Command } from 'commander';
import { expect, it } from 'vitest';
import { type OidcFlags, oidcOf, oidcOptions } from './oidc-flags.ts';

function of(...args: string[]) {
  const command = oidcOptions(new Command()).exitOverride();
  command.parse(args, { from: 'user' });
  return oidcOf(command.opts<OidcFlags>());
}
const issuer = 'https://login.example';
const needed = ['--oidc-issuer-url', issuer, '--oidc-client-id', 'mesh'];

it('has the defaults of kube-apiserver', () => {
  expect(of()).toBeUndefined();
  expect(of(...needed)).toEqual({
    issuer,
    clientId: 'mesh',
    usernameClaim: 'sub',
    usernamePrefix: `${issuer}#`,
    groupsPrefix: '',
    requiredClaims: {},
    algorithms: ['RS256'],
  });
  expect(of(...needed, '--oidc-username-claim', 'email')?.usernamePrefix).toBe('');
  expect(of(...needed, '--oidc-username-prefix', '-')?.usernamePrefix).toBe('');
  expect(of(...needed, '--oidc-username-claim', 'email', '--oidc-username-prefix', 'o:')?.usernamePrefix).toBe('o:');
  expect(of(...needed, '--oidc-required-claim', 'a=b=c', 'd=')?.requiredClaims).toEqual({ a: 'b=c', d: '' });
});

it.each([
  [['--oidc-client-id', 'mesh'], '--oidc-client-id: needs --oidc-issuer-url'],
  [['--oidc-issuer-url', issuer], '--oidc-client-id: is missing'],
  [
    ['--oidc-issuer-url', 'http://login.example', '--oidc-client-id', 'a'],
    '--oidc-issuer-url http://login.example: must be an https',
  ],
  [['--oidc-issuer-url', 'https://login.example/?a', '--oidc-client-id', 'a'], 'must be an https URL'],
  [[...needed, '--oidc-required-claim', 'a'], '--oidc-required-claim a: must be claim=value'],
  [[...needed, '--oidc-required-claim', 'a=b', 'a=c'], 'a is set twice'],
  [[...needed, '--oidc-signing-algs', 'HS256'], '--oidc-signing-algs HS256: must be of RS256'],
  [[...needed, '--oidc-groups-prefix', 'a'], '--oidc-groups-prefix: needs --oidc-groups-claim'],
  [[...needed, '--oidc-ca-file', '/absent'], '--oidc-ca-file'],
])('refuses %j', (args, message) => expect(() => of(...args)).toThrow(message));
