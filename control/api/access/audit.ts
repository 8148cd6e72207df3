/** The middleware of the audit log: one event for each request, also of those that are refused before the caller is known. */
import { randomUUID } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { isResource } from '../../access/attributes.ts';
import { attributesOf } from '../../access/request-attributes.ts';
import { ANONYMOUS, AUTHENTICATED, type User } from '../../access/user.ts';
import type { AuditLog } from '../../audit/audit-log.ts';
import { type AuditStage, type AuditUser, auditEvent, type Outcome, type RequestFacts } from '../../audit/event.ts';
import type { ApiEnv, Caller } from '../caller.ts';
import { reasonOf } from '../observe.ts';
import { ApiError } from '../resources/status.ts';

type C = Context<ApiEnv>;

/** Of an answer and its events. */
const HEADER = 'Audit-Id';

/** Outside of all other middleware. A watch has an event when its answer begins, and another one at its end. */
export function auditing(log: AuditLog): MiddlewareHandler<ApiEnv> {
  return async function auditing(c, next) {
    const received = now();
    const auditID = randomUUID();
    c.set('audit', { auditID, received });
    await next();
    c.res.headers.set(HEADER, auditID);
    const facts = factsOf(c);
    const outcome = outcomeOf(c, facts);
    const { onClosed } = c.env ?? {};
    if (facts.attributes.verb !== 'watch' || c.res.status !== 200 || !onClosed)
      return void (await add(log, facts, 'ResponseComplete', outcome));
    onClosed(() => void add(log, facts, 'ResponseComplete', outcome));
    await add(log, facts, 'ResponseStarted', outcome);
  };
}

/**
 * Behind `authenticate`: in mode blocking-strict nothing is done for a request that is not in the log.
 * @throws ApiError 500
 */
export function auditReceived(log: AuditLog): MiddlewareHandler<ApiEnv> {
  return async function auditReceived(c, next) {
    if (log.mode === 'blocking-strict' && !(await add(log, factsOf(c), 'RequestReceived'))) {
      log.rejected();
      throw new ApiError(
        500,
        'InternalError',
        'the audit log cannot be written, and no request is answered without it',
      );
    }
    await next();
  };
}

/** Milliseconds since the epoch, with fractions. */
const now = () => performance.timeOrigin + performance.now();

/** @returns false: it should be in the log and is not */
async function add(log: AuditLog, facts: RequestFacts, stage: AuditStage, outcome?: Outcome): Promise<boolean> {
  const { user, uri, attributes: shown } = facts;
  // A policy judges the path, which is known at every stage.
  const [path = ''] = uri.split('?', 1);
  const attributes = isResource(shown) && !/^\/apis?\//.test(path) ? { verb: shown.verb, path } : shown;
  if (!log.policy.logs({ user: user.username, groups: user.groups, attributes }, stage)) return true;
  return log.add(auditEvent(facts, stage, now(), outcome));
}

function factsOf(c: C): RequestFacts {
  const { auditID, received } = c.get('audit') ?? { auditID: randomUUID(), received: now() };
  const { method, path } = c.req;
  // Absent where the request was refused before it was known.
  const caller: Caller | undefined = c.get('caller');
  const impersonator = caller?.kind === 'user' ? caller.impersonator : undefined;
  return {
    auditID,
    received,
    uri: uriOf(c),
    attributes: requestAttributes(c),
    version: /^\/(?:api|apis\/[^/]+)\/([^/]+)\//.exec(path)?.[1],
    user: impersonator ? userOf(impersonator) : callerOf(caller),
    impersonated: impersonator && caller ? callerOf(caller) : undefined,
    address: c.env?.remoteAddress,
    userAgent: c.req.header('user-agent'),
  };

  function requestAttributes({ req }: C) {
    const ofPath = attributesOf(method, req.path, { get: (name) => req.query(name) ?? null });
    if (!isResource(ofPath)) return c.get('decisions')?.[0]?.attributes ?? ofPath;
    return ofPath.name === '' && method === 'POST' ? { ...ofPath, name: c.get('objectName') ?? '' } : ofPath;
  }
}

/** Path and query; clients may put a token into it by mistake (RFC 6750 section 2.3). */
function uriOf(c: C): string {
  const { url } = c.req;
  const uri = url.slice(url.indexOf('/', url.indexOf('//') + 2));
  return uri.replace(/([?&](?:access_|id_)?token=)[^&]*/gi, '$1REDACTED');
}

/** Of calls of gRPC that are refused, the status that HTTP would have: UNAUTHENTICATED and PERMISSION_DENIED. */
function statusOf({ status, headers }: Response): number {
  const code = headers.get('grpc-status');
  return code === '16' ? 401 : code === '7' ? 403 : status;
}

function outcomeOf(c: C, { user, attributes }: RequestFacts): Outcome {
  const status = statusOf(c.res);
  const { error } = c;
  const refusal = error && {
    reason: error instanceof ApiError ? error.reason : undefined,
    message: reasonOf(error, status),
  };
  return { code: status, refusal, annotations: { ...decisionOf(c), ...impersonationOf(c) } };

  /** What the authorizer said; of routes that it is not asked for, whether the caller may use them. */
  function decisionOf(context: C): Record<string, string> {
    const decisions = context.get('decisions') ?? [];
    const denied = decisions.find(({ reason }) => reason === undefined);
    if (denied || (decisions.length === 0 && (status === 401 || status === 403)))
      return decision('forbid', refusal?.message ?? `${user.username} may not ${attributes.verb}`);
    const [allowed] = decisions;
    if (allowed) return decision('allow', allowed.reason ?? '');
    return status < 400 ? decision('allow', 'the route needs no permission') : {};
  }
}

const decision = (verdict: 'allow' | 'forbid', reason: string) => ({
  'authorization.k8s.io/decision': verdict,
  'authorization.k8s.io/reason': reason,
});

function impersonationOf(c: C): Record<string, string> {
  const reasons = (c.get('impersonation') ?? []).map(({ reason }) => reason ?? '');
  return reasons.length === 0 ? {} : { 'control.tulle.dev/impersonation-reason': [...new Set(reasons)].join('; ') };
}

function callerOf(caller: Caller | undefined): AuditUser {
  if (caller?.kind === 'user') return userOf(caller);
  if (caller?.kind !== 'workload') return userOf(ANONYMOUS);
  const { certificate } = caller;
  return {
    username: caller.spiffeId,
    groups: [AUTHENTICATED],
    extra: {
      'control.tulle.dev/credential': [caller.byToken ? 'JWT-SVID' : 'X.509-SVID'],
      ...(certificate && { 'control.tulle.dev/certificate-serial': [certificate.serial] }),
    },
  };
}

const userOf = ({ name, uid, groups, extra }: User): AuditUser => ({
  username: name,
  ...(uid !== undefined && { uid }),
  groups,
  ...(extra && { extra }),
});
