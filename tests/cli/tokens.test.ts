/** `tulle token`, and what takes the identity of a service account back. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { tulle } from '../kit/command.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { until } from '../kit/waiting.ts';

const mesh = new LoopbackMesh();
let env: Record<string, string>;
beforeAll(async () => {
  await mesh.startControl();
  env = { TULLE_SERVER: mesh.url, TULLE_TOKEN: mesh.adminToken, TULLE_CA_FILE: mesh.trustBundleFile };
});
afterAll(() => mesh.stop());

const token = (...args: string[]) => tulle(['token', ...args], { env });
const account = (name: string) => `
apiVersion: v1
kind: ServiceAccount
metadata: { name: ${name} }
`;

it('lists tokens and revokes them', async () => {
  const made = await token('create', '--service-account', 'listed');
  const [, id, secret] = made.out.trim().split('.');
  const listed = await token('list');
  expect(listed.out).toMatch(new RegExp(`^${id} +default +listed +- +unused +1/1 +\\d{4}-`, 'm'));
  expect(listed.out).not.toContain(secret);
  expect((await token('list', '-n', 'istio-system')).out).toBe('No join tokens found.\n');
  expect((await token('revoke', id!)).out).toBe(`join token ${id} revoked\n`);
  expect((await token('list')).out).toMatch(new RegExp(`^${id} .* revoked `, 'm'));
  const unknown = await token('revoke', 'abc');
  expect([unknown.code, unknown.error]).toEqual([1, expect.stringContaining('join token "abc" is not known here')]);
  expect((await token('revoke')).error).toContain('name ids of tokens, or --service-account NAME');
});

it('makes no tokens for a namespace that does not exist', async () => {
  const made = await token('create', '--service-account', 'a', '-n', 'nowhere');
  expect([made.code, made.out]).toEqual([1, '']);
  expect(made.error).toContain('namespace "nowhere" does not exist: create it first');
});

it('takes the identity back of a ServiceAccount that is deleted, until it is made again', async () => {
  await mesh.apply(account('web'));
  expect((await token('create', '--service-account', 'web')).code).toBe(0);
  await mesh.remove(account('web'));
  const refused = await until('the deletion is noticed', async () => {
    const made = await token('create', '--service-account', 'web');
    return made.code !== 0 && made;
  });
  expect(refused.error).toMatch(
    /service account "web" of namespace "default" was revoked at .*: create the ServiceAccount again/,
  );
  await mesh.apply(account('web'));
  await until('it is allowed again', async () => (await token('create', '--service-account', 'web')).code === 0);
  expect((await token('revoke', '--service-account', 'web')).out).toContain('service account default/web revoked');
  expect((await token('create', '--service-account', 'web')).code).toBe(1);
});
