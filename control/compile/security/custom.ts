/**
 * AuthorizationPolicy with action CUSTOM: shadow rules find the requests that a policy selects, and the ext_authz filter behind
 * asks the policy's provider about those (istio.io/latest/docs/tasks/security/authorization/authz-custom). A provider that
 * cannot be asked denies what its policies select.
 */
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { NetworkFilter } from '../../../shared/xds/listener.ts';
import type { Rules } from '../../../shared/xds/rbac.ts';
import { specOf } from '../../mesh/fields.ts';
import { httpFilter, networkFilter } from '../wire.ts';
import type { Authorizer, Authorizers } from './authorizers.ts';
import {
  type AuthorizationPolicy,
  httpRbacFilter,
  isDryRun,
  networkRbacFilter,
  type RbacContext,
  rulesOf,
} from './rbac.ts';

export interface CustomContext extends RbacContext {
  readonly authorizers: Authorizers;
  /** A workload may have policies of several providers (Istio's PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS). */
  readonly multipleAuthorizers: boolean;
}

/** Of the metadata by which the ext_authz filter knows the requests that it asks about. */
const MATCHED = 'istio_ext_authz_';
const DRY_RUN = 'istio_dry_run_custom_';

type Filters = { readonly http: HttpFilter[]; readonly tcp: NetworkFilter[] };

/** CUSTOM policies whose provider speaks HTTP alone: as in Istio, it is not asked about connections that carry no HTTP. */
export function notAskedAboutTcp(
  policies: readonly AuthorizationPolicy[],
  authorizers: Authorizers,
): readonly AuthorizationPolicy[] {
  return policies.filter((policy) => {
    const authorizer = authorizers.get(providerOf(policy));
    const isCustom = specOf(policy).action === 'CUSTOM' && !isDryRun(policy);
    return isCustom && authorizer !== undefined && !('reason' in authorizer) && authorizer.tcp === undefined;
  });
}

/** @param policies those of one workload, of any action */
export function buildCustomFilters(
  policies: readonly AuthorizationPolicy[],
  ctx: CustomContext & { kind: 'http' },
): HttpFilter[];
export function buildCustomFilters(
  policies: readonly AuthorizationPolicy[],
  ctx: CustomContext & { kind: 'tcp' },
): NetworkFilter[];
export function buildCustomFilters(
  policies: readonly AuthorizationPolicy[],
  ctx: CustomContext,
): HttpFilter[] | NetworkFilter[] {
  const custom = policies.filter((policy) => specOf(policy).action === 'CUSTOM');
  const dry = custom.filter(isDryRun);
  const byProvider = Map.groupBy(
    custom.filter((policy) => !dry.includes(policy)),
    providerOf,
  );
  const isAmbiguous = byProvider.size > 1 && !ctx.multipleAuthorizers;
  const filters: Filters = { http: [], tcp: [] };
  for (const name of [...byProvider.keys()].sort()) {
    const named = byProvider.get(name)!;
    const authorizer = ctx.authorizers.get(name);
    // A provider that cannot be asked is reported first: a misspelled name is what makes several of one.
    if (authorizer === undefined)
      deny(named, name, 'there is no such extension provider for authorization', ctx, filters);
    else if ('reason' in authorizer) deny(named, name, authorizer.reason, ctx, filters);
    else if (isAmbiguous) deny(named, name, severalProviders([...byProvider.keys()]), ctx, filters);
    else ask(named, name, authorizer, ctx, filters);
  }
  if (dry.length > 0) addRbac({ shadowRules: rulesOf('CUSTOM', dry, ctx), shadowRulesStatPrefix: DRY_RUN }, filters);
  return ctx.kind === 'http' ? filters.http : filters.tcp;
}

function severalProviders(names: readonly string[]): string {
  return `the workload has CUSTOM policies of several providers (${names.toSorted().join(', ')})`;
}

function providerOf(policy: AuthorizationPolicy): string {
  return specOf(policy).provider?.name ?? '';
}

function addRbac(
  config: { rules?: Rules; shadowRules?: Rules; shadowRulesStatPrefix?: string },
  { http, tcp }: Filters,
): void {
  http.push(httpRbacFilter(config));
  tcp.push(networkRbacFilter(config));
}

/** What a rule of a provider is called: the ext_authz filter looks for the beginning. */
const idOf = (provider: string, id: string): string => `istio-ext-authz-${provider}-${id}`;

function deny(
  policies: readonly AuthorizationPolicy[],
  provider: string,
  reason: string,
  ctx: CustomContext,
  filters: Filters,
): void {
  for (const policy of policies)
    ctx.report?.(policy, `spec.provider: "${provider}": ${reason}: what the policy selects is denied`);
  const name = (id: string) => `${idOf(provider, id)}-deny-due-to-bad-CUSTOM-action`;
  addRbac({ rules: rulesOf('CUSTOM', policies, ctx, name) }, filters);
}

function ask(
  policies: readonly AuthorizationPolicy[],
  provider: string,
  { http, tcp }: Authorizer,
  ctx: CustomContext,
  filters: Filters,
): void {
  // As in Istio, a provider that speaks HTTP is not asked about connections.
  if (ctx.kind === 'tcp' && tcp === undefined) return;
  const shadowRules = rulesOf('CUSTOM', policies, ctx, (id) => idOf(provider, id));
  addRbac({ shadowRules, shadowRulesStatPrefix: MATCHED }, filters);
  const matched = (filter: string) => ({
    filter,
    path: [{ key: `${MATCHED}shadow_effective_policy_id` }],
    value: { stringMatch: { prefix: idOf(provider, '').slice(0, -1) } },
  });
  filters.http.push(
    httpFilter('envoy.filters.http.ext_authz', 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz', {
      ...http,
      filterEnabledMetadata: matched('envoy.filters.http.rbac'),
    }),
  );
  if (tcp)
    filters.tcp.push(
      networkFilter('envoy.filters.network.ext_authz', 'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz', {
        ...tcp,
        filterEnabledMetadata: matched('envoy.filters.network.rbac'),
      }),
    );
}
