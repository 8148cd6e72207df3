import { createHash, X509Certificate as NodeCertificate } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCsr } from '../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { encodePem } from '../../shared/identity/pem.ts';
import { parseSvid } from '../../shared/identity/svid.ts';
import { verifyChain } from '../../shared/identity/verify.ts';
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '../../shared/identity/x509.ts';
import { outputOf, works } from '../../tests/kit/process.ts';
import { openAuthority } from './authority.ts';

const id = 'spiffe://td/ns/a/sa/b';
const trustDomain = 'td';
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tulle-ca-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const maxTtl = 90 * 24 * 3600;
const open = (now?: () => number) => openAuthority({ folder, trustDomain, maxTtl, ...(now ? { now } : {}) });
const csr = async () => createCsr(await generateKeys(), id);
const read = (name: string) => readFileSync(join(folder, name), 'utf8');

describe('an authority made at first start', () => {
  it('issues SVIDs that verify, here and in OpenSSL', async () => {
    const authority = await open();
    const before = Date.now();
    const issued = await authority.issue(await csr(), id, 10);
    const after = Date.now();
    const svid = parseSvid(issued.certificateChain);
    expect(svid).toMatchObject({ spiffeId: id, notAfter: issued.notAfter });
    expect(issued.notAfter - before).toBeGreaterThan(8_900);
    expect(issued.notAfter - after).toBeLessThan(12_000);
    expect(after - issued.notBefore).toBeGreaterThanOrEqual(60_000);
    const verified = await verifyChain({
      chain: svid.der,
      roots: authority.roots,
      now: Date.now(),
      purpose: 'client',
      trustDomain,
    });
    expect(verified.path).toHaveLength(3);
    const [leaf, intermediate] = svid.der.map((der) => new NodeCertificate(der));
    expect(leaf!.checkIssued(intermediate!) && leaf!.verify(intermediate!.publicKey) && !leaf!.ca).toBe(true);
    const san = svid.chain[0]!.getExtension(SubjectAlternativeNameExtension);
    expect([svid.chain[0]!.subject, san?.critical]).toEqual(['', true]);
  });

  it('keeps keys 0600 and is the same after a restart', async () => {
    const first = await open();
    const second = await open();
    expect(second.trustBundle).toBe(first.trustBundle);
    expect(second.intermediates[0]!.toString('pem')).toBe(first.intermediates[0]!.toString('pem'));
    for (const name of ['root-key.pem', 'ca-key.pem']) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  });

  it('completes a first start that a crash interrupted, under the same root', async () => {
    const first = await open();
    for (const name of ['ca-cert.pem', 'cert-chain.pem']) rmSync(join(folder, name));
    const second = await open();
    expect(second.trustBundle).toBe(first.trustBundle);
    expect((await second.issue(await csr(), id)).certificateChain).not.toBe('');
  });

  it('renews its intermediate in time, once, and old leaves stay valid', async () => {
    let now = Date.now();
    const authority = await open(() => now);
    const before = authority.intermediates[0]!.serialNumber;
    const old = parseSvid((await authority.issue(await csr(), id, 90 * 24 * 3600)).certificateChain);
    now += 300 * 24 * 3_600_000;
    await Promise.all([authority.issue(await csr(), id), authority.issue(await csr(), id)]);
    const after = authority.intermediates[0]!.serialNumber;
    expect(after).not.toBe(before);
    expect((await open(() => now)).intermediates[0]!.serialNumber).toBe(after);
    const check = { chain: old.der, roots: authority.roots, now: old.notAfter, purpose: 'client' } as const;
    await expect(verifyChain(check)).resolves.toMatchObject({ spiffeId: id });
  });

  it('gives the control API a certificate for its names', async () => {
    const { certificateChain } = await (await open()).serverCertificate({
      dnsNames: ['localhost'],
      ips: ['127.0.0.1', '::1'],
    });
    const leaf = new NodeCertificate(certificateChain);
    expect([leaf.checkHost('localhost'), leaf.checkIP('127.0.0.1'), leaf.checkIP('::1')]).not.toContain(undefined);
  });

  it.each([
    [9, /10 to/],
    [0, /10 to/],
    [1.5, /10 to/],
    [91 * 24 * 3600, /10 to/],
  ])('refuses a life time of %d s', async (ttl, message) => {
    await expect((await open()).issue(await csr(), id, ttl)).rejects.toThrow(message);
  });

  it('has a default life time that can be set', async () => {
    const authority = await openAuthority({ folder, trustDomain, defaultTtl: 60, now: () => 2e12 });
    expect((await authority.issue(await csr(), id)).notAfter).toBe(2e12 + 60_000);
    await expect(openAuthority({ folder, trustDomain, defaultTtl: 1 })).rejects.toThrow(/10 to/);
  });

  it('refuses a lifetime above the longest it grants, which is the default one unless set', async () => {
    const strict = await openAuthority({ folder, trustDomain, defaultTtl: 60 });
    await expect(strict.issue(await csr(), id, 61)).rejects.toThrow('lifetime is 61 s: must be 10 to 60 seconds');
    await strict.issue(await csr(), id, 60);
    const now = () => 2e12;
    const generous = await openAuthority({ folder, trustDomain, defaultTtl: 60, maxTtl: 90, now });
    expect((await generous.issue(await csr(), id, 90)).notAfter).toBe(2e12 + 90_000);
    await expect(generous.issue(await csr(), id, 91)).rejects.toThrow('must be 10 to 90 seconds');
    await expect(openAuthority({ folder, trustDomain, defaultTtl: 60, maxTtl: 59 })).rejects.toThrow(
      'must be 10 to 59',
    );
    await expect(openAuthority({ folder, trustDomain, maxTtl: maxTtl + 1 })).rejects.toThrow('must be 10 to 7776000');
  });

  it('signs only requests that it has checked itself', async () => {
    const first = await open();
    const checked = await first.check(await csr(), id, 10);
    expect(parseSvid((await first.sign(checked)).certificateChain).spiffeId).toBe(id);
    const second = await open();
    await expect(second.sign(checked)).rejects.toThrow('not checked by this authority');
  });

  it('refuses an id of another trust domain', async () => {
    await expect((await open()).issue(await csr(), 'spiffe://x/ns/a/sa/b')).rejects.toThrow(/trust domain "td"/);
  });
});

