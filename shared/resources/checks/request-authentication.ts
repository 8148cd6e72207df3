import { outputHeaderProblem } from '../../jwt/output-header.ts';
import { parseJwksUri } from '../../match/jwks-uri.ts';
import type { Findings } from '../kind.ts';
import type { JwtRule, RequestAuthenticationSpec } from '../schema/request-authentication.ts';
import { Report } from '../violations.ts';
import { checkPolicyTargets } from './primitives.ts';

/** Rules of RequestAuthentication beyond its schema. */
export function checkRequestAuthentication(spec: RequestAuthenticationSpec): Findings {
  const report = new Report();
  checkPolicyTargets(report, spec);
  for (const [i, rule] of (spec.jwtRules ?? []).entries()) checkJwtRule(report, `spec.jwtRules[${i}]`, rule);
  return report.findings;
}

function checkJwtRule(report: Report, path: string, rule: JwtRule): void {
  for (const field of ['jwksUri', 'jwks_uri'] as const) {
    const uri = rule[field];
    if (uri && !parseJwksUri(uri)) {
      report.violation(`${path}.${field}`, 'requestauthentication.jwks', 'must be an http:// or https:// URL');
    }
  }
  const outputs: [path: string, header: string][] = (rule.outputClaimToHeaders ?? []).map(({ header }, i) => [
    `outputClaimToHeaders[${i}].header`,
    header,
  ]);
  if (rule.outputPayloadToHeader) outputs.push(['outputPayloadToHeader', rule.outputPayloadToHeader]);
  for (const [field, header] of outputs) {
    const problem = outputHeaderProblem(header);
    if (problem !== undefined) report.violation(`${path}.${field}`, 'requestauthentication.output-header', problem);
  }
  if (rule.jwks && !isJwks(rule.jwks))
    report.violation(`${path}.jwks`, 'requestauthentication.jwks', 'must be a JSON Web Key Set');
}

function isJwks(text: string): boolean {
  try {
    return Array.isArray((JSON.parse(text) as { keys?: unknown } | null)?.keys);
  } catch {
    return false;
  }
}
