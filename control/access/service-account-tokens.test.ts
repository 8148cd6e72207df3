import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { AccountError } from '../ca/accounts.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceStore } from '../store/store.ts';
import { openServiceAccountTokens, type ServiceAccountTokens } from './service-account-tokens.ts';

const ISSUER = 'https://mesh.test';
const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-tokens-'));
  folders.push(folder);
  return folder;
}

const key = (plural: string, name: string) => ({ group: '', plural, namespace: 'shop', name });
const object = (kind: string, name: string, metadata = {}) => ({
  ...{ apiVersion: 'v1', kind },
  metadata: { name, namespace: 'shop', ...metadata },
});

describe('a token of a ServiceAccount', () => {
  let store: ResourceStore;
  let tokens: ServiceAccountTokens;
  let account: Resource;
  let now: number;
  let isRevoked: boolean;

  const open = (folder: string) =>
    openServiceAccountTokens({
      folder,
      issuer: ISSUER,
      store,
      checkAccount: async () => {
        if (isRevoked) throw new AccountError('revoked');
      },
      now: () => now,
    });
  const issue = (seconds = 3600, bound?: Parameters<ServiceAccountTokens['issue']>[3]) =>
    tokens.issue({ namespace: 'shop', name: 'ci', uid: account.metadata.uid! }, ['a'], seconds, bound);

  beforeEach(async () => {
    now = Date.now();
    isRevoked = false;
    store = memoryStore();
    account = await store.create(key('serviceaccounts', 'ci'), object('ServiceAccount', 'ci'));
    tokens = await open(newFolder());
  });

  it('is of its account, and for its audiences', async () => {
    const { token } = await issue();
    const found = await tokens.read(token);
    expect(found?.audiences).toEqual(['a']);
    expect(found?.user).toMatchObject({
      name: 'system:serviceaccount:shop:ci',
      uid: account.metadata.uid,
      groups: expect.arrayContaining(['system:serviceaccounts', 'system:serviceaccounts:shop']),
    });
  });

  it('ends at its time', async () => {
    const { token, expires } = await issue(600);
    now = expires + 11_000;
    expect(await tokens.read(token)).toBeUndefined();
  });

  it('is not taken with another signature, or with none', async () => {
    const other = await open(newFolder());
    const { token } = await other.issue({ namespace: 'shop', name: 'ci', uid: account.metadata.uid! }, ['a'], 600);
    expect(await tokens.read(token)).toBeUndefined();
    const [, payload] = (await issue()).token.split('.');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    expect(await tokens.read(`${none}.${payload}.`)).toBeUndefined();
  });

  it('ends with its account: also where another one has the name', async () => {
    const { token } = await issue();
    await store.delete(key('serviceaccounts', 'ci'));
    expect(await tokens.read(token)).toBeUndefined();
    await store.create(key('serviceaccounts', 'ci'), object('ServiceAccount', 'ci'));
    expect(await tokens.read(token)).toBeUndefined();
  });

  it('ends a minute after the deletion of an account that a finalizer holds', async () => {
    const { token } = await issue();
    const deletionTimestamp = new Date(now).toISOString();
    const metadata = { ...account.metadata, finalizers: ['a.test/b'], deletionTimestamp };
    await store.update(key('serviceaccounts', 'ci'), { ...account, metadata });
    expect(await tokens.read(token)).toBeDefined();
    now += 61_000;
    expect(await tokens.read(token)).toBeUndefined();
  });

  it('ends with the Secret that it is bound to', async () => {
    const secret = await store.create(key('secrets', 's'), object('Secret', 's'));
    const { token } = await issue(600, { kind: 'Secret', name: 's', uid: secret.metadata.uid! });
    expect(await tokens.read(token)).toBeDefined();
    await store.delete(key('secrets', 's'));
    expect(await tokens.read(token)).toBeUndefined();
  });

  it('ends where the account was taken back', async () => {
    const { token } = await issue();
    isRevoked = true;
    expect(await tokens.read(token)).toBeUndefined();
  });
});