describe('CSRs', () => {
  const issue = async (text: string) => (await open()).issue(text, id);

  it('refuses one for another SPIFFE id', async () => {
    const text = await createCsr(await generateKeys(), 'spiffe://td/ns/a/sa/root');
    await expect(issue(text)).rejects.toThrow(/CSR names "spiffe:\/\/td\/ns\/a\/sa\/root"/);
  });

  it('ignores other names', async () => {
    const keys = await generateKeys();
    const request = await Pkcs10CertificateRequestGenerator.create({
      name: 'CN=admin',
      keys,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: 'bank.example' }])],
    });
    const { chain } = parseSvid((await issue(request.toString('pem'))).certificateChain);
    const names = chain[0]!.getExtension(SubjectAlternativeNameExtension)!.names.items.map(({ value }) => value);
    expect([chain[0]!.subject, names]).toEqual(['', [id]]);
  });

  it('refuses one signed by another key', async () => {
    const mine = await generateKeys();
    const theirs = await generateKeys();
    const text = await createCsr({ privateKey: mine.privateKey, publicKey: theirs.publicKey }, id);
    await expect(issue(text)).rejects.toThrow(/not signed by the key/);
  });

  it.each([
    [
      'RSA 1024',
      { name: 'RSASSA-PKCS1-v1_5', modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' },
    ],
    ['P-521', { name: 'ECDSA', namedCurve: 'P-521' }],
  ])('refuses a key of %s', async (_name, algorithm) => {
    const keys = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as Awaited<
      ReturnType<typeof generateKeys>
    >;
    const signingAlgorithm = { name: algorithm.name, hash: 'SHA-256' };
    const request = await Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm });
    await expect(issue(request.toString('pem'))).rejects.toThrow(/key must be/);
  });

  it.each([
    [
      'RSA 2048',
      { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' },
    ],
    ['P-384', { name: 'ECDSA', namedCurve: 'P-384' }],
    ['Ed25519', { name: 'Ed25519' }],
  ])('takes a key of %s', async (_name, algorithm) => {
    const keys = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as Awaited<
      ReturnType<typeof generateKeys>
    >;
    const signingAlgorithm = { name: algorithm.name, hash: 'SHA-256' };
    const request = await Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm });
    expect(parseSvid((await issue(request.toString('pem'))).certificateChain).spiffeId).toBe(id);
  });

  it.each(['', 'x', encodePem('CERTIFICATE REQUEST', new Uint8Array([1, 2, 3])), 'A'.repeat(20_000)])(
    'refuses what is no CSR',
    async (text) => expect(issue(text)).rejects.toMatchObject({ name: 'CsrError' }),
  );
});

