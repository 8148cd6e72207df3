import { createHash } from 'node:crypto';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JoinTokens, TokenLimitError } from './join-tokens.ts';
import { memoryTokenStore, openFileTokenStore, type TokenStore } from './token-store.ts';

const claim = { namespace: 'default', serviceAccount: 'reviews' };
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tulle-tokens-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const stores: [string, () => Promise<TokenStore>][] = [
  ['files', () => openFileTokenStore(folder)],
  ['memory', async () => memoryTokenStore()],
];
describe.each(stores)('join tokens in %s', (_name, open) => {
  it('work once', async () => {
    const tokens = new JoinTokens(await open());
    const { token } = await tokens.create(claim);
    expect(await tokens.peek(token)).toMatchObject(claim);
    expect(await tokens.redeem(token)).toMatchObject(claim);
    await expect(tokens.redeem(token)).rejects.toMatchObject({ code: 'used' });
    await expect(tokens.peek(token)).rejects.toMatchObject({ code: 'used' });
  });

  it('can be claimed by exactly one of many concurrent callers', async () => {
    const tokens = new JoinTokens(await open());
    const { token } = await tokens.create(claim);
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => tokens.redeem(token)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const codes = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []));
    expect(new Set(codes)).toEqual(new Set(['used']));
  });

  it('expire, and are removed a week later', async () => {
    let now = 1_000_000;
    const tokens = new JoinTokens(await open(), () => now);
    const { token, expires } = await tokens.create(claim, 60);
    expect(expires).toBe(now + 60_000);
    now = expires;
    await expect(tokens.redeem(token)).rejects.toMatchObject({ code: 'expired' });
    now += 8 * 24 * 3_600_000;
    await tokens.create(claim);
    await expect(tokens.redeem(token)).rejects.toMatchObject({ code: 'unknown' });
  });

  it('are refused for a partial or altered secret', async () => {
    const tokens = new JoinTokens(await open());
    const { token } = await tokens.create(claim);
    const [prefix, id, secret] = token.split('.');
    const flipped = `${secret![0] === 'A' ? 'B' : 'A'}${secret!.slice(1)}`;
    const guesses = ['', 'x', `${prefix}.${id}.`, `${prefix}.${id}.${flipped}`, `${prefix}.0123456789abcdef.${secret}`];
    for (const guess of [...guesses, `${token}\n`, `${prefix}.../${id}.${secret}`]) {
      await expect(tokens.redeem(guess)).rejects.toMatchObject({ code: 'unknown' });
    }
    expect(await tokens.redeem(token)).toMatchObject(claim);
  });

  it('refuses odd life times and numbers of uses', async () => {
    const tokens = new JoinTokens(await open());
    await expect(tokens.create(claim, 1)).rejects.toThrow(/10 to/);
    await expect(tokens.create(claim, 60, 0)).rejects.toThrow(/1 to 10000/);
    await expect(tokens.create(claim, 60, 10_001)).rejects.toThrow(/1 to 10000/);
  });

  it('with several uses succeed exactly as often, also at once', async () => {
    const tokens = new JoinTokens(await open());
    const { token, id } = await tokens.create({ ...claim, group: 'reviews', labels: { tier: 'a' } }, 60, 5);
    expect(await tokens.redeem(token)).toEqual({ ...claim, id, group: 'reviews', labels: { tier: 'a' } });
    expect(await tokens.list()).toMatchObject([{ id, state: 'unused', uses: 5, usesLeft: 4 }]);
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => tokens.redeem(token)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(4);
    await expect(tokens.peek(token)).rejects.toMatchObject({ code: 'used' });
    expect(await tokens.list()).toMatchObject([{ id, state: 'used', usesLeft: 0 }]);
    expect(await tokens.revoke(id)).toMatchObject({ state: 'used' });
  });

  it('with several uses can be revoked in between', async () => {
    const tokens = new JoinTokens(await open());
    const { token, id } = await tokens.create(claim, 60, 5);
    await tokens.redeem(token);
    expect(await tokens.revoke(id)).toMatchObject({ state: 'revoked', usesLeft: 0 });
    await expect(tokens.redeem(token)).rejects.toMatchObject({ code: 'revoked' });
  });

  it('are limited in number for each identity', async () => {
    const store = await open();
    const tokens = new JoinTokens({ ...bound(store), list: async () => Array(1000).fill((await store.list())[0]) });
    await store.add({ id: '0'.repeat(16), hash: '0'.repeat(64), ...claim, expires: Date.now() + 60_000 });
    await expect(tokens.create(claim)).rejects.toThrow(TokenLimitError);
    await expect(tokens.create({ ...claim, serviceAccount: 'ratings' })).resolves.toBeDefined();
  });
});

