import net from 'node:net';
import tls from 'node:tls';
import { expect, it } from 'vitest';
import type { OwnCertificate, TlsContext } from '../runtime/runtime.ts';
import { type CertifiedContext, type ChoiceOptions, chooseCertificate } from './certificate-choice.ts';
import { readKeyOffers } from './client-hello.ts';

/** The ClientHello that node:tls sends with these options. */
const hello = (options: tls.ConnectionOptions): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    const server = net.createServer((socket) => {
      let bytes = Buffer.alloc(0);
      socket.on('error', () => {});
      socket.on('data', (more) => {
        bytes = Buffer.concat([bytes, more]);
        if (!readKeyOffers(bytes)) return;
        resolve(bytes);
        socket.destroy();
        server.close();
      });
    });
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options }).on('error', () => {});
    });
  });
const context = (key: OwnCertificate['key'], ...serverNames: string[]): CertifiedContext => ({
  certificate: { key, serverNames },
  context: { kind: 'server', id: `${key} ${serverNames}` } as unknown as TlsContext,
});
const USUAL: ChoiceOptions = { fullScan: false, maxVersion: 'TLSv1.3', cipherSuites: [] };
const chosen = (bytes: Uint8Array, contexts: CertifiedContext[], more: Partial<ChoiceOptions> = {}) =>
  (chooseCertificate(contexts, { ...USUAL, ...more })(bytes) as unknown as { id: string } | undefined)?.id;

const SEVERAL = [
  context('RSA', 'a.test', '*.a.test'),
  context('P-256', 'a.test'),
  context('P-384', 'b.test'),
  context('RSA', 'b.test'),
];

it('shows a client the certificate of its name that it can verify', async () => {
  const able = (servername: string) => hello({ servername, minVersion: 'TLSv1.3' });
  const old = (ciphers: string, servername = 'a.test') => hello({ servername, maxVersion: 'TLSv1.2', ciphers });
  expect(chosen(await able('a.test'), SEVERAL)).toBe('P-256 a.test');
  expect(chosen(await able('www.a.test'), SEVERAL)).toBe('RSA a.test,*.a.test');
  expect(chosen(await able('b.test'), SEVERAL)).toBe('P-384 b.test');
  const rsaOnly = await hello({ servername: 'a.test', minVersion: 'TLSv1.3', sigalgs: 'rsa_pss_rsae_sha256' });
  expect(chosen(rsaOnly, SEVERAL)).toBe('RSA a.test,*.a.test');
  expect(chosen(await old('ECDHE-RSA-AES128-GCM-SHA256'), SEVERAL)).toBe('RSA a.test,*.a.test');
  expect(chosen(await old('ECDHE-ECDSA-AES128-GCM-SHA256'), SEVERAL)).toBe('P-256 a.test');
  const cipherSuites = ['ECDHE-ECDSA-AES256-GCM-SHA384'];
  expect(chosen(await old('ECDHE-ECDSA-AES128-GCM-SHA256'), SEVERAL, { cipherSuites })).toBe('RSA a.test,*.a.test');
});

it('shows the first where no name fits, or looks through all', async () => {
  const other = await hello({ servername: 'other.test', minVersion: 'TLSv1.3' });
  expect(chosen(other, SEVERAL)).toBe('RSA a.test,*.a.test');
  expect(chosen(other, SEVERAL, { fullScan: true })).toBe('P-256 a.test');
  expect(chosen(await hello({ minVersion: 'TLSv1.3' }), SEVERAL)).toBe('P-256 a.test');
});

it('shows none to what is no ClientHello, however it is broken', async () => {
  const whole = await hello({ servername: 'a.test' });
  for (let length = 0; length < whole.length; length++)
    expect(chosen(whole.subarray(0, length), SEVERAL), `${length}`).toBeUndefined();
  for (let i = 0; i < whole.length; i++) {
    const changed = Uint8Array.from(whole);
    changed[i]! ^= 0xff;
    expect(() => chosen(changed, SEVERAL), `byte ${i}`).not.toThrow();
  }
  // One certificate is shown to all: the handshake judges the rest.
  expect(chosen(new Uint8Array(0), [SEVERAL[0]!])).toBe('RSA a.test,*.a.test');
});

it('refuses certificates that it cannot tell apart', () => {
  expect(() => chooseCertificate([context('other', 'a'), context('RSA', 'a')], USUAL)).toThrow('needs an RSA key or');
  expect(() => chooseCertificate([], USUAL)).toThrow('needs a certificate');
});
