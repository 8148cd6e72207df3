/**
 * Random AuthorizationPolicies through translation and filter, against a small evaluator written from Istio's
 * documentation (istio.io/latest/docs/reference/config/security/authorization-policy): it reads the policies themselves.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { HTTP_FILTERS } from '../../../edge-proxy/http/filters/index.ts';
import type { RequestContext } from '../../../edge-proxy/http/request/request-context.ts';
import { contextOf, noCalls, requestDouble } from '../../../edge-proxy/http/testing/request-double.ts';
import { compileHttpFilters } from '../../../edge-proxy/xds/filter/compile-filters.ts';
import { filterRegistry } from '../../../edge-proxy/xds/filter/filter-registry.ts';
import type {
  AuthorizationPolicySpec,
  Operation,
  Rule,
  Source,
  When,
} from '../../../shared/resources/schema/authorization-policy.ts';
import { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import { DEFAULT_SETTINGS } from '../../mesh/mesh-config.ts';
import type { LocalWorkload } from '../scope/workloads.ts';
import { filtersInOrder } from '../sidecar/filter-places.ts';
import { authorizations } from './authorization.ts';
import { type AuthorizationPolicy, buildRbacFilters, policiesFor } from './rbac.ts';

const PATHS = ['/a', '/a/b', '/a/b/c', '/info'];
const HOSTS = ['a.example', 'b.example:8080', 'A.example'];
const METHODS = ['GET', 'POST'];
const PORTS = ['80', '9080'];
const NAMESPACES = ['foo', 'bar', 'foobar'];
const ACCOUNTS = ['x', 'y'];
const DOMAINS = ['cluster.local', 'partner'];
const ADDRESSES = ['10.0.0.1', '10.1.0.1', '2001:db8::1'];
const BLOCKS = ['10.0.0.0/16', '10.0.0.0/8', '10.0.0.1', '2001:db8::/64', '::/0', '0.0.0.0/0'];
const HEADERS = ['v1', 'v2', 'v10'];

/** Who and what one request is. */
interface Call {
  path: string;
  host: string;
  method: string;
  port: string;
  caller: { domain: string; namespace: string; account: string } | undefined;
  /** The identity came by token. */
  byToken: boolean;
  ip: string;
  remoteIp: string;
  header: string | undefined;
  subject: { iss: string; sub: string; groups: string[] } | undefined;
}

// ---- the evaluator ----
const matches = (pattern: string, text: string | undefined): boolean => {
  if (text === undefined) return false;
  if (pattern === '*') return text !== '';
  if (pattern.startsWith('*')) return text.endsWith(pattern.slice(1));
  return pattern.endsWith('*') ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
};
const inBlock = (block: string, ip: string): boolean => {
  const bits = (address: string): string => {
    if (!address.includes(':'))
      return `4${address
        .split('.')
        .map((n) => Number(n).toString(2).padStart(8, '0'))
        .join('')}`;
    const [head = '', tail = ''] = address.split('::');
    const groups = (text: string) => (text === '' ? [] : text.split(':'));
    const zeros = Array<string>(8 - groups(head).length - groups(tail).length).fill('0');
    const all = [...groups(head), ...zeros, ...groups(tail)];
    return `6${all.map((one) => Number.parseInt(one, 16).toString(2).padStart(16, '0')).join('')}`;
  };
  const [prefix = '', length] = block.split('/');
  return bits(ip).startsWith(length === undefined ? bits(prefix) : bits(prefix).slice(0, 1 + Number(length)));
};
/** A field: absent or empty constrains nothing; else some value matches, and no excluded one does. */
const field = (values: string[] | undefined, excluded: string[] | undefined, is: (value: string) => boolean) =>
  (!values?.length || values.some(is)) && !excluded?.some(is);

