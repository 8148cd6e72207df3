/** The RBAC filters of this proxy's workload. */
import type { HttpFilter } from '../../shared/xds/http-connection-manager.ts';
import type { NetworkFilter } from '../../shared/xds/listener.ts';
import type { CompileContext } from './context.ts';
import { buildRbacFilters, policiesFor } from './rbac.ts';

export interface Authorization {
  http: HttpFilter[];
  tcp: NetworkFilter[];
}

/** DENY before ALLOW, as Istio orders them. */
export function authorizationOf(ctx: CompileContext): Authorization {
  const { rootNamespace, trustDomain, trustDomainAliases = [] } = ctx.view.settings;
  const workload = { namespace: ctx.proxy.namespace, labels: ctx.proxy.labels };
  const policies = policiesFor(ctx.view.resources('AuthorizationPolicy'), workload, rootNamespace);
  const settings = { trustDomain, trustDomainAliases, rootNamespace };
  const http = buildRbacFilters(policies, { kind: 'http', ...settings });
  const tcp = buildRbacFilters(policies, { kind: 'tcp', ...settings });
  return { http, tcp };
}
