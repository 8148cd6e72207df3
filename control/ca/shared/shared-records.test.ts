/** Two control planes on one store: what is once stays once, whichever of them is asked, and whatever either has heard of the other. */
import { beforeEach, expect, it } from 'vitest';
import { MemoryStateStore } from '../../store/state/testing/memory-state.ts';
import { Accounts } from '../accounts.ts';
import { JoinTokens } from '../join-tokens.ts';
import type { NewJoin } from '../joins.ts';
import { firstSerial, readSerial } from '../life/serials.ts';
import { SharedJoins } from './shared-joins.ts';
import { sharedRevocationStore } from './shared-revocations.ts';
import { sharedTokenStore } from './shared-tokens.ts';

const HOUR = 3_600_000;
const reviews: NewJoin = {
  namespace: 'shop',
  serviceAccount: 'reviews',
  group: undefined,
  by: 'token 0123456789abcdef',
  labels: {},
  ephemeral: false,
};

let now: number;
let a: ReturnType<MemoryStateStore['member']>;
let b: typeof a;
let joinsA: SharedJoins;
let joinsB: SharedJoins;
let store: MemoryStateStore;

beforeEach(() => {
  now = 1_750_000_000_000;
  store = new MemoryStateStore();
  [a, b] = [store.member(), store.member()];
  [joinsA, joinsB] = [a, b].map((state) => new SharedJoins(state, { graceMs: HOUR, now: () => now })) as [
    SharedJoins,
    SharedJoins,
  ];
});

const certificate = (serial = firstSerial()) => ({ serial, notAfter: now + HOUR });

async function renew(joins: SharedJoins, serial: string): Promise<string> {
  const { id } = (await joins.forRenewal(serial))!;
  const next = certificate(await joins.nextSerial(id));
  await joins.renewed(id, next);
  return next.serial;
}

it('claims a use of a join token for one caller of either', async () => {
  const tokens = [new JoinTokens(sharedTokenStore(a), () => now), new JoinTokens(sharedTokenStore(b), () => now)];
  const once = await tokens[0]!.create({ namespace: 'shop', serviceAccount: 'reviews' });
  const thrice = await tokens[0]!.create({ namespace: 'shop', serviceAccount: 'reviews' }, 60, 3);
  b.hold();
  for (const [{ token }, uses] of [
    [once, 1],
    [thrice, 3],
  ] as const) {
    const claims = Array.from({ length: 10 }, (_, i) => tokens[i % 2]!.redeem(token));
    const settled = await Promise.allSettled(claims);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(uses);
    for (const one of settled) if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'used' });
  }
  const other = await tokens[1]!.create({ namespace: 'shop', serviceAccount: 'reviews' });
  await tokens[0]!.revoke(other.id);
  await expect(tokens[1]!.redeem(other.token)).rejects.toMatchObject({ code: 'revoked' });
});

it('gives no generation of a join twice, and revokes for a superseded certificate that the other one has seen renewed', async () => {
  const first = certificate();
  const { id } = await joinsA.begin(reviews, first);
  const serials = await Promise.all(
    Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? joinsA : joinsB).nextSerial(id)),
  );
  const generations = serials.map((serial) => readSerial(serial)!.generation);
  expect(new Set(generations).size).toBe(8);
  // B hears nothing of what A does from here on.
  b.hold();
  const second = await renew(joinsA, first.serial);
  const third = await renew(joinsA, second);
  let reported = 0;
  joinsA.onRevoked(() => reported++);
  await expect(joinsB.forRenewal(first.serial)).rejects.toMatchObject({
    code: 'revoked',
    message: expect.stringContaining('was used after a later one'),
  });
  expect(joinsA.isRevoked(third)).toBe(true);
  expect(reported).toBeGreaterThan(0);
  expect(new Set(joinsA.revokedCertificates().map(({ serial }) => serial))).toEqual(
    new Set([first.serial, second, third]),
  );
  await expect(joinsA.renewed(id, certificate())).rejects.toMatchObject({ code: 'revoked' });
  b.release();
  expect(joinsB.revokedCertificates()).toHaveLength(3);
});

it('lets a machine renew at one after the other, also where an answer was lost', async () => {
  const first = certificate();
  await joinsA.begin(reviews, first);
  const lost = await renew(joinsB, first.serial);
  const second = await renew(joinsA, first.serial);
  const third = await renew(joinsB, second);
  joinsB.touch(third);
  await expect.poll(() => joinsA.ofSerial(third)?.serial).toBe(third);
  await expect(joinsA.forRenewal(lost)).rejects.toMatchObject({ code: 'revoked' });
});

it('adopts a certificate of an earlier version once', async () => {
  const old = { serial: 'abcdef', notAfter: now + HOUR };
  b.hold();
  const [one, other] = await Promise.all([joinsA.adopt(reviews, old), joinsB.adopt(reviews, old)]);
  expect(one.id).toBe(other.id);
  expect((await joinsB.forRenewal(old.serial))?.id).toBe(one.id);
});

it('keeps refusing a join whose revocation the store did not take, and forgets joins after their grace', async () => {
  const begun = await joinsA.begin(reviews, certificate());
  const broken = new SharedJoins(
    { ...a, commit: () => Promise.reject(new Error('no majority')) },
    { graceMs: 0, now: () => now },
  );
  await expect(broken.revoke(begun.id, 'by command')).rejects.toThrow('no majority');
  expect([broken.isRevoked(begun.serial), joinsB.isRevoked(begun.serial)]).toEqual([true, false]);
  now += 3 * HOUR;
  joinsA.list();
  await expect.poll(() => joinsB.list()).toEqual([]);
  expect(b.entries('join-certificates')).toEqual([]);
});

it('refuses an account that the other one has revoked, and allows it when it is made again there', async () => {
  const created: Record<string, string> = {};
  const resources = {
    get: async ({ plural, name }: { plural: string; name: string }) => {
      const at = plural === 'namespaces' ? '2020-01-01T00:00:00Z' : created[name];
      return at ? { apiVersion: 'v1', kind: 'X', metadata: { name, creationTimestamp: at } } : undefined;
    },
  };
  const [one, other] = await Promise.all(
    [a, b].map((state) => Accounts.open(resources, sharedRevocationStore(state), () => now)),
  );
  const account = { namespace: 'shop', serviceAccount: 'reviews' };
  await one!.revoke(account);
  await expect(other!.check(account)).rejects.toThrow('was revoked');
  created['reviews'] = new Date(now + 5000).toISOString();
  await other!.check(account);
  await expect.poll(() => one!.list()).toEqual([]);
  await one!.check(account);
});
