/** The middleware of the limits for each identity. */
import type { Context, MiddlewareHandler } from 'hono';
import { type AdminCheck, bearer } from '../auth.ts';
import type { ApiEnv } from '../caller.ts';
import { networkOf } from '../server/connection-limits.ts';
import type { Asker, IdentityLimits } from '../server/identity-limits.ts';
import { callerName } from './permission.ts';

type C = Context<ApiEnv>;

/**
 * Outside of `authenticate`: a token is not verified where too many of its address have failed. It counts as one that failed where the
 * request is answered with 401 and no route has accepted it: some take tokens that no user has, as JWT-SVIDs.
 * @throws ApiError 429
 */
export function limitFailedTokens(limits: IdentityLimits, isAdmin: AdminCheck): MiddlewareHandler<ApiEnv> {
  return async function limitFailedTokens(c, next) {
    const token = bearer(c.req.header('authorization'));
    const { remoteAddress } = c.env ?? {};
    // The administrator is never locked out; the check costs less than this one.
    if (token === undefined || remoteAddress === undefined || isAdmin(token)) return next();
    const network = networkOf(remoteAddress);
    limits.mayTry(network, token);
    await next();
    if (c.get('tokenAccepted')) limits.succeeded(token);
    else if (isRefused(c.res)) limits.failed(network);
  };
}

/** gRPC has a status of its own: UNAUTHENTICATED. */
const isRefused = ({ status, headers }: Response): boolean => status === 401 || headers.get('grpc-status') === '16';

/** Behind `authenticate`, and of discovery behind what accepts JWT-SVIDs. @throws ApiError 429 */
export function limitRequests(limits: IdentityLimits): MiddlewareHandler<ApiEnv> {
  return async function limitRequests(c, next) {
    const asker = askerOf(c);
    limits.admit(asker);
    // Polls are held: how many there may be is a question of sessions.
    if (isDiscovery(c)) return next();
    const watch = isWatch(c);
    const leave = limits.enter(asker, watch ? 'watches' : 'in-flight');
    const { onClosed } = c.env ?? {};
    try {
      await next();
    } finally {
      // An answer that the client does not read is held until then.
      if (onClosed) onClosed(leave);
      else leave();
    }
  };
}

export const isDiscovery = (c: C) => c.req.path.startsWith('/v3/');

const isWatch = ({ req }: C) =>
  req.method === 'GET' && /^\/apis?\//.test(req.path) && ['true', '1'].includes(req.query('watch') ?? '');

/** Of impersonated requests the user that impersonates: it chooses the others. */
function askerOf(c: C): Asker {
  const caller = c.get('caller');
  if (caller.kind === 'anonymous') return { identity: networkOf(c.env?.remoteAddress ?? ''), isProved: false };
  const name = caller.kind === 'user' && caller.impersonator ? caller.impersonator.name : callerName(caller);
  return { identity: caller.kind === 'user' ? `user ${name}` : name, isProved: true };
}
