/** The certificate authority of a trust domain: issues X.509-SVIDs and the control API's own server certificate. */
import { createHash } from 'node:crypto';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { encodePem } from '../../shared/identity/pem.ts';
import { checkTrustDomain, parseWorkloadId } from '../../shared/identity/spiffe.ts';
import { parseCertificates } from '../../shared/identity/svid.ts';
import { GeneralNames, type JsonGeneralName, type X509Certificate } from '../../shared/identity/x509.ts';
import { AuthorityError, type AuthorityMaterial, isSameMaterial, pem, readPluggedIn } from './authority-files.ts';
import { checkCsr } from './csr-policy.ts';
import { crossSign, randomSerial } from './key-material.ts';
import { type Leaf, type LeafSigner, leafSigner, uriName } from './leaf.ts';
import { firstSerial } from './life/serials.ts';
import { type AuthorityPlace, authorityFolder } from './rotation/authority-place.ts';
import { RotationError, type RotationState } from './rotation/rotation-state.ts';

export { CsrError } from './csr-policy.ts';
export { RotationError } from './rotation/rotation-state.ts';

/** `notBefore` lies this far back, so that a peer whose clock is slow accepts a fresh certificate. */
const BACKDATE_MS = 60_000;
export const ttlSeconds = { default: 24 * 3600, min: 10, max: 90 * 24 * 3600 } as const;
const SERVER_TTL_SECONDS = 90 * 24 * 3600;

export interface AuthorityOptions {
  /** Where the keys and certificates are kept, or plugged in. */
  folder: string;
  /** Where they are kept instead, with other control planes. */
  place?: AuthorityPlace;
  trustDomain: string;
  /** Seconds an SVID lives when its request names no time; default 24 h. */
  defaultTtl?: number;
  /** The longest time a request may name, in seconds; default: `defaultTtl`. */
  maxTtl?: number;
  /** Milliseconds since the epoch. */
  now?: () => number;
}

export interface IssuedCertificate {
  /** PEM, leaf first, then its issuers; no root. */
  certificateChain: string;
  /** Of the leaf; lower-case hexadecimal. */
  serial: string;
  /** Milliseconds since the epoch. */
  notBefore: number;
  notAfter: number;
}

export interface ServerCertificate extends IssuedCertificate {
  /** PKCS#8 PEM. */
  privateKey: string;
}

declare const checked: unique symbol;

/** A request that `Authority.check` accepted; only `check` creates one. */
export interface CheckedRequest {
  readonly [checked]: true;
}

interface CheckedFields {
  /** SubjectPublicKeyInfo, DER. */
  publicKey: Uint8Array;
  spiffeId: string;
  ttl: number;
}

/** The lifetime asked for is out of bounds; the message gives them. */
export class TtlError extends Error {
  override name = 'TtlError';
}

export interface RotationShown {
  readonly phase: RotationState['phase'];
  /** In the order of `Authority.roots`; ends in milliseconds since the epoch. */
  readonly roots: readonly {
    readonly subject: string;
    readonly sha256: string;
    readonly notAfter: number;
    readonly issues: boolean;
  }[];
  /** When the last certificate that the old root may have issued ends; milliseconds since the epoch. Only while there is an old one. */
  readonly oldValidUntil?: number;
}

/** The steps of a change of roots; each is durable when its promise resolves. */
export interface RootRotation {
  show(): RotationShown;
  /** Makes a new root and trusts it. @throws RotationError */
  announce(): Promise<void>;
  /** The new root issues from now on. @throws RotationError */
  issueByNext(): Promise<void>;
  /** Trusts the old root no more. @param force also while certificates of it may be valid @throws RotationError */
  retire(force: boolean): Promise<void>;
}