const idOf = ({ caller }: Call) => caller && `${caller.domain}/ns/${caller.namespace}/sa/${caller.account}`;
const is = {
  principal: (call: Call) => (value: string) => matches(value, idOf(call)),
  namespace: (call: Call) => (value: string) => matches(value, call.caller?.namespace),
  account: (call: Call, own: string) => (value: string) => {
    const [namespace, name] = value.includes('/') ? value.split('/') : [own, value];
    return call.caller?.namespace === namespace && call.caller?.account === name;
  },
  domain: (call: Call) => (value: string) => matches(value, call.caller?.domain),
  requester: (call: Call) => (value: string) =>
    matches(value, call.subject && `${call.subject.iss}/${call.subject.sub}`),
};
const evaluateSource = (s: Source, call: Call, own: string) =>
  field(s.principals, s.notPrincipals, is.principal(call)) &&
  field(s.namespaces, s.notNamespaces, is.namespace(call)) &&
  field(s.serviceAccounts, s.notServiceAccounts, is.account(call, own)) &&
  field(s.trustDomains, s.notTrustDomains, is.domain(call)) &&
  field(s.requestPrincipals, s.notRequestPrincipals, is.requester(call)) &&
  field(s.ipBlocks, s.notIpBlocks, (block) => inBlock(block, call.ip)) &&
  field(s.remoteIpBlocks, s.notRemoteIpBlocks, (block) => inBlock(block, call.remoteIp));
const evaluateOperation = (o: Operation, call: Call) =>
  field(o.hosts, o.notHosts, (host) => matches(host.toLowerCase(), call.host.toLowerCase())) &&
  field(o.methods, o.notMethods, (method) => matches(method, call.method)) &&
  field(o.paths, o.notPaths, (path) => matches(path, call.path)) &&
  field(o.ports, o.notPorts, (port) => port === call.port);
const evaluateCondition = ({ key, values, notValues }: When, call: Call, own: string): boolean => {
  const by: Record<string, (value: string) => boolean> = {
    'request.headers[x-version]': (value) => (value === '*' ? call.header !== undefined : matches(value, call.header)),
    'source.ip': (value) => inBlock(value, call.ip),
    'remote.ip': (value) => inBlock(value, call.remoteIp),
    'source.namespace': is.namespace(call),
    'source.principal': is.principal(call),
    'source.serviceAccount': is.account(call, own),
    'destination.port': (value) => value === call.port,
    'request.auth.claims[groups]': (value) => call.subject?.groups.some((group) => matches(value, group)) ?? false,
  };
  return field(values, notValues, by[key]!);
};
const evaluateRule = (rule: Rule, call: Call, own: string) =>
  (!rule.from || rule.from.some(({ source }) => evaluateSource(source!, call, own))) &&
  (!rule.to || rule.to.some(({ operation }) => evaluateOperation(operation!, call))) &&
  (rule.when ?? []).every((condition) => evaluateCondition(condition, call, own));

type Policy = AuthorizationPolicy & { spec: AuthorizationPolicySpec };
/** As the documentation's four steps say, CUSTOM left out. */
function allowed(policies: Policy[], call: Call): boolean {
  const matching = ({ spec, metadata }: Policy) =>
    (spec.rules ?? []).some((rule) => evaluateRule(rule, call, metadata.namespace!));
  const of = (action: string) => policies.filter(({ spec }) => (spec.action ?? 'ALLOW') === action);
  if (of('DENY').some(matching)) return false;
  return of('ALLOW').length === 0 || of('ALLOW').some(matching);
}
const applies =
  (app: string) =>
  ({ metadata, spec }: Policy) =>
    ['foo', 'istio-system'].includes(metadata.namespace!) &&
    (spec.selector?.matchLabels?.['app'] === undefined || spec.selector.matchLabels['app'] === app);

// ---- random policies and calls ----
const patterns = (texts: readonly string[]) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...texts) },
    {
      weight: 2,
      arbitrary: fc.tuple(fc.constantFrom(...texts), fc.nat(8)).map(([text, n]) => `${text.slice(0, n + 1)}*`),
    },
    {
      weight: 2,
      arbitrary: fc.tuple(fc.constantFrom(...texts), fc.nat(4)).map(([text, n]) => `*${text.slice(-n - 1)}`),
    },
    { weight: 1, arbitrary: fc.constant('*') },
  );
const some = (value: fc.Arbitrary<string>) => fc.array(value, { minLength: 1, maxLength: 3 });
const record = <T extends string>(
  fields: Record<T, fc.Arbitrary<string>>,
): fc.Arbitrary<Partial<Record<T, string[]>>> =>
  fc
    .record(Object.fromEntries(Object.entries<fc.Arbitrary<string>>(fields).map(([key, one]) => [key, some(one)])), {
      requiredKeys: [],
    })
    // Few constraints at a time, or nothing ever matches.
    .chain((all) => {
      const entries = Object.entries(all);
      return fc.subarray(entries, { maxLength: Math.min(2, entries.length) }).map(Object.fromEntries);
    }) as never;
