/** Joining without an invitation: `tulle join --as KIND`. */
import { EVIDENCE_KINDS, type EvidenceKind, obtainEvidence } from '../../../machine/evidence/evidence.ts';
import type { JoinBy } from '../../../machine/join/certificate.ts';
import { CliError } from '../cli-error.ts';

export interface EvidenceFlags {
  as?: string;
  controlPlane?: string[];
  rootHash?: string;
  namespace?: string;
  group?: string;
  serviceAccount?: string;
  audience?: string;
  oidcTokenFile?: string;
  certificate?: string;
  key?: string;
}

const ONLY_WITH_AS = [
  'controlPlane',
  'rootHash',
  'namespace',
  'group',
  'serviceAccount',
  'audience',
  'oidcTokenFile',
  'certificate',
  'key',
] as const satisfies readonly (keyof EvidenceFlags)[];

/** Whether one of the flags was given. */
export function namesEvidence(flags: EvidenceFlags): boolean {
  return flags.as !== undefined || ONLY_WITH_AS.some((flag) => flags[flag] !== undefined);
}

/** @throws CliError in one line that names the flag */
export function byEvidence(flags: EvidenceFlags, environment: NodeJS.ProcessEnv): JoinBy {
  const { controlPlane: urls = [], rootHash = '', namespace, group, serviceAccount } = flags;
  const kind = EVIDENCE_KINDS.find((one) => one === flags.as);
  if (kind === undefined) throw new CliError(`--as ${flags.as ?? ''}: must be one of ${EVIDENCE_KINDS.join(', ')}`);
  if (urls.length === 0) throw new CliError('--control-plane is required with --as: https://HOST:PORT');
  const bad = urls.find((url) => !/^https:\/\/[^/\s]+$/.test(url));
  if (bad !== undefined) throw new CliError(`--control-plane ${bad}: must be https://HOST:PORT`);
  if (!/^[0-9a-f]{64}$/.test(rootHash))
    throw new CliError(
      '--root-hash is required with --as: the SHA-256 of the root certificate (DER) of the control plane, 64 digits',
    );
  const asked = {
    ...(namespace !== undefined && { namespace }),
    ...(group !== undefined && { group }),
    ...(serviceAccount !== undefined && { serviceAccount }),
  };
  return { controlPlanes: urls, rootHash, asked, evidence: (csr) => evidenceOf(kind, csr, flags, environment) };
}

function evidenceOf(kind: EvidenceKind, csr: string, flags: EvidenceFlags, environment: NodeJS.ProcessEnv) {
  const { audience, oidcTokenFile, certificate, key } = flags;
  return obtainEvidence(kind, csr, {
    audience,
    oidcTokenFile,
    certificateFile: certificate,
    keyFile: key,
    environment,
  });
}
