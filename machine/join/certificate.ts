/** The first certificate: key and signing request are made here, and the key never leaves. */
import { createCsr } from '../../shared/identity/csr.ts';
import type { StoredIdentity } from '../../shared/identity/identity-file.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import type { Invitation } from '../../shared/join/invitation.ts';
import { type Evidence, JoinAnswer, type JoinRequest } from '../../shared/join/join-protocol.ts';
import { callVerified, JoinError, messageOf } from './control-plane.ts';

export interface Joined {
  readonly identity: StoredIdentity;
  readonly answer: JoinAnswer;
}

/** What a joining machine asks for besides what its evidence says. */
export type Asked = Pick<JoinRequest, 'namespace' | 'group' | 'serviceAccount'>;

/** What a machine begins to join with: an invitation, or evidence and where the control plane is. */
export interface JoinBy {
  /** `https://HOST:PORT` */
  readonly controlPlanes: readonly string[];
  /** SHA-256 of the root certificate (DER), lower-case hexadecimal. */
  readonly rootHash: string;
  /** Of a certificate request in PEM, which some evidence is bound to. */
  readonly evidence: (csr: string) => Promise<Evidence>;
  readonly asked?: Asked;
}

export function byInvitation({ controlPlanes, rootHash, token }: Invitation): JoinBy {
  return { controlPlanes, rootHash, evidence: () => Promise.resolve({ kind: 'token', token }) };
}

/**
 * `POST /v1/join` at the first control plane that answers, all of them verified by `root`.
 * @throws JoinError refused, or none answered; EvidenceError
 */
export async function obtainCertificate(
  controlPlanes: readonly string[],
  root: string,
  { evidence: evidenceFor, asked = {} }: Pick<JoinBy, 'evidence' | 'asked'>,
): Promise<Joined> {
  const keys = await generateKeys();
  const csr = await createCsr(keys);
  const evidence = await evidenceFor(csr);
  const request: JoinRequest = { csr, evidence, ...asked };
  const failures: string[] = [];
  for (const url of controlPlanes) {
    let answer: { status: number; body: unknown };
    try {
      answer = await callVerified(url, root, 'POST', '/v1/join', request);
    } catch (error) {
      failures.push((error as Error).message);
      continue;
    }
    if (answer.status !== 200) throw refused(answer, evidence.kind);
    const parsed = JoinAnswer.safeParse(answer.body);
    if (!parsed.success) throw new JoinError(`${url}: its answer gives no certificate; is it an older control plane?`);
    const { certificateChain, trustBundle } = parsed.data;
    const privateKey = await exportPrivateKey(keys.privateKey);
    return { answer: parsed.data, identity: { privateKey, certificateChain, trustBundle } };
  }
  throw new JoinError(failures.join('; '));
}

function refused({ status, body }: { status: number; body: unknown }, kind: Evidence['kind']): JoinError {
  const byToken = kind === 'token';
  const reason = messageOf(body) || `status ${status}`;
  const remedy =
    status === 401
      ? byToken
        ? 'make another invitation with "tulle invite"'
        : 'compare the evidence with the JoinPolicy, and the clock of this machine'
      : status === 403
        ? 'ask an administrator of the mesh to allow it'
        : status === 429 || status === 503
          ? 'attempt it again in a minute'
          : byToken
            ? 'check what the invitation was made for'
            : 'check the JoinPolicy and its WorkloadGroup';
  return new JoinError(`the control plane refused the join: ${reason}; ${remedy}`);
}
