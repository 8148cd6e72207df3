/** Clusters that dial with the same certificate and roots share the runtime's TLS context: each still judges its own peers. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { type Authority, type Leaf, leaf, pem, rootAuthority } from '../mtls/certificates.ts';
import { revocationList } from '../mtls/revocation-lists.ts';
import { ANY, cluster, hcm, listener } from './bootstrap.ts';

const inline = (text: string) => ({ inline_string: text });
const uri = (account: string) => `spiffe://shop/ns/default/sa/${account}`;

/** What a server saw of one handshake. */
interface Handshake {
  readonly server: string;
  readonly sni: string | false;
  readonly alpn: string | false | null;
  readonly client: string;
  readonly resumed: boolean;
}

describe.each(RUNTIMES)('TLS contexts shared by clusters on %s', (runtime) => {
  const folder = temporaryFolder();
  const servers: tls.Server[] = [];
  const seen: Handshake[] = [];
  let shop: Authority;
  let proxy: ProxyProcess;

  const writeOwn = (own: Leaf) => {
    for (const [name, text] of Object.entries({ 'key.pem': own.key, 'cert.pem': own.cert })) {
      writeFileSync(join(folder.path, `${name}.new`), text);
      renameSync(join(folder.path, `${name}.new`), join(folder.path, name));
    }
  };
  /** Offers session tickets, as most servers do. */
  const serve = async (name: string, own: Leaf) => {
    const server = tls.createServer(
      { cert: own.cert, key: own.key, requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['one', 'two'] },
      (socket) => {
        const { servername } = socket as unknown as { servername: string | false };
        const client = socket.getPeerCertificate().serialNumber;
        seen.push({
          server: name,
          sni: servername,
          alpn: socket.alpnProtocol,
          client,
          resumed: socket.isSessionReused(),
        });
        socket.on('error', () => {});
        socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok'));
      },
    );
    servers.push(server);
    return listening(server);
  };
  const ask = async (name: string) =>
    (await fetch(`http://127.0.0.1:${proxy.ports[name]}/`, { headers: { connection: 'close' } })).status;

  beforeAll(async () => {
    shop = await rootAuthority('shop');
    const [a, b, own] = await Promise.all(['a', 'b', 'own'].map((name) => leaf(shop, { uri: uri(name) })));
    const ports = { a: await serve('a', a!), b: await serve('b', b!) };
    writeOwn(own!);
    const file = (name: string) => ({ filename: join(folder.path, name) });
    const upstream = (sni: string, alpn: string, validation: object) => ({
      name: 'tls',
      typed_config: {
        '@type': `${ANY}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
        sni,
        common_tls_context: {
          alpn_protocols: [alpn],
          tls_certificates: [{ certificate_chain: file('cert.pem'), private_key: file('key.pem') }],
          validation_context: { trusted_ca: inline(pem(shop)), ...validation },
        },
      },
    });
    const named = (account: string) => ({
      match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: uri(account) } }],
    });
    const clusters = [
      cluster('a-at-a', ports.a, upstream('a.test', 'one', named('a'))),
      cluster('a-at-b', ports.b, upstream('a.test', 'one', named('a'))),
      cluster('b-at-b', ports.b, upstream('b.test', 'two', named('b'))),
      cluster('b-at-a', ports.a, upstream('b.test', 'two', named('b'))),
      cluster('any-at-b', ports.b, upstream('any.test', 'one', {})),
      cluster(
        'revoked-at-b',
        ports.b,
        upstream('any.test', 'one', { crl: inline(revocationList(shop, { revoked: [b!.cert] })) }),
      ),
    ];
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), {
      static_resources: { listeners: clusters.map(({ name }) => listener(name, [hcm(name)])), clusters },
    });
    await proxy.ready();
  });
  afterAll(async () => {
    proxy.process.kill('SIGTERM');
    await proxy.exited;
    for (const server of servers) server.close();
    folder.dispose();
  });

  const verdicts = async () => {
    const found: Record<string, number> = {};
    for (const name of Object.keys(proxy.ports)) found[name] = await ask(name);
    return found;
  };
  const expected = { 'a-at-a': 200, 'a-at-b': 503, 'b-at-b': 200, 'b-at-a': 503, 'any-at-b': 200, 'revoked-at-b': 503 };

  it('judge the names and the revocation of each connection by its own cluster, and resume no session', async () => {
    // Twice: what one connection established must not help another.
    expect(await verdicts()).toEqual(expected);
    expect(await verdicts()).toEqual(expected);
    expect(seen.filter(({ resumed }) => resumed)).toEqual([]);
    const of = (server: string, sni: string) => seen.find((one) => one.server === server && one.sni === sni)?.alpn;
    expect([of('a', 'a.test'), of('b', 'b.test'), of('b', 'any.test')]).toEqual(['one', 'two', 'one']);
  });

  it('all take a new certificate', async () => {
    const before = seen.at(-1)!.client;
    writeOwn(await leaf(shop, { uri: uri('own') }));
    await until('the new certificate is used', async () => {
      await ask('any-at-b');
      return seen.at(-1)!.client !== before;
    });
    const after = seen.at(-1)!.client;
    seen.length = 0;
    expect(await verdicts()).toEqual(expected);
    expect(new Set(seen.map(({ client }) => client))).toEqual(new Set([after]));
    expect(seen.filter(({ resumed }) => resumed)).toEqual([]);
  });
});
