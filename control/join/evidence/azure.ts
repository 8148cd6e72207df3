/** Attested documents of Azure virtual machines (learn.microsoft.com/azure/virtual-machines/instance-metadata-service, "attested data"). */
import { type CertificateFacts, readCertificate } from '../../../shared/identity/certificate.ts';
import type { X509Certificate } from '../../../shared/identity/x509.ts';
import { nonceOf } from '../../../shared/join/possession.ts';
import { parseJsonObject } from '../../../shared/jwt/strict-json.ts';
import { base64Bytes } from './base64.ts';
import { isSigner, readSignedData, type SignedData, verifies } from './cms.ts';
import { boundTo } from './csr-binding.ts';
import { LEEWAY_MS, matchingRules, type Proof, Refusal, type Rule } from './proof.ts';
import { trustingRules } from './trusted-chain.ts';

export interface AzureRule {
  readonly roots: readonly X509Certificate[];
  /** In lower case. */
  readonly subscriptions: readonly string[];
  /** In lower case; undefined: any. */
  readonly vmIds: readonly string[] | undefined;
}

export interface AzureEvidence {
  /** What the metadata service answers: {encoding, signature}. */
  readonly document: string;
  /** PEM. */
  readonly csr: string;
}

interface Machine {
  readonly subscription: string;
  readonly id: string;
  readonly nonce: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly expires: number;
}

/** Names of the metadata service in Azure's clouds. */
const SERVICE = /^(?:\*\.|(?:[a-z0-9-]+\.)+)?metadata\.azure\.(?:com|us|cn)$/;

/** @throws Refusal */
export async function proveAzure<R extends Rule<AzureRule>>(
  { document, csr }: AzureEvidence,
  rules: readonly R[],
  now: number,
): Promise<Proof<R>> {
  const data = signedDataOf(document);
  const machine = machineOf(data.content);
  checkTimes(machine, now);
  if (machine.nonce !== (await boundTo(csr, nonceOf)))
    throw new Refusal('unproved', 'document: its nonce is not the one of this CSR');
  const matching = matchingRules(rules, ({ evidence }) => reasonAgainst(machine, evidence));
  const signer = await signerOf(data);
  const chain = [signer, ...data.certificates.filter((der) => der !== signer)];
  const trusting = await trustingRules(matching, { chain, role: 'server', now, what: 'document: its signer' });
  const once = {
    id: `azure ${machine.subscription} ${machine.id} ${machine.nonce}`,
    until: machine.expires + LEEWAY_MS,
  };
  return { by: `azure ${machine.subscription} ${machine.id}`, matches: trusting.map((rule) => ({ rule, once })) };
}

function signedDataOf(document: string): SignedData {
  const { encoding, signature } = parseJsonObject(document) ?? {};
  const bytes = encoding === 'pkcs7' && typeof signature === 'string' ? base64Bytes(signature) : undefined;
  if (!bytes) throw new Refusal('unproved', 'document: is no attested document with encoding pkcs7 and a signature');
  try {
    return readSignedData(bytes);
  } catch (error) {
    throw new Refusal('unproved', `document: its signature ${(error as Error).message}`);
  }
}

function machineOf(content: Uint8Array | undefined): Machine {
  const fields = (content && parseJsonObject(new TextDecoder().decode(content))) ?? {};
  const times =
    typeof fields['timeStamp'] === 'object' ? (fields['timeStamp'] as Record<string, unknown> | null) : null;
  const text = (value: unknown, name: string): string => {
    if (typeof value === 'string' && value !== '') return value;
    throw new Refusal('unproved', `document: has no ${name}`);
  };
  return {
    subscription: text(fields['subscriptionId'], 'subscriptionId').toLowerCase(),
    id: text(fields['vmId'], 'vmId').toLowerCase(),
    nonce: text(fields['nonce'], 'nonce'),
    created: time(text(times?.['createdOn'], 'timeStamp.createdOn')),
    expires: time(text(times?.['expiresOn'], 'timeStamp.expiresOn')),
  };
}

/** `11/28/18 00:16:17 -0000` */
function time(text: string): number {
  const [, month, day, year, clock] = /^(\d\d)\/(\d\d)\/(\d\d) (\d\d:\d\d:\d\d) [+-]0000$/.exec(text) ?? [];
  const ms = clock === undefined ? Number.NaN : Date.parse(`20${year}-${month}-${day}T${clock}Z`);
  if (!Number.isFinite(ms)) throw new Refusal('unproved', 'document: a time of its timeStamp cannot be read');
  return ms;
}

/** @throws Refusal unproved where the document is not valid now */
function checkTimes({ created, expires }: Machine, now: number): void {
  const instant = (ms: number) => new Date(ms).toISOString();
  if (created > now + LEEWAY_MS)
    throw new Refusal('unproved', `document: is valid from ${instant(created)}, the clock here is at ${instant(now)}`);
  if (now >= expires + LEEWAY_MS)
    throw new Refusal('unproved', `document: has expired at ${instant(expires)}, the clock here is at ${instant(now)}`);
}

function reasonAgainst({ subscription, id }: Machine, { subscriptions, vmIds }: AzureRule): string | undefined {
  if (!subscriptions.includes(subscription)) return 'the subscription is none of its subscriptions';
  return vmIds && !vmIds.includes(id) ? 'the machine is none of its vmIds' : undefined;
}

/** The certificate that signed, DER; of the metadata service by its name. @throws Refusal unproved */
async function signerOf(data: SignedData): Promise<Uint8Array> {
  const found = data.certificates.map((der) => ({ der, facts: factsOf(der) })).find((one) => isSigner(data, one.facts));
  if (!found) throw new Refusal('unproved', 'document: the certificate of its signer is missing');
  const { der, facts } = found;
  if (!facts.dns.some((name) => SERVICE.test(name.toLowerCase())))
    throw new Refusal('unproved', 'document: its signer is not the metadata service of Azure');
  if (!(await verifies(data, data.content!, facts.publicKey)))
    throw new Refusal('unproved', 'document: its signature is not by its signer');
  return der;
}

function factsOf(der: Uint8Array): CertificateFacts {
  try {
    return readCertificate(der);
  } catch (error) {
    throw new Refusal('unproved', `document: a certificate in it cannot be read: ${(error as Error).message}`);
  }
}
