/**
 * An ingress gateway whose clients prove who they are: its certificates and revocation list come from a Secret, by way of
 * the control plane, and a list that changes there holds at the next handshake.
 */
import { X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resourcePath } from '../../control/cli/resources/selection.ts';
import { kindOf } from '../../shared/resources/index.ts';
import { RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { gateway, port, virtualService } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';
import { type Authority, type Leaf, leaf, pem, rootAuthority, serverLeaf } from '../mtls/certificates.ts';
import { revocationList } from '../mtls/revocation-lists.ts';

const GATEWAY = gateway('ingress', 'ingress', {
  port: port(8443, 'HTTPS'),
  hosts: ['web.test'],
  tls: { mode: 'MUTUAL', credentialNames: ['web-rsa', 'web-ecdsa'] },
});
const ROUTE = virtualService('web', {
  hosts: ['web.test'],
  gateways: ['ingress'],
  http: [{ directResponse: { status: 418 } }],
});

describe.each(RUNTIMES)('a gateway with a revocation list, on %s', (runtime) => {
  const mesh = new LoopbackMesh();
  let root: Authority;
  let friend: Leaf;
  let other: Leaf;
  let address: string;

  const path = (kind: string, name = '') => {
    const found = kindOf(kind === 'Secret' ? 'v1' : 'networking.istio.io/v1', kind)!;
    return `${resourcePath(found, 'default')}${name && `/${name}`}`;
  };
  const secret = (name: string, stringData: Record<string, string>) => ({
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default' }, type: 'Opaque' },
    data: Object.fromEntries(Object.entries(stringData).map(([key, text]) => [key, btoa(text)])),
  });
  /** Status and the key of the certificate shown; '' when the client is refused. */
  const ask = (client: Leaf | undefined, options: tls.ConnectionOptions = {}): Promise<string> =>
    new Promise((resolve) => {
      let got = '';
      let shown = '';
      const socket = tls.connect({
        ...{ host: address, port: 8443, servername: 'web.test', rejectUnauthorized: false, minVersion: 'TLSv1.3' },
        ...(client && { cert: client.cert, key: client.key }),
        ...options,
      });
      socket.on('secureConnect', () => {
        shown = new X509Certificate(socket.getPeerCertificate().raw).publicKey.asymmetricKeyType!;
        socket.write('GET / HTTP/1.1\r\nhost: web.test\r\nconnection: close\r\n\r\n');
      });
      socket.on('data', (bytes) => (got += bytes));
      socket.on('error', () => {});
      socket.on('close', () => resolve(got && `${got.slice(9, 12)} ${shown}`));
    });

  beforeAll(async () => {
    root = await rootAuthority('clients');
    [friend, other] = [await leaf(root, { uri: 'urn:friend' }), await leaf(root, { uri: 'urn:other' })];
    const [rsa, ecdsa] = [await serverLeaf('RSA', ['web.test']), await serverLeaf('P-256', ['web.test'])];
    await mesh.startControl();
    const create = (resource: { kind: string }) => mesh.api.call('POST', path(resource.kind), resource);
    const clients = { cacert: pem(root), crl: revocationList(root) };
    await create(secret('web-rsa', { cert: rsa.cert, key: rsa.key, ...clients }));
    await create(secret('web-ecdsa', { cert: ecdsa.cert, key: ecdsa.key }));
    await create(GATEWAY);
    await create(ROUTE);
    const options = { name: 'ingress', serviceAccount: 'ingress', labels: { app: 'ingress' } };
    const gateway = await mesh.start({ ...options, runtime, type: 'router' });
    address = gateway.address;
    await gateway.proxy.line((line) => line.includes(`gateway ready; admin port ${gateway.adminPort}`) || undefined);
    await until('the gateway serves', async () => (await ask(friend)) !== '');
  });
  afterAll(() => mesh.stop());

  it('shows each client the certificate it can verify', async () => {
    expect(await ask(friend)).toBe('418 ec');
    expect(await ask(undefined)).toBe('');
    // It has no certificate to let it in, and sees the server's all the same.
    const shown = new Promise((resolve) => {
      const socket = tls.connect({
        ...{ host: address, port: 8443, servername: 'web.test', rejectUnauthorized: false },
        sigalgs: 'rsa_pss_rsae_sha256',
      });
      socket.on('secureConnect', () => {
        resolve(new X509Certificate(socket.getPeerCertificate().raw).publicKey.asymmetricKeyType);
        socket.destroy();
      });
      socket.on('error', resolve);
    });
    expect(await shown).toBe('rsa');
  });

  it('refuses a client from the moment its Secret names it', async () => {
    const update = (crl: string) =>
      mesh.api.call('PATCH', path('Secret', 'web-rsa'), { data: { crl: btoa(crl) } }, 'application/merge-patch+json');
    await update(revocationList(root, { revoked: [friend.cert] }));
    await until('the client is refused', async () => (await ask(friend)) === '');
    expect(await ask(other)).toBe('418 ec');
    await update(revocationList(root));
    await until('the client is let in again', async () => (await ask(friend)) !== '');
  });
});
