/** Which of several certificates a client is shown, by server name and by what it can verify: as Envoy chooses. */
import { X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { type KeyKind, serverLeaf } from '../../mtls/certificates.ts';
import { say } from '../harness/bootstrap-parts.ts';
import { any, listener, manager } from '../shared-file/bootstrap.ts';

/** Key kind and names of each certificate, in the order of configuration. */
const CONTEXTS: Record<string, [KeyKind, ...string[]][]> = {
  both: [
    ['RSA', 'a.test'],
    ['P-256', 'a.test'],
  ],
  'both, ECDSA first': [
    ['P-256', 'a.test'],
    ['RSA', 'a.test'],
  ],
  'by name': [
    ['P-256', 'a.test'],
    ['P-256', 'b.test', 'c.test'],
    ['P-256', '*.wild.test'],
    ['P-256', 'exact.wild.test'],
  ],
  'by name and key': [
    ['P-256', 'a.test'],
    ['RSA', 'b.test'],
    ['RSA', '*.wild.test'],
    ['P-256', 'exact.wild.test'],
  ],
  curves: [
    ['P-384', 'a.test'],
    ['P-256', 'a.test'],
    ['RSA', 'b.test'],
  ],
  'ECDSA alone': [
    ['P-256', 'a.test'],
    ['P-384', 'b.test'],
  ],
};
const NAMES = [
  'a.test',
  'A.test',
  'b.test',
  'c.test',
  'exact.wild.test',
  'x.wild.test',
  'x.y.wild.test',
  'none.test',
  '',
];
const TLS13 = { minVersion: 'TLSv1.3' } as const;
const TLS12 = { maxVersion: 'TLSv1.2' } as const;
const CLIENTS: Record<string, tls.ConnectionOptions> = {
  'anything 1.3': TLS13,
  'anything 1.2': TLS12,
  'RSA 1.3': { ...TLS13, sigalgs: 'rsa_pss_rsae_sha256' },
  'P-256 1.3': { ...TLS13, sigalgs: 'ecdsa_secp256r1_sha256' },
  'P-384 and RSA 1.3': { ...TLS13, sigalgs: 'ecdsa_secp384r1_sha384:rsa_pss_rsae_sha256' },
  'RSA 1.2': { ...TLS12, ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' },
  'ECDSA 1.2': { ...TLS12, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
  'P-384 1.2': { ...TLS12, ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384', ecdhCurve: 'X25519:P-384' },
};

describe.skipIf(!ENVOY)('several certificates in one context', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  const shown = new Map<string, string>();
  let bootstrap: object;
  let expected: Record<string, string>;

  /** The certificate shown, by its place in the context; 'refused' without a handshake. */
  const handshake = (port: number, options: tls.ConnectionOptions): Promise<string> =>
    new Promise((resolve) => {
      const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
      socket.on('secureConnect', () => {
        resolve(shown.get(socket.getPeerX509Certificate()!.fingerprint256)!);
        socket.destroy();
      });
      socket.on('error', () => resolve('refused'));
      socket.on('close', () => resolve('refused'));
    });
  const ask = async (proxy: RunningProxy): Promise<Record<string, string>> => {
    const found: Record<string, string> = {};
    for (const context of Object.keys(proxy.ports))
      for (const name of NAMES) {
        const each = Object.entries(CLIENTS).map(async ([client, options]) => {
          const answer = await handshake(proxy.ports[context]!, { ...options, servername: name });
          found[`${context}: ${name || 'no name'}: ${client}`] = answer;
        });
        await Promise.all(each);
      }
    return found;
  };

  beforeAll(async () => {
    const listeners: object[] = [];
    for (const [name, certificates] of Object.entries(CONTEXTS)) {
      const tls_certificates: object[] = [];
      for (const [place, [kind, ...names]] of certificates.entries()) {
        const { cert, key } = await serverLeaf(kind, names);
        shown.set(new X509Certificate(cert).fingerprint256, `${place} ${kind} ${names}`);
        tls_certificates.push({ certificate_chain: { inline_string: cert }, private_key: { inline_string: key } });
      }
      for (const full_scan_certs_on_sni_mismatch of [false, true])
        listeners.push(
          listener(
            `${name}${full_scan_certs_on_sni_mismatch ? ', full scan' : ''}`,
            manager([{ match: { prefix: '/' }, ...say('in') }], []),
            {
              name: 'tls',
              typed_config: any('transport_sockets.tls.v3.DownstreamTlsContext', {
                common_tls_context: { tls_certificates },
                full_scan_certs_on_sni_mismatch,
              }),
            },
          ),
        );
    }
    bootstrap = {
      node: { id: 'choice', cluster: 'choice' },
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
      static_resources: { listeners, clusters: [] },
    };
    const envoy = await startEnvoy(bootstrap, folder.path);
    proxies.push(envoy);
    expected = await ask(envoy);
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    folder.dispose();
  });

  it('Envoy shows different ones', () => {
    expect(expected).toMatchObject({
      'both: a.test: anything 1.3': '1 P-256 a.test',
      'both: a.test: RSA 1.3': '0 RSA a.test',
      'both: a.test: RSA 1.2': '0 RSA a.test',
      'by name: x.wild.test: anything 1.2': '2 P-256 *.wild.test',
      'by name: none.test: anything 1.3': '0 P-256 a.test',
      'both: none.test: anything 1.3': '0 RSA a.test',
      'both, full scan: none.test: anything 1.3': '1 P-256 a.test',
    });
  });

  it.each(RUNTIMES)('%s shows the same as Envoy', async (runtime) => {
    const tulle = await startTulle(runtime, bootstrap, folder.path);
    proxies.push(tulle);
    // Names are one in whatever case (RFC 4343); Envoy's are not: docs/differences-from-envoy.md.
    const folded = Object.keys(expected).map((key) => [key, expected[key.replace(': A.test:', ': a.test:')]]);
    expect(await ask(tulle)).toEqual(Object.fromEntries(folded));
  });
});
