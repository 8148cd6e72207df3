/** The control plane's entrance to chain verification and the proxy's judge the same chains alike. */
import { describe, expect, it } from 'vitest';
import { type ChainErrorCode, verifyChain } from '../../shared/identity/verify.ts';
import {
  type Authority,
  intermediate,
  leaf,
  pem,
  reissued,
  rootAuthority,
  x509,
} from '../../tests/mtls/certificates.ts';
import { pemCertificates, readRoots } from './trusted-path.ts';
import { verifyPeer } from './verify-peer.ts';

const DAY_MS = 86_400_000;
const uri = 'spiffe://td/ns/a/sa/b';
const now = Date.now();
const bytes = (text: string) => pemCertificates(text).map((one) => new Uint8Array(x509.PemConverter.decodeFirst(one)));
const usage = (flags: number) => new x509.KeyUsagesExtension(flags, true);
const { KeyUsageFlags: Usage, ExtendedKeyUsage: Purpose } = x509;

interface Case {
  readonly chain: string;
  readonly roots: readonly Authority[];
  readonly role?: 'client' | 'server';
  readonly at?: number;
}
type Recipe = [name: string, verdict: 'trusted' | ChainErrorCode, make: (root: Authority) => Promise<Case>];

/** NameConstraints that permit URIs of one host alone. */
function onlyHost(host: string): x509.Extension {
  const name = new TextEncoder().encode(host);
  const tree = [0x30, name.length + 2, 0x86, name.length, ...name];
  return new x509.Extension('2.5.29.30', true, new Uint8Array([0x30, tree.length + 2, 0xa0, tree.length, ...tree]));
}

async function levels(root: Authority, count: number): Promise<Authority> {
  let at = root;
  for (let i = 0; i < count; i++) at = await intermediate(at, `level ${i}`);
  return at;
}

/** An authority key identifier that names a key. */
const authorityKey = (hex: string) => new x509.AuthorityKeyIdentifierExtension(hex);
const subjectKey = (hex: string) => new x509.SubjectKeyIdentifierExtension(hex);

const below = (name: string, verdict: Recipe[1], make: (root: Authority) => Promise<Authority>): Recipe => [
  name,
  verdict,
  async (root) => ({ chain: (await leaf(await make(root), { uri })).cert, roots: [root] }),
];
const own = (name: string, verdict: Recipe[1], options: Partial<Parameters<typeof leaf>[1]>): Recipe => [
  name,
  verdict,
  async (root) => ({ chain: (await leaf(root, { uri, ...options })).cert, roots: [root] }),
];

