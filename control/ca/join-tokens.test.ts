import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JoinTokens, memoryTokenStore, openFileTokenStore, type TokenStore } from './join-tokens.ts';

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
    expect(await tokens.peek(token)).toEqual(claim);
    expect(await tokens.redeem(token)).toEqual(claim);
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
    expect(await tokens.redeem(token)).toEqual(claim);
  });

  it('refuses odd life times', async () => {
    const tokens = new JoinTokens(await open());
    await expect(tokens.create(claim, 1)).rejects.toThrow(/10 to/);
  });
});

describe('join tokens in files', () => {
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
    expect(await second.redeem(token)).toEqual(claim);
  });

  it('work for one of two control planes on the same folder', async () => {
    const [a, b] = [new JoinTokens(await openFileTokenStore(folder)), new JoinTokens(await openFileTokenStore(folder))];
    const { token } = await a.create(claim);
    const results = await Promise.allSettled([a.redeem(token), b.redeem(token)]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});
