/** The first certificate: key and signing request are made here, and the key never leaves. */
import { createCsr } from '../../shared/identity/csr.ts';
import type { StoredIdentity } from '../../shared/identity/identity-file.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { type Evidence, JoinAnswer, type JoinRequest } from '../../shared/join/join-protocol.ts';
import { callVerified, JoinError, messageOf } from './control-plane.ts';

export interface Joined {
  readonly identity: StoredIdentity;
  readonly answer: JoinAnswer;
}

/** What a joining machine asks for besides what its evidence says. */
export type Asked = Pick<JoinRequest, 'namespace' | 'group' | 'serviceAccount'>;

/**
 * `POST /v1/join` at the first control plane that answers, all of them verified by `root`.
 * @throws JoinError refused, or none answered
 */
export async function obtainCertificate(
  controlPlanes: readonly string[],
  root: string,
  evidence: Evidence,
  asked: Asked = {},
): Promise<Joined> {
  const keys = await generateKeys();
  const request: JoinRequest = { csr: await createCsr(keys), evidence, ...asked };
  const failures: string[] = [];
  for (const url of controlPlanes) {
    let answer: { status: number; body: unknown };
    try {
      answer = await callVerified(url, root, 'POST', '/v1/join', request);
    } catch (error) {
      failures.push((error as Error).message);
      continue;
    }
    if (answer.status !== 200) throw refused(answer);
    const parsed = JoinAnswer.safeParse(answer.body);
    if (!parsed.success) throw new JoinError(`${url}: its answer gives no certificate; is it an older control plane?`);
    const { certificateChain, trustBundle } = parsed.data;
    const privateKey = await exportPrivateKey(keys.privateKey);
    return { answer: parsed.data, identity: { privateKey, certificateChain, trustBundle } };
  }
  throw new JoinError(failures.join('; '));
}

function refused({ status, body }: { status: number; body: unknown }): JoinError {
  const reason = messageOf(body) || `status ${status}`;
  const remedy =
    status === 401
      ? 'make another invitation with "tulle invite"'
      : status === 403
        ? 'ask an administrator of the mesh to allow it'
        : status === 429 || status === 503
          ? 'attempt it again in a minute'
          : 'check what the invitation was made for';
  return new JoinError(`the control plane refused the join: ${reason}; ${remedy}`);
}
