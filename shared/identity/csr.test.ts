import { expect, it } from 'vitest';
import { createCsr } from './csr.ts';
import { generateKeys } from './keys.ts';
import { Pkcs10CertificateRequest, type SubjectAlternativeNameExtension } from './x509.ts';

const read = (pem: string) => new Pkcs10CertificateRequest(pem);

it('is signed by its own key, whatever bytes a signature begins with', async () => {
  for (let i = 0; i < 64; i++) expect(await read(await createCsr(await generateKeys())).verify()).toBe(true);
});

it('names the workload that asks, and no subject', async () => {
  for (const id of [
    'spiffe://cluster.local/ns/shop/sa/front',
    `spiffe://cluster.local/ns/shop/sa/${'a'.repeat(300)}`,
  ]) {
    const keys = await generateKeys();
    const request = read(await createCsr(keys, id));
    expect(await request.verify()).toBe(true);
    expect(request.subject).toBe('');
    const names = request.getExtension('2.5.29.17') as SubjectAlternativeNameExtension | null;
    expect(names?.critical).toBe(true);
    expect(names?.names.toJSON()).toEqual([{ type: 'url', value: id }]);
    expect(Buffer.from(request.publicKey.rawData)).toEqual(
      Buffer.from(await crypto.subtle.exportKey('spki', keys.publicKey)),
    );
  }
  expect(read(await createCsr(await generateKeys())).extensions).toEqual([]);
});
