/** Signed data as OpenSSL writes them (`openssl cms`), in DER and in streamed BER, read as documents of metadata services are. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { base64Bytes } from '../../../control/join/evidence/base64.ts';
import { isSigner, readSignedData, verifies } from '../../../control/join/evidence/cms.ts';
import { documentSigner, signedData } from '../../../control/join/testing/signed-documents.ts';
import { readCertificate } from '../../../shared/identity/certificate.ts';
import { exportPrivateKey } from '../../../shared/identity/keys.ts';
import { temporaryFolder } from '../../kit/environment.ts';
import { run, works } from '../../kit/process.ts';

const present = works('openssl', ['version']);
if (!present) console.warn('skipped: openssl is not installed');

describe.skipIf(!present)('signed data of OpenSSL', async () => {
  const folder = temporaryFolder();
  afterAll(folder.dispose);
  const at = (name: string) => join(folder.path, name);
  const keys = await documentSigner('signer');
  const facts = readCertificate(new Uint8Array(keys.certificate.rawData));
  const content = Buffer.from(`{"accountId":"123456789012","pad":"${'x'.repeat(9000)}"}`);
  writeFileSync(at('cert.pem'), keys.certificate.toString('pem'));
  writeFileSync(at('key.pem'), await exportPrivateKey(keys.privateKey));
  writeFileSync(at('content'), content);

  const sign = async (...flags: string[]) => {
    const files = ['-in', at('content'), '-signer', at('cert.pem'), '-inkey', at('key.pem')];
    const { code, out, error } = await run('openssl', [
      'cms',
      '-sign',
      '-binary',
      ...files,
      '-outform',
      'PEM',
      ...flags,
    ]);
    expect({ code, error }).toEqual({ code: 0, error: '' });
    return readSignedData(base64Bytes(out.replace(/-----[A-Z ]+-----/g, ''))!);
  };

  it.each([
    ['whole, as Azure', ['-nodetach', '-md', 'sha256']],
    ['whole, without the certificate, as AWS', ['-nodetach', '-nocerts', '-md', 'sha256']],
    ['streamed, in BER', ['-nodetach', '-stream', '-md', 'sha256']],
    ['with SHA-512', ['-nodetach', '-md', 'sha512']],
    ['without attributes', ['-nodetach', '-noattr', '-md', 'sha256']],
    ['with the content apart', ['-md', 'sha384']],
  ])('%s', async (_, flags) => {
    const data = await sign(...flags);
    expect(data.content === undefined).toBe(!flags.includes('-nodetach'));
    if (data.content) expect(Buffer.from(data.content).equals(content)).toBe(true);
    expect(isSigner(data, facts)).toBe(true);
    expect(await verifies(data, content, facts.publicKey)).toBe(true);
    expect(await verifies(data, Buffer.from(`${content.toString()} `), facts.publicKey)).toBe(false);
  });

  it('with SHA-1 are refused', () => expect(sign('-nodetach', '-md', 'sha1')).rejects.toThrow('SHA-256'));

  it('made for tests are what OpenSSL verifies', async () => {
    for (const indefinite of [false, true]) {
      const text = await signedData(content, keys, { indefinite, certificates: [keys.certificate] });
      writeFileSync(at('signed'), Buffer.from(text, 'base64'));
      const files = ['-in', at('signed'), '-out', at('out')];
      const { code, error } = await run('openssl', [
        'cms',
        '-verify',
        '-noverify',
        '-binary',
        '-inform',
        'DER',
        ...files,
      ]);
      expect({ code, error }).toEqual({ code: 0, error: expect.stringContaining('erification successful') });
    }
  });
});
