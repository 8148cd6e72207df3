/**
 * Questions about access (https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources,
 * …/authentication-resources): objects that are posted, answered in `status`, and stored nowhere.
 */
import { type Context, Hono } from 'hono';
import * as z from 'zod';
import type { Attributes } from '../../access/attributes.ts';
import { authenticated, type User } from '../../access/user.ts';
import type { ApiEnv, UserCaller } from '../caller.ts';
import { ApiError } from '../resources/status.ts';
import { readObject } from '../server/body.ts';

/** Who presents a token: any credential of a user that the control plane takes. */
export type TokenHolder = (token: string) => Promise<{ user: User; audiences?: readonly string[] } | undefined>;

const text = () => z.string().max(4096).default('');
const ResourceAttributes = z.object({
  namespace: text(),
  verb: text(),
  group: text(),
  version: text(),
  resource: text(),
  subresource: text(),
  name: text(),
});
const NonResourceAttributes = z.object({ path: text(), verb: text() });
const Access = {
  resourceAttributes: ResourceAttributes.nullish(),
  nonResourceAttributes: NonResourceAttributes.nullish(),
};
const SelfAccess = z.object(Access);
const SubjectAccess = z.object({
  ...Access,
  user: text(),
  groups: z.array(z.string()).max(1000).nullish(),
  uid: text(),
  extra: z.record(z.string(), z.array(z.string())).nullish(),
});
const SelfRules = z.object({ namespace: text() });
const TokenSpec = z.object({ token: text(), audiences: z.array(z.string()).max(100).nullish() });

/**
 * POST `selfsubjectreviews`, `tokenreviews`, `selfsubjectaccessreviews`, `selfsubjectrulesreviews`, `subjectaccessreviews` and
 * `localsubjectaccessreviews`, in version v1. Mount behind `requirePathAccess`.
 */
export function reviewRoutes(holderOf: TokenHolder): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  const authentication = '/apis/authentication.k8s.io/v1';
  const authorization = '/apis/authorization.k8s.io/v1';

  app.post(`${authentication}/selfsubjectreviews`, async (c) => {
    const { metadata } = await readReview(c, 'authentication.k8s.io/v1', 'SelfSubjectReview', z.unknown());
    const status = { userInfo: userInfo(callerOf(c)) };
    return answer(c, 'authentication.k8s.io/v1', 'SelfSubjectReview', { metadata, status });
  });

  app.post(`${authentication}/tokenreviews`, async (c) => {
    const read = await readReview(c, 'authentication.k8s.io/v1', 'TokenReview', TokenSpec);
    const { token, audiences } = read.spec;
    if (token === '') throw invalidReview('TokenReview', 'authentication.k8s.io', 'spec.token', 'Required value');
    const holder = await holderOf(token);
    const shared = holder && sharedAudiences(audiences ?? [], holder.audiences);
    const status =
      holder && shared
        ? { authenticated: true, user: userInfo(authenticated(holder.user)), audiences: shared }
        : { user: {}, error: holder ? 'the token is for other audiences' : 'invalid bearer token' };
    return answer(c, 'authentication.k8s.io/v1', 'TokenReview', { ...read, status });
  });

  app.post(`${authorization}/selfsubjectaccessreviews`, async (c) => {
    const read = await readReview(c, 'authorization.k8s.io/v1', 'SelfSubjectAccessReview', SelfAccess);
    return accessAnswer(c, 'SelfSubjectAccessReview', read, callerOf(c));
  });

  app.post(`${authorization}/subjectaccessreviews`, async (c) => {
    const read = await readReview(c, 'authorization.k8s.io/v1', 'SubjectAccessReview', SubjectAccess);
    return accessAnswer(c, 'SubjectAccessReview', read, subjectOf(read.spec, 'SubjectAccessReview'));
  });

  app.post(`${authorization}/namespaces/:namespace/localsubjectaccessreviews`, async (c) => {
    const read = await readReview(c, 'authorization.k8s.io/v1', 'LocalSubjectAccessReview', SubjectAccess);
    if (read.spec.resourceAttributes?.namespace !== c.req.param('namespace'))
      throw invalidReview(
        'LocalSubjectAccessReview',
        'authorization.k8s.io',
        'spec.resourceAttributes.namespace',
        'Invalid value: must match metadata.namespace',
      );
    return accessAnswer(c, 'LocalSubjectAccessReview', read, subjectOf(read.spec, 'LocalSubjectAccessReview'));
  });

  app.post(`${authorization}/selfsubjectrulesreviews`, async (c) => {
    const read = await readReview(c, 'authorization.k8s.io/v1', 'SelfSubjectRulesReview', SelfRules);
    const { namespace } = read.spec;
    if (namespace === '') throw new ApiError(400, 'BadRequest', 'no namespace on request');
    const rules = c.get('authorizer')?.rulesOf(callerOf(c), namespace) ?? [];
    const resourceRules = rules
      .filter(({ resources }) => resources?.length)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({ verbs, apiGroups, resources, resourceNames }));
    const nonResourceRules = rules
      .filter(({ nonResourceURLs }) => nonResourceURLs?.length)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs }));
    const status = { resourceRules, nonResourceRules, incomplete: false };
    return answer(c, 'authorization.k8s.io/v1', 'SelfSubjectRulesReview', { ...read, status });
  });

  return app;
}

