import { expect, it } from 'vitest';
import type { UpstreamTlsContext } from '../../../shared/xds/tls.ts';
import { leaf, pem, rootAuthority } from '../../../tests/mtls/certificates.ts';
import { revocationList } from '../../../tests/mtls/revocation-lists.ts';
import { nodeRuntime } from '../../runtime/node.ts';
import type { Runtime, ServerTlsOptions, TlsContext } from '../../runtime/runtime.ts';
import type { ClientContext } from '../../runtime/tls/tls-context.ts';
import { Secrets } from './secrets.ts';

/** Files whose reads complete when the test says, with the text at the time of the read. */
class SlowFiles {
  private readonly texts = new Map<string, string>();
  private readonly waiting: (() => void)[] = [];
  slow = false;
  changed = () => {};

  write(path: string, text: string): void {
    this.texts.set(path, text);
    this.changed();
  }

  async read(path: string): Promise<Uint8Array> {
    const bytes = new TextEncoder().encode(this.texts.get(path));
    if (this.slow) await new Promise<void>((resolve) => this.waiting.push(resolve));
    return bytes;
  }

  watchFolder(_path: string, changed: () => void): () => void {
    this.changed = changed;
    return () => {};
  }

  /** Lets every read end, the latest first. */
  async settle(): Promise<void> {
    this.slow = false;
    while (this.waiting.length > 0) {
      this.waiting.pop()!();
      await new Promise((later) => setImmediate(later));
    }
  }
}

it('ends on the last text of a file that changes while it is read', async () => {
  const files = new SlowFiles();
  const made: ServerTlsOptions[] = [];
  const serverTls = (options: ServerTlsOptions) => {
    made.push(options);
    return {} as TlsContext;
  };
  const secrets = new Secrets({ files, serverTls } as unknown as Runtime, () => {});
  files.write('/tls/cert.pem', 'cert 1');
  files.write('/tls/key.pem', 'key');
  const tlsCertificates = [
    { certificateChain: { filename: '/tls/cert.pem' }, privateKey: { filename: '/tls/key.pem' } },
  ];
  await secrets.load(tlsCertificates);
  const context = secrets.server({ commonTlsContext: { tlsCertificates } }, 'alpn');
  context(new Uint8Array(0));
  files.slow = true;
  files.write('/tls/cert.pem', 'cert 2');
  files.write('/tls/cert.pem', 'cert 3');
  await files.settle();
  context(new Uint8Array(0));
  expect(made.map((options) => options.keyPair?.certificateChain)).toEqual(['cert 1', 'cert 3']);
});

const CA = 'kubernetes://web-cacert';
const ADS = { ads: {} };

it('makes a new context when a secret comes with another revocation list, and keeps the old for one it cannot read', async () => {
  const root = await rootAuthority('root');
  const own = await leaf(root, { uri: 'spiffe://a/b' });
  const warnings: string[] = [];
  const secrets = new Secrets(nodeRuntime(), (line) => warnings.push(line));
  const inline = (inlineString: string) => ({ inlineString });
  const push = (crl: string) =>
    secrets.set({ name: CA, validationContext: { trustedCa: inline(pem(root)), crl: inline(crl) } });
  const context = secrets.server(
    {
      requireClientCertificate: true,
      commonTlsContext: {
        tlsCertificates: [{ certificateChain: inline(own.cert), privateKey: inline(own.key) }],
        combinedValidationContext: {
          defaultValidationContext: {},
          validationContextSdsSecretConfig: { name: CA, sdsConfig: ADS },
        },
      },
    },
    'alpn',
  );
  const current = () => context(new Uint8Array(0));
  expect(current()).toBeUndefined();
  const list = revocationList(root);
  push(list);
  const first = current();
  expect(first).toBeDefined();
  push(list);
  expect(current()).toBe(first);
  push(revocationList(root, { revoked: [own.cert] }));
  const second = current();
  expect(second).not.toBe(first);
  expect(() => push('nothing')).toThrow('crl holds no revocation list');
  expect(current()).toBe(second);
  // What was revoked must not come back because its list went away with its secret.
  secrets.remove(CA);
  expect(current()).toBeUndefined();
  expect(warnings).toEqual([]);
});

it('refuses to dial, for any purpose and any requested name, while the roots of restricted names are missing', async () => {
  const warnings: string[] = [];
  const secrets = new Secrets(nodeRuntime(), (line) => warnings.push(line));
  const upstream: UpstreamTlsContext = {
    commonTlsContext: {
      alpnProtocols: ['h2', 'http/1.1'],
      combinedValidationContext: {
        defaultValidationContext: {
          matchTypedSubjectAltNames: [{ sanType: 'URI', matcher: { exact: 'spiffe://a/b' } }],
        },
        validationContextSdsSecretConfig: { name: CA, sdsConfig: ADS },
      },
    },
  };
  const context = secrets.client(upstream);
  secrets.set({ name: CA, validationContext: {} });
  const asked = secrets.client(upstream, '', { name: 'a.test', serverName: 'a.test', mustName: undefined });
  const all = () => [context('alpn'), context('http2'), context('raw'), asked('http1'), asked('alpn')];
  for (const { unready } of all()) expect(unready).toContain('have not arrived');
  expect(warnings[0]).toMatch(/^TLS: there is no context: .*there is no trustedCa/);
  secrets.set({ name: CA, validationContext: { trustedCa: { inlineString: pem(await rootAuthority('root')) } } });
  for (const { unready } of all()) expect(unready).toBeUndefined();
});

