import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { decodeCertificates } from '../../../shared/identity/certificate.ts';
import { createCsr } from '../../../shared/identity/csr.ts';
import { generateKeys } from '../../../shared/identity/keys.ts';
import { parseCertificates } from '../../../shared/identity/svid.ts';
import { verifyChain } from '../../../shared/identity/verify.ts';
import { type Authority, openAuthority } from '../authority.ts';
import { RotationDriver } from './root-rotation.ts';

const id = 'spiffe://td/ns/a/sa/b';
let folder: string;
let now: number;
let authority: Authority;

const open = () => openAuthority({ folder, trustDomain: 'td', now: () => now, defaultTtl: 3600 });
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tulle-rotation-'));
  now = Math.floor(Date.now() / 1000) * 1000;
  authority = await open();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const leaf = async () => (await authority.issue(await createCsr(await generateKeys()), id)).certificateChain;
/** As a proxy with this bundle judges it. */
const trusts = (bundle: string, chain: string): Promise<boolean> =>
  verifyChain({ chain: decodeCertificates(chain), roots: parseCertificates(bundle), now, purpose: 'client' }).then(
    () => true,
    () => false,
  );
const phase = () => authority.rotation.show().phase;

it('issues what every bundle of the time before and after trusts, in every phase and over restarts', async () => {
  const first = authority.trustBundle;
  const before = await leaf();
  await authority.rotation.announce();
  const second = parseCertificates(authority.trustBundle)[0]!.toString('pem');
  for (const restart of [false, true]) {
    if (restart) authority = await open();
    expect(phase()).toBe('announced');
    const announced = await leaf();
    for (const bundle of [first, authority.trustBundle, second]) expect(await trusts(bundle, announced)).toBe(true);
    expect(await trusts(authority.trustBundle, before)).toBe(true);
  }
  await authority.rotation.issueByNext();
  for (const restart of [false, true]) {
    if (restart) authority = await open();
    expect(phase()).toBe('issuing');
    const issued = await leaf();
    // Also a machine that was away since before the rotation.
    for (const bundle of [first, authority.trustBundle, second]) expect(await trusts(bundle, issued)).toBe(true);
    expect(await trusts(authority.trustBundle, before)).toBe(true);
    const server = await authority.serverCertificate({ dnsNames: ['control'], ips: [] });
    expect(decodeCertificates(server.certificateChain)).toHaveLength(3);
  }
  const late = await leaf();
  now += 3_601_000;
  await authority.rotation.retire(false);
  for (const restart of [false, true]) {
    if (restart) authority = await open();
    expect(phase()).toBe('single');
    expect(authority.roots).toHaveLength(1);
    expect(await trusts(authority.trustBundle, await leaf())).toBe(true);
    expect(await trusts(first, await leaf())).toBe(false);
  }
  now -= 3_601_000;
  expect(await trusts(authority.trustBundle, before)).toBe(false);
  expect(await trusts(authority.trustBundle, late)).toBe(true);
  expect(existsSync(join(folder, 'root-key.pem'))).toBe(false);
  expect(readFileSync(join(folder, 'root-cert.pem'), 'utf8')).toBe(authority.trustBundle);
});

it('may be rotated again', async () => {
  for (let i = 0; i < 2; i++) {
    await authority.rotation.announce();
    await authority.rotation.issueByNext();
    await authority.rotation.retire(true);
    authority = await open();
  }
  expect(existsSync(join(folder, 'root-2'))).toBe(false);
  expect(await trusts(authority.trustBundle, await leaf())).toBe(true);
});

it('refuses steps that are not possible, saying why', async () => {
  const { rotation } = authority;
  await expect(rotation.retire(false)).rejects.toThrow(/no old root to retire \(single\)/);
  await expect(rotation.issueByNext()).rejects.toThrow(/tulle ca rotate/);
  await rotation.announce();
  await expect(rotation.announce()).rejects.toThrow(/is under way \(announced\)/);
  await rotation.issueByNext();
  await expect(rotation.retire(false)).rejects.toThrow(/certificates of the old root are valid until/);
  rmSync(join(folder, 'root-key.pem'));
});

it('refuses to rotate roots that are plugged in', async () => {
  rmSync(join(folder, 'root-key.pem'));
  authority = await open();
  await expect(authority.rotation.announce()).rejects.toThrow(/are plugged in \(--ca-certs\): replace its files/);
});

it('lets the new root issue once every connected proxy trusts it, and retires the old one when it is due', async () => {
  let behind = ['sidecar~10.0.0.1~a.b~c'];
  let looks = 0;
  const changes: string[] = [];
  const options = {
    roots: authority.rotation,
    behind: () => {
      looks++;
      return behind;
    },
    changed: async () => void changes.push(phase()),
    graceMs: 1000,
    settleMs: 0,
    now: () => now,
    log: () => {},
  };
  const driver = new RotationDriver(options);
  expect(await driver.rotate()).toMatchObject({ phase: 'announced', waitingFor: behind });
  const begun = looks;
  // It has looked again, and has ended at least one look.
  await expect.poll(() => looks, { timeout: 20_000 }).toBeGreaterThanOrEqual(begun + 2);
  expect(phase()).toBe('announced');
  behind = [];
  await expect.poll(() => changes, { timeout: 20_000 }).toEqual(['announced', 'issuing']);
  expect(driver.show()).toMatchObject({ roots: [{ issues: true }, { issues: false }] });
  now += 3_602_000;
  await expect.poll(() => changes, { timeout: 20_000 }).toEqual(['announced', 'issuing', 'single']);
  driver.stop();
});
