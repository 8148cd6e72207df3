/** The rules of JoinPolicies, compiled once for each policy, by the kind of evidence that they are for. */
import { type CertificateFacts, decodeCertificates, readCertificate } from '../../../shared/identity/certificate.ts';
import { parseCertificates } from '../../../shared/identity/svid.ts';
import { parseKeySet } from '../../../shared/jwt/key-set.ts';
import { parseClaimPath } from '../../../shared/match/jwt-claim.ts';
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type {
  JoinAws,
  JoinAzure,
  JoinCertificate,
  JoinGcp,
  JoinGrant,
  JoinOidc,
  JoinRule,
} from '../../../shared/resources/schema/tulle/join-policy.ts';
import { parseDuration } from '../../../shared/resources/schema/vocabulary.ts';
import { namespaceOf } from '../../mesh/fields.ts';
import type { AwsRule } from '../evidence/aws.ts';
import type { AzureRule } from '../evidence/azure.ts';
import type { CertificateRule } from '../evidence/certificate.ts';
import { type GcpRule, GOOGLE_ISSUER } from '../evidence/gcp.ts';
import type { OidcRule, TokenKeys } from '../evidence/oidc.ts';
import type { Rule } from '../evidence/proof.ts';
import { stringMatcher } from './string-matcher.ts';

export type JoinPolicy = ResourceOfKind<'JoinPolicy'>;

/** What each kind of evidence is judged by. */
export interface EvidenceRules {
  oidc: OidcRule;
  certificate: CertificateRule;
  aws: AwsRule;
  gcp: GcpRule;
  azure: AzureRule;
}
export type PolicyEvidence = keyof EvidenceRules;

export interface GrantingRule<E> extends Rule<E> {
  /** Namespaces that a machine may join. */
  readonly namespaces: readonly string[];
  readonly grant: JoinGrant;
  /** `shop/ci` */
  readonly policy: string;
}
export type JoinRules = { readonly [K in PolicyEvidence]: readonly GrantingRule<EvidenceRules[K]>[] };

const DEFAULT_MAX_AGE_MS = 3_600_000;

/** In the order of the policies, which is oldest first. @param rootNamespace whose policies may name other namespaces */
export function rulesOf(policies: readonly JoinPolicy[], rootNamespace: string): JoinRules {
  const all = policies.map((policy) => {
    const namespaces = namespacesOf(policy, rootNamespace);
    return compiled(policy).rules.map((rule) => ({ ...rule, namespaces }));
  });
  const of = <K extends PolicyEvidence>(kind: K) =>
    all.flat().filter((rule) => rule.kind === kind) as unknown as JoinRules[K];
  return { oidc: of('oidc'), certificate: of('certificate'), aws: of('aws'), gcp: of('gcp'), azure: of('azure') };
}

/** Empty: the policy names namespaces that it may not grant. */
export function namespacesOf(policy: JoinPolicy, rootNamespace: string): readonly string[] {
  const own = namespaceOf(policy);
  const { namespaces } = policy.spec;
  if (namespaces === undefined) return [own];
  return own === rootNamespace ? namespaces : [];
}

interface CompiledRule extends Rule<unknown> {
  readonly kind: PolicyEvidence;
  readonly grant: JoinGrant;
  readonly policy: string;
}

interface CompiledPolicy {
  readonly rules: readonly CompiledRule[];
  /** What is wrong with the rules that were left out: `spec.rules[0]: …`. */
  readonly problems: readonly string[];
}

/** Resources of the mesh are the same objects while they do not change. */
const known = new WeakMap<JoinPolicy, CompiledPolicy>();

function compiled(policy: JoinPolicy): CompiledPolicy {
  let made = known.get(policy);
  if (!made) known.set(policy, (made = compile(policy)));
  return made;
}

/** Rules that validation accepted and that cannot be used all the same. */
export function ruleProblems(policy: JoinPolicy): readonly string[] {
  return compiled(policy).problems;
}

