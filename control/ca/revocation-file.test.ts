import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { memoryStore } from '../store/memory.ts';
import { AccountError, Accounts } from './accounts.ts';
import { fileRevocationStore } from './revocation-file.ts';

const DAY = 24 * 3_600_000;
const claim = (serviceAccount: string) => ({ namespace: 'shop', serviceAccount });
const key = (plural: string, namespace: string, name: string) => ({ group: '', plural, namespace, name });

let folder: string;
let path: string;
let now: number;
let store: ReturnType<typeof memoryStore>;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tulle-revocations-'));
  path = join(folder, 'revocations.json');
  now = Date.parse('2026-01-01T00:00:00Z');
  store = memoryStore({ now: () => new Date(now) });
  await store.create(key('namespaces', '', 'shop'), {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop' },
  });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = () => Accounts.open(store, fileRevocationStore(path), () => now);
const lines = async () => (await readFile(path, 'utf8')).trimEnd().split('\n');
const createAccount = (name: string) =>
  store.create(key('serviceaccounts', 'shop', name), {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, namespace: 'shop' },
  });

it('appends each change, and reads what was written before a restart', async () => {
  const accounts = await open();
  for (const name of ['a', 'b', 'c']) await accounts.revoke(claim(name));
  expect((await lines()).length).toBe(3);
  const again = await open();
  expect(again.list()).toEqual(accounts.list());
  await again.revoke(claim('d'));
  expect(await lines()).toEqual([JSON.stringify(again.list())]);
});

it('reads the file of an earlier version', async () => {
  const since = now;
  await writeFile(path, JSON.stringify([{ ...claim('a'), since }]));
  const accounts = await open();
  expect(accounts.list()).toEqual([{ ...claim('a'), since }]);
});

it('drops a change that was cut short, and refuses a file with anything else that it cannot read', async () => {
  const accounts = await open();
  await accounts.revoke(claim('a'));
  await accounts.revoke(claim('b'));
  await appendFile(path, '{"namespace":"sho');
  const again = await open();
  expect(again.list()).toEqual(accounts.list());
  await again.revoke(claim('c'));
  expect((await open()).list().length).toBe(3);
  await appendFile(path, '{"namespace":"shop"}\n');
  await expect(open()).rejects.toThrow(`${path} is not a list of revocations`);
});

it('writes changes that come together at once, and no change again and again', async () => {
  const accounts = await open();
  await accounts.revoke(claim('first'));
  const { length: size } = await readFile(path);
  await Promise.all(Array.from({ length: 500 }, (_, i) => accounts.revoke(claim(`a${i}`))));
  const written = (await readFile(path)).length - size;
  expect(written).toBeLessThan(500 * 80);
  expect((await open()).list().length).toBe(501);
});

it('compacts a journal with more changes than revocations', async () => {
  const accounts = await open();
  for (let i = 0; i < 30; i++)
    await Promise.all(Array.from({ length: 50 }, () => accounts.whileDeleting(claim('a'), async () => {})));
  expect((await lines()).length).toBeLessThanOrEqual(1001);
  expect((await open()).list().length).toBe(1);
});

it('forgets a revocation once its ServiceAccount was created again', async () => {
  const accounts = await open();
  await accounts.revoke(claim('a'));
  await expect(accounts.check(claim('a'))).rejects.toThrow(AccountError);
  now += 2000;
  await createAccount('a');
  await accounts.check(claim('a'));
  expect(accounts.list()).toEqual([]);
  // Behind the removal, which nothing waits for.
  await accounts.revoke(claim('b'));
  expect((await open()).list()).toEqual(accounts.list());
});

it('forgets a revocation once nothing that the account was given before it can be valid', async () => {
  const accounts = await open();
  await accounts.revoke(claim('a'));
  now += 119 * DAY;
  await expect((await open()).check(claim('a'))).rejects.toThrow(AccountError);
  now += 2 * DAY;
  await accounts.check(claim('a'));
  expect(accounts.list()).toEqual([]);
  expect((await open()).list()).toEqual([]);
});

it('writes nothing when it is opened, and is rid of expired revocations with the next one', async () => {
  const accounts = await open();
  for (const name of ['a', 'b']) await accounts.revoke(claim(name));
  now += 119 * DAY;
  // The later revocation of an account counts.
  await accounts.revoke(claim('a'));
  now += 2 * DAY;
  const before = await readFile(path, 'utf8');
  const again = await open();
  expect(again.list().map(({ serviceAccount }) => serviceAccount)).toEqual(['a']);
  expect(await readFile(path, 'utf8')).toBe(before);
  await again.revoke(claim('c'));
  expect(await readFile(path, 'utf8')).not.toContain('"b"');
});
