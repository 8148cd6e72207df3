/** `POST /v1/invitations`: the token with which machines join, and what else they need to know. */
import { createHash } from 'node:crypto';
import { Hono } from 'hono';
import * as z from 'zod';
import { labelKeyViolation, labelValueViolation } from '../../shared/match/labels.ts';
import { AccountError, type Accounts } from '../ca/accounts.ts';
import type { Authority } from '../ca/authority.ts';
import { type JoinTokens, joinTokenTtlSeconds, joinTokenUses, TokenLimitError } from '../ca/join-tokens.ts';
import { addedLabelViolation } from '../workloads/added-labels.ts';
import { templateOf } from '../workloads/group-template.ts';
import type { GroupReader } from '../workloads/read-group.ts';
import { requirePermission, requireUser } from './access/permission.ts';
import type { ApiEnv } from './caller.ts';
import { DnsLabel, DnsSubdomain, invalidRequest, readRequest, rfc3339, secretAnswer } from './identity-body.ts';
import { ApiError, forbidden, respondToError } from './resources/status.ts';

const REQUEST = { bytes: 16 * 1024, timeoutMs: 10_000, depth: 4, values: 128 };
const MAX_LABELS = 32;

export const InvitationRequest = z
  .strictObject({
    namespace: DnsLabel,
    /** A WorkloadGroup: its template decides the service account. */
    group: DnsSubdomain.optional(),
    /** Instead of a group: the machine registers nothing. */
    serviceAccount: DnsSubdomain.optional(),
    uses: z.int().min(joinTokenUses.min).max(joinTokenUses.max).optional(),
    ttlSeconds: z.int().min(joinTokenTtlSeconds.min).max(joinTokenTtlSeconds.max).optional(),
    /** The machine does not come back once its certificate has expired. */
    ephemeral: z.boolean().optional(),
    /** Added to those of the group; they may not replace any of them. */
    labels: z.record(z.string(), z.string()).optional(),
  })
  .refine(({ group, serviceAccount }) => (group === undefined) !== (serviceAccount === undefined), {
    message: 'one of group and serviceAccount is required, and not both',
  });
export type InvitationRequest = z.infer<typeof InvitationRequest>;

/** The answer; `formatInvitation` makes the text for a machine of it. */
export interface InvitationAnswer {
  /** As `tulle token list` and `tulle token revoke` name it. */
  readonly id: string;
  /** Secret. */
  readonly token: string;
  /** RFC 3339. */
  readonly expires: string;
  /** SHA-256 of the root certificate (DER), lower-case hexadecimal. */
  readonly rootHash: string;
  /** `https://HOST:PORT`, in the order of preference. */
  readonly controlPlanes: readonly string[];
}

export interface InvitationRoutesOptions {
  readonly tokens: Pick<JoinTokens, 'create'>;
  readonly accounts: Pick<Accounts, 'check'>;
  readonly group: GroupReader;
  readonly controlPlanes: () => readonly string[];
  readonly authority: Pick<Authority, 'roots'>;
  readonly report?: (error: unknown) => void;
}

/**
 * `POST /v1/invitations` (admin) InvitationRequest -> InvitationAnswer. 404: no such WorkloadGroup; 409: too many unused tokens; 422:
 * malformed, or a label that may not be added. Invitations are listed and revoked as join tokens (`/v1/join-tokens`).
 */
export function invitationRoutes(options: InvitationRoutesOptions): Hono<ApiEnv> {
  const { tokens, accounts, group: groupOf, controlPlanes, authority, report = () => {} } = options;
  const app = new Hono<ApiEnv>();
  app.onError((error, c) => respondToError(report)(refusal(error), c));

  app.post('/v1/invitations', requireUser, async (c) => {
    const request = await readRequest(c, InvitationRequest, REQUEST);
    const { namespace, group, uses, ttlSeconds, ephemeral, labels = {} } = request;
    requirePermission(c, { verb: 'create', resource: 'invitations', namespace });
    const { serviceAccount, labels: held } = await subjectOf(request, groupOf);
    checkLabels(held, labels);
    await accounts.check({ namespace, serviceAccount });
    const grant = { namespace, serviceAccount, group, labels, ephemeral };
    const { id, token, expires } = await tokens.create(grant, ttlSeconds, uses);
    const answer: InvitationAnswer = {
      id,
      token,
      expires: rfc3339(expires),
      rootHash: rootHash(authority),
      controlPlanes: controlPlanes(),
    };
    return secretAnswer(c, answer);
  });

  return app;
}

interface Subject {
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** @throws ApiError 404 */
async function subjectOf(
  { namespace, group, serviceAccount = 'default' }: InvitationRequest,
  groupOf: GroupReader,
): Promise<Subject> {
  if (group === undefined) return { serviceAccount, labels: {} };
  const found = await groupOf(namespace, group);
  if (found) return templateOf(found);
  throw new ApiError(404, 'NotFound', `WorkloadGroup "${group}" of namespace "${namespace}" does not exist: create it`);
}

/** @throws ApiError 422 naming each label */
function checkLabels(held: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): void {
  const violations = Object.entries(labels).flatMap(([key, value]) => {
    const malformed = labelKeyViolation(key) ?? labelValueViolation(value);
    const message = malformed ?? addedLabelViolation(held, key, value);
    return message === undefined ? [] : [{ field: `labels.${key}`, message }];
  });
  if (Object.keys(labels).length > MAX_LABELS)
    violations.push({ field: 'labels', message: `must not be more than ${MAX_LABELS}` });
  if (violations.length > 0) throw invalidRequest(violations);
}

function rootHash({ roots }: Pick<Authority, 'roots'>): string {
  return createHash('sha256').update(new Uint8Array(roots[0]!.rawData)).digest('hex');
}

function refusal(error: Error): Error {
  if (error instanceof AccountError) return forbidden(error.message);
  if (error instanceof TokenLimitError) return new ApiError(409, 'Conflict', error.message);
  return error;
}
