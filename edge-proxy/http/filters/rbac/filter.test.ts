import { describe, expect, it } from 'vitest';
import { HttpRbac, NetworkRbac, type Permission, type Principal } from '../../../../shared/xds/rbac.ts';
import type { ConnectionContext, Denied } from '../../../listener/connection-filter.ts';
import type { DownstreamInfo } from '../../request/request-context.ts';
import { contextOf, requestDouble } from '../../testing/request-double.ts';
import { compileHttpRbac, createRbacFilter } from './filter.ts';
import { compileNetworkRbac } from './network.ts';

const anyone: { permissions: Permission[]; principals: Principal[] } = {
  permissions: [{ any: true }],
  principals: [{ any: true }],
};
const on = (path: string) => ({ ...anyone, permissions: [{ urlPath: { path: { exact: path } } }] });
const filter = (config: unknown) => createRbacFilter(HttpRbac.parse(config), () => undefined);
const denied = (policy: string) => ({
  status: 403,
  body: 'RBAC: access denied',
  details: `rbac_access_denied_matched_policy[${policy}]`,
});

describe('a request', () => {
  const ask = (config: unknown, path = '/') => filter(config).onRequestHead!(contextOf(requestDouble({ path })), true);
  it('ALLOW lets through what matches, and denies the rest as "none"', () => {
    const rules = { action: 'ALLOW', policies: { p: on('/a') } };
    expect(ask({ rules }, '/a')).toBeUndefined();
    expect(ask({ rules }, '/b')).toEqual(denied('none'));
  });
  it('ALLOW without policies denies everything, also where the action is left out', () => {
    expect(ask({ rules: { action: 'ALLOW' } })).toEqual(denied('none'));
    expect(ask({ rules: { action: 'ALLOW', policies: {} } })).toEqual(denied('none'));
    expect(ask({ rules: {} })).toEqual(denied('none'));
  });
  it('DENY denies what matches, by name; without policies it denies nothing', () => {
    const id = 'ns[foo]-policy[bar]-rule[0]';
    const rules = { action: 'DENY', policies: { [id]: on('/a') } };
    expect(ask({ rules }, '/a')).toEqual(denied(id));
    expect(ask({ rules }, '/b')).toBeUndefined();
    expect(ask({ rules: { action: 'DENY' } })).toBeUndefined();
  });
  it('names the first of several in the order of names, spaces made harmless', () => {
    const policies = { 'z z': on('/a'), 'b\tc': on('/a') };
    expect(ask({ rules: { action: 'DENY', policies } }, '/a')).toEqual(denied('b_c'));
  });
  it('LOG denies nothing', () => {
    expect(ask({ rules: { action: 'LOG', policies: { p: anyone } } })).toBeUndefined();
    expect(ask({ rules: { action: 'LOG' } })).toBeUndefined();
  });
  it('needs both a permission and a principal', () => {
    const policy = (path: string, ip: string) => ({
      permissions: [{ urlPath: { path: { exact: path } } }],
      principals: [{ directRemoteIp: { addressPrefix: ip, prefixLen: 32 } }],
    });
    const one = (path: string, ip: string) => ask({ rules: { action: 'DENY', policies: { p: policy(path, ip) } } });
    expect(one('/', '10.0.0.1')).toBeDefined();
    expect(one('/', '10.0.0.9')).toBeUndefined();
    expect(one('/x', '10.0.0.1')).toBeUndefined();
  });
  it('without rules there is no filter', () => {
    expect(compileHttpRbac({})).toBeUndefined();
  });
});

describe('shadow rules', () => {
  const shadow = (action: string, path: string, prefix?: string) => {
    const request = requestDouble({ path });
    const shadowRules = { action, policies: { p: on('/a') } };
    const verdict = filter({ shadowRules, ...(prefix && { shadowRulesStatPrefix: prefix }) }).onRequestHead!(
      contextOf(request),
      true,
    );
    expect(verdict).toBeUndefined();
    return request.metadata?.['envoy.filters.http.rbac'];
  };
  it('decide nothing and leave their verdict', () => {
    expect(shadow('ALLOW', '/b')).toEqual({ shadow_engine_result: 'denied' });
    expect(shadow('DENY', '/a', 'dry_')).toEqual({
      dry_shadow_engine_result: 'denied',
      dry_shadow_effective_policy_id: 'p',
    });
    expect(shadow('DENY', '/b')).toEqual({ shadow_engine_result: 'allowed' });
    expect(shadow('ALLOW', '/a')).toEqual({ shadow_engine_result: 'allowed', shadow_effective_policy_id: 'p' });
  });
  it('are recorded beside rules that deny', () => {
    const request = requestDouble();
    const config = { rules: { action: 'ALLOW' }, shadowRules: { action: 'DENY' } };
    expect(filter(config).onRequestHead!(contextOf(request), true)).toEqual(denied('none'));
    expect(request.metadata).toEqual({ 'envoy.filters.http.rbac': { shadow_engine_result: 'allowed' } });
  });
});

