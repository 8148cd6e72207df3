/** envoy.config.rbac.v3 */
import * as z from 'zod';
import { CidrRange, StringMatcher } from './core.ts';
import { HeaderMatcher } from './header-matcher.ts';
import { MetadataMatcher } from './match/metadata-matcher.ts';
import { any, bool, enumeration, list, map, message, messageRequiring, nonEmpty, uint32 } from './message.ts';

const PathMatcher = message({ path: StringMatcher });
/** The uri_template path matcher: `*` matches one path segment, `**` any number. */
const UriTemplate = messageRequiring(
  {
    name: nonEmpty(),
    typedConfig: any({
      'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig': messageRequiring(
        { pathTemplate: nonEmpty() },
        ['pathTemplate'],
      ),
    }),
  },
  ['name', 'typedConfig'],
);

export interface Permission {
  andRules?: { rules?: Permission[] };
  orRules?: { rules?: Permission[] };
  any?: boolean;
  header?: z.infer<typeof HeaderMatcher>;
  urlPath?: z.infer<typeof PathMatcher>;
  destinationIp?: z.infer<typeof CidrRange>;
  destinationPort?: number;
  metadata?: MetadataMatcher;
  notRule?: Permission;
  requestedServerName?: z.infer<typeof StringMatcher>;
  uriTemplate?: z.infer<typeof UriTemplate>;
}
export const Permission: z.ZodType<Permission> = z.lazy(() =>
  message({
    andRules: message({ rules: list(Permission) }),
    orRules: message({ rules: list(Permission) }),
    any: bool(),
    header: HeaderMatcher,
    urlPath: PathMatcher,
    destinationIp: CidrRange,
    destinationPort: uint32(),
    metadata: MetadataMatcher,
    notRule: Permission,
    requestedServerName: StringMatcher,
    uriTemplate: UriTemplate,
  }),
) as z.ZodType<Permission>;

export interface Principal {
  andIds?: { ids?: Principal[] };
  orIds?: { ids?: Principal[] };
  any?: boolean;
  authenticated?: { principalName?: z.infer<typeof StringMatcher> };
  sourceIp?: z.infer<typeof CidrRange>;
  directRemoteIp?: z.infer<typeof CidrRange>;
  remoteIp?: z.infer<typeof CidrRange>;
  header?: z.infer<typeof HeaderMatcher>;
  urlPath?: z.infer<typeof PathMatcher>;
  metadata?: MetadataMatcher;
  filterState?: { key?: string; stringMatch?: z.infer<typeof StringMatcher> };
  notId?: Principal;
}
export const Principal: z.ZodType<Principal> = z.lazy(() =>
  message({
    andIds: message({ ids: list(Principal) }),
    orIds: message({ ids: list(Principal) }),
    any: bool(),
    authenticated: message({ principalName: StringMatcher }),
    sourceIp: CidrRange,
    directRemoteIp: CidrRange,
    remoteIp: CidrRange,
    header: HeaderMatcher,
    urlPath: PathMatcher,
    metadata: MetadataMatcher,
    filterState: message({ key: nonEmpty(), stringMatch: StringMatcher }),
    notId: Principal,
  }),
) as z.ZodType<Principal>;

export const Policy = message({ permissions: list(Permission), principals: list(Principal) });
export type Policy = z.infer<typeof Policy>;
/** The rules of an RBAC filter; policy ids are Istio's `ns[<ns>]-policy[<name>]-rule[<n>]`. */
export const Rules = message({ action: enumeration(['ALLOW', 'DENY', 'LOG']), policies: map(Policy) });
export type Rules = z.infer<typeof Rules>;

const rbacFields = { rules: Rules, shadowRules: Rules, shadowRulesStatPrefix: z.string() };
/** envoy.extensions.filters.http.rbac.v3.RBAC */
export const HttpRbac = message(rbacFields);
export type HttpRbac = z.infer<typeof HttpRbac>;
/** envoy.extensions.filters.network.rbac.v3.RBAC */
export const NetworkRbac = messageRequiring({ ...rbacFields, statPrefix: nonEmpty() }, ['statPrefix']);
export type NetworkRbac = z.infer<typeof NetworkRbac>;
