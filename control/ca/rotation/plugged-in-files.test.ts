import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { decodeCertificates } from '../../../shared/identity/certificate.ts';
import { createCsr } from '../../../shared/identity/csr.ts';
import { generateKeys } from '../../../shared/identity/keys.ts';
import { parseCertificates } from '../../../shared/identity/svid.ts';
import { verifyChain } from '../../../shared/identity/verify.ts';
import { type Authority, openAuthority } from '../authority.ts';
import { PluggedInFiles } from './plugged-in-files.ts';

const NAMES = ['root-cert.pem', 'ca-cert.pem', 'ca-key.pem', 'cert-chain.pem'];
let temporary: string;
let authority: Authority;
const at = (...path: string[]) => join(temporary, ...path);
const text = (...path: string[]) => readFileSync(at(...path), 'utf8');

beforeEach(async () => {
  temporary = mkdtempSync(join(tmpdir(), 'tulle-plugged-in-'));
  for (const name of ['used', 'next']) {
    await openAuthority({ folder: at(name), trustDomain: 'td' });
    rmSync(at(name, 'root-key.pem'));
  }
  authority = await openAuthority({ folder: at('used'), trustDomain: 'td' });
});
afterEach(() => rmSync(temporary, { recursive: true, force: true }));

const leaf = async () =>
  (await authority.issue(await createCsr(await generateKeys()), 'spiffe://td/ns/a/sa/b')).certificateChain;
const trusts = (roots: string, chain: string) =>
  verifyChain({
    chain: decodeCertificates(chain),
    roots: parseCertificates(roots),
    now: Date.now(),
    purpose: 'client',
  });
const following = () => {
  const changed = vi.fn(async () => {});
  const lines: string[] = [];
  const files = new PluggedInFiles({ authority, changed, log: (line) => void lines.push(line) });
  files.close();
  return { files, changed, lines };
};

it('trusts a root beside the one before, then issues by it', async () => {
  const { files, changed, lines } = following();
  await files.look();
  expect([changed.mock.calls.length, lines]).toEqual([0, []]);

  const both = text('used', 'root-cert.pem') + text('next', 'root-cert.pem');
  writeFileSync(at('used', 'root-cert.pem'), both);
  await files.look();
  expect(changed).toHaveBeenCalledOnce();
  expect(authority.roots).toHaveLength(2);
  await expect(trusts(text('next', 'root-cert.pem'), await leaf())).rejects.toThrow();

  for (const name of NAMES.slice(1)) copyFileSync(at('next', name), at('used', name));
  await files.look();
  expect(changed).toHaveBeenCalledTimes(2);
  await expect(trusts(text('next', 'root-cert.pem'), await leaf())).resolves.toBeDefined();
  expect(lines).toHaveLength(2);
});

it('keeps what it had while the files do not fit together, and says why once', async () => {
  const { files, changed, lines } = following();
  const before = authority.trustBundle;
  copyFileSync(at('next', 'ca-cert.pem'), at('used', 'ca-cert.pem'));
  await files.look();
  await files.look();
  expect(lines).toEqual([
    expect.stringMatching(/^--ca-certs: .*ca-key.pem is not the key of .*; what was read before stays/),
  ]);
  for (const name of NAMES) rmSync(at('used', name));
  await files.look();
  expect(lines.at(-1)).toMatch(/root-cert.pem is missing/);
  expect([changed.mock.calls.length, authority.trustBundle]).toEqual([0, before]);
  await leaf();
});

it('leaves an authority that was made here alone', async () => {
  authority = await openAuthority({ folder: at('own'), trustDomain: 'td' });
  const { files, changed, lines } = following();
  copyFileSync(at('next', 'ca-cert.pem'), at('own', 'ca-cert.pem'));
  await files.look();
  expect([changed.mock.calls.length, lines]).toEqual([0, []]);
});