it('counts verdicts, and those of shadow rules under their prefix', () => {
  const counted: string[] = [];
  const policies = { p: { permissions: [{ any: true }], principals: [{ any: true }] } };
  const config = HttpRbac.parse({
    rules: { action: 'DENY', policies },
    shadowRules: { action: 'ALLOW', policies },
    shadowRulesStatPrefix: 'istio_dry_run_allow_',
  });
  const hooks = createRbacFilter(
    config,
    () => undefined,
    (name) => void counted.push(name),
  );
  hooks.onRequestHead!(contextOf(requestDouble()), true);
  // A request that is judged again was counted when it came.
  hooks.stillAllows!(contextOf(requestDouble()));
  expect(counted).toEqual(['istio_dry_run_allow_.shadow_allowed', 'denied']);
});

describe('a connection', () => {
  const downstream = (more: Partial<DownstreamInfo> = {}) => requestDouble({ downstream: more }).downstream;
  const context = (of: DownstreamInfo): ConnectionContext => ({
    traffic: { kind: 'connection', downstream: of },
    connection: undefined,
    signal: new AbortController().signal,
  });
  /** Why it is closed; undefined: it is not. */
  const judge = (config: object) => {
    const filter = compileNetworkRbac(NetworkRbac.parse({ statPrefix: 'tcp.', ...config }));
    return (of: DownstreamInfo) => filter(context(of)) as Denied | undefined;
  };
  const because = (policy: string): Denied => ({ details: `rbac_access_denied_matched_policy[${policy}]` });
  it('is judged as requests are, and the policy named', () => {
    const port = { permissions: [{ destinationPort: 9080 }], principals: [{ any: true }] };
    const deny = judge({ rules: { action: 'DENY', policies: { p: port } } });
    expect(deny(downstream())).toEqual(because('p'));
    expect(deny(downstream({ localPort: 1 }))).toBeUndefined();
    const allow = judge({ rules: { action: 'ALLOW', policies: { p: port } } });
    expect(allow(downstream())).toBeUndefined();
    expect(allow(downstream({ localPort: 1 }))).toEqual(because('none'));
    expect(judge({ rules: { action: 'ALLOW' } })(downstream())).toEqual(because('none'));
    expect(judge({ rules: { action: 'LOG', policies: { p: port } } })(downstream())).toBeUndefined();
    expect(judge({})(downstream())).toBeUndefined();
  });
  it('has nothing of HTTP', () => {
    for (const permission of [
      { urlPath: { path: { prefix: '/' } } },
      { header: { name: ':method', presentMatch: true } },
      { header: { name: 'x', presentMatch: false } },
    ] as Permission[]) {
      const policies = { p: { ...anyone, permissions: [permission] } };
      expect(judge({ rules: { action: 'ALLOW', policies } })(downstream())).toEqual(because('none'));
    }
  });
  it('knows its peer', () => {
    const principals = [{ authenticated: { principalName: { exact: 'spiffe://td/ns/a/sa/b' } } }];
    const allow = judge({ rules: { action: 'ALLOW', policies: { p: { ...anyone, principals } } } });
    expect(allow(downstream({ peerUris: ['spiffe://td/ns/a/sa/b'] }))).toBeUndefined();
    expect(allow(downstream({ peerUris: ['spiffe://td/ns/a/sa/bb'] }))).toEqual(because('none'));
    expect(allow(downstream())).toEqual(because('none'));
  });
  it('has metadata of what shadow rules say', () => {
    const policies = { p: { permissions: [{ any: true }], principals: [{ any: true }] } };
    const config = { statPrefix: 'tcp.', shadowRules: { action: 'DENY', policies }, shadowRulesStatPrefix: 'x_' };
    const seen = context(downstream());
    expect(compileNetworkRbac(NetworkRbac.parse(config))(seen)).toBeUndefined();
    expect(seen.traffic.metadata).toEqual({
      'envoy.filters.network.rbac': { x_shadow_engine_result: 'denied', x_shadow_effective_policy_id: 'p' },
    });
  });
  it('refuses a config error in shadow rules', () => {
    expect(() => judge({ shadowRules: { policies: { p: { permissions: [], principals: [] } } } })).toThrow(
      'shadowRules.policies["p"].permissions',
    );
  });
});

describe('configuration it refuses', () => {
  it.each([
    ['no permissions', { p: { principals: [{ any: true }] } }, 'policies["p"].permissions: must not be empty'],
    ['no principals', { p: { permissions: [{ any: true }] } }, 'policies["p"].principals: must not be empty'],
    ['a policy without a name', { '': anyone }, 'must have a name'],
  ])('%s', (_, policies, reason) => {
    expect(() => createRbacFilter({ rules: { action: 'DENY', policies } }, () => undefined)).toThrow(reason);
  });
});
