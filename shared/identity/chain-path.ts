/**
 * From a leaf to a trusted root: RFC 5280 path validation (section 6) with name constraints, the one set of rules for both
 * planes. It is a search that asks its driver to check signatures, so that the proxy can use node:crypto at once and the
 * control plane and edge workers WebCrypto, which answers later. Times are judged where `nowMs` is given; revocation and
 * what a leaf's names must be are the callers' affair.
 */
import { type CertificateFacts, CLIENT_AUTH, KEY_USAGE_BITS, SERVER_AUTH } from './certificate.ts';
import { requirePermitted } from './name-constraints.ts';

export type Role = 'client' | 'server';

/** Certificates between the leaf and the root, the leaf counted. */
const MAX_CHAIN = 5;
/** Certificates that a peer may send: the longest chain, and its root. */
export const MAX_SENT = MAX_CHAIN + 1;

export type ChainErrorCode =
  | 'no-certificate'
  | 'malformed'
  | 'chain-too-long'
  | 'expired'
  | 'not-yet-valid'
  | 'unknown-authority'
  | 'not-a-leaf'
  | 'wrong-usage'
  | 'no-spiffe-id'
  | 'wrong-trust-domain';

/** Why a chain is not trusted. The message holds no key material and fits on one line. */
export class ChainError extends Error {
  override name = 'ChainError';
  readonly code: ChainErrorCode;
  constructor(code: ChainErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** A parsed certificate, with whatever the driver needs to check signatures. */
export interface ChainCertificate {
  readonly facts: CertificateFacts;
}

export interface ChainQuery<C extends ChainCertificate> {
  /** As the peer sent it: the leaf first, the rest in any order. */
  readonly chain: readonly C[];
  /** Issuers known beforehand, for peers that send their leaf alone. */
  readonly intermediates?: readonly C[];
  readonly roots: readonly C[];
  /** What the peer is. */
  readonly role: Role;
  /** Milliseconds since the epoch; undefined: certificates are taken whatever their time. */
  readonly nowMs: number | undefined;
}

/** Asks whether the issuer's key signed the subject. */
export interface SignatureQuestion<C> {
  readonly subject: C;
  readonly issuer: C;
}

/** A search that has to be driven with answers to its questions. It returns the path: leaf first, the root last. */
export type PathSearch<C> = Generator<SignatureQuestion<C>, C[], boolean>;

/** @throws ChainError */
export function findPath<C extends ChainCertificate>(
  search: PathSearch<C>,
  signed: (subject: C, issuer: C) => boolean,
): C[] {
  let step = search.next();
  while (!step.done) step = search.next(signed(step.value.subject, step.value.issuer));
  return step.value;
}

/** @throws ChainError */
export async function findPathLater<C extends ChainCertificate>(
  search: PathSearch<C>,
  signed: (subject: C, issuer: C) => Promise<boolean>,
): Promise<C[]> {
  let step = search.next();
  while (!step.done) step = search.next(await signed(step.value.subject, step.value.issuer));
  return step.value;
}

/** @throws ChainError where more certificates were sent than a chain can have; before any is parsed */
export function requireLength(sent: number): void {
  if (sent === 0) throw new ChainError('no-certificate', 'peer sent no certificate');
  if (sent > MAX_SENT) throw new ChainError('chain-too-long', `peer sent more than ${MAX_SENT} certificates`);
}

/** Begins the search for a path of a chain. @throws ChainError (also while it is driven) */
export function* searchPath<C extends ChainCertificate>(query: ChainQuery<C>): PathSearch<C> {
  requireLength(query.chain.length);
  const [leaf, ...others] = query.chain;
  requireLeaf(leaf!.facts, query.role);
  requireTime(leaf!.facts, query.nowMs);
  const search = new Search(query, [...others, ...(query.intermediates ?? [])]);
  const path = yield* search.climb([leaf!]);
  if (!path)
    throw search.reason ?? new ChainError('unknown-authority', 'peer certificate does not chain to a trusted root');
  return path;
}

class Search<C extends ChainCertificate> {
  private readonly query: ChainQuery<C>;
  private readonly issuers: readonly C[];
  /** Answers of the driver: however many paths share a step, its signature is checked once. */
  private readonly answers = new Map<C, Map<C, boolean>>();
  /** Why the first path that might have been one is none. */
  reason: ChainError | undefined;

  constructor(query: ChainQuery<C>, issuers: readonly C[]) {
    this.query = query;
    this.issuers = issuers;
  }

  /** @param path from the leaf on. @returns it with all issuers up to a root; undefined: there are none */
  *climb(path: readonly C[]): Generator<SignatureQuestion<C>, C[] | undefined, boolean> {
    for (const root of this.query.roots) if (yield* this.issues(root, path)) return [...path, root];
    if (path.length >= MAX_CHAIN) {
      if (this.issuers.some((one) => !path.includes(one) && namesIssuer(path.at(-1)!.facts, one.facts)))
        this.reason ??= new ChainError('chain-too-long', `peer certificate chain is longer than ${MAX_CHAIN}`);
      return undefined;
    }
    for (const issuer of this.issuers) {
      if (path.includes(issuer) || !(yield* this.issues(issuer, path))) continue;
      const whole = yield* this.climb([...path, issuer]);
      if (whole) return whole;
    }
    return undefined;
  }

  /** Whether the issuer may have and has signed the last certificate of a path. */
  private *issues(issuer: C, path: readonly C[]): Generator<SignatureQuestion<C>, boolean, boolean> {
    const subject = path.at(-1)!;
    const { role, nowMs } = this.query;
    if (!namesIssuer(subject.facts, issuer.facts) || !mayIssue(issuer.facts)) return false;
    const { pathLength } = issuer.facts;
    if ((pathLength !== undefined && path.length - 1 > pathLength) || !hasPurpose(issuer.facts, role)) return false;
    if (!(yield* this.signed(subject, issuer))) return false;
    const reason = timeReason(issuer.facts, nowMs) ?? constraintReason(issuer.facts, path);
    if (reason === undefined) return true;
    this.reason ??= new ChainError('unknown-authority', reason);
    return false;
  }

  private *signed(subject: C, issuer: C): Generator<SignatureQuestion<C>, boolean, boolean> {
    let ofSubject = this.answers.get(subject);
    if (!ofSubject) this.answers.set(subject, (ofSubject = new Map()));
    let answer = ofSubject.get(issuer);
    if (answer === undefined) ofSubject.set(issuer, (answer = yield { subject, issuer }));
    return answer;
  }
}

/**
 * Whether a certificate says that it was issued by another: names byte for byte, as strict verifiers (webpki, Go) compare
 * them, and the authority key identifier where there is one, as OpenSSL does.
 */
function namesIssuer(subject: CertificateFacts, issuer: CertificateFacts): boolean {
  if (!sameBytes(subject.issuerName, issuer.subjectName)) return false;
  const { keyId, issuer: above, serial } = subject.authorityKey ?? {};
  if (keyId !== undefined && issuer.subjectKeyId !== undefined && keyId !== issuer.subjectKeyId) return false;
  return (serial === undefined || serial === issuer.serial) && (above === undefined || above === issuer.issuer);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** A CA that may sign certificates and has no critical extension that is not understood here. */
export function mayIssue({ ca, keyUsage, unknownCritical }: CertificateFacts): boolean {
  return (
    ca && (keyUsage === undefined || (keyUsage & KEY_USAGE_BITS.keyCertSign) !== 0) && unknownCritical.length === 0
  );
}

/** As OpenSSL and BoringSSL judge TLS peers: anyExtendedKeyUsage allows no purpose. */
function hasPurpose({ purposes }: CertificateFacts, role: Role): boolean {
  return purposes === undefined || purposes.includes(role === 'client' ? CLIENT_AUTH : SERVER_AUTH);
}

/** What the key of a TLS peer may be for: a client signs, a server signs, decrypts or agrees on a key. */
const { digitalSignature, keyEncipherment, keyAgreement, keyCertSign, crlSign } = KEY_USAGE_BITS;
const LEAF_USAGE = { client: digitalSignature, server: digitalSignature | keyEncipherment | keyAgreement };

function requireLeaf(leaf: CertificateFacts, role: Role): void {
  const { ca, keyUsage, unknownCritical } = leaf;
  if (ca) throw new ChainError('not-a-leaf', 'peer certificate is a CA certificate');
  if (keyUsage !== undefined && (keyUsage & (keyCertSign | crlSign)) !== 0)
    throw new ChainError('not-a-leaf', 'peer certificate may sign certificates or revocation lists');
  if ((keyUsage !== undefined && (keyUsage & LEAF_USAGE[role]) === 0) || !hasPurpose(leaf, role))
    throw new ChainError('wrong-usage', `peer certificate is not for ${role} authentication`);
  if (unknownCritical.length > 0)
    throw new ChainError('malformed', `peer certificate has an unknown critical extension ${unknownCritical[0]}`);
}

function requireTime(leaf: CertificateFacts, nowMs: number | undefined): void {
  const reason = timeReason(leaf, nowMs);
  if (reason === undefined) return;
  throw new ChainError(reason.includes('expired') ? 'expired' : 'not-yet-valid', reason);
}

/** Written so that an unreadable date or clock (NaN) is refused. */
function timeReason({ notBefore, notAfter }: CertificateFacts, nowMs: number | undefined): string | undefined {
  if (nowMs === undefined) return undefined;
  if (!(nowMs >= notBefore))
    return `peer certificate is not yet valid: from ${instant(notBefore)}, this machine's clock is at ${instant(nowMs)}`;
  return nowMs <= notAfter ? undefined : `peer certificate has expired at ${instant(notAfter)}`;
}

function instant(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : 'no time';
}

/** What a CA is constrained to holds for every certificate below it. */
function constraintReason<C extends ChainCertificate>(
  issuer: CertificateFacts,
  below: readonly C[],
): string | undefined {
  if (issuer.nameConstraints === undefined) return undefined;
  try {
    for (const { facts } of below) requirePermitted(facts, issuer.nameConstraints);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
