import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { checkWhen } from '../resources/checks/authorization-policy.ts';
import { Report } from '../resources/violations.ts';
import { authzTrustDomainViolation, authzValueMatches, authzValueViolation } from './authz-value.ts';
import {
  compareSpecificity,
  hostMatches,
  hostSubsetOf,
  hostsForNamespace,
  hostsIntersection,
  sortHosts,
} from './hosts.ts';
import { parseJwksUri } from './jwks-uri.ts';
import { parseClaimRoute } from './jwt-claim.ts';
import { labelKeyViolation, labelValueViolation, matchesLabels, selectsLabels } from './labels.ts';
import { isPathTemplate, isTemplateLiteral, pathTemplateViolation } from './path.ts';
import { parseProtocol, portProtocol } from './protocol.ts';
import { expandTrustDomains, inTrustDomain, pinsTrustDomain, trustDomainOfPrincipal } from './trust-domain.ts';

const file = fileURLToPath(new URL('../../../shared/reference/tables/cases.json', import.meta.url));
const present = existsSync(file);
if (!present) console.log('skipped: the reference tables are not here');

/** The columns of all tables; each check reads its own. */
interface Fields {
  a: string & string[];
  b: string & string[];
  out: string & boolean;
  intersection: string[];
  hosts: string[];
  namespace: string;
  want: unknown;
  in: string & string[];
  host1: string;
  host2: string;
  expected: unknown;
  name: string;
  port: number;
  portName: string;
  proto: string;
  appProto?: string;
  expectedProto: string;
  left?: Record<string, string>;
  right?: Record<string, string>;
  tags?: Record<string, string>;
  valid: boolean;
  values: string[];
  wantError: boolean;
  glob: string;
  path: string;
  isPathTemplate: boolean;
  trustDomainBundle: { TrustDomains: string[] };
  principals: string[];
  expect: string[];
  trustDomainIn: string;
  principal: string;
  expectedError: unknown;
  element: string;
  list: string[];
  key: string;
}

interface Row {
  id: string;
  row: Fields;
}
const rows: Row[] = present ? ((parsed) => parsed.cases ?? parsed)(JSON.parse(readFileSync(file, 'utf8'))) : [];
const istioName = (name: string) => (name === 'UnsupportedProtocol' ? 'UNSUPPORTED' : name.toUpperCase());
const labelsViolation = (tags: Record<string, string>) =>
  Object.entries(tags).find(([key, value]) => labelKeyViolation(key) ?? labelValueViolation(value));

const resultOf = (make: () => string) => {
  try {
    return make();
  } catch (error) {
    return `a ${(error as Error).name}`;
  }
};

/** Our function for each of Istio's test functions. */
const questions: Record<string, (row: Fields) => [got: unknown, wanted: unknown]> = {
  TestNameMatches: ({ a, b, out }) => [
    [hostMatches(a, b), hostMatches(b, a)],
    [out, out],
  ],
  TestNameSubsetOf: ({ a, b, out }) => [hostSubsetOf(a, b), out],
  TestNamesIntersection: ({ a, b, intersection }) => [hostsIntersection(a, b), intersection],
  TestNamesForNamespace: ({ hosts, namespace, want }) => [hostsForNamespace(hosts, namespace), want],
  TestNamesSortOrder: ({ in: hosts, want }) => [sortHosts(hosts), want],
  TestMoreSpecific: ({ host1, host2, expected }) => [compareSpecificity(host1, host2) < 0, expected],
  TestParse: ({ name, out }) => [parseProtocol(name), istioName(out)],
  TestConvertProtocol: ({ port, portName, proto, appProto, expectedProto }) => [
    portProtocol(port, portName, proto || undefined, appProto),
    istioName(expectedProto),
  ],
  TestInstance: ({ left, right, expected }) => [
    { subsetOf: matchesLabels(left, right), selected: selectsLabels(left, right) },
    expected,
  ],
  TestInstanceValidate: ({ tags, valid }) => [labelsViolation(tags ?? {}) === undefined, valid],
  TestToRoutingClaim: ({ name, want }) => {
    const { Match, Separator, Claims } = want as { Match: boolean; Separator: number; Claims: string[] };
    const route = { separator: Separator === 1 ? 'brackets' : 'dot', claims: Claims };
    return [parseClaimRoute(name), Match ? route : undefined];
  },
  TestCheckValidPathTemplate: ({ values, wantError }) => [
    values.some((value) => pathTemplateViolation(value) !== undefined),
    wantError,
  ],
  TestReplaceTrustDomainAliases: ({ trustDomainBundle, principals, expect: wanted }) => [
    expandTrustDomains(principals, trustDomainBundle.TrustDomains),
    wanted,
  ],
  TestReplaceTrustDomainInPrincipal: ({ principal, trustDomainIn, out, expectedError }) => [
    resultOf(() => inTrustDomain(principal, trustDomainIn)),
    expectedError === '' ? out : 'a RangeError',
  ],
  TestGetTrustDomainFromSpiffeIdentity: ({ principal, out }) => [trustDomainOfPrincipal(principal), out],
  TestIsTrustDomainBeingEnforced: ({ principal, want }) => [pinsTrustDomain(principal), want],
  TestStringMatch: ({ element, list, expected }) => [list.some((value) => authzValueMatches(value, element)), expected],
  TestParseJwksURI: ({ in: uri, expected, expectedError }) => {
    const { Hostname, Scheme, Port, UseSSL } = expected as Record<string, unknown>;
    return [
      parseJwksUri(uri),
      expectedError ? undefined : { hostname: Hostname, scheme: Scheme, port: Port, tls: UseSSL },
    ];
  },
  TestCheckWildcardValues: ({ values, wantError }) => [
    values.some((value) => authzValueViolation(value) !== undefined),
    wantError,
  ],
  TestCheckTrustDomainValues: ({ values, wantError }) => [
    values.some((value) => authzTrustDomainViolation(value) !== undefined),
    wantError,
  ],
  TestValidateCondition: ({ key, values, wantError }) => {
    const report = new Report();
    checkWhen(report, 'when', { key, values }, 'ALLOW');
    return [report.violations.length > 0, wantError];
  },
  TestIsValidLiteral: ({ glob, expected }) => [isTemplateLiteral(glob), expected],
  TestContainsPathTemplate: ({ path, isPathTemplate: wanted }) => [isPathTemplate(path), wanted],
};

describe.skipIf(!present)("Istio's tables", () => {
  const right: string[] = [];
  it.each(rows.map((row) => [row.id, row.row] as const))('%s', (id, row) => {
    const question = questions[id.split('/')[0]!];
    if (!question) throw new Error('no check exists for this row');
    const [got, wanted] = question(row);
    expect(got).toEqual(wanted);
    right.push(id);
  });
  it('all of them', () => {
    console.log(`table rows: ${right.length} of ${rows.length}`);
    expect(right).toHaveLength(rows.length);
    expect(rows.length).toBe(146);
  });
});
