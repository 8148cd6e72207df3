import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { isHeld, type NewJoin } from '../joins.ts';
import { randomSerial } from '../key-material.ts';
import { JoinTable } from './join-table.ts';
import { firstSerial, readSerial, serialOf } from './serials.ts';
import { openJoins } from './sqlite-joins.ts';

const HOUR = 3_600_000;
const reviews: NewJoin = {
  namespace: 'shop',
  serviceAccount: 'reviews',
  group: 'reviews',
  by: 'token 0123456789abcdef',
  labels: { a: 'b' },
  ephemeral: false,
};
let folder: string;
let now: number;
let joins: Awaited<ReturnType<typeof openJoins>>;
let lines: string[];

const open = () =>
  openJoins(join(folder, 'joins.sqlite'), { graceMs: HOUR, now: () => now, log: (line) => lines.push(line) });
async function reopen() {
  joins.close();
  joins = await open();
}
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tulle-joins-'));
  now = Date.parse('2026-01-01T00:00:00Z');
  lines = [];
  joins = await open();
});
afterEach(() => {
  joins.close();
  rmSync(folder, { recursive: true, force: true });
});

const certificate = (serial = firstSerial()) => ({ serial, notAfter: now + HOUR });
async function renew(serial: string): Promise<string> {
  const { id } = (await joins.forRenewal(serial))!;
  const next = certificate(await joins.nextSerial(id));
  await joins.renewed(id, next);
  return next.serial;
}

it('keeps joins over a restart, and finds them by any of their certificates', async () => {
  const begun = await joins.begin(reviews, certificate());
  const second = await renew(begun.serial);
  await reopen();
  expect(joins.list()).toEqual([joins.ofSerial(begun.serial)]);
  expect(joins.ofSerial(second)).toMatchObject({ ...reviews, id: begun.id, created: now, serial: second });
  expect(joins.ofSerial(firstSerial())).toBeUndefined();
});

it('gives serial numbers of 20 octets that name join and generation', () => {
  const first = firstSerial();
  expect(first).toMatch(/^[4-7][0-9a-f]{39}$/);
  expect(readSerial(first)).toMatchObject({ generation: 1 });
  expect(readSerial(serialOf({ join: first.slice(0, 16), generation: 0x1234 }))).toEqual({
    join: first.slice(0, 16),
    generation: 0x1234,
  });
  expect(readSerial(randomSerial())).toBeUndefined();
});

it('renews by the certificate of the last answer that arrived, whatever answers were lost', async () => {
  let held = (await joins.begin(reviews, certificate())).serial;
  for (const lost of [0, 3, 1, 12]) {
    for (let i = 0; i < lost; i++) await renew(held);
    if (lost === 3) await reopen();
    held = await renew(held);
  }
  expect(joins.ofSerial(held)).toMatchObject({ serial: held, revoked: undefined });
});

it('accepts the answer of either of two renewals that run at once', async () => {
  const { serial } = await joins.begin(reviews, certificate());
  const [a, b] = await Promise.all([renew(serial), renew(serial)]);
  await renew(a!);
  await expect(renew(b!)).rejects.toMatchObject({ code: 'revoked' });
});

it('revokes the join of a certificate that is used after a later one was presented', async () => {
  const begun = await joins.begin(reviews, certificate());
  const second = await renew(begun.serial);
  joins.touch(second);
  let changes = 0;
  joins.onRevoked(() => void changes++);
  await expect(joins.forRenewal(begun.serial)).rejects.toMatchObject({ code: 'revoked' });
  expect(changes).toBe(1);
  expect(lines).toEqual([expect.stringMatching(/^join [0-9a-f]{16} of shop\/reviews .*there is a copy of its key/)]);
  await reopen();
  await expect(joins.forRenewal(second)).rejects.toThrow(/was revoked at 2026-01-01.*tulle invite/);
  expect(joins.revokedCertificates().map((one) => one.serial)).toEqual([begun.serial, second].sort());
});

it('notices a copy in whichever order the two holders renew', async () => {
  for (const order of ['machine', 'thief']) {
    const { serial } = await joins.begin(reviews, certificate());
    const held: Record<string, string> = { machine: serial, thief: serial };
    const steps = order === 'machine' ? ['machine', 'thief'] : ['thief', 'machine'];
    for (const who of steps) held[who] = await renew(held[who]!);
    await renew(held[steps[0]!]!);
    await expect(renew(held[steps[1]!]!)).rejects.toMatchObject({ code: 'revoked' });
  }
});

it('takes a certificate that is newer than its records for one that renews: they came from a backup', async () => {
  const { serial, id } = await joins.begin(reviews, certificate());
  await renew(serialOf({ join: id, generation: 7 }));
  await expect(renew(serial)).rejects.toMatchObject({ code: 'revoked' });
});

it('adopts a certificate of an earlier version once', async () => {
  const old = randomSerial();
  expect(await joins.forRenewal(old)).toBeUndefined();
  const adopted = await joins.adopt(reviews, certificate(old));
  expect(await joins.adopt(reviews, certificate(old))).toMatchObject({ id: adopted.id });
  const next = await renew(old);
  await reopen();
  expect(joins.ofSerial(old)).toMatchObject({ id: adopted.id });
  await renew(next);
  await expect(renew(old)).rejects.toMatchObject({ code: 'revoked' });
});

it('refuses a certificate of a join that it does not know', async () => {
  await expect(joins.forRenewal(firstSerial())).rejects.toMatchObject({ code: 'unknown' });
});

it('holds no join that is revoked, also when its record is forgotten', async () => {
  const { id } = await joins.begin(reviews, certificate());
  expect(isHeld(joins, id)).toBe(true);
  await joins.revoke(id, 'by command');
  expect(isHeld(joins, id)).toBe(false);
  now += 2 * HOUR + 1;
  await joins.begin(reviews, certificate());
  expect([joins.get(id), isHeld(joins, id)]).toEqual([undefined, false]);
});

it('revokes where the disk fails, says so, and writes it when it is asked again', async () => {
  const begun = await joins.begin(reviews, certificate());
  let changes = 0;
  joins.onRevoked(() => changes++);
  vi.spyOn(JoinTable.prototype, 'write').mockRejectedValueOnce(new Error('disk full'));
  await expect(joins.revoke(begun.id, 'by command')).rejects.toThrow('disk full');
  expect([changes, joins.isRevoked(begun.serial)]).toEqual([1, true]);
  expect(joins.revokedCertificates()).toHaveLength(1);
  expect(await joins.revoke(begun.id, 'once more')).toMatchObject({ reason: 'by command' });
  await reopen();
  expect(joins.get(begun.id)).toMatchObject({ revoked: now, reason: 'by command' });
  expect(joins.revokedCertificates()).toHaveLength(1);
});

it('hands out no certificate of a join that was revoked while it was signed', async () => {
  const { id } = await joins.begin(reviews, certificate());
  const next = certificate(await joins.nextSerial(id));
  await joins.revoke(id, 'by command');
  await expect(joins.renewed(id, next)).rejects.toMatchObject({ code: 'revoked' });
});

it('forgets a join after the grace of its last certificate, an ephemeral one at its end', async () => {
  await joins.begin(reviews, certificate());
  await joins.begin({ ...reviews, ephemeral: true }, certificate());
  now += HOUR + 1;
  expect(joins.list()).toHaveLength(1);
  now += HOUR;
  expect(joins.list()).toHaveLength(0);
  await reopen();
  expect(joins.list()).toHaveLength(0);
});

it('is locked by the process that has it open', async () => {
  await expect(open()).rejects.toThrow(/joins\.sqlite: in use by another process/);
});
