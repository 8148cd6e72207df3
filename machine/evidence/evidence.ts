/** What a machine shows instead of an invitation's token: `tulle join --as KIND`. */
import type { Evidence } from '../../shared/join/join-protocol.ts';
import { awsEvidence, azureEvidence, gcpEvidence } from './cloud-documents.ts';
import { EvidenceError } from './local-http.ts';
import { oidcEvidence } from './oidc-token.ts';
import { certificateEvidence } from './own-certificate.ts';

export { EvidenceError } from './local-http.ts';

export const EVIDENCE_KINDS = [
  'oidc',
  'certificate',
  'aws',
  'gcp',
  'azure',
] as const satisfies readonly Evidence['kind'][];
export type EvidenceKind = (typeof EVIDENCE_KINDS)[number];

export interface EvidenceOptions {
  /** oidc of GitHub Actions, gcp: one of the audiences of the JoinPolicy. */
  readonly audience?: string | undefined;
  /** oidc */
  readonly oidcTokenFile?: string | undefined;
  /** certificate: files of PEM. */
  readonly certificateFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** azure: another address of the metadata service. */
  readonly azureMetadata?: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Evidence for one certificate request: some of it is bound to the request, so each request needs its own.
 * @param csr PEM
 * @throws EvidenceError
 */
export async function obtainEvidence(kind: EvidenceKind, csr: string, options: EvidenceOptions): Promise<Evidence> {
  const { audience, environment } = options;
  switch (kind) {
    case 'oidc':
      return oidcEvidence({ tokenFile: options.oidcTokenFile, audience, environment });
    case 'certificate':
      return certificateEvidence(
        {
          certificate: needed(options.certificateFile, '--certificate'),
          key: needed(options.keyFile, '--key'),
        },
        csr,
      );
    case 'aws':
      return awsEvidence(environment);
    case 'gcp':
      return gcpEvidence(environment, needed(audience, '--audience'));
    case 'azure':
      return azureEvidence(csr, options.azureMetadata);
  }
}

function needed(value: string | undefined, flag: string): string {
  if (value === undefined || value === '') throw new EvidenceError(`${flag} is required with this kind of evidence`);
  return value;
}
