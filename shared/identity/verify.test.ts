import { beforeAll, describe, expect, it } from 'vitest';
import { generateKeys, type Keys, signingAlgorithm } from './keys.ts';
import { parseSvid } from './svid.ts';
import { renewAt } from './svid-identity.ts';
import { type ChainErrorCode, verifyChain } from './verify.ts';
import * as x509 from './x509.ts';

const now = Date.UTC(2030, 0, 1);
const hour = 3_600_000;
const id = 'spiffe://td/ns/a/sa/b';

interface Made {
  certificate: x509.X509Certificate;
  keys: Keys;
}
interface Recipe {
  issuer?: Made;
  subject?: string;
  ca?: boolean;
  pathLength?: number;
  uris?: string[];
  from?: number;
  to?: number;
  usages?: x509.KeyUsageFlags;
  extended?: x509.ExtendedKeyUsage[];
  extra?: x509.Extension[];
}

async function make(recipe: Recipe): Promise<Made> {
  const keys = await generateKeys();
  const subject = recipe.subject ?? '';
  const ca = recipe.ca ?? false;
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: recipe.issuer?.certificate.subjectName ?? subject,
    publicKey: keys.publicKey,
    signingKey: (recipe.issuer?.keys ?? keys).privateKey,
    signingAlgorithm,
    notBefore: new Date(recipe.from ?? now - hour),
    notAfter: new Date(recipe.to ?? now + hour),
    extensions: [
      new x509.BasicConstraintsExtension(ca, recipe.pathLength, true),
      new x509.KeyUsagesExtension(
        recipe.usages ?? (ca ? x509.KeyUsageFlags.keyCertSign : x509.KeyUsageFlags.digitalSignature),
        true,
      ),
      ...(recipe.extended ? [new x509.ExtendedKeyUsageExtension(recipe.extended)] : []),
      ...(recipe.uris
        ? [new x509.SubjectAlternativeNameExtension(recipe.uris.map((value) => ({ type: 'url', value })))]
        : []),
      ...(recipe.extra ?? []),
    ],
  });
  return { certificate, keys };
}

let root: Made;
let other: Made;
let intermediate: Made;
beforeAll(async () => {
  root = await make({ subject: 'CN=root', ca: true });
  other = await make({ subject: 'CN=root', ca: true });
  intermediate = await make({ subject: 'CN=int', ca: true, pathLength: 0, issuer: root });
});

const verify = (chain: Made[], options: { roots?: Made[]; purpose?: 'client' | 'server'; trustDomain?: string } = {}) =>
  verifyChain({
    chain: chain.map(({ certificate }) => new Uint8Array(certificate.rawData)),
    roots: (options.roots ?? [root]).map(({ certificate }) => certificate),
    now,
    purpose: options.purpose ?? 'client',
    trustDomain: options.trustDomain ?? 'td',
  });