it.each([
  [{ crl: { inlineString: 'x' } }, /there is no trusted root|holds no revocation list/],
  [{ maxVerifyDepth: 101 }, /maxVerifyDepth: must be at most 100/],
  [{ verifyCertificateHash: ['ab'] }, /verifyCertificateHash: must be SHA-256/],
  [{ verifyCertificateSpki: ['ab'] }, /verifyCertificateSpki: must be SHA-256/],
  [{ matchTypedSubjectAltNames: [{ sanType: 'OTHER_NAME' as const, matcher: { exact: 'a' } }] }, /needs an oid/],
  [{ matchTypedSubjectAltNames: [{ sanType: 'URI' as const, matcher: {} }] }, /without a pattern/],
])('refuses %j by name', async (validationContext, message) => {
  const own = await leaf(await rootAuthority('root'), { uri: 'spiffe://a/b' });
  const secrets = new Secrets(nodeRuntime(), () => {});
  const certificate = { certificateChain: { inlineString: own.cert }, privateKey: { inlineString: own.key } };
  const common = { tlsCertificates: [certificate], validationContext };
  expect(() => secrets.server({ commonTlsContext: common }, 'alpn')).toThrow(message);
  const several = { tlsCertificates: [certificate, certificate] };
  expect(() => secrets.client({ commonTlsContext: several })).toThrow('a client context can have one certificate');
  expect(() => secrets.server({}, 'alpn')).toThrow('a server context needs a certificate');
});

it('dials from one runtime context for all clusters of one certificate, and from a new one after a rotation', async () => {
  const root = await rootAuthority('root');
  const inline = (inlineString: string) => ({ inlineString });
  const runtime = nodeRuntime();
  const secrets = new Secrets(runtime, () => {});
  const rotate = async () => {
    const own = await leaf(root, { uri: 'spiffe://a/b' });
    const tlsCertificate = { certificateChain: inline(own.cert), privateKey: inline(own.key) };
    secrets.set({ name: 'default', tlsCertificate });
    return tlsCertificate;
  };
  await rotate();
  secrets.set({ name: CA, validationContext: { trustedCa: inline(pem(root)) } });
  const client = (account: string, parameters: object = {}) =>
    secrets.client({
      sni: `${account}.test`,
      commonTlsContext: {
        alpnProtocols: [account],
        tlsParams: parameters,
        tlsCertificateSdsSecretConfigs: [{ name: 'default', sdsConfig: ADS }],
        combinedValidationContext: {
          defaultValidationContext: {
            matchTypedSubjectAltNames: [{ sanType: 'URI', matcher: { exact: `spiffe://a/${account}` } }],
          },
          validationContextSdsSecretConfig: { name: CA, sdsConfig: ADS },
        },
      },
    });
  const [one, two] = [client('one'), client('two')];
  const apart = [
    client('one', { tlsMinimumProtocolVersion: 'TLSV1_3' }),
    client('one', { tlsMaximumProtocolVersion: 'TLSV1_2' }),
    client('one', { cipherSuites: ['ECDHE-ECDSA-AES128-GCM-SHA256'] }),
    client('one', { ecdhCurves: ['P-256'] }),
    client('one', { signatureAlgorithms: ['ecdsa_secp256r1_sha256'] }),
  ];
  const shared = (context: ReturnType<Secrets['client']>) => (context('http1') as ClientContext).secureContext;
  const first = shared(one);
  expect(shared(two)).toBe(first);
  expect(new Set([first, ...apart.map(shared)]).size).toBe(6);
  expect(two('http1')).not.toBe(one('http1'));
  for (const [context, account, other] of [
    [one, 'one', 'two'],
    [two, 'two', 'one'],
  ] as const) {
    const { acceptNames, serverName, alpn } = context('http1') as ClientContext;
    const names = (name: string) => ({ uris: [`spiffe://a/${name}`], dns: [], ips: [] });
    expect([acceptNames!(names(account)), acceptNames!(names(other))]).toEqual([true, false]);
    expect([serverName, alpn]).toEqual([`${account}.test`, [account]]);
  }
  const before = one('http1');
  const current = await rotate();
  expect(shared(one)).not.toBe(first);
  expect(shared(two)).toBe(shared(one));
  expect(one('http1')).not.toBe(before);
  // The same configuration again, and the same secret: the pools of a cluster that is updated know their context by this.
  const after = one('http1');
  secrets.set({ name: 'default', tlsCertificate: current });
  expect(client('one')('http1')).toBe(after);
});
