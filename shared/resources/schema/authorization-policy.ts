/** The schema of AuthorizationPolicy's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { PolicySelector, PolicyTargetReference, SubFilter } from './common.ts';
import { list, object, oneOfNames, string } from './vocabulary.ts';

export const Source = object({
  ipBlocks: list(string()),
  namespaces: list(string()),
  notIpBlocks: list(string()),
  notNamespaces: list(string()),
  notPrincipals: list(string()),
  notRemoteIpBlocks: list(string()),
  notRequestPrincipals: list(string()),
  notServiceAccounts: list(string({ max: 320 }), { max: 16 }),
  notTrustDomains: list(string()),
  principals: list(string()),
  remoteIpBlocks: list(string()),
  requestPrincipals: list(string()),
  serviceAccounts: list(string({ max: 320 }), { max: 16 }),
  trustDomains: list(string()),
});
export type Source = z.infer<typeof Source>;

export const RuleFrom = object({
  source: Source,
});
export type RuleFrom = z.infer<typeof RuleFrom>;

export const Operation = object({
  hosts: list(string()),
  methods: list(string()),
  notHosts: list(string()),
  notMethods: list(string()),
  notPaths: list(string()),
  notPorts: list(string()),
  paths: list(string()),
  ports: list(string()),
});
export type Operation = z.infer<typeof Operation>;

export const RuleTo = object({
  operation: Operation,
});
export type RuleTo = z.infer<typeof RuleTo>;

export const When = object(
  {
    key: string(),
    notValues: list(string()),
    values: list(string()),
  },
  ['key'],
);
export type When = z.infer<typeof When>;

export const Rule = object({
  from: list(RuleFrom, { max: 512 }),
  to: list(RuleTo),
  when: list(When),
});
export type Rule = z.infer<typeof Rule>;

export const AuthorizationPolicySpec = object({
  action: oneOfNames(['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']),
  provider: SubFilter,
  rules: list(Rule, { max: 512 }),
  selector: PolicySelector,
  targetRef: PolicyTargetReference,
  targetRefs: list(PolicyTargetReference, { max: 16 }),
});
export type AuthorizationPolicySpec = z.infer<typeof AuthorizationPolicySpec>;