/** Of the routes behind `requirePathAccess`. */
function callerOf(c: Context<ApiEnv>): UserCaller {
  const caller = c.get('caller');
  if (caller.kind !== 'user') throw new Error('the caller of a review is a user');
  return caller;
}

function accessAnswer(
  c: Context<ApiEnv>,
  kind: string,
  read: { metadata: object; spec: z.infer<typeof SelfAccess> },
  user: User,
): Response {
  const reason = c.get('authorizer')?.allows(user, attributesOf(read.spec, kind));
  const status = reason === undefined ? { allowed: false } : { allowed: true, reason: `RBAC: allowed by ${reason}` };
  return answer(c, 'authorization.k8s.io/v1', kind, { ...read, status });
}

function attributesOf(
  { resourceAttributes, nonResourceAttributes }: z.infer<typeof SelfAccess>,
  kind: string,
): Attributes {
  const group = 'authorization.k8s.io';
  if (resourceAttributes && nonResourceAttributes)
    throw invalidReview(
      kind,
      group,
      'spec.nonResourceAttributes',
      'Invalid value: cannot be specified in combination with resourceAttributes',
    );
  if (nonResourceAttributes) return nonResourceAttributes;
  if (resourceAttributes) {
    const { version: _, ...attributes } = resourceAttributes;
    return attributes;
  }
  throw invalidReview(
    kind,
    group,
    'spec.resourceAttributes',
    'Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified',
  );
}

function subjectOf({ user, groups, uid, extra }: z.infer<typeof SubjectAccess>, kind: string): User {
  const given = groups ?? [];
  if (user === '' && given.length === 0)
    throw invalidReview(
      kind,
      'authorization.k8s.io',
      'spec.user',
      'Invalid value: at least one of user or group must be specified',
    );
  return { name: user, groups: given, ...(uid !== '' && { uid }), ...(extra && { extra }) };
}

/** What a token and a question have in common; undefined: nothing. A token without audiences is for this server alone. */
function sharedAudiences(asked: readonly string[], held: readonly string[] = []): readonly string[] | undefined {
  if (asked.length === 0) return held;
  const shared = asked.filter((audience) => held.includes(audience));
  return shared.length > 0 ? shared : undefined;
}

async function readReview<Spec extends z.ZodType>(c: Context<ApiEnv>, apiVersion: string, kind: string, schema: Spec) {
  const { value } = await readObject(c);
  for (const [field, wanted] of [
    ['apiVersion', apiVersion],
    ['kind', kind],
  ] as const)
    if (value[field] !== undefined && value[field] !== '' && value[field] !== wanted)
      throw new ApiError(
        400,
        'BadRequest',
        `${field}: must be "${wanted}" at this path, found ${JSON.stringify(value[field])}`,
      );
  const spec = schema.safeParse(value['spec'] ?? {});
  const group = apiVersion.split('/')[0]!;
  if (!spec.success) {
    const [{ path, message } = { path: [], message: 'is invalid' }] = spec.error.issues;
    throw invalidReview(kind, group, ['spec', ...path].join('.'), message);
  }
  return { metadata: { creationTimestamp: null }, spec: spec.data };
}

function invalidReview(kind: string, group: string, field: string, message: string): ApiError {
  return new ApiError(422, 'Invalid', `${kind}.${group} "" is invalid: ${field}: ${message}`, {
    group,
    kind,
    causes: [{ reason: 'FieldValueInvalid', message, field }],
  });
}

const userInfo = ({ name, uid, groups, extra }: User) => ({
  username: name,
  ...(uid !== undefined && { uid }),
  groups,
  ...(extra && { extra }),
});

const answer = (c: Context<ApiEnv>, apiVersion: string, kind: string, body: object): Response =>
  c.json({ kind, apiVersion, ...body }, 201);
