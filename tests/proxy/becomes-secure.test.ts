/** A listener that was opened in plaintext and is given TLS by a push: the same socket, the same guarantees, on every runtime. */
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES } from '../kit/environment.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { type Authority, type Leaf, leaf, pem, rootAuthority } from '../mtls/certificates.ts';
import { cluster, hcm, listener, secretOf, serverTls } from './bootstrap.ts';
import { DrivenProxy } from './driven.ts';

const BODY = 4_000_003;

describe.each(RUNTIMES)('a listener that becomes secure on %s', (runtime) => {
  let app: http.Server;
  let proxy: DrivenProxy;
  let root: Authority;
  let client: Leaf;
  let port: number;

  beforeAll(async () => {
    app = http.createServer(UPSTREAM, (request, response) => {
      let length = 0;
      request.on('data', (bytes: Buffer) => (length += bytes.length));
      request.on('end', () => response.end(`${length};`.padEnd(BODY, 'x')));
    });
    root = await rootAuthority('root');
    client = await leaf(root, { uri: 'spiffe://cluster.local/ns/default/sa/client' });
    const own = await leaf(root, { uri: 'spiffe://cluster.local/ns/default/sa/proxy' });
    proxy = new DrivenProxy(runtime, 1000);
    const { ports } = await proxy.apply({
      secrets: {
        upsert: [secretOf(own), { name: 'ROOTCA', validation_context: { trusted_ca: { inline_string: pem(root) } } }],
        remove: [],
      },
      clusters: { upsert: [cluster('app', await listening(app))], remove: [] },
      listeners: { upsert: [listener('in', [hcm('app')])], remove: [] },
    });
    port = ports['in']!;
    expect(await ask(net.connect({ port, host: '127.0.0.1' }))).toMatch(/^HTTP\/1\.1 200 /);
    const secured = await proxy.apply({
      listeners: { upsert: [listener('in', [hcm('app')], serverTls)], remove: [] },
    });
    expect(secured.ports['in']).toBe(port);
  });
  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    app.closeAllConnections();
    app.close();
  });

  /** Posts a large body; all that is answered. */
  const ask = (socket: net.Socket): Promise<string> =>
    new Promise((resolve) => {
      let got = '';
      socket.setEncoding('latin1');
      socket.on('data', (text) => (got += String(text)));
      socket.on('error', () => {});
      socket.on('close', () => resolve(got));
      socket.write(`POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: ${BODY}\r\n\r\n`);
      socket.write(Buffer.alloc(BODY, 'y'));
    });
  const secure = (options: tls.ConnectionOptions) =>
    tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['istio'], ...options });

  it('serves clients with a certificate, large bodies both ways', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => ask(secure({ cert: client.cert, key: client.key }))));
    for (const answer of answers) {
      expect(answer).toMatch(/^HTTP\/1\.1 200 /);
      expect(answer.slice(answer.indexOf('\r\n\r\n') + 4)).toBe(`${BODY};`.padEnd(BODY, 'x'));
    }
  });

  it('refuses clients without one, with a foreign one, and plaintext', async () => {
    const foreign = await leaf(await rootAuthority('root'), { uri: 'spiffe://cluster.local/ns/default/sa/client' });
    expect(await ask(secure({}))).toBe('');
    expect(await ask(secure({ cert: foreign.cert, key: foreign.key }))).toBe('');
    expect(await ask(net.connect({ port, host: '127.0.0.1' }))).toBe('');
    await until('nothing of them is left', async () => (await proxy.state()).active === 0);
  });
});
