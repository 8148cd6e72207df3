/** Documents in the formats of metadata services, signed by keys of tests. */
import * as x509 from '../../../shared/identity/x509.ts';
import { encodeBase64 } from '../../../shared/jwt/base64url.ts';
import { type Bytes, element, objectIdentifier, octetString, sequence, unsignedInteger } from '../../ca/der-writer.ts';

const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  publicExponent: new Uint8Array([1, 0, 1]),
  modulusLength: 2048,
};
const DAY_MS = 86_400_000;

export interface DocumentKeys {
  readonly certificate: x509.X509Certificate;
  readonly privateKey: CryptoKey;
}
type CryptoKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

export interface SignerOptions {
  readonly bits?: number;
  readonly issuer?: DocumentKeys;
  readonly dns?: readonly string[];
  readonly ca?: boolean;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

let serial = 1;

/** A certificate with an RSA key: of its own, or by an issuer. */
export async function documentSigner(name: string, options: SignerOptions = {}): Promise<DocumentKeys> {
  const keys = await crypto.subtle.generateKey({ ...RSA, modulusLength: options.bits ?? 2048 }, true, [
    'sign',
    'verify',
  ]);
  const { issuer, dns, ca = false } = options;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: (0x2000 + serial++).toString(16),
    subject: `CN=${name}`,
    issuer: issuer?.certificate.subjectName ?? `CN=${name}`,
    notBefore: options.notBefore ?? new Date(Date.now() - DAY_MS),
    notAfter: options.notAfter ?? new Date(Date.now() + DAY_MS),
    signingAlgorithm: RSA,
    publicKey: keys.publicKey,
    signingKey: issuer?.privateKey ?? keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(ca, undefined, true),
      ...(dns ? [new x509.SubjectAlternativeNameExtension(dns.map((value) => ({ type: 'dns', value })))] : []),
    ],
  });
  return { certificate, privateKey: keys.privateKey };
}

export interface SignedDataOptions {
  /** As BouncyCastle writes it for AWS: indefinite lengths, the content in pieces. Default: DER. */
  readonly indefinite?: boolean;
  readonly certificates?: readonly x509.X509Certificate[];
  /** Default: signed attributes, as both services have them. */
  readonly attributes?: boolean;
  /** The content that the message digest is of, where it is another one. */
  readonly digestOf?: Uint8Array;
  readonly detached?: boolean;
}

const oid = objectIdentifier;
const NULL = Uint8Array.of(5, 0);
const SHA256 = sequence(oid('2.16.840.1.101.3.4.2.1'), NULL);
const set = (...parts: Uint8Array[]) => element(0x31, ...parts);

/** Signed data (RFC 5652) with SHA-256 and RSA, base64. */
export async function signedData(content: Uint8Array, keys: DocumentKeys, options: SignedDataOptions = {}) {
  const { indefinite = false, certificates = [], attributes = true, detached = false } = options;
  const wrap = (tag: number, ...parts: Uint8Array[]): Bytes =>
    indefinite ? joined(Uint8Array.of(tag, 0x80), ...parts, new Uint8Array(2)) : element(tag, ...parts);
  const half = content.length >> 1;
  const inPieces = wrap(0x24, octetString(content.subarray(0, half)), octetString(content.subarray(half)));
  const encapsulated = wrap(
    0x30,
    oid('1.2.840.113549.1.7.1'),
    ...(detached ? [] : [wrap(0xa0, indefinite ? inPieces : octetString(content))]),
  );
  const signer = await signerInfo(content, keys, attributes, options.digestOf ?? content);
  const signed = wrap(
    0x30,
    unsignedInteger(Uint8Array.of(1)),
    set(SHA256),
    encapsulated,
    ...(certificates.length > 0 ? [wrap(0xa0, ...certificates.map((one) => new Uint8Array(one.rawData)))] : []),
    set(signer),
  );
  return encodeBase64(wrap(0x30, oid('1.2.840.113549.1.7.2'), wrap(0xa0, signed)));
}

