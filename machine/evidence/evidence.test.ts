import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCsr } from '../../shared/identity/csr.ts';
import { generateKeys } from '../../shared/identity/keys.ts';
import * as x509 from '../../shared/identity/x509.ts';
import { nonceOf } from '../../shared/join/possession.ts';
import { leaf, rootAuthority } from '../../tests/mtls/certificates.ts';
import { ACTIONS_BEARER, type MetadataDocuments, startMetadataServer } from '../testing/metadata-server.ts';
import { obtainEvidence } from './evidence.ts';

const csr = await createCsr(await generateKeys());
const TOKEN = 'aGVhZA.Ym9keQ.c2ln';
let folder: string;
const ends: (() => Promise<void>)[] = [];
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'tulle-evidence-'))));
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  await rm(folder, { recursive: true });
});

async function metadata(documents: MetadataDocuments) {
  const server = await startMetadataServer(documents);
  ends.push(() => server.close());
  return { ...server, address: `127.0.0.1:${server.port}`, url: `http://127.0.0.1:${server.port}` };
}
const file = async (name: string, text: string) => {
  await writeFile(join(folder, name), text);
  return join(folder, name);
};
const oidc = (options: object, environment: Record<string, string> = {}) =>
  obtainEvidence('oidc', csr, { ...options, environment });

describe('an OIDC token', () => {
  it('from a file, and before that of the environment', async () => {
    const oidcTokenFile = await file('token', `${TOKEN}\n`);
    expect(await oidc({ oidcTokenFile }, { TULLE_OIDC_TOKEN: 'x.y.z' })).toEqual({ kind: 'oidc', token: TOKEN });
    expect(await oidc({}, { TULLE_OIDC_TOKEN: TOKEN })).toEqual({ kind: 'oidc', token: TOKEN });
  });

  it('from GitHub Actions, for the audience', async () => {
    const { url, asked } = await metadata({ actions: () => TOKEN });
    const environment = {
      ACTIONS_ID_TOKEN_REQUEST_URL: `${url}/actions/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: ACTIONS_BEARER,
    };
    expect(await oidc({ audience: 'a b&c' }, environment)).toEqual({ kind: 'oidc', token: TOKEN });
    expect(asked).toEqual(['GET /actions/token?api-version=2.0&audience=a+b%26c']);
    await expect(oidc({}, environment)).rejects.toThrow('--audience');
    const other = { ...environment, ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'other' };
    await expect(oidc({ audience: 'a' }, other)).rejects.toThrow('answers 401');
    const plain = { ...environment, ACTIONS_ID_TOKEN_REQUEST_URL: 'http://192.0.2.1/' };
    await expect(oidc({ audience: 'a' }, plain)).rejects.toThrow('must be https');
  });

  it('that is none is refused with a remedy, and not shown', async () => {
    await expect(oidc({})).rejects.toThrow('no OIDC token is here: name a file with --oidc-token-file');
    await expect(oidc({ oidcTokenFile: join(folder, 'no') })).rejects.toThrow('does not exist');
    const secret = await oidc({}, { TULLE_OIDC_TOKEN: 'secret' }).catch(String);
    expect(secret).toContain('TULLE_OIDC_TOKEN: holds no token');
    expect(secret).not.toContain('secret');
  });
});

describe('a document of a metadata service', () => {
  it('of AWS, by IMDSv2', async () => {
    const { url, asked } = await metadata({ aws: { document: '{"a":1}\n', signature: 'MII\nAB' } });
    const environment = { AWS_EC2_METADATA_SERVICE_ENDPOINT: url };
    const evidence = await obtainEvidence('aws', csr, { environment });
    expect(evidence).toEqual({ kind: 'aws', document: '{"a":1}\n', signature: 'MII\nAB' });
    expect(asked[0]).toBe('PUT /latest/api/token');
  });

  it('of Google Cloud, for the audience', async () => {
    const { address } = await metadata({ gcp: (audience) => `${audience}.token` });
    const environment = { GCE_METADATA_HOST: address };
    const options = { audience: 'https://tulle', environment };
    expect(await obtainEvidence('gcp', csr, options)).toEqual({ kind: 'gcp', document: 'https://tulle.token' });
    await expect(obtainEvidence('gcp', csr, { environment })).rejects.toThrow('--audience is required');
  });

  it('of Azure, with the nonce of the CSR', async () => {
    const { url } = await metadata({ azure: (nonce) => JSON.stringify({ encoding: 'pkcs7', signature: nonce }) });
    const evidence = await obtainEvidence('azure', csr, { azureMetadata: url, environment: {} });
    const document = JSON.stringify({ encoding: 'pkcs7', signature: await nonceOf(csr) });
    expect(evidence).toEqual({ kind: 'azure', document });
    expect(await nonceOf(csr)).toMatch(/^\d{10}$/);
  });

  it('of nothing that answers so is an error in one line', async () => {
    const { url, address } = await metadata({});
    const of = (kind: 'aws' | 'gcp' | 'azure') =>
      obtainEvidence(kind, csr, {
        audience: 'a',
        azureMetadata: url,
        environment: { AWS_EC2_METADATA_SERVICE_ENDPOINT: url, GCE_METADATA_HOST: address },
      });
    await expect(of('aws')).rejects.toThrow('AWS instance metadata service: answers 404');
    await expect(of('gcp')).rejects.toThrow('Google Cloud metadata server: answers 404');
    await expect(of('azure')).rejects.toThrow('Azure instance metadata service: answers 404');
  });

  it('neither follows a redirect, nor reads without end, nor takes what is no metadata server', async () => {
    const server = createServer((request, response) => {
      if (request.url!.startsWith('/computeMetadata')) return void response.end('x');
      if (request.url!.startsWith('/metadata')) return void response.end('x'.repeat(70_000));
      response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    ends.push(() => new Promise((done) => void server.close(() => done())));
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const environment = { AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://${address}`, GCE_METADATA_HOST: address };
    const options = { audience: 'a', azureMetadata: `http://${address}`, environment };
    await expect(obtainEvidence('aws', csr, options)).rejects.toThrow('answers 302');
    await expect(obtainEvidence('gcp', csr, options)).rejects.toThrow('is no metadata server');
    await expect(obtainEvidence('azure', csr, options)).rejects.toThrow('more than 65536 bytes');
  });
});

