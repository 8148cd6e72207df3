/** `tulle history` and `tulle rollback` with a real control plane: who wrote what, what it changed, and back. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { refusal, tulle } from '../kit/command.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { until } from '../kit/waiting.ts';

const mesh = new LoopbackMesh();
let env: Record<string, string>;
beforeAll(async () => {
  await mesh.startControl();
  env = { TULLE_SERVER: mesh.url, TULLE_TOKEN: mesh.adminToken, TULLE_CA_FILE: mesh.trustBundleFile };
});
afterAll(() => mesh.stop());

const reviews = (host: string, labels = '{}') => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, labels: ${labels} }
spec: { hosts: [reviews], http: [{ route: [{ destination: { host: ${host} } }] }] }
`;

const succeeded = async (args: readonly string[], more: Record<string, string> = {}, input = '') => {
  const { code, out, error } = await tulle(args, { env: { ...env, ...more }, input });
  expect(code, error).toBe(0);
  return out;
};
const apply = (text: string, more = {}) => succeeded(['apply', '-f', '-'], more, text);
const revisions = async (what: string): Promise<{ revision: number; operation: string; user?: string }[]> =>
  JSON.parse(await succeeded(['history', what, '-o', 'json'])).revisions;

/** A token of a user with a role in the namespace default. */
async function userToken(user: string, role: string): Promise<string> {
  await mesh.apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: ${user} }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ${role} }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: ${user} }]
`);
  return (await succeeded(['token', 'create', '--user', user])).trim();
}

it('lists writes with their users, shows what one changed, and rolls back by a new revision', async () => {
  const jane = { TULLE_TOKEN: await userToken('jane', 'edit') };
  await apply(reviews('v1', '{ tier: a }'));
  await apply(reviews('v2'), jane);
  const [second, first] = await revisions('vs/reviews');
  expect(await succeeded(['history', 'vs/reviews'])).toMatch(
    /^REVISION +AGE +TIME +OPERATION +USER +FIELD MANAGER\n\d+ .* Update +jane +tulle.*\n\d+ .* Create +admin +tulle.*\n$/,
  );
  const changed = await succeeded(['history', 'vs/reviews', '--revision', String(second!.revision)]);
  expect(changed).toContain(`--- ${first!.revision}\n+++ ${second!.revision}\n`);
  expect(changed).toMatch(/\n-\s+host: v1\n\+\s+host: v2\n/);
  expect(changed).toMatch(/\n-\s+tier: a\n/);
  const whole = await succeeded(['history', 'vs', 'reviews', '--revision', String(first!.revision), '-o', 'yaml']);
  expect(whole).toMatch(/host: v1/);

  const back = ['rollback', 'vs/reviews', '--to', String(first!.revision)];
  expect(await succeeded([...back, '--dry-run'])).toContain('(server dry run)');
  expect((await revisions('vs/reviews')).length).toBe(2);
  expect(await succeeded(back, jane)).toMatch(/reviews rolled back to revision \d+: it is revision \d+ now\n$/);
  const now = JSON.parse(await succeeded(['get', 'vs/reviews', '-o', 'json']));
  expect(now).toMatchObject({
    metadata: { labels: { tier: 'a' }, generation: 3 },
    spec: { http: [{ route: [{ destination: { host: 'v1' } }] }] },
  });
  expect((await revisions('vs/reviews'))[0]).toMatchObject({
    operation: 'Update',
    user: 'jane',
    fieldManager: 'tulle-rollback',
  });
  expect(await succeeded(back)).toMatch(/unchanged/);

  await mesh.remove(reviews('v1'));
  const [gone] = await revisions('vs/reviews');
  expect(gone?.operation).toBe('Delete');
  expect(await succeeded(['history', 'vs/reviews', '--revision', String(gone!.revision)])).toMatch(/\n-\s+host: v1\n/);
  await succeeded(['rollback', 'vs/reviews', '--to', String(second!.revision)]);
  expect(await succeeded(['get', 'vs/reviews', '-o', 'jsonpath={.spec.http[0].route[0].destination.host}'])).toBe('v2');
});

it('needs the rights of the resource: to read, of its history; to roll back, to write', async () => {
  const viewer = { ...env, TULLE_TOKEN: await userToken('viewer', 'view') };
  await apply(`
apiVersion: v1
kind: Secret
metadata: { name: key }
stringData: { password: first }
`);
  await apply(`
apiVersion: v1
kind: Secret
metadata: { name: key }
stringData: { password: second }
`);
  await apply(reviews('v3'));
  const [last, before] = await revisions('secret/key');
  const shown = await succeeded(['history', 'secret/key', '--revision', String(last!.revision)]);
  expect(shown).toMatch(/\n-\s+password: "?\*\*\* \(before\)"?\n\+\s+password: "?\*\*\* \(after\)"?\n/);
  expect((await tulle(['history', 'secret/key'], { env: viewer })).error).toMatch(
    /cannot get resource "secrets\/history"/,
  );
  const [route, old] = await revisions('vs/reviews');
  expect((await tulle(['history', 'vs/reviews'], { env: viewer })).code).toBe(0);
  const refused = await tulle(['rollback', 'vs/reviews', '--to', String(old!.revision)], { env: viewer });
  expect(refusal(refused)).toMatch(/cannot update resource "virtualservices"/);
  expect((await revisions('vs/reviews'))[0]).toEqual(route);
  await succeeded(['rollback', 'secret/key', '--to', String(before!.revision)]);
  expect(await succeeded(['get', 'secret/key', '-o', 'jsonpath={.data.password}'])).toBe(
    Buffer.from('first').toString('base64'),
  );
});

it('refuses what is not kept, and words that name no single resource', async () => {
  const failure = async (...words: string[]) => refusal(await tulle(words, { env }));
  expect(await failure('history', 'vs/absent')).toContain('virtualservices.networking.istio.io "absent" not found');
  await apply(reviews('v4'));
  expect(await failure('rollback', 'vs/reviews', '--to', '999999')).toContain(
    'revision 999999 of virtualservices "reviews" is not kept',
  );
  expect(await failure('history', 'vs')).toContain('name one resource');
  expect(await failure('rollback', 'vs/a', '--to', 'x')).toContain('--to x: must be a revision');
});

const secret = (password: string) => `
apiVersion: v1
kind: Namespace
metadata: { name: tenant }
---
apiVersion: v1
kind: Secret
metadata: { name: web, namespace: tenant }
stringData: { password: ${password} }
`;

it('shows no values of Secrets, and nothing of an earlier namespace of the same name', async () => {
  await apply(secret('first-word'));
  await apply(secret('second-word'));
  const of = ['history', 'secret/web', '-n', 'tenant'];
  const [last] = JSON.parse(await succeeded([...of, '-o', 'json'])).revisions as { revision: number }[];
  const changed = await succeeded([...of, '--revision', String(last!.revision)]);
  expect(changed).toContain('*** (after)');
  expect(changed).not.toMatch(/first-word|second-word/);
  await succeeded(['delete', 'namespace', 'tenant']);
  await until('the namespace is gone', async () => (await tulle(['get', 'namespace', 'tenant'], { env })).code !== 0);
  await apply(secret('third-word'));
  const { revisions: now } = JSON.parse(await succeeded([...of, '-o', 'json'])) as { revisions: object[] };
  expect(now).toEqual([expect.objectContaining({ operation: 'Create' })]);
  const old = await tulle([...of, '--revision', String(last!.revision), '-o', 'yaml'], { env });
  expect(old.code).not.toBe(0);
  expect(old.out).toBe('');
});
