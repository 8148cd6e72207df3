import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  compareSpecificity,
  hostMatches,
  hostSubsetOf,
  hostsForNamespace,
  hostsIntersection,
  sortHosts,
} from './hosts.ts';
import { parseClaimRoute } from './jwt-claim.ts';
import { labelKeyFault, labelValueFault, matchesLabels, selectsLabels } from './labels.ts';
import { isPathTemplate, isTemplateLiteral, pathTemplateFault } from './path.ts';
import { parseProtocol, portProtocol } from './protocol.ts';

const file = fileURLToPath(new URL('../../../shared/reference/tables/cases.json', import.meta.url));
const present = existsSync(file);
if (!present) console.log('skipped: the reference tables are not here');

/** The columns of all tables; each question reads those of its own. */
interface Fields {
  a: string & string[];
  b: string & string[];
  out: string & boolean;
  intersection: string[];
  hosts: string[];
  namespace: string;
  want: unknown;
  in: string[];
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
}

interface Row {
  id: string;
  row: Fields;
}
const rows: Row[] = present ? ((parsed) => parsed.cases ?? parsed)(JSON.parse(readFileSync(file, 'utf8'))) : [];
const istioName = (name: string) => (name === 'UnsupportedProtocol' ? 'UNSUPPORTED' : name.toUpperCase());
const labelsFault = (tags: Record<string, string>) =>
  Object.entries(tags).find(([key, value]) => labelKeyFault(key) ?? labelValueFault(value));

/** What each of Istio's test functions asks, put to ours. */
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
  TestInstanceValidate: ({ tags, valid }) => [labelsFault(tags ?? {}) === undefined, valid],
  TestToRoutingClaim: ({ name, want }) => {
    const { Match, Separator, Claims } = want as { Match: boolean; Separator: number; Claims: string[] };
    const route = { separator: Separator === 1 ? 'brackets' : 'dot', claims: Claims };
    return [parseClaimRoute(name), Match ? route : undefined];
  },
  TestCheckValidPathTemplate: ({ values, wantError }) => [
    values.some((value) => pathTemplateFault(value) !== undefined),
    wantError,
  ],
  TestIsValidLiteral: ({ glob, expected }) => [isTemplateLiteral(glob), expected],
  TestContainsPathTemplate: ({ path, isPathTemplate: wanted }) => [isPathTemplate(path), wanted],
};

describe.skipIf(!present)("Istio's tables", () => {
  const covered = rows.filter((row) => questions[row.id.split('/')[0]!]);
  it('are read', () => expect(covered.length).toBeGreaterThan(95));
  it.each(covered.map((row) => [row.id, row.row] as const))('%s', (id, row) => {
    const [got, wanted] = questions[id.split('/')[0]!]!(row);
    expect(got).toEqual(wanted);
  });
});