export interface Authority {
  readonly trustDomain: string;
  /** PEM roots, as `roots`. */
  readonly trustBundle: string;
  /** The one that will be trusted for longest first. */
  readonly roots: readonly X509Certificate[];
  readonly rotation: RootRotation;
  /**
   * Reads the files of a plugged-in authority again; one that was made here changes by `rotation` alone.
   * @returns whether they hold another one
   * @throws AuthorityError where they are broken: what was read before stays in force
   */
  reload(): Promise<boolean>;
  /** Issuers a verifier may need for peers that send their leaf alone. */
  readonly intermediates: readonly X509Certificate[];
  /**
   * Makes every check, without signing.
   * @param csr PEM
   * @param ttl seconds; at least 10, at most `maxTtl`; by default `defaultTtl`
   * @throws CsrError, TtlError, SpiffeIdError
   */
  check(csr: string, spiffeId: string, ttl?: number): Promise<CheckedRequest>;
  /**
   * Signs an X.509-SVID for the key of a CSR that was checked; it lives shorter than asked where the issuer itself expires
   * earlier.
   * @param serial as `Joins.nextSerial` gives it, for a renewal; by default one with which a new join begins
   * @throws AuthorityError when the authority itself has (nearly) expired
   */
  sign(request: CheckedRequest, serial?: string): Promise<IssuedCertificate>;
  /** `check`, then `sign`. @throws what either does */
  issue(csr: string, spiffeId: string, ttl?: number): Promise<IssuedCertificate>;
  /** Calls back after another control plane has changed the roots or the issuer, or with why that could not be followed. */
  onRotated(changed: () => void, failed: (error: Error) => void): void;
  /** A server certificate with a fresh key, for the control API. @throws AuthorityError */
  serverCertificate(names: { dnsNames: readonly string[]; ips: readonly string[] }): Promise<ServerCertificate>;
}

/** @throws AuthorityError, SpiffeIdError for a bad trust domain, TtlError for a bad `defaultTtl` or `maxTtl` */
export async function openAuthority(options: AuthorityOptions): Promise<Authority> {
  checkTrustDomain(options.trustDomain);
  const { defaultTtl = ttlSeconds.default } = options;
  const { maxTtl = defaultTtl } = options;
  checkTtl(maxTtl, ttlSeconds.max);
  checkTtl(defaultTtl, maxTtl);
  const now = options.now ?? Date.now;
  const { folder, trustDomain, place = authorityFolder(folder, trustDomain) } = options;
  const state = await place.read();
  const material = await place.open(state.folder, now());
  const authority = new MeshAuthority({ ...options, place, defaultTtl, maxTtl }, now, material);
  if (state.phase !== 'single' || state.folder !== '.' || options.place) await authority.resume(state);
  place.onChange?.(() => authority.follow());
  return authority;
}

/** @throws TtlError */
function checkTtl(ttl: number, max: number): void {
  if (Number.isInteger(ttl) && ttl >= ttlSeconds.min && ttl <= max) return;
  throw new TtlError(`certificate lifetime is ${ttl} s: must be ${ttlSeconds.min} to ${max} seconds`);
}

/** What a leaf is requested with, `serial` in hexadecimal. */
interface LeafRequest extends Pick<Leaf, 'publicKey' | 'names' | 'use'> {
  readonly serial: string;
}

/** What all leaves of an issuer have in common. */
interface Signing {
  sign: LeafSigner;
  /** PEM of what follows the leaf. */
  issuers: string;
}

class MeshAuthority implements Authority, RootRotation {
  readonly trustDomain: string;
  readonly #folder: string;
  readonly #place: AuthorityPlace;
  readonly #defaultTtl: number;
  readonly #maxTtl: number;
  readonly #now: () => number;
  readonly #checked = new WeakMap<CheckedRequest, CheckedFields>();
  #signing = new WeakMap<AuthorityMaterial, Promise<Signing>>();
  /** The authority that issues. */
  #material: AuthorityMaterial;
  #rotation: RotationState = { phase: 'single', folder: '.', since: 0 };
  /** Of a rotation: the root besides that of the issuer, the certificates that link the two, and the authority that is next. */
  #other:
    | { readonly root: X509Certificate; readonly link: X509Certificate; readonly next?: AuthorityMaterial }
    | undefined;
  #renewal: Promise<void> | undefined;
  #steps: Promise<unknown> = Promise.resolve();
  readonly #listeners = new Set<() => void>();
  readonly #failures = new Set<(error: Error) => void>();

  constructor(
    options: AuthorityOptions & { place: AuthorityPlace; defaultTtl: number; maxTtl: number },
    now: () => number,
    material: AuthorityMaterial,
  ) {
    this.trustDomain = options.trustDomain;
    this.#folder = options.folder;
    this.#place = options.place;
    this.#defaultTtl = options.defaultTtl;
    this.#maxTtl = options.maxTtl;
    this.#now = now;
    this.#material = material;
  }

  get trustBundle(): string {
    return this.roots.map(pem).join('');
  }

