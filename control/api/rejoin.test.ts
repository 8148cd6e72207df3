import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hono } from 'hono';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCsr } from '../../shared/identity/csr.ts';
import { generateKeys, type Keys, signingAlgorithm } from '../../shared/identity/keys.ts';
import { parseSvid } from '../../shared/identity/svid.ts';
import { rejoinText } from '../../shared/join/rejoin.ts';
import { Accounts } from '../ca/accounts.ts';
import { type Authority, openAuthority } from '../ca/authority.ts';
import { openJoins } from '../ca/life/sqlite-joins.ts';
import { memoryStore } from '../store/memory.ts';
import { createInitialNamespaces } from './app.ts';
import type { ApiEnv } from './caller.ts';
import { rejoinRoutes } from './rejoin.ts';

const id = 'spiffe://td/ns/default/sa/reviews';
const HOUR = 3_600_000;
const GRACE = 24 * HOUR;
let folder: string;
let now: number;
let authority: Authority;
let accounts: Accounts;
let joins: Awaited<ReturnType<typeof openJoins>>;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tulle-rejoin-'));
  now = Math.floor(Date.now() / 1000) * 1000;
  authority = await openAuthority({ folder, trustDomain: 'td', now: () => now, defaultTtl: 3600 });
  joins = await openJoins(join(folder, 'joins.sqlite'), { graceMs: GRACE, now: () => now });
  const store = memoryStore();
  await createInitialNamespaces(store);
  accounts = await Accounts.open(store, { load: async () => [], record: async () => {} }, () => now);
});
afterEach(() => {
  joins.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Held {
  keys: Keys;
  chain: string;
  serial: string;
}

async function joined(ephemeral = false): Promise<Held> {
  const keys = await generateKeys();
  const issued = await authority.issue(await createCsr(keys), id);
  const claim = { namespace: 'default', serviceAccount: 'reviews', group: undefined, by: 'token', labels: {} };
  await joins.begin({ ...claim, ephemeral }, issued);
  return { keys, chain: issued.certificateChain, serial: issued.serial };
}

function app(graceMs = GRACE): Hono<ApiEnv> {
  return new Hono<ApiEnv>().route('/', rejoinRoutes({ authority, joins, accounts, graceMs, now: () => now }));
}

async function post(routes: Hono<ApiEnv>, path: string, body: object) {
  const headers = { 'content-type': 'application/json' };
  const answer = await routes.request(path, { method: 'POST', headers, body: JSON.stringify(body) });
  return { status: answer.status, body: (await answer.json()) as Record<string, string> };
}

async function rejoin(
  held: Held,
  options: { routes?: Hono<ApiEnv>; signer?: Keys; nonce?: string; other?: boolean } = {},
) {
  const routes = options.routes ?? app();
  const keys = await generateKeys();
  const csr = await createCsr(keys, id);
  const nonce = options.nonce ?? (await post(routes, '/v1/rejoin/challenge', {})).body.nonce!;
  const text = await rejoinText(nonce, options.other ? `${csr}\n` : csr);
  const signed = await crypto.subtle.sign(signingAlgorithm, (options.signer ?? held.keys).privateKey, text);
  const signature = Buffer.from(signed).toString('base64');
  const answer = await post(routes, '/v1/rejoin', { certificateChain: held.chain, csr, nonce, signature });
  const chain = answer.body.certificateChain ?? '';
  const next = answer.status === 200 ? { keys, chain, serial: '' } : undefined;
  return { ...answer, next };
}

describe('an expired certificate', () => {
  it('is renewed by its key, within the grace', async () => {
    const held = await joined();
    now += HOUR + GRACE - 1000;
    const { status, next } = await rejoin(held);
    expect(status).toBe(200);
    expect(parseSvid(next!.chain)).toMatchObject({ spiffeId: id, notAfter: now + HOUR });
    expect(joins.ofSerial(held.serial)).toMatchObject({ revoked: undefined, notAfter: now + HOUR });
    now += 2 * HOUR;
    expect((await rejoin(next!)).status).toBe(200);
  });

  it('is renewed again where the answer was lost, and revokes its join where it was not', async () => {
    const held = await joined();
    now += 2 * HOUR;
    await rejoin(held);
    const { next } = await rejoin(held);
    now += 2 * HOUR;
    expect((await rejoin(next!)).status).toBe(200);
    expect(await rejoin(held)).toMatchObject({
      status: 403,
      body: { message: expect.stringContaining('was revoked') },
    });
    expect(await rejoin(next!)).toMatchObject({ status: 403 });
  });

  it.each([
    ['after the grace', /longer ago than --rejoin-grace allows/, {}, (): void => void (now += HOUR + GRACE)],
    [
      'for a nonce that is not of this control plane',
      /nonce/,
      { nonce: Buffer.alloc(56).toString('base64url') },
      () => {},
    ],
    ['for a signature over another request', /signature is not by the key/, { other: true }, () => {}],
  ])('is refused %s', async (_, reason, options, wait) => {
    const held = await joined();
    now += HOUR + 1000;
    wait();
    expect(await rejoin(held, options)).toMatchObject({
      status: 403,
      body: { message: expect.stringMatching(reason) },
    });
    expect(joins.ofSerial(held.serial)?.revoked).toBeUndefined();
  });

  it('is refused for a nonce of more than a minute ago', async () => {
    const held = await joined();
    now += HOUR + 1000;
    const routes = app();
    const { nonce } = (await post(routes, '/v1/rejoin/challenge', {})).body;
    now += 61_000;
    expect(await rejoin(held, { routes, nonce: nonce! })).toMatchObject({ status: 403 });
  });

  it('cannot be used, nor its join revoked, by who has the certificate alone', async () => {
    const held = await joined();
    const { next } = await rejoin(held);
    await joins.forRenewal(joins.ofSerial(held.serial)!.serial);
    expect(await rejoin(held, { signer: await generateKeys() })).toMatchObject({ status: 403 });
    expect((await rejoin(next!)).status).toBe(200);
  });

  it('is refused where it is turned off, for an ephemeral join, a revoked one, and a revoked account', async () => {
    const held = await joined();
    const message = async (answer: ReturnType<typeof rejoin>) => (await answer).body.message;
    expect(await message(rejoin(held, { routes: app(0) }))).toContain('--rejoin-grace 0');
    expect(await message(rejoin(await joined(true)))).toContain('was ephemeral');
    await accounts.revoke({ namespace: 'default', serviceAccount: 'reviews' });
    expect(await message(rejoin(held))).toContain('was revoked');
    await joins.revoke(joins.ofSerial(held.serial)!.id, 'by command');
    expect(await message(rejoin(held))).toMatch(/revoked/);
  });

  it('is refused of an authority that the mesh does not have', async () => {
    const other = await openAuthority({ folder: join(folder, 'other'), trustDomain: 'td', now: () => now });
    const keys = await generateKeys();
    const issued = await other.issue(await createCsr(keys), id);
    expect(await rejoin({ keys, chain: issued.certificateChain, serial: issued.serial })).toMatchObject({
      status: 403,
    });
  });
});

it('takes so many attempts of one address and no more, before it reads them', async () => {
  const routes = app();
  const challenge = () => post(routes, '/v1/rejoin/challenge', {});
  for (let i = 0; i < 100; i++) expect((await challenge()).status).toBe(200);
  expect(await challenge()).toMatchObject({ status: 429, body: { message: expect.stringContaining('try again') } });
  expect(await post(routes, '/v1/rejoin', {})).toMatchObject({ status: 429 });
  now += 1000;
  expect((await challenge()).status).toBe(200);
});

it('counts the addresses of an IPv6 /64 as one, which one host may have all of', async () => {
  const routes = app();
  const from = async (remoteAddress: string) => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' };
    return (await routes.request('/v1/rejoin/challenge', init, { remoteAddress })).status;
  };
  for (let i = 0; i < 100; i++) expect(await from(`2001:db8::${i}`)).toBe(200);
  expect(await from('2001:db8::ffff')).toBe(429);
  expect(await from('2001:db8:0:1::1')).toBe(200);
});
