/** Certificates of other authorities (RFC 5280), whose key the machine proves to have. */
import { type CertificateFacts, decodeCertificates, readCertificate } from '../../../shared/identity/certificate.ts';
import { MAX_SENT } from '../../../shared/identity/chain-path.ts';
import { isStrongRsa, rsaBits } from '../../../shared/identity/rsa-key.ts';
import type { X509Certificate } from '../../../shared/identity/x509.ts';
import { possessionAlgorithm, possessionMessage } from '../../../shared/join/possession.ts';
import { base64Bytes } from './base64.ts';
import { boundTo } from './csr-binding.ts';
import { matchingRules, type Proof, Refusal, type Rule } from './proof.ts';
import { trustingRules } from './trusted-chain.ts';

export interface NameMatch {
  readonly type: 'dns' | 'uri';
  readonly matches: (name: string) => boolean;
}

export interface CertificateRule {
  readonly roots: readonly X509Certificate[];
  readonly names: readonly NameMatch[];
}

export interface CertificateEvidence {
  /** PEM, leaf first. */
  readonly chain: string;
  /** base64, see shared/join/possession.ts. */
  readonly signature: string;
  /** PEM. */
  readonly csr: string;
}

/** @throws Refusal */
export async function proveCertificate<R extends Rule<CertificateRule>>(
  evidence: CertificateEvidence,
  rules: readonly R[],
  now: number,
): Promise<Proof<R>> {
  const chain = readChain(evidence.chain);
  const leaf = readCertificate(chain[0]!);
  const named = matchingRules(rules, ({ evidence: { names } }) =>
    nameOf(leaf, names) === undefined ? 'no name of the certificate matches its subjectAltNames' : undefined,
  );
  const trusting = await trustingRules(named, { chain, role: 'client', now, what: 'certificate' });
  await requirePossession(leaf, evidence);
  // A copy of the evidence is of no use: it asks for a certificate for the key of the same CSR.
  const name = nameOf(leaf, trusting[0]!.evidence.names);
  return { by: `certificate ${name}`, matches: trusting.map((rule) => ({ rule })) };
}

/** DER, leaf first. */
function readChain(pem: string): Uint8Array[] {
  let chain: Uint8Array[];
  try {
    chain = decodeCertificates(pem);
  } catch (error) {
    throw new Refusal('unproved', `certificate: the chain cannot be read: ${(error as Error).message}`);
  }
  if (chain.length > MAX_SENT) throw new Refusal('unproved', `certificate: the chain has more than ${MAX_SENT}`);
  return chain;
}

/** The first name of the leaf that one of the matches is for. */
function nameOf({ dns, uris }: CertificateFacts, names: readonly NameMatch[]): string | undefined {
  for (const { type, matches } of names) {
    const found = type === 'uri' ? uris.find(matches) : dns.map((name) => name.toLowerCase()).find(matches);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** @throws Refusal unproved where the key of the leaf did not sign for the CSR */
async function requirePossession(leaf: CertificateFacts, { signature, csr }: CertificateEvidence): Promise<void> {
  const bytes = base64Bytes(signature);
  const message = await boundTo(csr, possessionMessage);
  if (bytes && (await isSignedByKey(leaf.publicKey, bytes, message))) return;
  throw new Refusal('unproved', 'certificate: the signature is not by its key for this CSR');
}

async function isSignedByKey(publicKey: Uint8Array, signature: Uint8Array, message: Uint8Array): Promise<boolean> {
  try {
    const algorithm = possessionAlgorithm(publicKey);
    if (!algorithm || (rsaBits(publicKey) !== undefined && !isStrongRsa(publicKey))) return false;
    const key = await crypto.subtle.importKey('spki', new Uint8Array(publicKey), algorithm, false, ['verify']);
    return await crypto.subtle.verify(algorithm, key, new Uint8Array(signature), new Uint8Array(message));
  } catch {
    // A key that the runtime does not take, or a signature that cannot belong to it.
    return false;
  }
}