  get roots(): readonly X509Certificate[] {
    const { roots } = this.#material;
    if (!this.#other) return roots;
    return this.#rotation.phase === 'announced' ? [this.#other.root, ...roots] : [...roots, this.#other.root];
  }

  get intermediates(): readonly X509Certificate[] {
    return this.#other ? [...this.#material.issuerChain, this.#other.link] : this.#material.issuerChain;
  }

  async reload(): Promise<boolean> {
    if (this.#material.root) return false;
    const read = await readPluggedIn(this.#folder, this.#now());
    if (isSameMaterial(read, this.#material)) return false;
    this.#material = read;
    return true;
  }

  get rotation(): RootRotation {
    return this;
  }

  show(): RotationShown {
    const { phase, since } = this.#rotation;
    const issuing = this.#material.roots[0];
    const roots = this.roots.map((root) => ({
      subject: root.subject,
      sha256: createHash('sha256').update(new Uint8Array(root.rawData)).digest('hex'),
      notAfter: root.notAfter.getTime(),
      issues: root === issuing,
    }));
    return { phase, roots, ...(phase === 'issuing' && { oldValidUntil: since + this.#maxTtl * 1000 }) };
  }

  /** Continues a rotation that an earlier process began. */
  async resume(state: RotationState): Promise<void> {
    this.#rotation = state;
    this.#signing = new WeakMap();
    if (state.phase === 'single') this.#other = undefined;
    else if (state.phase === 'issuing')
      this.#other = { root: parseCertificates(state.oldRoot)[0]!, link: parseCertificates(state.newByOld)[0]! };
    else {
      const next = await this.#place.open(state.next, this.#now());
      this.#other = { root: next.roots[0]!, link: parseCertificates(state.presentByNext)[0]!, next };
    }
    // Whichever authority issues.
    await this.#place.publish(this.#bundleFile());
  }

  /** Another control plane may have taken a step. */
  follow(): void {
    this.#inTurn(async () => {
      const state = await this.#place.read();
      if (JSON.stringify(state) === JSON.stringify(this.#rotation)) return;
      await this.#enter(state);
      for (const changed of this.#listeners) changed();
    }).catch((error: Error) => {
      for (const failed of this.#failures) failed(error);
    });
  }

  onRotated(changed: () => void, failed: (error: Error) => void): void {
    this.#listeners.add(changed);
    this.#failures.add(failed);
  }

  async #enter(state: RotationState): Promise<void> {
    const before = this.#rotation;
    if (state.folder !== before.folder) {
      const known = before.phase === 'announced' && before.next === state.folder ? this.#other?.next : undefined;
      this.#material = known ?? (await this.#place.open(state.folder, this.#now()));
    }
    await this.resume(state);
  }

  /** One step after the other. */
  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const taken = this.#steps.then(step, step);
    this.#steps = taken.catch(() => {});
    return taken;
  }

  /** The first one of the first authority's own file has to be its root. */
  #bundleFile(): string {
    const own = this.#material.roots;
    return [...own, ...this.roots.filter((root) => !own.includes(root))].map(pem).join('');
  }

  announce(): Promise<void> {
    return this.#inTurn(() => this.#announce());
  }

  issueByNext(): Promise<void> {
    return this.#inTurn(() => this.#issueByNext());
  }

  retire(force: boolean): Promise<void> {
    return this.#inTurn(() => this.#retire(force));
  }

  async #announce(): Promise<void> {
    const { root } = this.#material;
    if (!root)
      throw new RotationError(
        `the roots in ${this.#folder} are plugged in (--ca-certs): replace its files there, with both roots in root-cert.pem until the certificates of the old one have expired`,
      );
    const { phase, folder } = this.#rotation;
    if (phase !== 'single')
      throw new RotationError(`a rotation is under way (${phase}): "tulle ca show" says what it waits for`);
    const now = this.#now();
    const next = `root-${folder === '.' ? 2 : Number(folder.slice(5)) + 1}`;
    await this.#place.clear(next);
    const made = await this.#place.open(next, now);
    const nextByPresent = pem(await crossSign(made.roots[0]!, root));
    const presentByNext = pem(await crossSign(root.certificate, made.root!));
    await this.#become({ phase: 'announced', folder, next, nextByPresent, presentByNext, since: now });
  }

  async #issueByNext(): Promise<void> {
    const state = this.#rotation;
    const next = this.#other?.next;
    if (state.phase !== 'announced' || !next)
      throw new RotationError('there is no new root: "tulle ca rotate" makes one');
    const oldRoot = pem(this.#material.roots[0]!);
    const after: RotationState = {
      ...{ phase: 'issuing', folder: state.next, before: state.folder, since: this.#now() },
      ...{ oldRoot, newByOld: state.nextByPresent },
    };
    await this.#place.write(after);
    this.#material = next;
    await this.resume(after);
  }

  async #retire(force: boolean): Promise<void> {
    const state = this.#rotation;
    if (state.phase !== 'issuing')
      throw new RotationError(`there is no old root to retire (${state.phase}): "tulle ca rotate" begins a rotation`);
    const until = this.show().oldValidUntil!;
    if (!force && this.#now() <= until)
      throw new RotationError(
        `certificates of the old root are valid until ${new Date(until).toISOString()}: wait, or force it and cut their holders off`,
      );
    await this.#become({ phase: 'single', folder: state.folder, since: this.#now() });
    await this.#place.remove(state.before);
  }

  async #become(state: RotationState): Promise<void> {
    await this.#place.write(state);
    await this.resume(state);
  }

  async check(csr: string, spiffeId: string, ttl: number = this.#defaultTtl): Promise<CheckedRequest> {
    const { trustDomain } = parseWorkloadId(spiffeId);
    if (trustDomain !== this.trustDomain) {
      throw new AuthorityError(`this authority is of trust domain "${this.trustDomain}", not "${trustDomain}"`);
    }
    checkTtl(ttl, this.#maxTtl);
    const publicKey = await checkCsr(csr, spiffeId);
    const request = Object.freeze({}) as CheckedRequest;
    this.#checked.set(request, { publicKey, spiffeId, ttl });
    return request;
  }

  async sign(request: CheckedRequest, serial: string = firstSerial()): Promise<IssuedCertificate> {
    const fields = this.#checked.get(request);
    if (!fields) throw new AuthorityError('the request was not checked by this authority');
    const { publicKey, spiffeId, ttl } = fields;
    return this.#sign({ publicKey, names: uriName(spiffeId), use: 'workload', serial }, ttl);
  }

  async issue(csr: string, spiffeId: string, ttl?: number): Promise<IssuedCertificate> {
    return this.sign(await this.check(csr, spiffeId, ttl));
  }

  async serverCertificate(names: { dnsNames: readonly string[]; ips: readonly string[] }): Promise<ServerCertificate> {
    const keys = await generateKeys();
    const publicKey = new Uint8Array(await crypto.subtle.exportKey('spki', keys.publicKey));
    const alternatives: JsonGeneralName[] = [
      ...names.dnsNames.map((value) => ({ type: 'dns' as const, value })),
      ...names.ips.map((value) => ({ type: 'ip' as const, value })),
    ];
    const encoded = new Uint8Array(new GeneralNames(alternatives).rawData);
    const leaf = { publicKey, names: encoded, use: 'server' as const, serial: randomSerial() };
    const issued = await this.#sign(leaf, SERVER_TTL_SECONDS);
    return { ...issued, privateKey: await exportPrivateKey(keys.privateKey) };
  }

  async #sign(request: LeafRequest, ttl: number): Promise<IssuedCertificate> {
    const material = await this.#current();
    const { sign, issuers } = await this.#signingOf(material);
    const { notBefore, notAfter } = this.#validity(material.issuer.certificate, ttl);
    const { serial } = request;
    const leaf = await sign({ ...request, serial: Buffer.from(serial, 'hex'), notBefore, notAfter });
    return { certificateChain: encodePem('CERTIFICATE', leaf) + issuers, serial, notBefore, notAfter };
  }

  #signingOf(material: AuthorityMaterial): Promise<Signing> {
    let signing = this.#signing.get(material);
    if (!signing) {
      const link = this.#other ? [this.#other.link] : [];
      const issuers = [...material.issuerChain, ...link].map(pem).join('');
      signing = leafSigner(material.issuer).then((sign) => ({ sign, issuers }));
      this.#signing.set(material, signing);
    }
    return signing;
  }

  /** Whole seconds, which is all a certificate can say; no leaf outlives or predates its issuer. */
  #validity(issuer: X509Certificate, ttl: number): { notBefore: number; notAfter: number } {
    const now = Math.floor(this.#now() / 1000) * 1000;
    const left = issuer.notAfter.getTime() - now;
    if (left < ttlSeconds.min * 1000) {
      throw new AuthorityError(
        `the issuing certificate "${issuer.subject}" expires at ${issuer.notAfter.toISOString()}: plug in a new one`,
      );
    }
    return {
      notBefore: Math.max(now - BACKDATE_MS, issuer.notBefore.getTime()),
      notAfter: now + Math.min(ttl * 1000, left),
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
      const { folder } = this.#rotation;
      this.#renewal ??= this.#place
        .renew(folder, root, this.#now())
        .then((material) => {
          // Unless another root issues meanwhile.
          if (this.#rotation.folder === folder) this.#material = material;
        })
        .finally(() => {
          this.#renewal = undefined;
        });
      await this.#renewal;
    }
    return this.#material;
  }
}