const IDS = DOMAINS.flatMap((d) => NAMESPACES.flatMap((n) => ACCOUNTS.map((a) => `${d}/ns/${n}/sa/${a}`)));
const REQUESTERS = ['idp/alice', 'idp/bob', 'other/alice'];
const account = fc.constantFrom('x', 'y', 'foo/x', 'bar/y');
const block = fc.constantFrom(...BLOCKS);
const requester = fc.constantFrom(...REQUESTERS, '*', 'idp/*', '*/alice');
const source: fc.Arbitrary<Source> = record({
  principals: patterns(IDS),
  notPrincipals: patterns(IDS),
  namespaces: patterns(NAMESPACES),
  notNamespaces: patterns(NAMESPACES),
  serviceAccounts: account,
  notServiceAccounts: account,
  trustDomains: fc.constantFrom(...DOMAINS),
  notTrustDomains: fc.constantFrom(...DOMAINS),
  requestPrincipals: requester,
  notRequestPrincipals: requester,
  ipBlocks: block,
  notIpBlocks: block,
  remoteIpBlocks: block,
  notRemoteIpBlocks: block,
});
const operation: fc.Arbitrary<Operation> = record({
  hosts: patterns(HOSTS),
  notHosts: patterns(HOSTS),
  methods: fc.constantFrom(...METHODS),
  notMethods: fc.constantFrom(...METHODS),
  paths: patterns(PATHS),
  notPaths: patterns(PATHS),
  ports: fc.constantFrom(...PORTS),
  notPorts: fc.constantFrom(...PORTS),
});
const CONDITIONS: Record<string, fc.Arbitrary<string>> = {
  'request.headers[x-version]': patterns(HEADERS),
  'source.ip': block,
  'remote.ip': block,
  'source.namespace': patterns(NAMESPACES),
  'source.principal': patterns(IDS),
  'source.serviceAccount': account,
  'destination.port': fc.constantFrom(...PORTS),
  'request.auth.claims[groups]': patterns(['dev', 'ops']),
};
const condition: fc.Arbitrary<When> = fc
  .constantFrom(...Object.keys(CONDITIONS))
  .chain((key) =>
    fc
      .tuple(fc.constantFrom<'values' | 'notValues'>('values', 'notValues'), some(CONDITIONS[key]!))
      .map(([which, values]) => ({ key, [which]: values })),
  );
const list = <T>(one: fc.Arbitrary<T>, maxLength = 2) => fc.array(one, { minLength: 1, maxLength });
const rule: fc.Arbitrary<Rule> = fc.record(
  {
    from: list(source.map((one) => ({ source: one }))),
    to: list(operation.map((one) => ({ operation: one }))),
    when: list(condition, 1),
  },
  { requiredKeys: [] },
);
const policies: fc.Arbitrary<Policy[]> = fc
  .array(
    fc.record({
      namespace: fc.constantFrom('foo', 'foo', 'foo', 'istio-system', 'bar'),
      spec: fc.record(
        {
          action: fc.constantFrom<'ALLOW' | 'DENY' | 'AUDIT'>('ALLOW', 'ALLOW', 'DENY', 'AUDIT'),
          rules: fc.array(rule, { maxLength: 2 }),
          selector: fc.constantFrom({ matchLabels: { app: 'a' } }, { matchLabels: { app: 'b' } }, {}),
        },
        { requiredKeys: ['rules'] },
      ),
    }),
    { maxLength: 4 },
  )
  .map((all) =>
    all.map(({ namespace, spec }, i) => ({
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: `p${i}`, namespace },
      spec,
    })),
  );
