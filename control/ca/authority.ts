/** The certificate authority of a trust domain: issues X.509-SVIDs and the control API's own server certificate. */
import type { CryptoKey } from '../../shared/identity/keys.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { checkTrustDomain, parseWorkloadId } from '../../shared/identity/spiffe.ts';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  type PublicKey,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '../../shared/identity/x509.ts';
import { AuthorityError, type AuthorityMaterial, openMaterial, pem, renewIntermediate } from './authority-files.ts';
import { checkCsr } from './csr-policy.ts';
import { randomSerial, signingAlgorithmOf } from './key-material.ts';

export { AuthorityError } from './authority-files.ts';
export { CsrError } from './csr-policy.ts';

/** `notBefore` lies this far back, so that a peer whose clock is a little slow believes a fresh certificate. */
const BACKDATE_MS = 60_000;
export const ttlSeconds = { default: 24 * 3600, min: 10, max: 90 * 24 * 3600 } as const;
const SERVER_TTL_SECONDS = 90 * 24 * 3600;

export interface AuthorityOptions {
  /** Where the keys and certificates are kept, or plugged in. */
  folder: string;
  trustDomain: string;
  /** Seconds a certificate lives when its request names no time; default 24 h. */
  defaultTtl?: number;
  /** Milliseconds since the epoch. */
  now?: () => number;
}

export interface IssuedCertificate {
  /** PEM, leaf first, then its issuers; no root. */
  certificateChain: string;
  /** Milliseconds since the epoch. */
  notBefore: number;
  notAfter: number;
}

export interface ServerCertificate extends IssuedCertificate {
  /** PKCS#8 PEM. */
  privateKey: string;
}

/** The request's life time is out of bounds; the message gives them. */
export class TtlError extends Error {
  override name = 'TtlError';
}

export interface Authority {
  readonly trustDomain: string;
  /** PEM roots. */
  readonly trustBundle: string;
  readonly roots: readonly X509Certificate[];
  /** Issuers a verifier may need for peers that send their leaf alone. */
  readonly intermediates: readonly X509Certificate[];
  /** Everything `issue` would refuse, without signing. @throws CsrError, TtlError, SpiffeIdError */
  check(csr: string, spiffeId: string, ttl?: number): Promise<void>;
  /**
   * Signs an X.509-SVID for the key of a CSR. `ttl` in seconds, at least 10, by default `defaultTtl`; shorter where the issuer
   * itself expires earlier.
   * @throws CsrError, TtlError, SpiffeIdError; AuthorityError when the authority itself has (nearly) expired
   */
  issue(csr: string, spiffeId: string, ttl?: number): Promise<IssuedCertificate>;
  /** A server certificate with a fresh key, for the control API. @throws AuthorityError */
  serverCertificate(names: { dnsNames: readonly string[]; ips: readonly string[] }): Promise<ServerCertificate>;
}

/** @throws AuthorityError, SpiffeIdError for a bad trust domain, TtlError for a bad `defaultTtl` */
export async function openAuthority(options: AuthorityOptions): Promise<Authority> {
  checkTrustDomain(options.trustDomain);
  if (options.defaultTtl !== undefined) checkTtl(options.defaultTtl);
  const now = options.now ?? Date.now;
  return new FileAuthority(options, now, await openMaterial(options.folder, options.trustDomain, now()));
}

/** @throws TtlError */
function checkTtl(ttl: number): void {
  if (!Number.isInteger(ttl) || ttl < ttlSeconds.min || ttl > ttlSeconds.max) {
    throw new TtlError(`certificate life time must be ${ttlSeconds.min} to ${ttlSeconds.max} seconds`);
  }
}

class FileAuthority implements Authority {
  readonly trustDomain: string;
  readonly #folder: string;
  readonly #defaultTtl: number;
  readonly #now: () => number;
  #material: AuthorityMaterial;
  #renewal: Promise<void> | undefined;

  constructor(options: AuthorityOptions, now: () => number, material: AuthorityMaterial) {
    this.trustDomain = options.trustDomain;
    this.#folder = options.folder;
    this.#defaultTtl = options.defaultTtl ?? ttlSeconds.default;
    this.#now = now;
    this.#material = material;
  }

  get trustBundle(): string {
    return this.#material.roots.map(pem).join('');
  }

  get roots(): readonly X509Certificate[] {
    return this.#material.roots;
  }

