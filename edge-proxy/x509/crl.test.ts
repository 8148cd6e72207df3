import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCertificate } from '../../shared/identity/certificate.ts';
import { temporaryFolder } from '../../tests/kit/environment.ts';
import { outputOf, works } from '../../tests/kit/process.ts';
import { type Authority, intermediate, leaf, pem, rootAuthority } from '../../tests/mtls/certificates.ts';
import { der, type ListExtension, revocationList } from '../../tests/mtls/revocation-lists.ts';
import { MAX_CRL_TEXT, readRevocationLists } from './crl.ts';
import { type Revocation, requireNotRevoked } from './revocation.ts';

const HOUR_MS = 3_600_000;
const facts = (text: string) => readCertificate(new X509Certificate(text).raw);
const extension = (id: number, value: readonly number[], critical = true): ListExtension => ({
  id: [0x55, 0x1d, id],
  critical,
  value,
});
const pemOf = (bytes: Uint8Array) =>
  `-----BEGIN X509 CRL-----\n${Buffer.from(bytes).toString('base64')}\n-----END X509 CRL-----`;
const bytesOf = (text: string) => Buffer.from(text.replace(/-----[^-]+-----/g, ''), 'base64');

describe('revocation lists', () => {
  let root: Authority;
  let own: string;
  beforeAll(async () => {
    root = await rootAuthority('root');
    own = (await leaf(root, { uri: 'spiffe://a/b' })).cert;
  });

  it('are read once, and others beside them passed over', () => {
    const list = revocationList(root, { revoked: [own] });
    const [read, ...more] = readRevocationLists(`${pem(root)}\n${list}`);
    expect(more).toEqual([]);
    expect([...read!.revoked]).toEqual([facts(own).serial]);
    expect(read!.signedBy(facts(pem(root)).publicKey)).toBe(true);
    expect(read!.signedBy(facts(own).publicKey)).toBe(false);
    expect(readRevocationLists(`${pem(root)}\n${list}`)[0]).toBe(read);
    expect(readRevocationLists(`${list}\n${list}`)).toHaveLength(2);
    expect(readRevocationLists(pem(root))).toEqual([]);
  });

  it.each([
    ['delta', extension(27, [2, 1, 1]), /delta revocation lists are not supported/],
    ['indirect', extension(28, [0x30, 3, 0x84, 1, 0xff]), /indirect revocation lists are not supported/],
    ['of one distribution point', extension(28, [0x30, 2, 0xa0, 0]), /single distribution point are not supported/],
    ['of some reasons', extension(28, [0x30, 4, 0x83, 2, 1, 2]), /some reasons only are not supported/],
    ['of attribute certificates', extension(28, [0x30, 3, 0x85, 1, 0xff]), /attribute certificates are not supported/],
    ['with more than is known', extension(99, [5, 0]), /unknown critical extension 2\.5\.29\.99/],
  ])('are refused by name when they are %s', (_, one, message) => {
    expect(() => readRevocationLists(revocationList(root, { extensions: [one] }))).toThrow(message);
  });

  it('are refused when an entry says more than is understood', () => {
    const entry = (id: number, critical: boolean) => () =>
      readRevocationLists(revocationList(root, { revoked: [own], entryExtensions: [extension(id, [5, 0], critical)] }));
    expect(entry(29, true)).toThrow('indirect');
    expect(entry(99, true)).toThrow('unknown critical extension 2.5.29.99');
    // A reason is not.
    expect(entry(21, false)).not.toThrow();
    // An extension that is not critical may be passed over.
    expect(readRevocationLists(revocationList(root, { extensions: [extension(99, [5, 0], false)] }))).toHaveLength(1);
  });

  it('are refused when they are cut short, longer, or changed in their frame', () => {
    const whole = bytesOf(revocationList(root, { revoked: [own] }));
    for (let length = 0; length < whole.length; length++)
      expect(() => readRevocationLists(pemOf(whole.subarray(0, length))), `${length}`).toThrow(/revocation list/);
    expect(() => readRevocationLists(pemOf(Buffer.concat([whole, der(5)])))).toThrow('malformed');
    const text = revocationList(root);
    expect(() => readRevocationLists(`${text}${text.slice(0, -30)}`)).toThrow('cut short');
    expect(() => readRevocationLists('-----BEGIN X509 CRL-----\n*\n-----END X509 CRL-----')).toThrow('not base64');
    expect(() => readRevocationLists(' '.repeat(MAX_CRL_TEXT + 1))).toThrow('larger than');
    expect(() => readRevocationLists(revocationList(root).repeat(65))).toThrow('more than 64');
  });

  it('of which one byte is another never count as signed', () => {
    const whole = bytesOf(revocationList(root, { revoked: [own] }));
    const key = facts(pem(root)).publicKey;
    for (let i = 0; i < whole.length; i++) {
      const changed = Buffer.from(whole);
      changed[i]! ^= 0x01;
      let signed = false;
      try {
        signed = readRevocationLists(pemOf(changed))[0]?.signedBy(key) ?? false;
      } catch {
        continue;
      }
      expect(signed, `byte ${i}`).toBe(false);
    }
  });
});

