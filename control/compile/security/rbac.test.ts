import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { expandTrustDomains } from '../../../shared/match/trust-domain.ts';
import { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import { NetworkFilter } from '../../../shared/xds/listener.ts';
import { type AuthorizationPolicy, buildRbacFilters, policiesFor } from './rbac.ts';

const reference = new URL('../../../../shared/reference/', import.meta.url);
const istiod = new URL('istiod-golden/cases/', reference);
const read = (url: URL) => readFileSync(url, 'utf8');
const documents = (url: URL) =>
  parseAllDocuments(read(url))
    .map((document) => document.toJS() as AuthorizationPolicy | null)
    .filter((resource): resource is AuthorizationPolicy => resource !== null);

/** Lists of one are the one, and stat prefixes without shadow rules mean nothing. */
function meaning(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(meaning);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([key, field]) => [key, meaning(field)] as const);
  const out = Object.fromEntries(fields) as Record<string, unknown>;
  for (const [key, list] of [
    ['andRules', 'rules'],
    ['orRules', 'rules'],
    ['andIds', 'ids'],
    ['orIds', 'ids'],
  ] as const) {
    const items = (out[key] as Record<string, unknown[]> | undefined)?.[list];
    if (items?.length === 1 && fields.length === 1) return items[0];
  }
  if ('shadowRulesStatPrefix' in out && !('shadowRules' in out)) delete out['shadowRulesStatPrefix'];
  for (const key of ['rules', 'shadowRules'] as const) {
    const rules = out[key] as Record<string, unknown> | undefined;
    if (rules && !Array.isArray(rules)) out[key] = { action: 'ALLOW', policies: {}, ...rules };
  }
  return out;
}

const build = (
  policies: AuthorizationPolicy[],
  kind: 'http' | 'tcp',
  trustDomain = '',
  trustDomainAliases: string[] = [],
) => {
  const ctx = { trustDomain, trustDomainAliases, rootNamespace: 'istio-system' };
  // Through the schemas: what is built must be what a proxy accepts.
  return kind === 'http'
    ? buildRbacFilters(policies, { ...ctx, kind }).map((filter) => HttpFilter.parse(filter))
    : buildRbacFilters(policies, { ...ctx, kind }).map((filter) => NetworkFilter.parse(filter));
};

if (![istiod, new URL('tables/cases.json', reference)].every((file) => existsSync(file)))
  console.log('skipped: the reference data is not here');
describe.skipIf(!existsSync(istiod))('what istiod generates', () => {
  type Xds = { listeners: unknown[]; proxy: { metadata: { NAMESPACE: string; LABELS: Record<string, string> } } };
  const rbacFilters = (node: unknown, name: string, out = new Map<string, unknown>()) => {
    if (Array.isArray(node)) for (const item of node) rbacFilters(item, name, out);
    else if (typeof node === 'object' && node !== null) {
      if ((node as { name?: unknown }).name === name) out.set(JSON.stringify(node), node);
      else for (const item of Object.values(node)) rbacFilters(item, name, out);
    }
    return [...out.values()];
  };
  const names = existsSync(istiod) ? readdirSync(istiod).filter((name) => name.startsWith('authz-')) : [];
  it.each(names.filter((name) => !/custom-|multi-order/.test(name)))('%s', (name) => {
    const folder = new URL(`${name}/`, istiod);
    const policies = documents(new URL('config.yaml', folder)).filter((one) => one.kind === 'AuthorizationPolicy');
    const mesh = existsSync(new URL('mesh.yaml', folder))
      ? (documents(new URL('mesh.yaml', folder))[0] as unknown as {
          trustDomain?: string;
          trustDomainAliases?: string[];
        })
      : {};
    const files = readdirSync(new URL('xds/', folder)).filter((file) => !file.includes('-none'));
    for (const file of files) {
      const xds = JSON.parse(read(new URL(`xds/${file}`, folder))) as Xds;
      const app = file.replace(/(-v\d)?\.json$/, '');
      const mine = policiesFor(policies, { namespace: xds.proxy.metadata.NAMESPACE, labels: { app } }, 'istio-system');
      for (const kind of ['http', 'tcp'] as const) {
        const expected = rbacFilters(
          xds.listeners,
          kind === 'http' ? 'envoy.filters.http.rbac' : 'envoy.filters.network.rbac',
        );
        if (expected.length === 0) continue;
        const ours = build(mine, kind, mesh.trustDomain ?? 'cluster.local', mesh.trustDomainAliases);
        expect(meaning(ours)).toEqual(meaning(expected));
      }
    }
  });
});

