/** `POST /v1/join`: a machine without a certificate shows what it has, and becomes a workload of the mesh. */
import { type Context, Hono } from 'hono';
import { formatWorkloadId } from '../../shared/identity/spiffe.ts';
import { type JoinAnswer, JoinRequest } from '../../shared/join/join-protocol.ts';
import { AccountError, type Accounts } from '../ca/accounts.ts';
import { type Authority, CsrError, TtlError } from '../ca/authority.ts';
import { JoinTokenError } from '../ca/join-tokens.ts';
import type { Joins, NewJoin } from '../ca/joins.ts';
import { EvidenceError, type Judges, judge } from '../join/join-evidence.ts';
import { type ControlEvents, eventsTo } from '../telemetry/events.ts';
import { addedLabelViolation, withAddedLabels } from '../workloads/added-labels.ts';
import { type GroupTemplate, templateOf } from '../workloads/group-template.ts';
import type { GroupReader } from '../workloads/read-group.ts';
import type { ApiEnv } from './caller.ts';
import { readRequest, rfc3339, secretAnswer } from './identity-body.ts';
import { ApiError, badRequest, forbidden, respondToError } from './resources/status.ts';
import { WorkLimits } from './server/work-limits.ts';

/** A certificate chain as evidence is the largest. */
const REQUEST = { bytes: 96 * 1024, timeoutMs: 10_000, depth: 4, values: 64 };

export interface JoinRoutesOptions {
  readonly authority: Pick<Authority, 'trustDomain' | 'trustBundle' | 'check' | 'sign'>;
  readonly accounts: Pick<Accounts, 'check'>;
  readonly judges: Judges;
  readonly joins: Pick<Joins, 'begin'>;
  readonly group: GroupReader;
  /** `https://HOST:PORT`, in the order of preference. */
  readonly controlPlanes: () => readonly string[];
  readonly limits?: WorkLimits;
  readonly events?: ControlEvents;
  readonly report?: (error: unknown) => void;
}

/**
 * `POST /v1/join` (anonymous) JoinRequest -> JoinAnswer. Every check precedes the use of the evidence, so that a request which is
 * refused costs no use of a token: 400 the CSR or lifetime, 401 no policy accepts the evidence, 403 it is used, or is for another workload than it asks to be, or a
 * revoked account, 404 no such WorkloadGroup, 409 the group has another service account than the invitation, 422 malformed;
 * 429 and 503 with `Retry-After`: too many.
 */
export function joinRoutes(options: JoinRoutesOptions): Hono<ApiEnv> {
  const { events = eventsTo(), limits = new WorkLimits(), report = () => {} } = options;
  const app = new Hono<ApiEnv>();
  app.onError((error, c) => {
    const refused = refusal(error);
    const { code, details } = refused instanceof ApiError ? refused : new ApiError(500, '', '');
    const isLimit = code === 429 || code === 503;
    events.joinRefused({ limited: isLimit });
    if (error instanceof CsrError) events.refused({ cause: 'csr', reason: error.message });
    else if (code === 401) events.refused({ cause: 'authentication', reason: error.message });
    if (!isLimit && code < 500) limits.failed(addressOf(c));
    if (details?.retryAfterSeconds !== undefined) c.header('Retry-After', String(details.retryAfterSeconds));
    return respondToError(report)(refused, c);
  });

  app.post('/v1/join', async (c) => {
    const address = addressOf(c);
    limits.admit(address);
    const request = await readRequest(c, JoinRequest, REQUEST);
    const answer = await limits.run(address, () => answerTo(options, request, events, address));
    return secretAnswer(c, answer);
  });

  return app;
}

async function answerTo(
  { authority, accounts, judges, joins, group: groupOf, controlPlanes }: JoinRoutesOptions,
  request: JoinRequest,
  events: ControlEvents,
  address: string,
): Promise<JoinAnswer> {
  events.requested();
  const { join, claim } = await judge(judges, request);
  checkAgreement(request, join);
  const template = await templateFor(groupOf, join);
  const { namespace, serviceAccount, group, by, ephemeral } = join;
  const spiffeId = formatWorkloadId({ trustDomain: authority.trustDomain, namespace, serviceAccount });
  await accounts.check(join);
  const checked = await authority.check(request.csr, spiffeId, request.ttlSeconds);
  await claim();
  // A revocation may have come meanwhile.
  await accounts.check(join);
  const { certificateChain, serial, notAfter } = await authority.sign(checked);
  // Handed out once the join is durable.
  await joins.begin(join, { serial, notAfter });
  events.issued({ identity: spiffeId, proof: request.evidence.kind, document: 'X.509-SVID', expires: notAfter });
  events.joined({ identity: spiffeId, group, by, address });
  return {
    certificateChain,
    trustBundle: authority.trustBundle,
    notAfter: rfc3339(notAfter),
    spiffeId,
    namespace,
    serviceAccount,
    ...(group !== undefined && { group }),
    labels: withAddedLabels(template?.labels ?? {}, join.labels, addedLabelViolation).labels,
    ports: { ...template?.ports },
    ...(template?.network !== undefined && { network: template.network }),
    ...(template?.locality !== undefined && { locality: template.locality }),
    annotations: { ...template?.capture },
    ephemeral,
    controlPlanes: [...controlPlanes()],
  };
}

/** @throws ApiError 403 where the machine asks to be something else than the evidence proves */
function checkAgreement(request: JoinRequest, join: NewJoin): void {
  for (const field of ['namespace', 'group', 'serviceAccount'] as const) {
    const asked = request[field];
    if (asked !== undefined && asked !== join[field])
      throw forbidden(`${field}: "${asked}" is not what the evidence is for, ${join[field] ?? 'none'}`);
  }
}

/** @throws ApiError 404, 409 */
async function templateFor(groupOf: GroupReader, join: NewJoin): Promise<GroupTemplate | undefined> {
  const { namespace, group, serviceAccount } = join;
  if (group === undefined) return undefined;
  const found = await groupOf(namespace, group);
  if (!found)
    throw new ApiError(
      404,
      'NotFound',
      `WorkloadGroup "${group}" of namespace "${namespace}" does not exist: create it`,
    );
  const template = templateOf(found);
  if (template.serviceAccount === serviceAccount) return template;
  throw new ApiError(
    409,
    'Conflict',
    `WorkloadGroup "${group}" of namespace "${namespace}" has service account "${template.serviceAccount}", not "${serviceAccount}" as when the machine was invited: make another invitation`,
  );
}

function refusal(error: Error): Error {
  if (error instanceof CsrError || error instanceof TtlError) return badRequest(error.message);
  if (error instanceof JoinTokenError) return new ApiError(401, 'Unauthorized', error.message);
  if (error instanceof AccountError) return forbidden(error.message);
  if (!(error instanceof EvidenceError)) return error;
  if (error.code === 'unproved') return new ApiError(401, 'Unauthorized', error.message);
  if (error.code === 'not-allowed') return forbidden(error.message);
  return new ApiError(503, 'ServiceUnavailable', error.message, { retryAfterSeconds: 5 });
}

const addressOf = (c: Context<ApiEnv>): string => c.env?.remoteAddress ?? '';
