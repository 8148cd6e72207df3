import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { exportPrivateKey, generateKeys, type Keys, signingAlgorithm } from '../../shared/identity/keys.ts';
import * as x509 from '../../shared/identity/x509.ts';
import { nodeRuntime } from '../runtime/node.ts';
import type { KeyPair } from '../runtime/runtime.ts';
import { ControlClient, ControlError, NotConnectedError, namesHost } from './control-client.ts';

interface Authority {
  certificate: x509.X509Certificate;
  keys: Keys;
}
const minutes = (n: number) => new Date(Date.now() + n * 60_000);

async function authority(): Promise<Authority> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=Test Root',
    notBefore: minutes(-1),
    notAfter: minutes(60),
    signingAlgorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  return { certificate, keys };
}

async function issue(by: Authority, names: x509.JsonGeneralNames, serial: string): Promise<KeyPair> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: '',
    issuer: by.certificate.subject,
    notBefore: minutes(-1),
    notAfter: minutes(30),
    signingAlgorithm,
    publicKey: keys.publicKey,
    signingKey: by.keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension(names, true),
    ],
  });
  return { certificateChain: certificate.toString('pem'), privateKey: await exportPrivateKey(keys.privateKey) };
}

describe('ControlClient', () => {
  let root: Authority;
  let rootPem: string;
  let server: Server;
  let url: string;
  let first: KeyPair;
  let second: KeyPair;
  const seen: { body: string; peer: string; port: number; method: string }[] = [];
  const clients: ControlClient[] = [];

  beforeAll(async () => {
    root = await authority();
    rootPem = root.certificate.toString('pem');
    const own = await issue(
      root,
      [
        { type: 'ip', value: '127.0.0.1' },
        { type: 'dns', value: 'localhost' },
      ],
      '02',
    );
    const spiffe = (sa: string) => [{ type: 'url' as const, value: `spiffe://t/ns/n/sa/${sa}` }];
    [first, second] = [await issue(root, spiffe('a'), '03'), await issue(root, spiffe('b'), '04')];
    const tls = { cert: own.certificateChain, key: own.privateKey, ca: rootPem, requestCert: true };
    server = createServer({ ...tls, rejectUnauthorized: false }, (request, response) => {
      const socket = request.socket as TLSSocket;
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        const peer = socket.getPeerCertificate().subjectaltname ?? '';
        seen.push({ body, peer, port: socket.remotePort ?? 0, method: request.method ?? '' });
        if (request.url === '/hang') return;
        if (request.url === '/cut') return void socket.destroy();
        if (request.url === '/text') return void response.end('plain');
        response.writeHead(request.url === '/no' ? 403 : 200, { 'content-type': 'application/json' });
        response.write('{"got":');
        response.end(`${JSON.stringify(body)}}`);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server.close());
  afterEach(() => {
    for (const made of clients.splice(0)) made.close();
    server.closeAllConnections();
    seen.length = 0;
  });

  function client(change: Partial<ConstructorParameters<typeof ControlClient>[0]> = {}) {
    const made = new ControlClient({
      runtime: nodeRuntime(),
      url,
      trustedRoots: () => rootPem,
      identity: () => first,
      ...change,
    });
    clients.push(made);
    return made;
  }

  it('exchanges JSON over mTLS, and hands over any status', async () => {
    const answer = await client().request('POST', '/x', { a: 'é' });
    expect(answer).toEqual({ status: 200, body: { got: '{"a":"é"}' } });
    expect(seen[0]).toMatchObject({ peer: 'URI:spiffe://t/ns/n/sa/a', method: 'POST' });
    expect((await client().request('GET', '/no')).status).toBe(403);
    expect(await client().request('GET', '/text')).toEqual({ status: 200, body: 'plain' });
  });

  it('works by name and without an identity', async () => {
    const named = client({ url: url.replace('127.0.0.1', 'localhost'), identity: () => undefined });
    expect((await named.request('GET', '/x')).status).toBe(200);
    expect(seen[0]!.peer).toBe('');
  });

  it('keeps a connection when asked, dials again when the identity rotates or the server closed it', async () => {
    let identity = first;
    const kept = client({ identity: () => identity });
    for (let i = 0; i < 3; i++) await kept.request('POST', '/x', {}, { keepAlive: true });
    expect(new Set(seen.map(({ port }) => port)).size).toBe(1);
    identity = second;
    await kept.request('POST', '/x', {}, { keepAlive: true });
    expect(seen[3]!.peer).toBe('URI:spiffe://t/ns/n/sa/b');
    server.closeAllConnections();
    expect((await kept.request('POST', '/x', {}, { keepAlive: true })).status).toBe(200);
    await kept.request('POST', '/x', {});
    expect(seen[5]!.port).not.toBe(seen[4]!.port);
  });

  it('trusts only its bundle, and only the host it requested', async () => {
    const rogue = (await authority()).certificate.toString('pem');
    await expect(client({ trustedRoots: () => rogue }).request('GET', '/x')).rejects.toThrow(ControlError);
    const other = url.replace('127.0.0.1', 'control.example');
    const runtime = { ...nodeRuntime(), resolve: async () => ({ addresses: ['127.0.0.1'], ttl: undefined }) };
    await expect(client({ runtime, url: other }).request('GET', '/x')).rejects.toThrow(
      new NotConnectedError(
        `control plane ${new URL(other).host}: its certificate is for localhost, 127.0.0.1, not for control.example: start "tulle control" ` +
          'with --server-name control.example (or --advertise control.example), or use a --control-plane URL with one of these names',
      ),
    );
    expect(seen).toEqual([]);
  });

  it('ends on timeout, abort, a cut answer and a closed port, in one line', async () => {
    // On a busy machine the handshake alone may take the time.
    const late = /in time|no connection within 50 ms/;
    await expect(client().request('GET', '/hang', undefined, { timeoutMs: 50 })).rejects.toThrow(late);
    const abort = new AbortController();
    // The first request may have timed out before the server saw it.
    const before = seen.length;
    const hanging = client().request('GET', '/hang', undefined, { signal: abort.signal });
    hanging.catch(() => {});
    await vi.waitFor(() => expect(seen.length).toBeGreaterThan(before), { timeout: 60_000 });
    abort.abort(new Error('stopped'));
    await expect(hanging).rejects.toThrow('stopped');
    const cut = client().request('GET', '/cut');
    await expect(cut).rejects.toThrow(ControlError);
    await expect(cut).rejects.not.toThrow(NotConnectedError);
    const closed = client({ url: 'https://127.0.0.1:1' }).request('GET', '/x');
    await expect(closed).rejects.toThrow(NotConnectedError);
    await expect(closed).rejects.toThrow(/^control plane 127\.0\.0\.1:1: [^\n]+$/);
  });

  it('waits longer for a connection after each one that was too slow, until one succeeds', async () => {
    const { port } = server.address() as AddressInfo;
    let isSlow = true;
    const held: Socket[] = [];
    const front = createTcpServer((socket) => {
      held.push(socket);
      if (isSlow) return;
      const behind = connectTcp(port, '127.0.0.1');
      held.push(behind);
      socket.pipe(behind).pipe(socket);
    }).listen(0, '127.0.0.1');
    await once(front, 'listening');
    const client = new ControlClient({
      runtime: nodeRuntime(),
      url: `https://127.0.0.1:${(front.address() as AddressInfo).port}`,
      trustedRoots: () => rootPem,
      identity: () => first,
      connectTimeoutMs: 100,
    });
    clients.push(client);
    const ask = () => client.request('GET', '/');
    for (const limit of [100, 200, 400, 400]) await expect(ask()).rejects.toThrow(`no connection within ${limit} ms`);
    isSlow = false;
    await vi.waitFor(async () => expect((await ask()).status).toBe(200), { timeout: 30_000 });
    isSlow = true;
    await expect(ask()).rejects.toThrow('no connection within 100 ms');
    for (const socket of held) socket.destroy();
    front.close();
  });

  it('never repeats a request that may have been acted on', async () => {
    const kept = client();
    await kept.request('POST', '/x', {}, { keepAlive: true });
    await expect(kept.request('POST', '/cut', {})).rejects.toThrow(ControlError);
    expect(seen).toHaveLength(2);
  });

  it('takes https URLs only', () => {
    for (const bad of ['http://x', 'nonsense', 'https://u:p@x', 'https://x/?q'])
      expect(() => client({ url: bad })).toThrow(ControlError);
  });
});

describe('namesHost', () => {
  const names = { uris: [], dns: ['a.test', '*.b.test'], ips: ['127.0.0.1', '0:0:0:0:0:0:0:1'] };
  it.each([
    ['a.test', true],
    ['A.TEST', true],
    ['x.b.test', true],
    ['x.y.b.test', false],
    ['b.test', false],
    ['127.0.0.1', true],
    ['127.0.0.2', false],
    ['::1', true],
    ['::2', false],
  ])('%s: %s', (host, expected) => expect(namesHost(names, host)).toBe(expected));
});