describe.skipIf(!existsSync(new URL('tables/cases.json', reference)))('trust domain aliases', () => {
  type Row = { name: string; trustDomainBundle: { TrustDomains: string[] }; principals: string[]; expect: string[] };
  const rows = existsSync(new URL('tables/cases.json', reference))
    ? (JSON.parse(read(new URL('tables/cases.json', reference))) as { id: string; row: Row }[])
    : [];
  it.each(rows.filter((one) => one.id.startsWith('TestReplaceTrustDomainAliases')).map((one) => one.row))(
    '$name',
    (row) => {
      expect(expandTrustDomains(row.principals, row.trustDomainBundle.TrustDomains)).toEqual(row.expect);
    },
  );
});

const policy = (spec: object, namespace = 'foo', annotations?: Record<string, string>): AuthorizationPolicy => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'p', namespace, ...(annotations && { annotations }) },
  spec: spec as AuthorizationPolicy['spec'],
});

describe('which policies hold', () => {
  const workload = { namespace: 'foo', labels: { app: 'a' } };
  it.each([
    ['same namespace', policy({}), true],
    ['root namespace', policy({}, 'istio-system'), true],
    ['other namespace', policy({}, 'bar'), false],
    ['selected', policy({ selector: { matchLabels: { app: 'a' } } }), true],
    ['not selected', policy({ selector: { matchLabels: { app: 'b' } } }), false],
    [
      'attached elsewhere',
      policy({ targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'g' }] }),
      false,
    ],
  ])('%s', (_, one, yes) => expect(policiesFor([one], workload, 'istio-system')).toHaveLength(yes ? 1 : 0));
});

describe('targets', () => {
  const GATEWAY = 'gateway.networking.k8s.io/gateway-name';
  const CLASS = 'gateway.networking.k8s.io/gateway-class-name';
  const group = 'gateway.networking.k8s.io';
  const gateway = { namespace: 'foo', labels: { [GATEWAY]: 'g', [CLASS]: 'istio' } };
  const served = { namespace: 'foo', labels: {}, serves: [{ kind: 'Service', name: 's', namespace: 'foo' }] };
  const chosen = (one: AuthorizationPolicy, workload: Parameters<typeof policiesFor>[1]) => {
    const notes: string[] = [];
    const specs = policiesFor([one], workload, 'istio-system', (_, message) => notes.push(message)).map(
      ({ spec }) => spec,
    );
    return { specs, notes };
  };
  const applies = (one: AuthorizationPolicy, workload: Parameters<typeof policiesFor>[1]) => {
    const { specs, notes } = chosen(one, workload);
    expect(notes).toEqual([]);
    return specs.length === 1 && specs[0] === one.spec;
  };
  it.each([
    ['its gateway', { group, kind: 'Gateway', name: 'g' }, gateway, true],
    ['another gateway', { group, kind: 'Gateway', name: 'h' }, gateway, false],
    ['a gateway, on a sidecar', { group, kind: 'Gateway', name: 's' }, served, false],
    ['its service', { group: '', kind: 'Service', name: 's' }, served, true],
    ['its service, as core', { group: 'core', kind: 'Service', name: 's' }, served, true],
    ['its service, no group', { kind: 'Service', name: 's' }, served, true],
    ['another service', { kind: 'Service', name: 't' }, served, false],
    ['a ServiceEntry named alike', { group: 'networking.istio.io', kind: 'ServiceEntry', name: 's' }, served, false],
  ])('%s', (_, target, workload, yes) => {
    expect(applies(policy({ targetRef: target }), workload)).toBe(yes);
    expect(applies(policy({ targetRefs: [{ group, kind: 'Gateway', name: 'z' }, target] }), workload)).toBe(yes);
  });
  it('of another namespace never', () => {
    const target = { group, kind: 'Gateway', name: 'g' };
    expect(applies(policy({ targetRef: target }, 'bar'), gateway)).toBe(false);
    expect(applies(policy({ targetRef: target }, 'istio-system'), gateway)).toBe(false);
    expect(applies(policy({ targetRef: { kind: 'Service', name: 's' } }, 'istio-system'), served)).toBe(false);
  });
  it('a GatewayClass, from the root namespace, means its gateways', () => {
    const of = (name: string) => policy({ targetRefs: [{ group, kind: 'GatewayClass', name }] }, 'istio-system');
    expect(applies(of('istio'), gateway)).toBe(true);
    expect(applies(of('other'), gateway)).toBe(false);
    expect(applies(of('istio'), served)).toBe(false);
  });
  it.each([
    ['unknown kind', { group: 'x.io', kind: 'Thing', name: 'g' }],
    ['kind of the wrong group', { kind: 'Gateway', name: 'g' }],
    ['another namespace', { kind: 'Service', name: 's', namespace: 'bar' }],
    ['a class outside the root namespace', { group, kind: 'GatewayClass', name: 'istio' }],
  ])('%s: denies, under its own name, and is noted', (_, target) => {
    const allow = policy({ action: 'ALLOW', targetRefs: [target], rules: [{}] });
    const { specs, notes } = chosen(allow, gateway);
    expect(specs).toEqual([{ action: 'DENY', rules: [{}] }]);
    expect(notes).toEqual([expect.stringMatching(/^spec\.targetRefs: .*everything is denied$/)]);
    const audit = chosen(policy({ action: 'AUDIT', targetRefs: [target], rules: [{}] }), gateway);
    expect(audit).toEqual({ specs: [], notes: [expect.stringContaining('not audited')] });
  });
  it('a class, where the gateway does not say its own, denies', () => {
    const one = policy({ targetRefs: [{ group, kind: 'GatewayClass', name: 'istio' }] }, 'istio-system');
    const { specs, notes } = chosen(one, { namespace: 'foo', labels: { [GATEWAY]: 'g' } });
    expect(specs).toEqual([{ action: 'DENY', rules: [{}] }]);
    expect(notes.join()).toContain(CLASS);
  });
});