describe('requireNotRevoked', () => {
  const judge = (path: string[], lists: string[], more: Partial<Revocation> = {}) =>
    requireNotRevoked(
      path.map(facts),
      { lists: lists.flatMap(readRevocationLists), leafOnly: false, allowExpired: false, ...more },
      Date.now(),
    );

  it('asks every certificate of the chain, or the leaf alone', async () => {
    const root = await rootAuthority('root');
    const middle = await intermediate(root, 'middle');
    const own = (await leaf(middle, { uri: 'spiffe://a/b' })).cert;
    const path = [own, pem(middle), pem(root)];
    const [ofRoot, ofMiddle] = [revocationList(root), revocationList(middle)];
    expect(() => judge(path, [ofRoot, ofMiddle])).not.toThrow();
    expect(() => judge(path, [ofRoot])).toThrow('no revocation list of its issuer');
    expect(() => judge(path, [ofMiddle])).toThrow('no revocation list of its issuer');
    expect(() => judge(path, [ofMiddle], { leafOnly: true })).not.toThrow();
    const bad = revocationList(root, { revoked: [pem(middle)] });
    expect(() => judge(path, [bad, ofMiddle])).toThrow('is revoked');
    expect(() => judge(path, [bad, ofMiddle], { leafOnly: true })).not.toThrow();
    const late = { thisUpdate: new Date(Date.now() - 2 * HOUR_MS), nextUpdate: new Date(Date.now() - HOUR_MS) };
    expect(() => judge(path, [revocationList(root, late), ofMiddle])).toThrow('has expired');
    expect(() => judge(path, [revocationList(root, late), ofMiddle], { allowExpired: true })).not.toThrow();
    expect(() => judge(path, [revocationList(root, { signer: middle }), ofMiddle])).toThrow('not signed by its issuer');
  });
});

const openssl = works('openssl', ['version']);
if (!openssl) console.warn('skipped: revocation lists of openssl (it is not installed)');

describe.skipIf(!openssl)('lists that openssl writes', () => {
  const folder = temporaryFolder();
  afterAll(() => folder.dispose());
  const run = (...args: string[]) => outputOf('openssl', args, { cwd: folder.path });
  const text = (name: string) => readFileSync(join(folder.path, name), 'utf8');

  it.each([
    ['rsa:2048', 'sha256'],
    ['rsa:2048', 'sha512'],
    ['ec -pkeyopt ec_paramgen_curve:P-384', 'sha384'],
    ['ed25519', 'default'],
  ])('with a key of %s and %s are read and verified', (key, digest) => {
    const subject = ['-subj', '/C=DE/O=Shop  GmbH/CN=Root'];
    run('req', '-x509', '-newkey', ...key.split(' '), '-nodes', '-keyout', 'key.pem', '-out', 'ca.pem', ...subject);
    writeFileSync(join(folder.path, 'index.txt'), '');
    writeFileSync(join(folder.path, 'number'), '1000\n');
    writeFileSync(
      join(folder.path, 'ca.cnf'),
      '[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ncrlnumber=number\ndefault_crl_days=1\ncrl_extensions=list\n' +
        `default_md=${digest}\n[list]\nauthorityKeyIdentifier=keyid\n`,
    );
    const own = ['-config', 'ca.cnf', '-keyfile', 'key.pem', '-cert', 'ca.pem'];
    run('ca', ...own, '-revoke', 'ca.pem', '-crl_reason', 'keyCompromise');
    run('ca', ...own, '-gencrl', '-out', 'crl.pem');
    const [list] = readRevocationLists(text('crl.pem'));
    const issuer = facts(text('ca.pem'));
    expect(list).toMatchObject({ issuer: issuer.subject, authorityKeyId: issuer.subjectKeyId, scope: 'all' });
    expect([...list!.revoked]).toEqual([issuer.serial]);
    expect(list!.nextUpdate! - list!.thisUpdate).toBe(24 * HOUR_MS);
    expect(list!.signedBy(issuer.publicKey)).toBe(true);
  });
});
