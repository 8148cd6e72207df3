/** Asks the authorizer: of paths of the Kubernetes API, and of the control plane's own routes. */
import type { Context, MiddlewareHandler } from 'hono';
import type { Attributes } from '../../access/attributes.ts';
import { CONTROL_GROUP, type ControlResource } from '../../access/permissions.ts';
import { attributesOf } from '../../access/request-attributes.ts';
import type { ApiEnv, Caller, UserCaller } from '../caller.ts';
import { forbidden, unauthorized } from '../resources/status.ts';
import { accessForbidden } from './forbidden.ts';

/** As errors and logs name a caller. */
export function callerName(caller: Caller | undefined): string {
  if (caller?.kind === 'user') return caller.name;
  return caller?.kind === 'workload' ? caller.spiffeId : 'system:anonymous';
}

/**
 * The user who may do this. Workloads have no rights here, whatever the roles say: a proxy reads its own config alone.
 * @throws ApiError 401 anonymous, 403
 */
export function requireAccess(
  c: Context<ApiEnv>,
  attributes: Attributes,
  caller: Caller = c.get('caller'),
): UserCaller {
  const reason = caller.kind === 'user' ? c.get('authorizer')?.allows(caller, attributes) : undefined;
  c.set('decisions', [...(c.get('decisions') ?? []), { attributes, reason }]);
  if (caller.kind === 'anonymous') throw unauthorized();
  if (caller.kind !== 'user' || reason === undefined) throw accessForbidden(callerName(caller), attributes);
  return caller;
}

/** The join of the client certificate was revoked. @throws ApiError 403 with the reason */
export const refuseRevoked: MiddlewareHandler<ApiEnv> = async function refuseRevoked(c, next) {
  if (c.env?.refusal !== undefined) throw forbidden(c.env.refusal);
  await next();
};

/** A path of the Kubernetes API. @throws ApiError 401, 403 */
export const requirePathAccess: MiddlewareHandler<ApiEnv> = async function requirePathAccess(c, next) {
  // Path and query as the router reads them, so that both find the same resource.
  requireAccess(c, attributesOf(c.req.method, c.req.path, { get: (name) => c.req.query(name) ?? null }));
  await next();
};

/** What a route of the control plane's own needs. */
export interface ControlPermission {
  readonly verb: 'create' | 'get' | 'list' | 'delete';
  readonly resource: ControlResource;
  /** Default: '', every namespace. */
  readonly namespace?: string | undefined;
}

/** @throws ApiError 401, 403 */
export function requirePermission(
  c: Context<ApiEnv>,
  { verb, resource, namespace = '' }: ControlPermission,
): UserCaller {
  const [plural = '', subresource = ''] = resource.split('/');
  return requireAccess(c, { verb, group: CONTROL_GROUP, resource: plural, subresource, namespace, name: '' });
}

/** As middleware, for permissions that are the same for every request of a route. */
export function permission(verb: ControlPermission['verb'], resource: ControlResource): MiddlewareHandler<ApiEnv> {
  return async function permission(c, next) {
    requirePermission(c, { verb, resource });
    await next();
  };
}

/** Before the body is read in which the namespace is: then `requirePermission` with it. @throws ApiError 401, 403 */
export const requireUser: MiddlewareHandler<ApiEnv> = async function requireUser(c, next) {
  const caller = c.get('caller');
  if (caller.kind === 'anonymous') throw unauthorized();
  if (caller.kind === 'workload')
    throw accessForbidden(caller.spiffeId, { verb: c.req.method.toLowerCase(), path: c.req.path });
  await next();
};
