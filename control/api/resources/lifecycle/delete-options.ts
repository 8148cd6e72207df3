/** DeleteOptions: in the body of a deletion, else in its query (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/delete-options/). */
import type { Context } from 'hono';
import { PROPAGATIONS, type Propagation } from '../../../lifecycle/deletion.ts';
import type { ApiEnv } from '../../caller.ts';
import { readOptional } from '../../server/body.ts';
import { type Precondition, preconditionOf } from '../precondition.ts';
import { isDryRun } from '../request-options.ts';
import { badRequest, invalidOptions } from '../status.ts';

export interface DeleteOptions {
  dryRun: boolean;
  precondition: Precondition;
  propagation: Propagation | undefined;
  /** `orphanDependents: false`, the older form of Background: an unfinished deletion is answered with 202. */
  accepted: boolean;
}

/** @throws ApiError 400, 413, 415, 422 */
export async function readDeleteOptions(c: Context<ApiEnv>): Promise<DeleteOptions> {
  const body = await readOptional(c);
  const { kind } = body;
  if (kind !== undefined && kind !== 'DeleteOptions')
    throw badRequest(
      `the kind in the data (${String(kind).slice(0, 253)}) does not match the expected kind (DeleteOptions)`,
    );
  const dryRun = isDryRun(c, body['dryRun']);
  const orphan = flagOf('orphanDependents', body['orphanDependents'] ?? c.req.query('orphanDependents'));
  const policy = body['propagationPolicy'] ?? c.req.query('propagationPolicy') ?? undefined;
  if (orphan !== undefined && policy !== undefined)
    throw invalidOptions('DeleteOptions', {
      path: 'propagationPolicy',
      rule: 'conflict',
      message: `Invalid value: ${JSON.stringify(policy)}: orphanDependents and deletionPropagation cannot be both set`,
    });
  const propagation = policy === undefined ? undefined : propagationOf(policy);
  return {
    dryRun,
    precondition: preconditionOf(body['preconditions']),
    propagation: orphan === undefined ? propagation : orphan ? 'Orphan' : 'Background',
    accepted: orphan === false,
  };
}

function propagationOf(policy: unknown): Propagation {
  const found = PROPAGATIONS.find((each) => each === policy);
  if (found) return found;
  const supported = [...PROPAGATIONS, 'nil'].map((each) => JSON.stringify(each)).join(', ');
  throw invalidOptions('DeleteOptions', {
    path: 'propagationPolicy',
    rule: 'enum',
    message: `Unsupported value: ${JSON.stringify(policy)}: supported values: ${supported}`,
  });
}

function flagOf(name: string, value: unknown): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (value === true || value === 'true' || value === '1') return true;
  if (value === false || value === 'false' || value === '0') return false;
  throw badRequest(`${name}: must be true or false`);
}