const call: fc.Arbitrary<Call> = fc.record({
  path: fc.constantFrom(...PATHS),
  host: fc.constantFrom(...HOSTS),
  method: fc.constantFrom(...METHODS),
  port: fc.constantFrom(...PORTS),
  caller: fc.option(
    fc.record({
      domain: fc.constantFrom(...DOMAINS),
      namespace: fc.constantFrom(...NAMESPACES),
      account: fc.constantFrom(...ACCOUNTS),
    }),
    { nil: undefined, freq: 4 },
  ),
  byToken: fc.boolean(),
  ip: fc.constantFrom(...ADDRESSES),
  remoteIp: fc.constantFrom(...ADDRESSES),
  header: fc.option(fc.constantFrom(...HEADERS), { nil: undefined }),
  subject: fc.option(
    fc.record({
      iss: fc.constantFrom('idp', 'other'),
      sub: fc.constantFrom('alice', 'bob'),
      groups: fc.subarray(['dev', 'ops']),
    }),
    { nil: undefined },
  ),
});

function requestOf(one: Call): RequestContext {
  const id = one.caller && `spiffe://${idOf(one)!}`;
  return requestDouble({
    method: one.method,
    path: `${one.path}?path=/info`,
    authority: one.host,
    remoteIp: one.remoteIp,
    downstream: { remoteAddress: one.ip, localPort: Number(one.port), peerUris: id && !one.byToken ? [id] : [] },
    tokenPrincipal: one.byToken ? id : undefined,
    ...(one.header && { headers: { 'X-Version': one.header } }),
    metadata: one.subject && { 'envoy.filters.http.jwt_authn': { payload: one.subject } },
  });
}

const ENV = { now: () => 0, random: () => 0, sleep: () => Promise.resolve(), call: noCalls };
const FILTERS = filterRegistry(HTTP_FILTERS);
const ROUTER = {
  name: 'router',
  typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
} as HttpFilter;
const judging = (built: readonly HttpFilter[]) => {
  const filters = compileHttpFilters([...built.map((filter) => HttpFilter.parse(filter)), ROUTER], ENV, FILTERS);
  return (one: Call) => {
    const request = requestOf(one);
    return filters.every((filter) => filter.onRequestHead!(contextOf(request), true) === undefined);
  };
};

it('decides as the documentation says', () => {
  const seen = { allowed: 0, denied: 0 };
  const ctx = {
    kind: 'http' as const,
    trustDomain: 'cluster.local',
    trustDomainAliases: [] as string[],
    rootNamespace: 'istio-system',
  };
  fc.assert(
    fc.property(policies, fc.array(call, { minLength: 4, maxLength: 8 }), (all, calls) => {
      const mine = policiesFor(all, { namespace: 'foo', labels: { app: 'a' } }, 'istio-system');
      const admits = judging(buildRbacFilters(mine, ctx));
      for (const one of calls) {
        const verdict = admits(one);
        expect({ one, verdict }).toEqual({ one, verdict: allowed(all.filter(applies('a')), one) });
        seen[verdict ? 'allowed' : 'denied']++;
      }
    }),
    { numRuns: 500 },
  );
  // Both answers are common, or the comparison says little.
  expect(Math.min(seen.allowed, seen.denied)).toBeGreaterThan(300);
});

it('at a port of two workloads admits what both admit, and at a port of one what that one admits', () => {
  const seen = { allowed: 0, denied: 0, onlyOne: 0 };
  const local = (app: string, ...ports: number[]): LocalWorkload => {
    return { name: app, namespace: 'foo', labels: { app }, isOwn: true, services: [], ports: new Set(ports) };
  };
  fc.assert(
    fc.property(policies, fc.array(call, { minLength: 4, maxLength: 8 }), (all, calls) => {
      const filters = authorizations({
        policies: all,
        authorizers: new Map(),
        settings: DEFAULT_SETTINGS,
        workloads: [local('a', 1, 3), local('b', 2, 3)],
        onError: () => {},
      });
      const [a, b, both, rest] = [1, 2, 3, 0].map((port) => judging(filtersInOrder(filters(port).http)));
      for (const one of calls) {
        const [byA, byB] = ['a', 'b'].map((app) => allowed(all.filter(applies(app)), one));
        const verdicts = [a, b, both, rest].map((admits) => admits!(one));
        expect({ one, verdicts }).toEqual({ one, verdicts: [byA, byB, byA && byB, byA && byB] });
        seen[byA && byB ? 'allowed' : byA || byB ? 'onlyOne' : 'denied']++;
      }
    }),
    { numRuns: 500 },
  );
  expect(Math.min(seen.allowed, seen.denied, seen.onlyOne)).toBeGreaterThan(30);
});