describe('verifyChain', () => {
  it('accepts leaf, intermediate, root; the root by key, not by name', async () => {
    const leaf = await make({ issuer: intermediate, uris: [id] });
    await expect(verify([leaf, intermediate], { roots: [other, root] })).resolves.toMatchObject({ spiffeId: id });
    // The root sent along, and in another order, changes nothing.
    await expect(verify([leaf, root, intermediate])).resolves.toMatchObject({ spiffeId: id, notAfter: now + hour });
  });

  it('accepts configured intermediates', async () => {
    const leaf = await make({ issuer: intermediate, uris: [id] });
    const chain = [new Uint8Array(leaf.certificate.rawData)];
    const verified = await verifyChain({
      chain,
      roots: [root.certificate],
      intermediates: [intermediate.certificate],
      now,
      purpose: 'server',
    });
    expect(verified.path).toHaveLength(3);
  });

  const refusals: [string, ChainErrorCode, () => Promise<Made[]>, Parameters<typeof verify>[1]?][] = [
    ['no certificate', 'no-certificate', async () => []],
    ['a rogue CA of the same name', 'unknown-authority', async () => [await make({ issuer: other, uris: [id] })]],
    ['a self-signed leaf', 'unknown-authority', async () => [await make({ uris: [id] })]],
    ['an expired leaf', 'expired', async () => [await make({ issuer: root, uris: [id], to: now - 1000 })]],
    [
      'a leaf that is not valid yet',
      'not-yet-valid',
      async () => [await make({ issuer: root, uris: [id], from: now + 1000 })],
    ],
    [
      'another trust domain',
      'wrong-trust-domain',
      async () => [await make({ issuer: root, uris: ['spiffe://x/ns/a/sa/b'] })],
    ],
    ['no URI', 'no-spiffe-id', async () => [await make({ issuer: root })]],
    ['two URIs', 'no-spiffe-id', async () => [await make({ issuer: root, uris: [id, 'spiffe://td/ns/a/sa/c'] })]],
    ['a URI that is no SPIFFE id', 'no-spiffe-id', async () => [await make({ issuer: root, uris: ['https://td/a'] })]],
    ['an id without path', 'no-spiffe-id', async () => [await make({ issuer: root, uris: ['spiffe://td'] })]],
    ['a CA as leaf', 'not-a-leaf', async () => [await make({ issuer: root, ca: true, uris: [id] })]],
    [
      'a leaf that may sign certificates',
      'not-a-leaf',
      async () => [
        await make({
          issuer: root,
          uris: [id],
          usages: x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign,
        }),
      ],
    ],
    [
      'a leaf for servers as client',
      'wrong-usage',
      async () => [await make({ issuer: root, uris: [id], extended: [x509.ExtendedKeyUsage.serverAuth] })],
    ],
    [
      'an unknown critical extension',
      'malformed',
      async () => [
        await make({ issuer: root, uris: [id], extra: [new x509.Extension('1.2.3.4', true, new Uint8Array([5, 0]))] }),
      ],
    ],
    [
      'an issuer that is a leaf',
      'unknown-authority',
      async () => {
        const leaf = await make({ subject: 'CN=leaf', issuer: root, uris: [id] });
        return [await make({ issuer: leaf, uris: [id] }), leaf];
      },
    ],
    [
      'an issuer that has expired',
      'unknown-authority',
      async () => {
        const issuer = await make({ subject: 'CN=old', ca: true, issuer: root, to: now - 1 });
        return [await make({ issuer, uris: [id] }), issuer];
      },
    ],
    [
      'a path longer than the intermediate permits',
      'unknown-authority',
      async () => {
        const issuer = await make({ subject: 'CN=sub', ca: true, issuer: intermediate });
        return [await make({ issuer, uris: [id] }), issuer, intermediate];
      },
    ],
    ['a chain that is too long', 'chain-too-long', async () => Array.from<Made>({ length: 7 }).fill(intermediate)],
  ];
  it.each(refusals)('refuses %s', async (_name, code, chain, options) => {
    await expect(verify(await chain(), options)).rejects.toMatchObject({ name: 'ChainError', code });
  });

  it('refuses an expired root', async () => {
    const old = await make({ subject: 'CN=o', ca: true, to: now - 1 });
    await expect(verify([await make({ issuer: old, uris: [id] })], { roots: [old] })).rejects.toMatchObject({
      code: 'unknown-authority',
    });
  });

  it('refuses bytes that are no certificate', async () => {
    const chain = [new Uint8Array([0x30, 3, 1, 2, 3])];
    await expect(verifyChain({ chain, roots: [], now, purpose: 'client' })).rejects.toMatchObject({
      code: 'malformed',
    });
  });

  it('refuses a changed signature', async () => {
    const leaf = await make({ issuer: root, uris: [id] });
    const der = new Uint8Array(leaf.certificate.rawData);
    der[der.length - 3]! ^= 1;
    await expect(
      verifyChain({ chain: [der], roots: [root.certificate], now, purpose: 'client' }),
    ).rejects.toMatchObject({ code: 'unknown-authority' });
  });
});

describe('svid', () => {
  it('is read from PEM, and renewed at half of the life left on receipt', async () => {
    const leaf = await make({ issuer: intermediate, uris: [id] });
    const svid = parseSvid([leaf, intermediate].map(({ certificate }) => certificate.toString('pem')).join('\n'));
    expect(svid).toMatchObject({ spiffeId: id, notBefore: now - hour, notAfter: now + hour });
    expect(svid.der).toHaveLength(2);
    expect(renewAt(svid, now, 0.5)).toBe(now + hour / 2);
    expect(renewAt(svid, now, 0)).toBeCloseTo(now + hour * 0.45);
    // A receiver whose clock is slow counts from notBefore.
    expect(renewAt(svid, now - 2 * hour, 0.5)).toBe(now);
  });
});
