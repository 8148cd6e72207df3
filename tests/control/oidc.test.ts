/** Users of a real OpenID provider (npm oidc-provider over https): kubectl with its ID token has the rights of its groups. */
import 'reflect-metadata';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { exportJWK, generateKeyPair } from 'jose';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../control/control-plane.ts';
import { kubectlBinary } from '../kit/command.ts';
import { ROOT, temporaryFolder } from '../kit/environment.ts';
import { freePorts } from '../kit/ports.ts';
import { Program, run } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import { leaf, rootAuthority } from '../mtls/certificates.ts';
import { signIn } from './sign-in.ts';

const folder = temporaryFolder();
const lines: string[] = [];
let plane: ControlPlane;
let issuer: string;
let ca: string;
let providerOf: (keys: object) => Promise<Program>;
let provider: Program;

beforeAll(async () => {
  const root = await rootAuthority('openid provider');
  const names = new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }]);
  const { cert, key } = await leaf(root, { uri: '', names, purposes: ['1.3.6.1.5.5.7.3.1'] });
  ca = root.certificate.toString('pem');
  const [port] = await freePorts(1);
  issuer = `https://127.0.0.1:${port}`;
  providerOf = async (keys) => {
    const script = join(ROOT, 'tests/e2e/issuer.mjs');
    const program = new Program('provider', [
      'node',
      script,
      String(port),
      JSON.stringify(keys),
      JSON.stringify({ cert, key }),
    ]);
    await until('the provider', () => program.lines.some((line) => line.endsWith('up')));
    return program;
  };
  provider = await providerOf(await newKeys('first'));
  plane = await startControlPlane({
    data: join(folder.path, 'data'),
    address: '127.0.0.1',
    port: 0,
    dnsNames: [],
    ips: [],
    trustDomain: 'cluster.local',
    svidTtl: 3600,
    version: '0',
    log: (line) => void lines.push(line),
    oidc: {
      issuer,
      clientId: 'kubectl',
      usernameClaim: 'email',
      usernamePrefix: 'oidc:',
      groupsClaim: 'groups',
      groupsPrefix: 'oidc:',
      requiredClaims: {},
      algorithms: ['RS256'],
      roots: ca,
    },
  });
  writeFileSync(join(folder.path, 'ca.pem'), plane.trustBundle);
}, 240_000);

afterAll(async () => {
  await plane?.stop();
  await provider?.stop();
  folder.dispose();
});

async function newKeys(kid: string) {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { keys: [{ ...(await exportJWK(privateKey)), kid, alg: 'RS256', use: 'sig' }] };
}

const kubectl = (token: string, ...args: string[]) =>
  run(kubectlBinary!, [
    ...['--server', plane.url, '--certificate-authority', join(folder.path, 'ca.pem'), '--token', token],
    ...['--kubeconfig', '/dev/null', '--cache-dir', join(folder.path, 'cache')],
    ...args,
  ]);

if (!kubectlBinary) console.warn('skipped: kubectl is not in PATH');

it.skipIf(!kubectlBinary)(
  'kubectl has the rights that roles give to groups of the provider',
  async () => {
    const admin = plane.adminToken!;
    const bound = await kubectl(
      admin,
      'create',
      'clusterrolebinding',
      'shop',
      '--clusterrole',
      'view',
      '--group',
      'oidc:shop',
    );
    expect(bound.code, bound.error).toBe(0);
    const [jane, john] = await Promise.all([signIn(issuer, ca, 'jane shop ops'), signIn(issuer, ca, 'john ops')]);

    const who = await kubectl(jane, 'auth', 'whoami', '-o', 'jsonpath={.status.userInfo}');
    expect(who.error).toBe('');
    expect(JSON.parse(who.out)).toMatchObject({
      username: 'oidc:jane@shop.example',
      groups: ['oidc:shop', 'oidc:ops', 'system:authenticated'],
    });
    await until('the binding', async () => (await kubectl(jane, 'get', 'services', '-A')).code === 0);
    const refused = await kubectl(jane, 'get', 'secrets', '-A');
    expect(refused).toMatchObject({
      code: 1,
      error: expect.stringContaining('User "oidc:jane@shop.example" cannot list resource "secrets"'),
    });
    expect(await kubectl(john, 'get', 'services', '-A')).toMatchObject({
      code: 1,
      error: expect.stringContaining('Forbidden'),
    });

    const [head, payload] = jane.split('.');
    const [, , other] = john.split('.');
    const forged = await kubectl(`${head}.${payload}.${other}`, 'get', 'services', '-A');
    expect(forged).toMatchObject({ code: 1, error: expect.stringContaining('Unauthorized') });
  },
  120_000,
);

it.skipIf(!kubectlBinary)(
  'follows a rotation of the keys, and takes no token of the old ones',
  async () => {
    const old = await signIn(issuer, ca, 'jane shop');
    expect((await kubectl(old, 'auth', 'whoami')).code).toBe(0);
    await provider.stop();
    // Keys that are known stay valid while the provider is away.
    expect((await kubectl(old, 'auth', 'whoami')).code).toBe(0);
    provider = await providerOf(await newKeys('second'));
    const fresh = await signIn(issuer, ca, 'jane shop');
    // Keys are not fetched more often than every ten seconds.
    await until('the new keys', async () => (await kubectl(fresh, 'auth', 'whoami')).code === 0);
    expect((await kubectl(old, 'auth', 'whoami')).code).not.toBe(0);
  },
  120_000,
);
