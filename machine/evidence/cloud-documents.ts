/** Identity documents from the metadata services of AWS, Google Cloud and Azure. */

import type { Evidence } from '../../shared/join/join-protocol.ts';
import { nonceOf } from '../../shared/join/possession.ts';
import { askLocal, EvidenceError, jsonObject } from './local-http.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The address of every provider's metadata service. */
const METADATA = 'http://169.254.169.254';
const TOKEN_SECONDS = 60;

/** With IMDSv2 alone: a token first (docs.aws.amazon.com, "Use the Instance Metadata Service to access instance metadata"). */
export async function awsEvidence(environment: Environment): Promise<Evidence> {
  const base = environment['AWS_EC2_METADATA_SERVICE_ENDPOINT']?.replace(/\/$/, '') || METADATA;
  const what = 'AWS instance metadata service';
  const { text: token } = await askLocal(`${base}/latest/api/token`, {
    method: 'PUT',
    headers: { 'x-aws-ec2-metadata-token-ttl-seconds': String(TOKEN_SECONDS) },
    what,
  });
  const get = async (name: string) => {
    const headers = { 'x-aws-ec2-metadata-token': token.trim() };
    return (await askLocal(`${base}/latest/dynamic/instance-identity/${name}`, { headers, what })).text;
  };
  const [document, signature] = await Promise.all([get('document'), get('rsa2048')]);
  return { kind: 'aws', document, signature };
}

/** cloud.google.com/compute/docs/instances/verifying-instance-identity. @param audience one of the policy's */
export async function gcpEvidence(environment: Environment, audience: string): Promise<Evidence> {
  const host = environment['GCE_METADATA_HOST'];
  const query = new URLSearchParams({ audience, format: 'full' });
  const what = 'Google Cloud metadata server';
  const path = '/computeMetadata/v1/instance/service-accounts/default/identity';
  const { headers, text } = await askLocal(`${host ? `http://${host}` : METADATA}${path}?${query}`, {
    headers: { 'metadata-flavor': 'Google' },
    what,
  });
  // Another server on the address, does not send it.
  if (headers['metadata-flavor'] !== 'Google') throw new EvidenceError(`${what}: what answers is no metadata server`);
  return { kind: 'gcp', document: text.trim() };
}

/** The nonce binds the document to the CSR (learn.microsoft.com, "Attested data"). @param base for another address of the service */
export async function azureEvidence(csr: string, base = METADATA): Promise<Evidence> {
  const query = new URLSearchParams({ 'api-version': '2021-02-01', nonce: await nonceOf(csr) });
  const what = 'Azure instance metadata service';
  const { text } = await askLocal(`${base}/metadata/attested/document?${query}`, {
    headers: { metadata: 'true' },
    what,
  });
  const { encoding, signature } = jsonObject(text, what);
  return { kind: 'azure', document: JSON.stringify({ encoding, signature }) };
}