/** A store as an object of functions, to replace some. */
const bound = (store: TokenStore): TokenStore => ({
  add: (token) => store.add(token),
  get: (id) => store.get(id),
  claim: (token) => store.claim(token),
  revoke: (id) => store.revoke(id),
  list: () => store.list(),
  forget: (before) => store.forget(before),
});

describe('join tokens in files', () => {
  it('with several uses are counted over restarts, control planes and a claim that a crash cut off', async () => {
    const made = new JoinTokens(await openFileTokenStore(folder));
    const { token, id } = await made.create(claim, 60, 6);
    await made.redeem(token);
    appendFileSync(join(folder, `${id}.claims`), '0123');
    const [a, b] = [new JoinTokens(await openFileTokenStore(folder)), new JoinTokens(await openFileTokenStore(folder))];
    const results = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).redeem(token)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
    await expect(new JoinTokens(await openFileTokenStore(folder)).peek(token)).rejects.toMatchObject({ code: 'used' });
  });

  it('of earlier versions work once', async () => {
    const secret = 'A'.repeat(43);
    const hash = createHash('sha256').update(secret).digest('hex');
    const stored = { id: '0123456789abcdef', hash, ...claim, expires: Date.now() + 60_000 };
    writeFileSync(join(folder, `${stored.id}.json`), JSON.stringify(stored));
    const tokens = new JoinTokens(await openFileTokenStore(folder));
    expect(await tokens.list()).toMatchObject([{ uses: 1, usesLeft: 1 }]);
    await tokens.redeem(`tulle.${stored.id}.${secret}`);
    await expect(tokens.redeem(`tulle.${stored.id}.${secret}`)).rejects.toMatchObject({ code: 'used' });
  });

  it('leave no file of claims behind', async () => {
    let now = Date.now();
    const tokens = new JoinTokens(await openFileTokenStore(folder), () => now);
    const { token } = await tokens.create(claim, 60, 2);
    await tokens.redeem(token);
    now += 8 * 24 * 3_600_000;
    await tokens.create(claim);
    expect(readdirSync(folder)).toHaveLength(1);
  });

  it('survive a restart, used or not, and hold no secret', async () => {
    const first = new JoinTokens(await openFileTokenStore(folder));
    const { token } = await first.create(claim);
    const spent = await first.create(claim);
    await first.redeem(spent.token);
    for (const name of readdirSync(folder)) {
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
      const text = readFileSync(join(folder, name), 'utf8');
      expect(text).not.toContain(token.split('.')[2]);
      expect(text).not.toContain(spent.token.split('.')[2]);
    }
    const second = new JoinTokens(await openFileTokenStore(folder));
    await expect(second.redeem(spent.token)).rejects.toMatchObject({ code: 'used' });
    expect(await second.redeem(token)).toMatchObject(claim);
  });

  it('work for one of two control planes on the same folder', async () => {
    const [a, b] = [new JoinTokens(await openFileTokenStore(folder)), new JoinTokens(await openFileTokenStore(folder))];
    const { token } = await a.create(claim);
    const results = await Promise.allSettled([a.redeem(token), b.redeem(token)]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});