  get intermediates(): readonly X509Certificate[] {
    return this.#material.issuerChain;
  }

  async check(csr: string, spiffeId: string, ttl: number = this.#defaultTtl): Promise<void> {
    await this.#checked(csr, spiffeId, ttl);
  }

  async issue(csr: string, spiffeId: string, ttl: number = this.#defaultTtl): Promise<IssuedCertificate> {
    const publicKey = await this.#checked(csr, spiffeId, ttl);
    return this.#sign(publicKey, [{ type: 'url', value: spiffeId }], ttl, [
      ExtendedKeyUsage.serverAuth,
      ExtendedKeyUsage.clientAuth,
    ]);
  }

  async serverCertificate(names: { dnsNames: readonly string[]; ips: readonly string[] }): Promise<ServerCertificate> {
    const keys = await generateKeys();
    const alternatives: JsonGeneralName[] = [
      ...names.dnsNames.map((value) => ({ type: 'dns' as const, value })),
      ...names.ips.map((value) => ({ type: 'ip' as const, value })),
    ];
    const issued = await this.#sign(keys.publicKey, alternatives, SERVER_TTL_SECONDS, [ExtendedKeyUsage.serverAuth]);
    return { ...issued, privateKey: await exportPrivateKey(keys.privateKey) };
  }

  async #checked(csr: string, spiffeId: string, ttl: number): Promise<PublicKey> {
    const { trustDomain } = parseWorkloadId(spiffeId);
    if (trustDomain !== this.trustDomain) {
      throw new AuthorityError(`this authority is of trust domain "${this.trustDomain}", not "${trustDomain}"`);
    }
    checkTtl(ttl);
    return checkCsr(csr, spiffeId);
  }

  async #sign(
    publicKey: PublicKey | CryptoKey,
    names: JsonGeneralName[],
    ttl: number,
    usages: ExtendedKeyUsage[],
  ): Promise<IssuedCertificate> {
    const { issuer, issuerChain } = await this.#current();
    const validity = this.#validity(issuer.certificate, ttl);
    const leaf = await X509CertificateGenerator.create({
      // The subject stays empty, so the names must be critical (RFC 5280 section 4.2.1.6).
      issuer: issuer.certificate.subjectName,
      publicKey,
      signingKey: issuer.key,
      signingAlgorithm: signingAlgorithmOf(issuer.key),
      serialNumber: randomSerial(),
      ...validity,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension(usages),
        new SubjectAlternativeNameExtension(names, true),
        await AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey),
      ],
    });
    return {
      certificateChain: [leaf, ...issuerChain].map(pem).join(''),
      notBefore: leaf.notBefore.getTime(),
      notAfter: leaf.notAfter.getTime(),
    };
  }

  /** Whole seconds, which is all a certificate can say; no leaf outlives or predates its issuer. */
  #validity(issuer: X509Certificate, ttl: number): { notBefore: Date; notAfter: Date } {
    const now = Math.floor(this.#now() / 1000) * 1000;
    const left = issuer.notAfter.getTime() - now;
    if (left < ttlSeconds.min * 1000) {
      throw new AuthorityError(
        `the issuing certificate "${issuer.subject}" expires at ${issuer.notAfter.toISOString()}: plug in a new one`,
      );
    }
    return {
      notBefore: new Date(Math.max(now - BACKDATE_MS, issuer.notBefore.getTime())),
      notAfter: new Date(now + Math.min(ttl * 1000, left)),
    };
  }

  /** The material, its own intermediate renewed once two thirds of its life are over. */
  async #current(): Promise<AuthorityMaterial> {
    const { root, issuer } = this.#material;
    const begin = issuer.certificate.notBefore.getTime();
    const due = begin + ((issuer.certificate.notAfter.getTime() - begin) * 2) / 3;
    // An intermediate that already lasts as long as its root cannot be renewed to anything better.
    const capped = issuer.certificate.notAfter.getTime() >= (root?.certificate.notAfter.getTime() ?? 0);
    if (root && !capped && this.#now() >= due) {
      this.#renewal ??= renewIntermediate(this.#folder, root, this.trustDomain, this.#now())
        .then((material) => {
          this.#material = material;
        })
        .finally(() => {
          this.#renewal = undefined;
        });
      await this.#renewal;
    }
    return this.#material;
  }
}
