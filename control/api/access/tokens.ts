/** Tokens of users and of ServiceAccounts over HTTP. */
import { type Context, Hono } from 'hono';
import * as z from 'zod';
import { type BoundObject, type ServiceAccountTokens, TOKEN_SECONDS } from '../../access/service-account-tokens.ts';
import {
  USER_TOKEN_SECONDS,
  UserTokenLimitError,
  type UserTokenSummary,
  type UserTokens,
} from '../../access/user-tokens.ts';
import type { ResourceStore } from '../../store/store.ts';
import type { ApiEnv } from '../caller.ts';
import { readRequest, rfc3339, secretAnswer } from '../identity-body.ts';
import { ApiError, forbidden, respondToError } from '../resources/status.ts';
import { readObject } from '../server/body.ts';
import { permission, requireAccess } from './permission.ts';

const LIMITS = { bytes: 16 * 1024, timeoutMs: 10_000, depth: 4, values: 300 };
const Name = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'must not hold control characters');
const UserTokenRequest = z.strictObject({
  user: Name.regex(/^(?!system:)/, 'must not begin with "system:"'),
  groups: z.array(Name).max(100).optional(),
  ttlSeconds: z.int().min(USER_TOKEN_SECONDS.min).max(USER_TOKEN_SECONDS.max).optional(),
});

export interface TokenRoutesOptions {
  readonly userTokens: UserTokens;
  readonly accountTokens: ServiceAccountTokens;
  readonly store: Pick<ResourceStore, 'get'>;
  readonly report: (error: unknown) => void;
}

/**
 * - `POST /v1/user-tokens` {user, groups?, ttlSeconds?} -> {id, user, groups, token, expires}; a group of Kubernetes' own
 *   (`system:…`) needs the right to impersonate it
 * - `GET /v1/user-tokens` -> {tokens: [{id, user, groups, created, expires}]}; `DELETE /v1/user-tokens/ID` -> the token's summary
 * - `POST /api/v1/namespaces/NS/serviceaccounts/NAME/token` TokenRequest -> TokenRequest with its status
 */
export function tokenRoutes(options: TokenRoutesOptions): Hono<ApiEnv> {
  const { userTokens, report } = options;
  const app = new Hono<ApiEnv>();
  app.onError((error, c) =>
    respondToError(report)(
      error instanceof UserTokenLimitError ? new ApiError(409, 'Conflict', error.message) : error,
      c,
    ),
  );
  app.post('/v1/user-tokens', permission('create', 'usertokens'), async (c) => {
    const { user, groups = [], ttlSeconds } = await readRequest(c, UserTokenRequest, LIMITS);
    // Who may make tokens has no more rights by it than those that impersonation would give.
    for (const [resource, name] of [['users', user], ...groups.map((group) => ['groups', group] as const)] as const)
      requireAccess(c, { verb: 'impersonate', group: '', resource, subresource: '', namespace: '', name });
    const { token, ...made } = await userTokens.create({ name: user, groups }, ttlSeconds);
    return secretAnswer(c, { ...shown(made), token });
  });
  app.get('/v1/user-tokens', permission('list', 'usertokens'), (c) => c.json({ tokens: userTokens.list().map(shown) }));
  app.delete('/v1/user-tokens/:id', permission('delete', 'usertokens'), async (c) => {
    const revoked = await userTokens.revoke(c.req.param('id'));
    if (!revoked) throw new ApiError(404, 'NotFound', `user token "${c.req.param('id')}" is not known here`);
    return c.json(shown(revoked));
  });
  app.post('/api/v1/namespaces/:namespace/serviceaccounts/:name/token', (c) => tokenRequest(options, c));
  return app;
}

const shown = ({ created, expires, ...rest }: UserTokenSummary) => ({
  ...rest,
  created: rfc3339(created),
  expires: rfc3339(expires),
});

const TokenRequestSpec = z.object({
  audiences: z.array(z.string().min(1).max(512)).max(16).nullish(),
  expirationSeconds: z.int().nullish(),
  boundObjectRef: z
    .object({
      kind: z.string().default(''),
      apiVersion: z.string().default(''),
      name: z.string().default(''),
      uid: z.string().default(''),
    })
    .nullish(),
});

/** Behind `requirePathAccess`: verb create of serviceaccounts/token. */
async function tokenRequest({ accountTokens, store }: TokenRoutesOptions, c: Context<ApiEnv>): Promise<Response> {
  const { namespace = '', name = '' } = c.req.param() as { namespace?: string; name?: string };
  const account = await store.get({ group: '', plural: 'serviceaccounts', namespace, name });
  const uid = account?.metadata.uid;
  if (uid === undefined)
    throw new ApiError(404, 'NotFound', `serviceaccounts "${name}" not found`, { name, kind: 'serviceaccounts' });
  const spec = readSpec((await readObject(c)).value);
  const seconds = Math.min(spec.expirationSeconds ?? TOKEN_SECONDS.default, TOKEN_SECONDS.max);
  if (seconds < TOKEN_SECONDS.min)
    throw invalidToken(
      'spec.expirationSeconds',
      `Invalid value: ${spec.expirationSeconds}: may not specify a duration less than 10 minutes`,
    );
  const audiences = spec.audiences?.length ? spec.audiences : [accountTokens.audience];
  const bound = spec.boundObjectRef ? await boundObject(store, namespace, spec.boundObjectRef) : undefined;
  const { token, expires } = await accountTokens.issue({ namespace, name, uid }, audiences, seconds, bound);
  c.header('Cache-Control', 'no-store');
  return c.json(
    {
      kind: 'TokenRequest',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: { name, namespace, creationTimestamp: `${new Date().toISOString().slice(0, 19)}Z` },
      spec: {
        audiences,
        expirationSeconds: seconds,
        boundObjectRef: spec.boundObjectRef ? { ...spec.boundObjectRef, ...(bound && { uid: bound.uid }) } : null,
      },
      status: { token, expirationTimestamp: `${new Date(expires).toISOString().slice(0, 19)}Z` },
    },
    201,
  );
}

function readSpec(value: Record<string, unknown>): z.infer<typeof TokenRequestSpec> {
  const spec = TokenRequestSpec.safeParse(value['spec'] ?? {});
  if (spec.success) return spec.data;
  const [{ path, message } = { path: [], message: 'is invalid' }] = spec.error.issues;
  throw invalidToken(['spec', ...path].join('.'), message);
}

async function boundObject(
  store: Pick<ResourceStore, 'get'>,
  namespace: string,
  { kind, apiVersion, name, uid }: { kind: string; apiVersion: string; name: string; uid: string },
): Promise<BoundObject> {
  if (kind !== 'Secret' || apiVersion !== 'v1')
    throw forbidden(`cannot bind token to object of kind ${apiVersion}, Kind=${kind}: only Secret of v1 is served`);
  const found = await store.get({ group: '', plural: 'secrets', namespace, name });
  if (!found) throw new ApiError(404, 'NotFound', `secrets "${name}" not found`, { name, kind: 'secrets' });
  const own = found.metadata.uid ?? '';
  if (uid !== '' && uid !== own)
    throw new ApiError(
      409,
      'Conflict',
      `Operation cannot be fulfilled on Secret "${name}": the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  return { kind, name, uid: own };
}

const invalidToken = (field: string, message: string) =>
  new ApiError(422, 'Invalid', `TokenRequest.authentication.k8s.io "" is invalid: ${field}: ${message}`, {
    group: 'authentication.k8s.io',
    kind: 'TokenRequest',
    causes: [{ reason: 'FieldValueInvalid', message, field }],
  });
