/** The workload that opens a stream of discovery. */
import { formatWorkloadId } from '../../../shared/identity/spiffe.ts';
import type { Caller } from '../caller.ts';
import { forbidden, unauthorized } from '../resources/status.ts';

export type WorkloadCaller = Caller & { kind: 'workload' };

const ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;

/**
 * A workload by its certificate or JWT-SVID, or by the token of its service account, as istiod takes it.
 * @throws ApiError 401, 403
 */
export function streamCaller(caller: Caller, trustDomain: string): WorkloadCaller {
  if (caller.kind === 'workload') return caller;
  if (caller.kind === 'anonymous')
    throw unauthorized('discovery needs a workload identity: a client certificate (SVID) or a bearer token');
  const [, namespace, serviceAccount] = ACCOUNT.exec(caller.name) ?? [];
  if (!namespace || !serviceAccount || caller.impersonator) throw forbidden('only workloads may discover config');
  const spiffeId = formatWorkloadId({ trustDomain, namespace, serviceAccount });
  return { kind: 'workload', spiffeId, trustDomain, namespace, serviceAccount, byToken: true };
}
