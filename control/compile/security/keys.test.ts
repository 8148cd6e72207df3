/**
 * Every key of an AuthorizationPolicy's rules, from the policy to the verdict of a proxy, on HTTP and on TCP. A key of the
 * schema, or of Istio's conditions, without a case here fails.
 */
import { describe, expect, it } from 'vitest';
import { compileHttpRbac } from '../../../edge-proxy/http/filters/rbac/filter.ts';
import { compileNetworkRbac } from '../../../edge-proxy/http/filters/rbac/network.ts';
import { type RequestParts, requestDouble } from '../../../edge-proxy/http/testing/request-double.ts';
import { describe as described } from '../../../shared/resources/describe/description.ts';
import { Operation, Source } from '../../../shared/resources/schema/authorization-policy.ts';
import { HttpRbac, NetworkRbac } from '../../../shared/xds/rbac.ts';
import { type AuthorizationPolicy, buildRbacFilters } from './rbac.ts';

type Rule = NonNullable<NonNullable<AuthorizationPolicy['spec']>['rules']>[number];

interface KeyCase {
  /** `source.namespaces`, `operation.paths`, or the `key` of a condition. */
  readonly key: string;
  readonly values: readonly string[];
  readonly yes: RequestParts;
  readonly no: RequestParts;
  /** A connection that is not HTTP does not have it. */
  readonly ofHttp?: boolean;
}

const peer = (id: string): RequestParts => ({ downstream: { peerUris: [`spiffe://${id}`], secure: true } });
const from = (remoteAddress: string): RequestParts => ({ downstream: { remoteAddress } });
const claims = (payload: object): RequestParts => ({ metadata: { 'envoy.filters.http.jwt_authn': { payload } } });