async function signerInfo(content: Uint8Array, keys: DocumentKeys, attributes: boolean, digestOf: Uint8Array) {
  const { issuer, serialNumber } = namesOf(keys.certificate);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(digestOf)));
  const list = [
    sequence(oid('1.2.840.113549.1.9.3'), set(oid('1.2.840.113549.1.7.1'))),
    sequence(oid('1.2.840.113549.1.9.4'), set(octetString(digest))),
  ];
  const toSign = attributes ? set(...list) : content;
  const signature = new Uint8Array(await crypto.subtle.sign(RSA.name, keys.privateKey, new Uint8Array(toSign)));
  return sequence(
    unsignedInteger(Uint8Array.of(1)),
    sequence(issuer, serialNumber),
    SHA256,
    ...(attributes ? [element(0xa0, ...list)] : []),
    sequence(oid('1.2.840.113549.1.1.1'), NULL),
    octetString(signature),
  );
}

function namesOf(certificate: x509.X509Certificate) {
  const serialNumber = unsignedInteger(Uint8Array.from(Buffer.from(certificate.serialNumber, 'hex')));
  return { issuer: new Uint8Array(certificate.issuerName.toArrayBuffer()), serialNumber };
}

function joined(...parts: Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export interface AwsInstance {
  readonly accountId?: string;
  readonly region?: string;
  readonly imageId?: string;
  readonly instanceId?: string;
  /** Milliseconds since the epoch. */
  readonly started: number;
}

/** As `/latest/dynamic/instance-identity/document` and `…/rsa2048` answer. */
export async function awsDocument({ started, ...instance }: AwsInstance, keys: DocumentKeys) {
  const fields = {
    accountId: '123456789012',
    architecture: 'x86_64',
    availabilityZone: 'eu-central-1a',
    billingProducts: null,
    devpayProductCodes: null,
    imageId: 'ami-5fb8c835',
    instanceId: 'i-1234567890abcdef0',
    instanceType: 't3.small',
    pendingTime: new Date(started).toISOString().replace(/\.\d+/, ''),
    privateIp: '10.158.112.84',
    region: 'eu-central-1',
    version: '2017-09-30',
    ...instance,
  };
  const document = JSON.stringify(fields, undefined, 2);
  const base64 = await signedData(new TextEncoder().encode(document), keys, { indefinite: true });
  return { document, signature: base64.replace(/.{64}/g, '$&\n') };
}

export interface AzureMachine {
  readonly subscriptionId?: string;
  readonly vmId?: string;
  readonly nonce: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly expires?: number;
}

/** As `/metadata/attested/document` answers. @param embedded certificates of the signer and its issuers */
export async function azureDocument(
  { created, expires = created + 6 * 3_600_000, ...machine }: AzureMachine,
  keys: DocumentKeys,
  embedded: readonly x509.X509Certificate[] = [keys.certificate],
) {
  const fields = {
    licenseType: '',
    plan: { name: '', product: '', publisher: '' },
    sku: '22_04-lts-gen2',
    subscriptionId: '8d10da13-8125-4ba9-a717-bf7490507b3d',
    timeStamp: { createdOn: azureTime(created), expiresOn: azureTime(expires) },
    vmId: '02aab8a4-74ef-476e-8182-f6d2ba4166a6',
    ...machine,
  };
  const content = new TextEncoder().encode(JSON.stringify(fields));
  const signature = await signedData(content, keys, { certificates: embedded });
  return JSON.stringify({ encoding: 'pkcs7', signature });
}

/** `11/28/18 00:16:17 -0000` */
function azureTime(ms: number): string {
  const [, year, month, day, clock] = /^\d\d(\d\d)-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)/.exec(new Date(ms).toISOString())!;
  return `${month}/${day}/${year} ${clock} -0000`;
}
