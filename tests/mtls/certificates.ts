/** Throw-away certificate authorities and leaves for the negative tests. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

type CryptoKeyPair = Awaited<ReturnType<typeof keyPair>>;

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
let serial = 1;

export interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly keys: CryptoKeyPair;
  /** PEM of every CA certificate between a leaf and the root, the root left out. */
  readonly chain: string;
}
export interface Leaf {
  readonly cert: string;
  readonly key: string;
  readonly authority: Authority;
}
export interface LeafOptions {
  readonly uri: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly ca?: boolean;
  readonly purposes?: string[];
  readonly extra?: x509.Extension[];
  /** Hexadecimal. */
  readonly serial?: string;
  /** In place of the one URI name; null: none. */
  readonly names?: x509.SubjectAlternativeNameExtension | null;
  /** Default: `CN=workload`. */
  readonly subject?: string;
}

const keyPair = () => crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
const nextSerial = () => (0x1000 + serial++).toString(16);
const window = () => ({ notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) });
const caExtensions = (pathLength?: number) => [
  new x509.BasicConstraintsExtension(true, pathLength, true),
  new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
];

export async function rootAuthority(name: string): Promise<Authority> {
  const keys = await keyPair();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: nextSerial(),
    name: `CN=${name}`,
    ...window(),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: caExtensions(),
  });
  return { certificate, keys, chain: '' };
}

/** Another certificate of the same root: its name, its key, another time. */
export async function reissued(root: Authority, valid: { notBefore: Date; notAfter: Date }): Promise<Authority> {
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: nextSerial(),
    name: root.certificate.subjectName,
    ...valid,
    keys: root.keys,
    signingAlgorithm: ALGORITHM,
    extensions: caExtensions(),
  });
  return { certificate, keys: root.keys, chain: '' };
}

export async function intermediate(
  parent: Authority,
  name: string,
  pathLength?: number,
  valid: { notBefore?: Date; notAfter?: Date } = {},
  extra: x509.Extension[] = [],
): Promise<Authority> {
  const keys = await keyPair();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: nextSerial(),
    subject: `CN=${name}`,
    issuer: parent.certificate.subjectName,
    ...window(),
    ...valid,
    publicKey: keys.publicKey,
    signingKey: parent.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    // One that is given takes the place of the usual.
    extensions: [...caExtensions(pathLength).filter(({ type }) => !extra.some((one) => one.type === type)), ...extra],
  });
  return { certificate, keys, chain: `${certificate.toString('pem')}\n${parent.chain}` };
}

export async function leaf(parent: Authority, options: LeafOptions): Promise<Leaf> {
  const keys = await keyPair();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: options.serial ?? nextSerial(),
    subject: options.subject ?? 'CN=workload',
    issuer: parent.certificate.subjectName,
    ...window(),
    ...(options.notBefore ? { notBefore: options.notBefore } : {}),
    ...(options.notAfter ? { notAfter: options.notAfter } : {}),
    publicKey: keys.publicKey,
    signingKey: parent.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(options.ca ?? false, undefined, true),
      new x509.ExtendedKeyUsageExtension(
        options.purposes ?? [x509.ExtendedKeyUsage.clientAuth, x509.ExtendedKeyUsage.serverAuth],
      ),
      ...(options.names === null
        ? []
        : [options.names ?? new x509.SubjectAlternativeNameExtension([{ type: 'url', value: options.uri }], true)]),
      ...(options.extra ?? []),
    ],
  });
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  return {
    cert: `${certificate.toString('pem')}\n${parent.chain}`,
    key,
    // A leaf that plays authority: the certificates it issues chain through it.
    authority: { certificate, keys, chain: `${certificate.toString('pem')}\n${parent.chain}` },
  };
}

export const pem = (authority: Authority) => authority.certificate.toString('pem');

export type KeyKind = 'RSA' | 'P-256' | 'P-384';
const KEY_KINDS = {
  RSA: {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  'P-256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  'P-384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
} as const;

/** A self-signed server certificate with DNS names, for a key of any kind. */
export async function serverLeaf(kind: KeyKind, names: readonly string[]): Promise<{ cert: string; key: string }> {
  const signingAlgorithm = KEY_KINDS[kind];
  const keys = (await crypto.subtle.generateKey(signingAlgorithm, true, ['sign', 'verify'])) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: nextSerial(),
    name: 'CN=server',
    ...window(),
    keys,
    signingAlgorithm,
    extensions: [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value })))],
  });
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  return { cert: certificate.toString('pem'), key };
}

export { x509 };