const CASES: readonly KeyCase[] = [
  {
    key: 'source.principals',
    values: ['td/ns/a/sa/b', '*/sa/c'],
    yes: peer('td/ns/a/sa/b'),
    no: peer('td/ns/a/sa/bb'),
  },
  { key: 'source.principals', values: ['*/sa/c.d'], yes: peer('td/ns/a/sa/c.d'), no: peer('td/ns/a/sa/cxd') },
  { key: 'source.principals', values: ['*'], yes: peer('td/ns/a/sa/b'), no: {} },
  { key: 'source.namespaces', values: ['a'], yes: peer('td/ns/a/sa/b'), no: peer('td/ns/aa/sa/b') },
  { key: 'source.namespaces', values: ['a.c'], yes: peer('td/ns/a.c/sa/b'), no: peer('td/ns/abc/sa/b') },
  { key: 'source.namespaces', values: ['(a|b)'], yes: peer('td/ns/(a|b)/sa/x'), no: peer('td/ns/a/sa/x') },
  { key: 'source.namespaces', values: ['a*'], yes: peer('td/ns/aaa/sa/b'), no: peer('td/ns/b/sa/aaa') },
  { key: 'source.serviceAccounts', values: ['b', 'x/y'], yes: peer('td/ns/foo/sa/b'), no: peer('td/ns/a/sa/b') },
  { key: 'source.trustDomains', values: ['td'], yes: peer('td/ns/a/sa/b'), no: peer('td.evil/ns/td/sa/b') },
  { key: 'source.trustDomains', values: ['*.td'], yes: peer('a.td/ns/a/sa/b'), no: peer('a-td/ns/a/sa/b') },
  { key: 'source.ipBlocks', values: ['10.1.0.0/16', '2001:db8::/32'], yes: from('10.1.2.3'), no: from('10.2.2.3') },
  { key: 'source.ipBlocks', values: ['2001:db8::/32'], yes: from('2001:db8::1'), no: from('2001:db9::1') },
  {
    key: 'source.remoteIpBlocks',
    values: ['203.0.113.0/24'],
    yes: { remoteIp: '203.0.113.9', downstream: { remoteAddress: '203.0.113.9' } },
    no: { remoteIp: '198.51.100.1', downstream: { remoteAddress: '198.51.100.1' } },
  },
  {
    key: 'source.requestPrincipals',
    values: ['i/s'],
    yes: claims({ iss: 'i', sub: 's' }),
    no: claims({ iss: 'i', sub: 'x' }),
    ofHttp: true,
  },
  {
    key: 'operation.hosts',
    values: ['A.test', '*.b.test'],
    yes: { authority: 'a.TEST' },
    no: { authority: 'a.test.evil' },
    ofHttp: true,
  },
  { key: 'operation.methods', values: ['GET'], yes: { method: 'GET' }, no: { method: 'POST' }, ofHttp: true },
  { key: 'operation.paths', values: ['/a', '/b/*'], yes: { path: '/b/c?d' }, no: { path: '/a/' }, ofHttp: true },
  { key: 'operation.paths', values: ['/t/{*}/x'], yes: { path: '/t/1/x' }, no: { path: '/t/1/2/x' }, ofHttp: true },
  { key: 'operation.paths', values: ['/t/{**}/x'], yes: { path: '/t/1/2/x' }, no: { path: '/t/1/2/y' }, ofHttp: true },
  {
    key: 'operation.ports',
    values: ['80', '9080'],
    yes: { downstream: { localPort: 9080 } },
    no: { downstream: { localPort: 81 } },
  },
  {
    key: 'request.headers[x-a]',
    values: ['v*'],
    yes: { headers: { 'x-a': 'v1' } },
    no: { headers: { 'x-a': 'w' } },
    ofHttp: true,
  },
  { key: 'source.ip', values: ['10.1.0.0/16'], yes: from('10.1.2.3'), no: from('10.2.2.3') },
  {
    key: 'remote.ip',
    values: ['203.0.113.9'],
    yes: { remoteIp: '203.0.113.9', downstream: { remoteAddress: '203.0.113.9' } },
    no: { remoteIp: '203.0.113.8', downstream: { remoteAddress: '203.0.113.8' } },
  },
  { key: 'source.namespace', values: ['a'], yes: peer('td/ns/a/sa/b'), no: peer('td/ns/b/sa/a') },
  { key: 'source.principal', values: ['td/ns/a/*'], yes: peer('td/ns/a/sa/b'), no: peer('td/ns/b/sa/b') },
  { key: 'source.serviceAccount', values: ['x/y'], yes: peer('td/ns/x/sa/y'), no: peer('td/ns/y/sa/x') },
  { key: 'source.trustDomain', values: ['td'], yes: peer('td/ns/x/sa/y'), no: peer('tdx/ns/x/sa/y') },
  {
    key: 'request.auth.principal',
    values: ['i/*'],
    yes: claims({ iss: 'i', sub: 's' }),
    no: claims({ iss: 'j', sub: 's' }),
    ofHttp: true,
  },
  {
    key: 'request.auth.audiences',
    values: ['w'],
    yes: claims({ aud: ['v', 'w'] }),
    no: claims({ aud: ['v'] }),
    ofHttp: true,
  },
  { key: 'request.auth.presenter', values: ['p'], yes: claims({ azp: 'p' }), no: claims({ azp: 'q' }), ofHttp: true },
  {
    key: 'request.auth.claims[g]',
    values: ['x'],
    yes: claims({ g: ['x', 'y'] }),
    no: claims({ g: 'xy' }),
    ofHttp: true,
  },
  {
    key: 'request.auth.claims[a][b]',
    values: ['x'],
    yes: claims({ a: { b: 'x' } }),
    no: claims({ a: 'x', b: 'x' }),
    ofHttp: true,
  },
  {
    key: 'destination.ip',
    values: ['10.9.0.0/16'],
    yes: { downstream: { localAddress: '10.9.0.1' } },
    no: { downstream: { localAddress: '10.8.0.1' } },
  },
  {
    key: 'destination.port',
    values: ['9080'],
    yes: { downstream: { localPort: 9080 } },
    no: { downstream: { localPort: 9081 } },
  },
  {
    key: 'connection.sni',
    values: ['*.test'],
    yes: { downstream: { serverName: 'a.test' } },
    no: { downstream: { serverName: 'test' } },
  },
  {
    key: 'experimental.envoy.filters.http.x[k]',
    values: ['v'],
    yes: { metadata: { 'envoy.filters.http.x': { k: 'v' } } },
    no: { metadata: { 'envoy.filters.http.x': { k: 'w' } } },
  },
];