const cases: readonly Recipe[] = [
  own('a leaf below the root', 'trusted', {}),
  own('a CA as leaf', 'not-a-leaf', { ca: true }),
  own('a leaf that may sign certificates', 'not-a-leaf', {
    extra: [usage(Usage.digitalSignature | Usage.keyCertSign)],
  }),
  own('a leaf that may sign revocation lists', 'not-a-leaf', {
    extra: [usage(Usage.digitalSignature | Usage.cRLSign)],
  }),
  own('a client whose key is for encryption', 'wrong-usage', { extra: [usage(Usage.keyEncipherment)] }),
  own('a client certificate for servers', 'wrong-usage', { purposes: [Purpose.serverAuth] }),
  own('a client certificate for any purpose', 'wrong-usage', { purposes: ['2.5.29.37.0'] }),
  own('an expired leaf', 'expired', { notAfter: new Date(now - 1000) }),
  own('a leaf of tomorrow', 'not-yet-valid', { notBefore: new Date(now + 60_000) }),
  own('an unknown critical extension', 'malformed', {
    extra: [new x509.Extension('1.2.3.4', true, new Uint8Array([5, 0]))],
  }),
  own('an unknown extension that is not critical', 'trusted', {
    extra: [new x509.Extension('1.2.3.4', false, new Uint8Array([5, 0]))],
  }),
  below('four intermediates', 'trusted', (root) => levels(root, 4)),
  below('five intermediates', 'chain-too-long', (root) => levels(root, 5)),
  below('a path length that is kept', 'trusted', (root) => intermediate(root, 'last', 0)),
  below('a path length that is not', 'unknown-authority', async (root) =>
    intermediate(await intermediate(root, 'last', 0), 'one more'),
  ),
  below('an expired intermediate', 'unknown-authority', (root) =>
    intermediate(root, 'old', undefined, { notAfter: new Date(now - 1000) }),
  ),
  below('an intermediate that may not sign certificates', 'unknown-authority', (root) =>
    intermediate(root, 'mute', undefined, {}, [usage(Usage.cRLSign)]),
  ),
  below('an intermediate for servers', 'unknown-authority', (root) =>
    intermediate(root, 'servers', undefined, {}, [new x509.ExtendedKeyUsageExtension([Purpose.serverAuth])]),
  ),
  below('an intermediate with an unknown critical extension', 'unknown-authority', (root) =>
    intermediate(root, 'strange', undefined, {}, [new x509.Extension('1.2.3.4', true, new Uint8Array([5, 0]))]),
  ),
  below('name constraints that are kept', 'trusted', (root) =>
    intermediate(root, 'n', undefined, {}, [onlyHost('td')]),
  ),
  below('name constraints that are not', 'unknown-authority', (root) =>
    intermediate(root, 'n', undefined, {}, [onlyHost('other')]),
  ),
  below('name constraints of an upper intermediate', 'unknown-authority', async (root) =>
    intermediate(await intermediate(root, 'n', undefined, {}, [onlyHost('other')]), 'below'),
  ),
  below('a leaf that plays CA', 'unknown-authority', async (root) => (await leaf(root, { uri })).authority),
  [
    'an authority key identifier of another key',
    'unknown-authority',
    async (root) => {
      const issuer = await intermediate(root, 'keyed', undefined, {}, [subjectKey('0101')]);
      return { chain: (await leaf(issuer, { uri, extra: [authorityKey('0202')] })).cert, roots: [root] };
    },
  ],
  [
    'an authority key identifier that fits',
    'trusted',
    async (root) => {
      const issuer = await intermediate(root, 'keyed', undefined, {}, [subjectKey('0101')]);
      return { chain: (await leaf(issuer, { uri, extra: [authorityKey('0101')] })).cert, roots: [root] };
    },
  ],
  [
    'a root of the same name',
    'unknown-authority',
    async (root) => ({ chain: (await leaf(await rootAuthority('root'), { uri })).cert, roots: [root] }),
  ],
  [
    'a server whose key is for encryption',
    'trusted',
    async (root) => ({
      chain: (await leaf(root, { uri, extra: [usage(Usage.keyEncipherment)] })).cert,
      roots: [root],
      role: 'server',
    }),
  ],
  [
    'an outdated root whose next one is there',
    'trusted',
    async (root) => {
      const old = await reissued(root, { notBefore: new Date(now - 9 * DAY_MS), notAfter: new Date(now - 1000) });
      return { chain: (await leaf(root, { uri })).cert, roots: [old, root] };
    },
  ],
  [
    'an outdated root alone',
    'unknown-authority',
    async (root) => {
      const old = await reissued(root, { notBefore: new Date(now - 9 * DAY_MS), notAfter: new Date(now - 1000) });
      return { chain: (await leaf(root, { uri })).cert, roots: [old] };
    },
  ],
  [
    'a cross-signed intermediate whose first certificate leads nowhere',
    'trusted',
    async (root) => {
      const foreign = await intermediate(await rootAuthority('foreign'), 'cross');
      const trusted = await x509.X509CertificateGenerator.create({
        serialNumber: '77',
        subject: 'CN=cross',
        issuer: root.certificate.subjectName,
        notBefore: new Date(now - DAY_MS),
        notAfter: new Date(now + DAY_MS),
        publicKey: foreign.keys.publicKey,
        signingKey: root.keys.privateKey,
        signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
        extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
      });
      const { cert } = await leaf(foreign, { uri });
      return { chain: `${cert}\n${trusted.toString('pem')}`, roots: [root] };
    },
  ],
  [
    'the root sent along, last to first',
    'trusted',
    async (root) => {
      const [first, ...rest] = pemCertificates((await leaf(await levels(root, 2), { uri })).cert);
      return { chain: [first, pem(root), ...rest.reverse()].join('\n'), roots: [root] };
    },
  ],
  [
    'more certificates than a chain can have',
    'chain-too-long',
    async (root) => {
      const { cert } = await leaf(root, { uri });
      const other = pem(await rootAuthority('other'));
      return { chain: [cert, ...Array.from({ length: 6 }, () => other)].join('\n'), roots: [root] };
    },
  ],
  ['no certificate', 'no-certificate', async (root) => ({ chain: '', roots: [root] })],
];

type Verdict = { verdict: 'trusted' | ChainErrorCode; message: string };
async function verdictOf(judge: () => unknown): Promise<Verdict> {
  try {
    await judge();
    return { verdict: 'trusted', message: '' };
  } catch (error) {
    const { code, message } = error as { code: ChainErrorCode; message: string };
    return { verdict: code, message };
  }
}

describe('both planes', () => {
  it.each(cases)('%s: %s', async (_name, verdict, make) => {
    const { chain, roots, role = 'client', at = now } = await make(await rootAuthority('root'));
    const proxy = await verdictOf(() => verifyPeer(bytes(chain), readRoots(roots.map(pem).join('\n')), role, at));
    const control = await verdictOf(() =>
      verifyChain({ chain: bytes(chain), roots: roots.map(({ certificate }) => certificate), now: at, purpose: role }),
    );
    expect(proxy.verdict).toBe(verdict);
    expect(control).toEqual(proxy);
  });
});
