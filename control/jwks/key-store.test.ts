import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { KEY_FILE, KeyStore, loadKeys } from './key-store.ts';

const DAY = 86_400_000;
const KEYS = JSON.stringify({ keys: [{ kty: 'oct', k: 'AQAB' }] });
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tulle-keys-'));
});
afterEach(() => rm(folder, { recursive: true }));
const fail = (error: unknown) => {
  throw error;
};

it('gives back the last keys, for a week, from a file that others cannot read', async () => {
  const store = new KeyStore(folder, () => 1000, fail);
  for (const id of ['a', 'b', 'c']) store.save(new Map([[id, { text: KEYS }]]));
  await store.close();
  expect(await loadKeys(folder, 1000 + 7 * DAY)).toEqual(new Map([['c', KEYS]]));
  expect((await loadKeys(folder, 1001 + 7 * DAY)).size).toBe(0);
  expect((await loadKeys(folder, 999)).size).toBe(0);
  expect((await stat(join(folder, KEY_FILE))).mode & 0o777).toBe(0o600);
});

it('has none of a file that is not there, is no such file, or holds no keys', async () => {
  expect((await loadKeys(folder, 0)).size).toBe(0);
  for (const text of ['{', 'null', '{"saved":0}', '{"saved":0,"keys":{"a":5,"b":"{}"}}']) {
    await writeFile(join(folder, KEY_FILE), text);
    expect((await loadKeys(folder, 0)).size).toBe(0);
  }
  expect(await readFile(join(folder, KEY_FILE), 'utf8')).not.toBe('');
});

it('reports keys that cannot be written', async () => {
  const errors: unknown[] = [];
  const store = new KeyStore(folder, Date.now, (error) => errors.push(error));
  const unwritable = { toJSON: () => JSON.parse('too long') as string } as unknown as string;
  store.save(new Map([['a', { text: unwritable }]]));
  await store.close();
  store.save(new Map([['b', { text: KEYS }]]));
  await store.close();
  expect([errors.length, [...(await loadKeys(folder, Date.now())).keys()]]).toEqual([1, ['b']]);
});
