/** Instance identity documents of AWS EC2 with their RSA-2048 signature (docs.aws.amazon.com/AWSEC2/latest/UserGuide/verify-rsa2048.html). */

import type { CertificateFacts } from '../../../shared/identity/certificate.ts';
import { parseJsonObject } from '../../../shared/jwt/strict-json.ts';
import { base64Bytes } from './base64.ts';
import { isSigner, readSignedData, type SignedData, verifies } from './cms.ts';
import { LEEWAY_MS, matchingRules, notAccepted, type Once, type Proof, Refusal, type Rule } from './proof.ts';

export interface AwsRule {
  readonly accounts: readonly string[];
  /** Undefined: any. */
  readonly regions: readonly string[] | undefined;
  readonly images: readonly string[] | undefined;
  readonly instanceIds: readonly string[] | undefined;
  /** Certificates of AWS that sign documents. */
  readonly signers: readonly CertificateFacts[];
  readonly maxAgeMs: number;
  readonly rejoin: boolean;
}

export interface AwsEvidence {
  /** JSON, to the byte as it was signed. */
  readonly document: string;
  /** base64. */
  readonly signature?: string | undefined;
}

interface Instance {
  readonly account: string;
  readonly region: string;
  readonly image: string;
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly started: number;
}

/** @throws Refusal */
export async function proveAws<R extends Rule<AwsRule>>(
  { document, signature }: AwsEvidence,
  rules: readonly R[],
  now: number,
): Promise<Proof<R>> {
  const instance = instanceOf(document);
  if (instance.started > now + LEEWAY_MS) throw new Refusal('unproved', 'document: its pendingTime is in the future');
  const matching = matchingRules(rules, ({ evidence }) => reasonAgainst(instance, evidence, now));
  const data = signedDataOf(signature, document);
  const signed = await signedRules(data, new TextEncoder().encode(document), matching, now);
  const once = onceOf(instance, signed);
  return {
    by: `aws ${instance.account} ${instance.region} ${instance.id}`,
    matches: signed.map((rule) => (rule.evidence.rejoin ? { rule } : { rule, once })),
  };
}

function instanceOf(document: string): Instance {
  const fields = parseJsonObject(document);
  const text = (name: string): string => {
    const value = fields?.[name];
    if (typeof value === 'string' && value !== '') return value;
    throw new Refusal('unproved', `document: is no instance identity document with ${name}`);
  };
  const started = Date.parse(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.exec(text('pendingTime'))?.[0] ?? '');
  if (!Number.isFinite(started)) throw new Refusal('unproved', 'document: its pendingTime is no time');
  return {
    account: text('accountId'),
    region: text('region'),
    image: text('imageId'),
    id: text('instanceId'),
    started,
  };
}

function reasonAgainst({ account, region, image, id, started }: Instance, rule: AwsRule, now: number) {
  if (!rule.accounts.includes(account)) return 'the account is none of its accounts';
  if (rule.regions && !rule.regions.includes(region)) return 'the region is none of its regions';
  if (rule.images && !rule.images.includes(image)) return 'the image is none of its images';
  if (rule.instanceIds && !rule.instanceIds.includes(id)) return 'the instance is none of its instanceIds';
  return now - started > rule.maxAgeMs + LEEWAY_MS ? 'the instance started longer ago than its maxAge' : undefined;
}

function signedDataOf(signature: string | undefined, document: string): SignedData {
  const bytes = signature === undefined ? undefined : base64Bytes(signature);
  if (!bytes) throw new Refusal('unproved', 'signature: must be what instance-identity/rsa2048 answers');
  let data: SignedData;
  try {
    data = readSignedData(bytes);
  } catch (error) {
    throw new Refusal('unproved', `signature: ${(error as Error).message}`);
  }
  // The content is in the signature as well; what is judged must be what is signed.
  const { content } = data;
  if (content && new TextDecoder().decode(content) !== document)
    throw new Refusal('unproved', 'signature: is of another document');
  return data;
}

async function signedRules<R extends Rule<AwsRule>>(
  data: SignedData,
  content: Uint8Array,
  rules: readonly R[],
  now: number,
): Promise<readonly R[]> {
  const signed: R[] = [];
  for (const rule of rules) if (await isSigned(data, content, rule.evidence.signers, now)) signed.push(rule);
  if (signed.length > 0) return signed;
  throw notAccepted(`${rules[0]!.name}: the document is signed by none of its certificates`);
}

async function isSigned(data: SignedData, content: Uint8Array, signers: readonly CertificateFacts[], now: number) {
  for (const signer of signers) {
    if (!isSigner(data, signer) || !(now >= signer.notBefore && now <= signer.notAfter)) continue;
    if (await verifies(data, content, signer.publicKey)) return true;
  }
  return false;
}

/** An instance, not a document: documents are the same as long as the instance runs. */
function onceOf({ account, region, id, started }: Instance, rules: readonly Rule<AwsRule>[]): Once {
  const longest = Math.max(...rules.map(({ evidence }) => evidence.maxAgeMs));
  return { id: `aws ${account} ${region} ${id}`, until: started + longest + LEEWAY_MS };
}