/** A rule that cannot be compiled grants nothing; the others, and other policies, stay in force. */
function compile(policy: JoinPolicy): CompiledPolicy {
  const { disabled, rules } = policy.spec;
  const name = `${namespaceOf(policy)}/${policy.metadata.name}`;
  const problems: string[] = [];
  const usable = rules.flatMap((rule, i) => {
    try {
      return { name: `JoinPolicy ${name} rules[${i}]`, policy: name, grant: rule.grant, ...evidenceOf(rule) };
    } catch (error) {
      problems.push(`spec.rules[${i}]: ${(error as Error).message}: the rule grants nothing`);
      return [];
    }
  });
  return { rules: disabled ? [] : usable, problems };
}

function evidenceOf({ oidc, certificate, aws, gcp, azure }: JoinRule): { kind: PolicyEvidence; evidence: unknown } {
  if (oidc) return { kind: 'oidc', evidence: oidcRule(oidc) };
  if (certificate) return { kind: 'certificate', evidence: certificateRule(certificate) };
  if (aws) return { kind: 'aws', evidence: awsRule(aws) };
  if (gcp) return { kind: 'gcp', evidence: gcpRule(gcp) };
  if (azure) return { kind: 'azure', evidence: azureRule(azure) };
  throw new Error('a rule of a JoinPolicy has no evidence');
}

function oidcRule({ issuer, audiences, claims, maxAge, reusable, jwks, jwksUri }: JoinOidc): OidcRule {
  return {
    issuer,
    audiences,
    claims: Object.entries(claims).map(([name, match]) => ({
      name,
      path: parseClaimPath(name) ?? [],
      matches: stringMatcher(match),
    })),
    maxAgeMs: milliseconds(maxAge),
    reusable: reusable ?? false,
    keys: tokenKeys(issuer, { jwks, jwksUri }),
  };
}

function gcpRule({ audiences, projects, zones, serviceAccounts, jwks, jwksUri }: JoinGcp): GcpRule {
  const keys = tokenKeys(GOOGLE_ISSUER, { jwks, jwksUri });
  return { issuer: GOOGLE_ISSUER, audiences, projects, zones, serviceAccounts, keys };
}

interface KeyFields {
  readonly jwks: string | undefined;
  readonly jwksUri: string | undefined;
}

function tokenKeys(issuer: string, { jwks, jwksUri }: KeyFields): TokenKeys {
  return jwks === undefined ? { source: jwksUri ? { uri: jwksUri } : { issuer } } : { keys: parseKeySet(jwks) };
}

function certificateRule({ trustedRoots, subjectAltNames }: JoinCertificate): CertificateRule {
  return {
    roots: parseCertificates(trustedRoots),
    names: subjectAltNames.flatMap(({ dns, uri }) => [
      ...(dns ? [{ type: 'dns' as const, matches: stringMatcher(dns) }] : []),
      ...(uri ? [{ type: 'uri' as const, matches: stringMatcher(uri) }] : []),
    ]),
  };
}

function awsRule({ accounts, regions, images, instanceIds, certificates, maxAge, rejoin }: JoinAws): AwsRule {
  const signers: CertificateFacts[] = decodeCertificates(certificates).map(readCertificate);
  return { accounts, regions, images, instanceIds, signers, maxAgeMs: milliseconds(maxAge), rejoin: rejoin ?? false };
}

function azureRule({ subscriptions, vmIds, trustedRoots }: JoinAzure): AzureRule {
  const lower = (ids: readonly string[]) => ids.map((id) => id.toLowerCase());
  return { roots: parseCertificates(trustedRoots), subscriptions: lower(subscriptions), vmIds: vmIds && lower(vmIds) };
}

const milliseconds = (duration: string | undefined): number =>
  (duration === undefined ? undefined : parseDuration(duration)) ?? DEFAULT_MAX_AGE_MS;
