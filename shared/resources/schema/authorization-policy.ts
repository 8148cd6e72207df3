/** The schema of AuthorizationPolicy's spec, field for field (istio.io/latest/docs/reference/config/security/authorization-policy). */
import type { z } from 'zod';
import { SubFilter, selector, targetRef, targetRefs } from './common.ts';
import * as rules from './rules/rules.ts';
import { list, object, oneOfNames, string, withRules } from './vocabulary.ts';

const names = (what: string) => list(string().describe(what));
const accounts = () =>
  list(string({ max: 320 }).describe('namespace/name, or a name in the namespace of the policy.'), { max: 16 });
const TEXT = 'Exact text, prefix* or *suffix; "*" is anything that is there.';
const ADDRESS = 'IP address or CIDR range, v4 or v6.';

export const Source = withRules(
  object({
    ipBlocks: names(ADDRESS).describe('Peer addresses of the connection as the proxy sees it.'),
    namespaces: names(TEXT).describe('Namespaces of the peer, from its certificate. Needs mTLS.'),
    notIpBlocks: names(ADDRESS).describe('Peer addresses that do not match.'),
    notNamespaces: names(TEXT).describe('Namespaces of the peer that do not match. Needs mTLS.'),
    notPrincipals: names(TEXT).describe('Peer identities that do not match. Needs mTLS.'),
    notRemoteIpBlocks: names(ADDRESS).describe('Client addresses that do not match.'),
    notRequestPrincipals: names(TEXT).describe('Request identities that do not match.'),
    notServiceAccounts: accounts().describe('Service accounts of the peer that do not match. Needs mTLS.'),
    notTrustDomains: names(TEXT).describe('Trust domains of the peer that do not match. Needs mTLS.'),
    principals: names(TEXT).describe(
      'Peer identities from the certificate, as cluster.local/ns/default/sa/reviews. Needs mTLS.',
    ),
    remoteIpBlocks: names(ADDRESS).describe(
      'Client addresses from X-Forwarded-For or the PROXY protocol, by the number of trusted proxies.',
    ),
    requestPrincipals: names(TEXT).describe(
      'Request identities, issuer/subject of a verified token. Needs a RequestAuthentication.',
    ),
    serviceAccounts: accounts().describe(
      'Service accounts of the peer, from its certificate. Needs mTLS; cannot be combined with principals or namespaces.',
    ),
    trustDomains: names(TEXT).describe('Trust domains of the peer, from its certificate. Needs mTLS.'),
  }),
  rules.accountsAlone,
);
export type Source = z.infer<typeof Source>;

export const RuleFrom = object({
  source: Source.describe(
    'Conditions on where a request comes from; all fields given must match, any entry of a list does.',
  ),
});
export type RuleFrom = z.infer<typeof RuleFrom>;

const PATH = 'Exact path, prefix* or *suffix, or a template with {*} (one segment) and {**} (any number).';

export const Operation = object({
  hosts: names(TEXT).describe('Host or :authority of the request, compared without case. HTTP only.'),
  methods: names(TEXT).describe('HTTP methods; for gRPC always POST. HTTP only.'),
  notHosts: names(TEXT).describe('Hosts that do not match. HTTP only.'),
  notMethods: names(TEXT).describe('Methods that do not match. HTTP only.'),
  notPaths: names(PATH).describe('Paths that do not match. HTTP only.'),
  notPorts: names('A port, in quotes.').describe('Ports of the workload that do not match.'),
  paths: names(PATH).describe('Paths after normalisation, without query; for gRPC /package.Service/Method. HTTP only.'),
  ports: names('A port, in quotes.').describe('Ports of the workload the request came in at.'),
});
export type Operation = z.infer<typeof Operation>;

export const RuleTo = object({
  operation: Operation.describe('Conditions on the request; all fields given must match, any entry of a list does.'),
});
export type RuleTo = z.infer<typeof RuleTo>;

export const When = object(
  {
    key: string().describe('The attribute, as request.headers[x-team], source.ip or request.auth.claims[groups].'),
    notValues: names(TEXT).describe('Values that do not match. One of values and notValues must be there.'),
    values: names(TEXT).describe('Values that match.'),
  },
  ['key'],
);
export type When = z.infer<typeof When>;

export const Rule = object({
  from: list(RuleFrom, { max: 512 }).describe('Sources, any of which matches. Default: any source.'),
  to: list(RuleTo).describe('Operations, any of which matches. Default: any operation.'),
  when: list(When).describe('Further conditions, which must all match. Default: none.'),
});
export type Rule = z.infer<typeof Rule>;

export const AuthorizationPolicySpec = withRules(
  object({
    action: oneOfNames(['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']).describe(
      'What happens to a request that a rule matches. CUSTOM calls the external authorizer first, then DENY, then ALLOW policies decide; AUDIT only marks. Default: ALLOW.',
    ),
    provider: SubFilter.extend({
      name: string().describe('Name of an extension provider of the mesh config (extensionProviders).'),
    })
      .partial()
      .describe('The external authorizer of a CUSTOM policy, and only of those.'),
    rules: list(Rule, { max: 512 }).describe(
      'Rules, any of which matches; within a rule from, to and when must all match. Default: none, so that an ALLOW policy admits nothing.',
    ),
    selector,
    targetRef,
    targetRefs,
  }),
  rules.policyTarget,
);
export type AuthorizationPolicySpec = z.infer<typeof AuthorizationPolicySpec>;
