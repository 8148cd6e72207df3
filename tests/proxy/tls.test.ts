/** TLS contexts of a proxy process: trust, pins, names, SNI, protocol choices; from one body on every runtime. */
import { createHash, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { type Authority, type Leaf, leaf, pem, rootAuthority, x509 } from '../mtls/certificates.ts';
import { ANY, at, cluster, hcm, listener, tcp } from './bootstrap.ts';

const TLS = `${ANY}envoy.extensions.transport_sockets.tls.v3.`;
const inline = (text: string) => ({ inline_string: text });
const certificate = (own: Leaf) => ({ certificate_chain: inline(own.cert), private_key: inline(own.key) });
const downstream = (common: object, more: object = {}) => ({
  name: 'tls',
  typed_config: { '@type': `${TLS}DownstreamTlsContext`, common_tls_context: common, ...more },
});
const upstream = (common: object, more: object = {}) => ({
  name: 'tls',
  typed_config: { '@type': `${TLS}UpstreamTlsContext`, common_tls_context: common, ...more },
});
const uri = (domain: string, account = 'a') => `spiffe://${domain}/ns/default/sa/${account}`;

describe.each(RUNTIMES)('TLS on %s', (runtime) => {
  const folder = temporaryFolder();
  let app: http.Server;
  let secureApp: tls.Server;
  let proxy: ProxyProcess;
  let shop: Authority;
  let bank: Authority;
  let own: Leaf;
  const seen: (string | false)[] = [];

  /** What a client with this certificate is answered; '' when it is refused. */
  const ask = (name: string, client?: Leaf, options: tls.ConnectionOptions = {}): Promise<string> =>
    new Promise((resolve) => {
      let got = '';
      const socket = tls.connect({
        host: '127.0.0.1',
        port: proxy.ports[name]!,
        rejectUnauthorized: false,
        servername: 'web.example',
        ...(client && { cert: client.cert, key: client.key }),
        ...options,
      });
      socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'));
      socket.on('data', (bytes) => (got += bytes));
      socket.on('error', () => {});
      socket.on('close', () => resolve(/^HTTP\/1\.1 (\d+)/.exec(got)?.[1] ?? ''));
    });
  const get = async (name: string) =>
    (await fetch(`http://127.0.0.1:${proxy.ports[name]}/`, { headers: { connection: 'close' } })).status;

  beforeAll(async () => {
    shop = await rootAuthority('shop');
    bank = await rootAuthority('bank');
    own = await leaf(shop, { uri: uri('shop', 'server') });
    const named = (value: string) =>
      leaf(shop, { uri: '', names: new x509.SubjectAlternativeNameExtension([{ type: 'dns', value }]) });
    const site = await named('*.example.test');
    app = http.createServer(UPSTREAM, (_, w) => w.end('app'));
    secureApp = tls.createServer({ cert: site.cert, key: site.key }, (socket) => {
      seen.push((socket as unknown as { servername: string | false }).servername);
      socket.on('error', () => {});
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok'));
    });
    const pinned = await leaf(bank, { uri: uri('bank', 'pinned') });
    writeFileSync(join(folder.path, 'pinned.json'), JSON.stringify(pinned));
    const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest();
    const pinnedKey = sha256(new X509Certificate(pinned.cert).publicKey.export({ type: 'spki', format: 'der' }));
    const required = { require_client_certificate: true };
    const chain = { tls_certificates: [certificate(own)], alpn_protocols: ['http/1.1'] };
    const roots = { trusted_ca: inline(pem(shop)) };
    const domains = {
      custom_validator_config: {
        name: 'envoy.tls.cert_validator.spiffe',
        typed_config: {
          '@type': `${TLS}SPIFFECertValidatorConfig`,
          trust_domains: [
            { name: 'shop', trust_bundle: inline(pem(shop)) },
            { name: 'bank', trust_bundle: inline(pem(bank)) },
          ],
        },
      },
    };
    const serve = (name: string, common: object, more: object = required) =>
      listener(name, [hcm('app')], downstream({ ...chain, ...common }, more));
    const port = await listening(secureApp);
    const dial = (name: string, hostname: string, context: object) => {
      const made = cluster(name, port, context);
      made.load_assignment.endpoints[0]!.lb_endpoints[0]!.endpoint = {
        ...made.load_assignment.endpoints[0]!.lb_endpoints[0]!.endpoint,
        hostname,
      } as never;
      return made;
    };
    const auto = { auto_host_sni: true, auto_sni_san_validation: true };
    const trusting = upstream({ validation_context: roots }, auto);
    proxy = new ProxyProcess(
      runtime,
      join(folder.path, 'proxy.json'),
      {
        static_resources: {
          listeners: [
            serve('optional', { validation_context: roots }, {}),
            serve('required', { validation_context: roots }),
            serve('rotating', { validation_context: { trusted_ca: inline(`${pem(shop)}\n${pem(bank)}`) } }),
            serve('domains', { validation_context: domains }),
            serve('sni', {}, { require_sni: true }),
            serve('key-pin', { validation_context: { verify_certificate_spki: [pinnedKey.toString('base64')] } }),
            serve('pin', {
              validation_context: {
                trusted_ca: inline(pem(bank)),
                verify_certificate_hash: [sha256(new X509Certificate(pinned.cert).raw).toString('hex')],
              },
            }),
            serve('names', {
              validation_context: {
                ...roots,
                match_typed_subject_alt_names: [
                  { san_type: 'URI', matcher: { suffix: '/sa/a' } },
                  { san_type: 'DNS', matcher: { safe_regex: { regex: '[a-z]+\\.ok\\.example' } } },
                  { san_type: 'EMAIL', matcher: { exact: 'ops@shop.example' } },
                  { san_type: 'IP_ADDRESS', matcher: { prefix: '10.1.' } },
                ],
              },
            }),
            serve('old', { tls_params: { tls_maximum_protocol_version: 'TLSv1_2' } }, {}),
            serve('new', { tls_params: { tls_minimum_protocol_version: 'TLSv1_3' } }, {}),
            listener('stream', [tcp('app')], downstream({ ...chain, validation_context: roots }, required)),
            listener('to-right', [hcm('right')]),
            listener('to-wrong', [hcm('wrong')]),
          ],
          clusters: [
            cluster('app', await listening(app)),
            dial('right', 'www.example.test', trusting),
            dial('wrong', 'www.other.test', trusting),
          ],
        },
        admin: { address: at(0) },
      },
      ['--close-on-expiry'],
    );
    await proxy.ready();
  });

  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    app.closeAllConnections();
    app.close();
    secureApp.close();
    folder.dispose();
  });

  it('asks for client certificates, or demands them', async () => {
    const good = await leaf(shop, { uri: uri('shop') });
    const foreign = await leaf(bank, { uri: uri('shop') });
    expect(await ask('optional')).toBe('200');
    expect(await ask('optional', good)).toBe('200');
    expect(await ask('optional', foreign)).toBe('');
    expect(await ask('required')).toBe('');
    expect(await ask('required', good)).toBe('200');
    expect(await ask('required', foreign)).toBe('');
    // Two roots while one replaces the other.
    expect(await ask('rotating', good)).toBe('200');
    expect(await ask('rotating', foreign)).toBe('200');
  });

  it('trusts each trust domain with its own roots alone', async () => {
    expect(await ask('domains', await leaf(shop, { uri: uri('shop') }))).toBe('200');
    expect(await ask('domains', await leaf(bank, { uri: uri('bank') }))).toBe('200');
    expect(await ask('domains', await leaf(bank, { uri: uri('shop') }))).toBe('');
    expect(await ask('domains', await leaf(shop, { uri: uri('other') }))).toBe('');
  });

  it('keeps to pins', async () => {
    const pinned = JSON.parse((await import('node:fs')).readFileSync(join(folder.path, 'pinned.json'), 'utf8')) as Leaf;
    const other = await leaf(bank, { uri: uri('bank', 'pinned') });
    for (const name of ['pin', 'key-pin']) {
      expect(await ask(name, pinned), name).toBe('200');
      expect(await ask(name, other), name).toBe('');
      expect(await ask(name), name).toBe('');
    }
  });

  it('matches names of every kind', async () => {
    const names = (type: 'url' | 'dns' | 'email' | 'ip', value: string) =>
      leaf(shop, { uri: '', names: new x509.SubjectAlternativeNameExtension([{ type, value }], true) });
    const table: [Parameters<typeof names>, string][] = [
      [['url', uri('shop', 'a')], '200'],
      [['url', uri('shop', 'b')], ''],
      [['dns', 'one.ok.example'], '200'],
      [['dns', 'one.ok.example.evil'], ''],
      [['email', 'ops@shop.example'], '200'],
      [['email', 'eve@shop.example'], ''],
      [['ip', '10.1.2.3'], '200'],
      [['ip', '10.2.2.3'], ''],
    ];
    for (const [name, expected] of table)
      expect(await ask('names', await names(...name)), name.join(' ')).toBe(expected);
  });

  it('keeps to versions, and to clients that name a server', async () => {
    expect(await ask('old', undefined, { minVersion: 'TLSv1.3' })).toBe('');
    expect(await ask('old', undefined, { maxVersion: 'TLSv1.2' })).toBe('200');
    expect(await ask('new', undefined, { maxVersion: 'TLSv1.2' })).toBe('');
    expect(await ask('new', undefined, { minVersion: 'TLSv1.3' })).toBe('200');
    expect(await ask('sni')).toBe('200');
    expect(await ask('sni', undefined, { servername: '' })).toBe('');
  });

  it('sends the host name upstream and accepts only a certificate of that name', async () => {
    expect(await get('to-right')).toBe(200);
    expect(seen.at(-1)).toBe('www.example.test');
    expect(await get('to-wrong')).toBe(503);
  });

  it('ends a connection when its certificate expires, where configured', async () => {
    const brief = await leaf(shop, { uri: uri('shop'), notAfter: new Date(Date.now() + 2500) });
    const socket = tls.connect({
      host: '127.0.0.1',
      port: proxy.ports['stream']!,
      rejectUnauthorized: false,
      cert: brief.cert,
      key: brief.key,
    });
    socket.on('error', () => {});
    let closed = 0;
    socket.on('close', () => (closed = Date.now()));
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    await until('it is closed', () => closed > 0);
    // Certificates count whole seconds.
    expect(closed).toBeGreaterThan(Date.parse(new X509Certificate(brief.cert).validTo) - 100);
  });

  it('refuses by name what its runtime cannot choose', async () => {
    const params = { cipher_suites: ['ECDHE-ECDSA-AES256-GCM-SHA384'], ecdh_curves: ['P-384', 'P-256'] };
    const config = {
      static_resources: {
        listeners: [
          listener('l', [tcp('app')], downstream({ tls_certificates: [certificate(own)], tls_params: params })),
          ...['ecdsa_secp256r1_sha256', 'ecdsa_secp384r1_sha384'].map((name) => {
            const tls_params = { signature_algorithms: [name] };
            return listener(name, [tcp('app')], downstream({ tls_certificates: [certificate(own)], tls_params }));
          }),
        ],
        clusters: [cluster('app', 1)],
      },
      admin: { address: at(0) },
    };
    const chosen = new ProxyProcess(runtime, join(folder.path, 'chosen.json'), config);
    if (runtime === 'deno') {
      expect(await chosen.exited).toBe(1);
      expect(chosen.output).toMatch(/cipherSuites cannot be set: Deno/);
      return;
    }
    await chosen.ready();
    const handshake = (options: tls.ConnectionOptions, name = 'l') =>
      new Promise<string>((resolve) => {
        const socket = tls.connect({
          host: '127.0.0.1',
          port: chosen.ports[name]!,
          rejectUnauthorized: false,
          ...options,
        });
        socket.on('secureConnect', () => {
          resolve(socket.getCipher().name);
          socket.destroy();
        });
        socket.on('error', () => resolve('refused'));
        socket.on('close', () => resolve('refused'));
      });
    const tls12 = { maxVersion: 'TLSv1.2', ecdhCurve: 'P-384:P-256' } as const;
    expect(await handshake({ ...tls12, ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' })).toBe(
      'ECDHE-ECDSA-AES256-GCM-SHA384',
    );
    expect(await handshake({ ...tls12, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' })).toBe('refused');
    expect(await handshake({ minVersion: 'TLSv1.3', ecdhCurve: 'X25519' })).toBe('refused');
    expect(await handshake({ minVersion: 'TLSv1.3', ecdhCurve: 'P-384' })).toMatch(/^TLS_/);
    // Its key is of the curve P-256.
    expect(await handshake({}, 'ecdsa_secp256r1_sha256')).toMatch(/^TLS_/);
    expect(await handshake({}, 'ecdsa_secp384r1_sha384')).toBe('refused');
    await chosen.stop('SIGKILL');
  });

  it('shows its certificates and no key', async () => {
    const body = (await proxy.admin('/config_dump')).body;
    expect(body).not.toContain('PRIVATE KEY');
    expect((await proxy.admin('/certs')).status).toBe(200);
  });
});
