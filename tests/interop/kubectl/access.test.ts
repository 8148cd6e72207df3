/** Users, roles, and questions about access with real kubectl. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { kubectlBinary, tulle } from '../../kit/command.ts';
import { LoopbackMesh } from '../../kit/mesh.ts';
import { run } from '../../kit/process.ts';

if (!kubectlBinary) console.warn('skipped: kubectl is not on the PATH');

const gateway = (name: string) =>
  stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name },
    spec: { hosts: [name], http: [{ route: [{ destination: { host: name } }] }] },
  });

describe.skipIf(!kubectlBinary)('access with kubectl', () => {
  const mesh = new LoopbackMesh();
  const flags = ['--cache-dir', join(mesh.folder, 'cache')];
  const configOf = (user: string) => join(mesh.folder, `${user}.kubeconfig`);
  const as = (user: string, input: string, ...args: string[]) =>
    run(kubectlBinary!, [...flags, ...args], { input, env: { KUBECONFIG: configOf(user) } });
  const ok = async (user: string, input: string, ...args: string[]): Promise<string> => {
    const ran = await as(user, input, ...args);
    expect(ran, `${args.join(' ')}: ${ran.error}`).toMatchObject({ code: 0 });
    return ran.out;
  };
  const refused = async (message: string, user: string, input: string, ...args: string[]) =>
    expect(await as(user, input, ...args), args.join(' ')).toMatchObject({
      code: 1,
      error: expect.stringContaining(message),
    });
  const create = ['create', '--validate=false', '-f', '-'];
  let given: string[];

  beforeAll(async () => {
    await mesh.startControl();
    given = ['--server', mesh.url, '--token', mesh.adminToken, '--ca-file', mesh.trustBundleFile];
    for (const [user, more] of [
      ['admin', []],
      ['jane', ['--user', 'jane', '--group', 'shop-team', '--group', 'ops']],
      ['sam', ['--user', 'sam']],
    ] as const) {
      const { code, out } = await tulle(['kubeconfig', ...given, ...more]);
      expect(code).toBe(0);
      writeFileSync(configOf(user), out, { mode: 0o600 });
    }
    await ok('admin', '', 'create', 'namespace', 'shop');
  });
  afterAll(() => mesh.stop(), 120_000);

  it('says who a user is', async () => {
    expect(await ok('admin', '', 'auth', 'whoami')).toMatch(
      /Username +admin\nGroups +\[system:masters system:authenticated\]/,
    );
    expect(await ok('jane', '', 'auth', 'whoami')).toMatch(
      /Username +jane\nGroups +\[shop-team ops system:authenticated\]/,
    );
  });

  it('allows what roles grant, in their namespace, and names what it refuses', async () => {
    const denied =
      'virtualservices.networking.istio.io is forbidden: User "jane" cannot create resource "virtualservices" in API group "networking.istio.io" in the namespace "shop"';
    await refused(denied, 'jane', gateway('a'), '-n', 'shop', ...create);
    await ok('admin', '', '-n', 'shop', 'create', 'rolebinding', 'team', '--clusterrole=edit', '--group=shop-team');
    await ok('jane', gateway('a'), '-n', 'shop', ...create);
    expect(await ok('jane', '', '-n', 'shop', 'get', 'vs', '-o', 'name')).toContain('/a');
    await refused('cannot list resource "virtualservices"', 'jane', '', 'get', 'vs');
    await refused('cannot get resource "secrets"', 'sam', '', '-n', 'shop', 'get', 'secret', 'x');
    await ok('admin', '', 'create', 'clusterrolebinding', 'viewers', '--clusterrole=view', '--user=sam');
    expect(await ok('sam', '', 'get', 'vs', '-A', '-o', 'name')).toContain('/a');
    await refused('cannot list resource "secrets"', 'sam', '', 'get', 'secrets', '-A');
    await refused('cannot delete resource "virtualservices"', 'sam', '', '-n', 'shop', 'delete', 'vs', 'a');
  });

  it('answers can-i, and lists', async () => {
    const can = async (user: string, ...args: string[]) => (await as(user, '', 'auth', 'can-i', ...args)).out.trim();
    expect(await can('jane', 'create', 'vs', '-n', 'shop')).toBe('yes');
    expect(await can('jane', 'create', 'vs')).toBe('no');
    expect(await can('sam', 'get', 'secrets', '-n', 'shop')).toBe('no');
    expect(await can('admin', '*', '*')).toBe('yes');
    expect(await can('jane', 'get', '/version')).toBe('yes');
    expect(await can('jane', 'get', '/logs')).toBe('no');
    expect(await can('admin', 'create', 'vs', '-n', 'shop', '--as', 'jane', '--as-group', 'shop-team')).toBe('yes');
    expect(await can('admin', 'create', 'vs', '-n', 'shop', '--as', 'jane')).toBe('no');
    const list = await ok('jane', '', 'auth', 'can-i', '--list', '-n', 'shop');
    expect(list).toMatch(/virtualservices\.networking\.istio\.io +\[\] +\[\] +\[.*create/);
    expect(list).toMatch(/selfsubjectaccessreviews\.authorization\.k8s\.io/);
  });

  it('obeys impersonation for those who may', async () => {
    await refused('User "x" cannot list', 'admin', '', '--as=x', 'get', 'vs');
    expect(await ok('admin', '', '--as=sam', 'get', 'vs', '-A', '-o', 'name')).toContain('/a');
    await refused(
      'cannot impersonate resource "users" in API group "" at the cluster scope',
      'jane',
      '',
      '--as=admin',
      'get',
      '--raw',
      '/apis',
    );
    await refused(
      'cannot impersonate resource "users"',
      'jane',
      '',
      '--as=jane',
      '--as-group=system:masters',
      'get',
      '--raw',
      '/apis',
    );
    const who = await ok('admin', '', '--as=system:serviceaccount:shop:web', 'auth', 'whoami');
    expect(who).toContain('[system:serviceaccounts system:serviceaccounts:shop system:authenticated]');
  });

  it('lets no user give rights that the user does not have', async () => {
    await ok('admin', '', '-n', 'shop', 'create', 'rolebinding', 'owner', '--clusterrole=admin', '--user=olga');
    const { out } = await tulle(['kubeconfig', ...given, '--user', 'olga']);
    writeFileSync(configOf('olga'), out, { mode: 0o600 });
    const role = ['-n', 'shop', 'create', 'role'];
    await ok('olga', '', ...role, 'reader', '--verb=get', '--resource=services');
    await refused(
      'is attempting to grant RBAC permissions not currently held',
      'olga',
      '',
      ...role,
      'filters',
      '--verb=create',
      '--resource=envoyfilters.networking.istio.io',
    );
    await refused(
      'not currently held',
      'olga',
      '',
      '-n',
      'shop',
      'create',
      'rolebinding',
      'all',
      '--clusterrole=cluster-admin',
      '--user=olga',
    );
    await ok('olga', '', '-n', 'shop', 'create', 'rolebinding', 'readers', '--role=reader', '--user=pat');
    const rebound = '{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"}}';
    await refused(
      'cannot change roleRef',
      'olga',
      '',
      '-n',
      'shop',
      'patch',
      'rolebinding',
      'readers',
      '--type=merge',
      '-p',
      rebound,
    );
    const invalid = stringify({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'x' },
      rules: [{ verbs: [] }],
    });
    await refused('verbs must contain at least one value', 'admin', invalid, '-n', 'shop', ...create);
  });

  it('reconciles roles', async () => {
    const role = stringify({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'gate:keeper' },
      rules: [{ apiGroups: ['networking.istio.io'], resources: ['gateways'], verbs: ['get'] }],
    });
    expect(await ok('admin', role, 'auth', 'reconcile', '-f', '-')).toContain('reconciled');
    expect(await ok('admin', '', 'get', 'clusterrole', 'gate:keeper', '-o', 'jsonpath={.rules[0].resources}')).toBe(
      '["gateways"]',
    );
    expect(await ok('admin', '', 'describe', 'clusterrole', 'view')).toContain('*.networking.istio.io');
  });

  it('makes tokens of service accounts, which end with them', async () => {
    await ok('admin', '', '-n', 'shop', 'create', 'serviceaccount', 'web');
    const token = (await ok('admin', '', '-n', 'shop', 'create', 'token', 'web', '--duration=20m')).trim();
    const who = (more: string[] = []) =>
      as(
        'none',
        '',
        '--server',
        mesh.url,
        '--certificate-authority',
        mesh.trustBundleFile,
        '--token',
        token,
        'auth',
        'whoami',
        ...more,
      );
    expect((await who()).out).toMatch(
      /Username +system:serviceaccount:shop:web\nUID +\S+\nGroups +\[system:serviceaccounts system:serviceaccounts:shop/,
    );
    await refused(
      'may not specify a duration less than 10 minutes',
      'admin',
      '',
      '-n',
      'shop',
      'create',
      'token',
      'web',
      '--duration=1m',
    );
    await refused('cannot create resource "serviceaccounts/token"', 'sam', '', '-n', 'shop', 'create', 'token', 'web');
    const other = (await ok('admin', '', '-n', 'shop', 'create', 'token', 'web', '--audience=elsewhere')).trim();
    expect(other).not.toBe(token);
    const review = (audiences: string[]) =>
      ok(
        'admin',
        JSON.stringify({ kind: 'TokenReview', spec: { token: other, audiences } }),
        'create',
        '--raw',
        '/apis/authentication.k8s.io/v1/tokenreviews',
        '-f',
        '-',
      );
    expect(await review(['elsewhere'])).toContain('"authenticated":true');
    expect(await review(['here'])).not.toContain('"authenticated":true');
    await ok('admin', '', '-n', 'shop', 'delete', 'serviceaccount', 'web');
    expect(await who()).toMatchObject({ code: 1 });
    await ok('admin', '', '-n', 'shop', 'create', 'serviceaccount', 'web');
    expect(await who()).toMatchObject({ code: 1 });
  });

  it('revokes tokens of users', async () => {
    const { out } = await tulle(['token', 'list', '--users', '-o', 'json', ...given]);
    const { id } = (JSON.parse(out) as { id: string; user: string }[]).find(({ user }) => user === 'jane')!;
    expect(await tulle(['token', 'revoke', '--user', id, ...given])).toMatchObject({ code: 0 });
    expect(await as('jane', '', 'auth', 'whoami')).toMatchObject({ code: 1 });
  });
});