/** A rule of the key; `not`: of its opposite. */
function ruleOf({ key, values }: KeyCase, not: boolean): Rule {
  const [where, field = ''] = key.split('.') as [string, string?];
  const isPart = ['source', 'operation'].includes(where) && Object.hasOwn(FIELDS[where as 'source']!, field);
  if (!isPart) return { when: [{ key, [not ? 'notValues' : 'values']: [...values] }] };
  const name = not ? `not${field[0]!.toUpperCase()}${field.slice(1)}` : field;
  const part = { [name]: [...values] };
  return where === 'source' ? { from: [{ source: part }] } : { to: [{ operation: part }] };
}

const fieldsOf = (schema: typeof Source | typeof Operation): Record<string, true> => {
  const { shape } = described(schema);
  if (shape.type !== 'object') throw new Error('no message');
  return Object.fromEntries(shape.fields.map(({ name }) => [name, true as const]));
};
const FIELDS = { source: fieldsOf(Source), operation: fieldsOf(Operation) };

const CTX = { trustDomain: '', trustDomainAliases: [], rootNamespace: 'istio-system' };
const policy = (action: 'ALLOW' | 'DENY', rule: Rule) =>
  ({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'p', namespace: 'foo' },
    spec: { action, rules: [rule] },
  }) as AuthorizationPolicy;

const admitsRequest = (action: 'ALLOW' | 'DENY', rule: Rule, parts: RequestParts): boolean =>
  buildRbacFilters([policy(action, rule)], { kind: 'http', ...CTX }).every(({ typedConfig }) => {
    const { '@type': _, ...config } = typedConfig as { '@type': string };
    return compileHttpRbac(HttpRbac.parse(config))!.allows(requestDouble(parts));
  });
const admitsConnection = (action: 'ALLOW' | 'DENY', rule: Rule, parts: RequestParts): boolean =>
  buildRbacFilters([policy(action, rule)], { kind: 'tcp', ...CTX }).every(({ typedConfig }) => {
    const { '@type': _, ...config } = typedConfig as { '@type': string };
    const { downstream, metadata } = requestDouble(parts);
    const traffic = { kind: 'connection' as const, downstream, metadata };
    const context = { traffic, connection: undefined, signal: new AbortController().signal };
    return compileNetworkRbac(NetworkRbac.parse(config))(context) === undefined;
  });

describe('every key of a rule', () => {
  it.each(CASES.map((one) => [one.key, one.values.join(), one] as const))('%s: %s', (_, __, one) => {
    for (const not of [false, true]) {
      const rule = ruleOf(one, not);
      for (const [parts, matches] of [
        [one.yes, !not],
        [one.no, not],
      ] as const) {
        expect({ rule, parts, allow: admitsRequest('ALLOW', rule, parts) }).toEqual({ rule, parts, allow: matches });
        expect({ rule, parts, deny: admitsRequest('DENY', rule, parts) }).toEqual({ rule, parts, deny: !matches });
        // On TCP what only HTTP has allows nothing, and is left out of what denies.
        const [allow, deny] = one.ofHttp ? [false, false] : [matches, !matches];
        expect({ rule, parts, tcp: admitsConnection('ALLOW', rule, parts) }).toEqual({ rule, parts, tcp: allow });
        expect({ rule, parts, tcp: admitsConnection('DENY', rule, parts) }).toEqual({ rule, parts, tcp: deny });
      }
    }
  });

  it('of the schema has a case, and its opposite', () => {
    const covered = new Set(CASES.map(({ key }) => key));
    for (const [where, fields] of Object.entries(FIELDS))
      for (const field of Object.keys(fields)) {
        const plain = field.startsWith('not') ? `${field[3]!.toLowerCase()}${field.slice(4)}` : field;
        expect(covered, `${where}.${field}`).toContain(`${where}.${plain}`);
      }
  });

  it("of Istio's conditions has a case", () => {
    const covered = new Set(CASES.map(({ key }) => key.replace(/\[.*/, '[]')));
    const conditions = [
      ...[
        'request.headers[]',
        'source.ip',
        'remote.ip',
        'source.namespace',
        'source.principal',
        'source.serviceAccount',
      ],
      ...['request.auth.principal', 'request.auth.audiences', 'request.auth.presenter', 'request.auth.claims[]'],
      ...['destination.ip', 'destination.port', 'connection.sni', 'source.trustDomain'],
      'experimental.envoy.filters.http.x[]',
    ];
    expect(conditions.filter((key) => !covered.has(key))).toEqual([]);
  });
});
