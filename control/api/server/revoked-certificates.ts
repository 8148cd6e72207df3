/**
 * Revocation lists of the CAs of users (RFC 5280 section 5). Certificates of a CA with a list are judged by it; one that is out of
 * date tells nothing, and certificates of its CA are refused.
 */
import { type CertificateFacts, readCertificate } from '../../../shared/identity/certificate.ts';
import { decodePem } from '../../../shared/identity/pem.ts';
import { X509Certificate, X509Crl } from '../../../shared/identity/x509.ts';

interface List {
  /** Serial numbers as `serialOf` writes them. */
  readonly serials: ReadonlySet<string>;
  /** Milliseconds since the epoch. */
  readonly nextUpdate: number;
}

/** Extensions whose meaning restricts a list: delta lists, and those of a distribution point. */
const RESTRICTING = ['2.5.29.27', '2.5.29.28'];

export class RevokedCertificates {
  /** By the public key of the CA. */
  readonly #lists: ReadonlyMap<string, List>;

  private constructor(lists: ReadonlyMap<string, List>) {
    this.#lists = lists;
  }

  /** @param cas DER @throws Error where a list is malformed, or is of none of the CAs */
  static async read(pem: string, cas: readonly Uint8Array<ArrayBuffer>[]): Promise<RevokedCertificates> {
    const lists = new Map<string, List>();
    for (const der of pem === '' ? [] : decodePem(pem, 'X509 CRL')) {
      const crl = parsed(der);
      const ca = await signerOf(crl, cas);
      if (!ca) throw new Error(`the revocation list of ${crl.issuer} is signed by none of the CAs`);
      const key = keyOf(readCertificate(ca));
      if (lists.has(key)) throw new Error(`there are two revocation lists of ${crl.issuer}`);
      const serials = new Set(crl.entries.map(({ serialNumber }) => serialOf(serialNumber)));
      lists.set(key, { serials, nextUpdate: crl.nextUpdate?.getTime() ?? Number.POSITIVE_INFINITY });
    }
    if (pem !== '' && lists.size === 0) throw new Error('holds no revocation list ("X509 CRL")');
    return new RevokedCertificates(lists);
  }

  /** @param path leaf first, the CA last @returns why it is refused */
  refusal(path: readonly CertificateFacts[], nowMs: number): string | undefined {
    if (this.#lists.size === 0) return undefined;
    for (const [i, certificate] of path.slice(0, -1).entries()) {
      const list = this.#lists.get(keyOf(path[i + 1]!));
      if (!list) continue;
      if (nowMs > list.nextUpdate) return 'the revocation list of the CA of the client certificate is out of date';
      if (list.serials.has(serialOf(hexOf(certificate.serial)))) return 'the client certificate is revoked';
    }
    return undefined;
  }
}

function parsed(der: Uint8Array<ArrayBuffer>): X509Crl {
  let crl: X509Crl;
  try {
    crl = new X509Crl(der);
    void crl.entries;
  } catch {
    throw new Error('a revocation list is malformed');
  }
  const restricting = crl.extensions.find(({ type }) => RESTRICTING.includes(type));
  if (restricting)
    throw new Error(`a revocation list has extension ${restricting.type}: only complete lists are supported`);
  return crl;
}

async function signerOf(crl: X509Crl, cas: readonly Uint8Array<ArrayBuffer>[]) {
  for (const ca of cas) {
    const certificate = new X509Certificate(ca);
    if (certificate.subject !== crl.issuer) continue;
    if (await crl.verify({ publicKey: certificate }).catch(() => false)) return ca;
  }
  return undefined;
}

const keyOf = ({ publicKey }: CertificateFacts) => Buffer.from(publicKey).toString('base64');

/** Hexadecimal, lower case, without leading zeros. */
const serialOf = (hex: string) => hex.toLowerCase().replace(/^0+(?=.)/, '');

const hexOf = (latin: string) => Buffer.from(latin, 'latin1').toString('hex');