describe('fails closed', () => {
  const rules = (action: string, rule: unknown, kind: 'http' | 'tcp' = 'http') =>
    (
      build([policy({ action, rules: [rule] })], kind)[0]!.typedConfig as {
        rules: { policies: Record<string, unknown> };
      }
    ).rules.policies;
  it('an unknown attribute: ALLOW matches nothing, DENY everything', () => {
    const when = [{ key: 'no.such', values: ['x'] }];
    expect(rules('ALLOW', { when })).toEqual({});
    expect(meaning(rules('DENY', { when }))).toEqual({
      'ns[foo]-policy[p]-rule[0]': { permissions: [{ any: true }], principals: [{ any: true }] },
    });
  });
  it('HTTP fields on TCP likewise', () => {
    const rule = { to: [{ operation: { methods: ['GET'] } }] };
    expect(rules('ALLOW', rule, 'tcp')).toEqual({});
    expect(Object.keys(rules('DENY', rule, 'tcp'))).toHaveLength(1);
  });
  it('a bad port or address in ALLOW drops the operation', () => {
    expect(rules('ALLOW', { to: [{ operation: { ports: ['http'] } }] })).toEqual({});
    expect(rules('ALLOW', { from: [{ source: { ipBlocks: ['10.0.0.0/99'] } }] })).toEqual({});
  });
  it('a DENY of which one value cannot be judged is not narrowed to the others', () => {
    const one = (operation: unknown) => meaning(Object.values(rules('DENY', { to: [{ operation }] }))[0]);
    expect(one({ ports: ['80', 'http'] })).toEqual({ permissions: [{ any: true }], principals: [{ any: true }] });
    expect(one({ notPorts: ['80', 'http'] })).toMatchObject({ permissions: [{ notRule: { destinationPort: 80 } }] });
  });
  it('no policy, no filter; order is AUDIT, DENY, ALLOW', () => {
    expect(build([], 'http')).toEqual([]);
    const actions = ['ALLOW', 'DENY', 'AUDIT'].map((action) => policy({ action, rules: [{}] }));
    expect(
      build(actions, 'http').map((filter) => (filter.typedConfig as { rules: { action: string } }).rules.action),
    ).toEqual(['LOG', 'DENY', 'ALLOW']);
  });
});
