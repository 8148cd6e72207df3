import { parseKeySet } from '../../../jwt/key-set.ts';
import { parseJwksUri } from '../../../match/jwks-uri.ts';
import { parseClaimPath } from '../../../match/jwt-claim.ts';
import type { Findings } from '../../kind.ts';
import type {
  JoinCertificate,
  JoinGcp,
  JoinGrant,
  JoinOidc,
  JoinPolicySpec,
  JoinRule,
  NameFromClaim,
} from '../../schema/tulle/join-policy.ts';
import type { StringMatch } from '../../schema/virtual-service.ts';
import { keyPath, Report } from '../../violations.ts';
import { checkLabels, istioRegexViolation } from '../primitives.ts';
import { type CertificateUse, checkCertificates } from './join-certificates.ts';

/** Rules of JoinPolicy beyond its schema. */
export function checkJoinPolicy(spec: JoinPolicySpec): Findings {
  const report = new Report();
  checkNames(report, 'spec.namespaces', spec.namespaces, namespaceViolation);
  if (spec.rules?.length === 0) report.warn('spec.rules', 'joinpolicy.never', 'is empty: the policy grants nothing');
  for (const [i, rule] of (spec.rules ?? []).entries()) checkRule(report, `spec.rules[${i}]`, rule);
  return report.findings;
}

function checkRule(report: Report, path: string, { oidc, certificate, aws, gcp, azure, grant }: JoinRule): void {
  if (oidc) checkOidc(report, `${path}.oidc`, oidc);
  if (certificate) checkCertificate(report, `${path}.certificate`, certificate);
  if (gcp) checkKeys(report, `${path}.gcp`, gcp);
  if (aws) checkAuthorities(report, `${path}.aws.certificates`, aws.certificates, 'documents');
  if (azure) checkAuthorities(report, `${path}.azure.trustedRoots`, azure.trustedRoots, 'chains');
  if (grant) checkGrant(report, `${path}.grant`, grant, oidc !== undefined);
}

function checkOidc(report: Report, path: string, oidc: JoinOidc): void {
  checkKeys(report, path, oidc);
  if (oidc.jwks === undefined && oidc.jwksUri === undefined && oidc.issuer && !parseJwksUri(oidc.issuer))
    report.violation(
      `${path}.issuer`,
      'joinpolicy.keys',
      'is no URL, at which its keys could be found: set jwksUri or jwks',
    );
  for (const [claim, match] of Object.entries(oidc.claims ?? {})) {
    const at = keyPath(`${path}.claims`, claim);
    checkClaim(report, at, claim);
    checkMatch(report, at, match);
    warnNeverMatched(report, at, claim, match, oidc);
  }
}

/** What no token has that the other fields of the rule let through. */
function warnNeverMatched(report: Report, at: string, claim: string, { exact }: StringMatch, oidc: JoinOidc): void {
  if (exact === undefined) return;
  if (claim === 'iss' && exact !== oidc.issuer)
    report.warn(at, 'joinpolicy.never', 'matches no token: the issuer of the rule is another one');
}

function checkKeys(
  report: Report,
  path: string,
  { jwks, jwksUri }: Pick<JoinOidc & JoinGcp, 'jwks' | 'jwksUri'>,
): void {
  if (jwksUri !== undefined && !parseJwksUri(jwksUri))
    report.violation(`${path}.jwksUri`, 'joinpolicy.keys', 'must be an http:// or https:// URL');
  if (jwks === undefined) return;
  const usable = parseKeySet(jwks).filter(({ jwk }) => jwk['kty'] !== 'oct');
  if (usable.length === 0)
    report.violation(
      `${path}.jwks`,
      'joinpolicy.keys',
      'must be a JSON Web Key Set with a public key that signatures can be verified with',
    );
}

function checkCertificate(report: Report, path: string, { trustedRoots, subjectAltNames }: JoinCertificate): void {
  checkAuthorities(report, `${path}.trustedRoots`, trustedRoots, 'chains');
  for (const [i, { dns, uri }] of (subjectAltNames ?? []).entries()) {
    const at = `${path}.subjectAltNames[${i}]`;
    if (uri) checkMatch(report, `${at}.uri`, uri);
    if (!dns) continue;
    checkMatch(report, `${at}.dns`, dns);
    const text = dns.exact ?? dns.prefix;
    if (text !== undefined && text !== text.toLowerCase())
      report.warn(`${at}.dns`, 'joinpolicy.never', 'matches no name: names are compared in lower case');
  }
}

function checkAuthorities(report: Report, path: string, pem: string | undefined, use: CertificateUse): void {
  if (pem !== undefined) checkCertificates(report, path, pem, use);
}

/** An empty match would let every value through. */
function checkMatch(report: Report, path: string, { exact, prefix, regex }: StringMatch): void {
  if (exact === undefined && prefix === undefined && regex === undefined)
    report.violation(path, 'joinpolicy.match', 'must have one of exact, prefix, regex');
  for (const [field, text] of Object.entries({ exact, prefix, regex }))
    if (text === '') report.violation(`${path}.${field}`, 'joinpolicy.match', 'must not be empty');
  if (regex) {
    report.violationIf(`${path}.regex`, 'regex', istioRegexViolation(regex));
    if (/^\^?\.[*+]\$?$/.test(regex)) report.warn(`${path}.regex`, 'joinpolicy.match', 'matches every value');
  }
}

function checkClaim(report: Report, path: string, claim: string): void {
  if (parseClaimPath(claim)) return;
  report.violation(path, 'joinpolicy.claim', 'must name a claim, as sub, realm.role or [kubernetes.io][namespace]');
}

function checkGrant(report: Report, path: string, grant: JoinGrant, hasClaims: boolean): void {
  const { group, serviceAccount } = grant;
  if (group) report.violationIf(`${path}.group`, 'joinpolicy.name', nameViolation(group));
  if (serviceAccount) report.violationIf(`${path}.serviceAccount`, 'joinpolicy.name', nameViolation(serviceAccount));
  for (const field of ['groupFromClaim', 'serviceAccountFromClaim'] as const) {
    const mapping = grant[field];
    if (!mapping) continue;
    if (!hasClaims) report.violation(`${path}.${field}`, 'joinpolicy.grant', 'is for evidence oidc alone');
    checkMapping(report, `${path}.${field}`, mapping);
  }
  checkLabels(report, `${path}.labels`, grant.labels);
}

function checkMapping(report: Report, path: string, { claim, allowed }: NameFromClaim): void {
  if (claim) checkClaim(report, `${path}.claim`, claim);
  checkNames(report, `${path}.allowed`, allowed, nameViolation);
}

function checkNames(
  report: Report,
  path: string,
  names: readonly string[] | undefined,
  violation: (name: string) => string | undefined,
): void {
  const seen = new Set<string>();
  for (const [i, name] of (names ?? []).entries()) {
    report.violationIf(`${path}[${i}]`, 'joinpolicy.name', violation(name));
    if (seen.has(name)) report.violation(`${path}[${i}]`, 'joinpolicy.name', `"${name}" is named twice`);
    seen.add(name);
  }
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

function namespaceViolation(name: string): string | undefined {
  return LABEL.test(name) ? undefined : `"${name}" must be a DNS label: lower case letters, digits and "-"`;
}

function nameViolation(name: string): string | undefined {
  return name.length <= 253 && SUBDOMAIN.test(name)
    ? undefined
    : `"${name}" must be a DNS subdomain: lower case letters, digits, "-" and "."`;
}