describe('a plugged-in authority', () => {
  /** An own authority's files without the root's key are exactly what an operator plugs in. */
  beforeEach(async () => {
    await open();
    rmSync(join(folder, 'root-key.pem'));
  });

  it('issues under its root', async () => {
    const authority = await open();
    const svid = parseSvid((await authority.issue(await csr(), id)).certificateChain);
    expect(authority.trustBundle.trim()).toBe(read('root-cert.pem').trim());
    await expect(
      verifyChain({ chain: svid.der, roots: authority.roots, now: Date.now(), purpose: 'server' }),
    ).resolves.toMatchObject({ spiffeId: id });
  });

  it.each(['root-cert.pem', 'ca-cert.pem', 'ca-key.pem'])('names a missing %s', async (name) => {
    rmSync(join(folder, name));
    await expect(open()).rejects.toThrow(new RegExp(`${name} is missing`));
  });

  it.each(['root-cert.pem', 'ca-cert.pem', 'ca-key.pem', 'cert-chain.pem'])('names a broken %s', async (name) => {
    writeFileSync(join(folder, name), 'garbage');
    await expect(open()).rejects.toThrow(new RegExp(`${name}`));
  });

  it("refuses another certificate's key", async () => {
    writeFileSync(join(folder, 'ca-key.pem'), await exportPrivateKey((await generateKeys()).privateKey));
    await expect(open()).rejects.toThrow(/ca-key.pem is not the key of .*ca-cert.pem/);
  });

  it('refuses a leaf as CA', async () => {
    const keys = await generateKeys();
    const { certificateChain } = await (await open()).issue(await createCsr(keys), id);
    writeFileSync(join(folder, 'ca-cert.pem'), certificateChain);
    writeFileSync(join(folder, 'ca-key.pem'), await exportPrivateKey(keys.privateKey));
    await expect(open()).rejects.toThrow(/ca-cert.pem: .* is not a CA/);
  });

  it('refuses a root that did not sign it', async () => {
    const other = mkdtempSync(join(tmpdir(), 'tulle-ca-'));
    await openAuthority({ folder: other, trustDomain });
    cpSync(join(other, 'root-cert.pem'), join(folder, 'root-cert.pem'));
    writeFileSync(join(folder, 'cert-chain.pem'), read('ca-cert.pem'));
    rmSync(other, { recursive: true });
    await expect(open()).rejects.toThrow(/ca-cert.pem does not chain to root-cert.pem/);
  });

  it('refuses an expired one', async () => {
    await expect(open(() => Date.now() + 400 * 24 * 3_600_000)).rejects.toThrow(/ca-cert.pem: .* expired at/);
  });

  it('limits leaves to its own expiry and then refuses', async () => {
    const expiry = (await open()).intermediates[0]!.notAfter.getTime();
    let now = expiry - 60_000;
    const authority = await open(() => now);
    expect((await authority.issue(await csr(), id)).notAfter).toBe(expiry);
    now = expiry - 5_000;
    await expect(authority.issue(await csr(), id)).rejects.toThrow(/expires at .*: plug in a new one/);
  });
});

describe('a CA made with openssl', () => {
  it('is taken with RSA keys and UTF8String names, the issuer name kept byte for byte', async (test) => {
    const openssl = (...args: string[]) => outputOf('openssl', args, { cwd: folder });
    if (!works('openssl', ['version'])) return test.skip('openssl is not installed');
    const root = [
      '-keyout',
      'r.key',
      '-out',
      'root-cert.pem',
      '-subj',
      '/O=Ünï/CN=Root',
      '-utf8',
      '-addext',
      'keyUsage=critical,keyCertSign',
    ];
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...root);
    openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      'ca-key.pem',
      '-out',
      'i.csr',
      '-subj',
      '/O=Ünï/CN=Int',
      '-utf8',
    );
    writeFileSync(join(folder, 'ext'), 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign');
    const sign = ['-CA', 'root-cert.pem', '-CAkey', 'r.key', '-CAcreateserial', '-days', '1', '-extfile', 'ext'];
    openssl('x509', '-req', '-in', 'i.csr', '-out', 'ca-cert.pem', ...sign);
    const { certificateChain } = await (await open()).issue(await csr(), id);
    writeFileSync(join(folder, 'leaf.pem'), certificateChain);
    const verify = openssl(
      'verify',
      '-x509_strict',
      '-CAfile',
      'root-cert.pem',
      '-untrusted',
      'ca-cert.pem',
      'leaf.pem',
    );
    expect(verify.toString()).toContain('leaf.pem: OK');
    const [leaf, issuer] = parseSvid(certificateChain).chain;
    const digest = (name: ArrayBuffer) => createHash('sha256').update(new Uint8Array(name)).digest('hex');
    expect(digest(leaf!.issuerName.toArrayBuffer())).toBe(digest(issuer!.subjectName.toArrayBuffer()));
  });
});