describe('a certificate', async () => {
  const root = await rootAuthority('corporate');
  const host = await leaf(root, { uri: 'spiffe://corp/host' });
  const files = async (certificate: string, key: string) => ({
    certificateFile: await file('cert.pem', certificate),
    keyFile: await file('key.pem', key),
    environment: {},
  });

  it('with a signature by its key, whatever the form of the key', async () => {
    const evidence = await obtainEvidence('certificate', csr, await files(host.cert, host.key));
    expect(evidence).toMatchObject({ kind: 'certificate', chain: host.cert });
    for (const [type, options] of [
      ['rsa', { modulusLength: 2048 }],
      ['ec', { namedCurve: 'P-384' }],
      ['ed25519', {}],
    ] as const) {
      const { publicKey, privateKey } = generateKeyPairSync(type as 'rsa', options as { modulusLength: number });
      const cert = await certificateOf(publicKey.export({ type: 'spki', format: 'der' }), root);
      const form = type === 'rsa' ? 'pkcs1' : type === 'ec' ? 'sec1' : 'pkcs8';
      const key = privateKey.export({ type: form as 'pkcs1', format: 'pem' }) as string;
      const { signature } = (await obtainEvidence('certificate', csr, await files(cert, key))) as { signature: string };
      expect(signature.length).toBeGreaterThan(80);
    }
  });

  it('that cannot be used is an error that names the file', async () => {
    const other = await leaf(root, { uri: 'spiffe://corp/other' });
    const ask = async (certificate: string, key: string) =>
      obtainEvidence('certificate', csr, await files(certificate, key));
    await expect(ask(host.cert, other.key)).rejects.toThrow('key.pem: is not the key of');
    await expect(ask(host.cert, 'x')).rejects.toThrow('key.pem: must be a private key in PEM');
    await expect(ask('x', host.key)).rejects.toThrow('cert.pem: no PEM block');
    const options = { certificateFile: join(folder, 'no'), keyFile: join(folder, 'no'), environment: {} };
    await expect(obtainEvidence('certificate', csr, options)).rejects.toThrow('no: does not exist');
    await expect(obtainEvidence('certificate', csr, { environment: {} })).rejects.toThrow('--certificate is required');
  });
});

async function certificateOf(spki: Uint8Array, { certificate, keys }: Awaited<ReturnType<typeof rootAuthority>>) {
  const signed = await x509.X509CertificateGenerator.create({
    serialNumber: '77',
    subject: 'CN=host',
    issuer: certificate.subjectName,
    notBefore: new Date(Date.now() - 1000),
    notAfter: new Date(Date.now() + 60_000),
    publicKey: new x509.PublicKey(new Uint8Array(spki)),
    signingKey: keys.privateKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  return signed.toString('pem');
}
