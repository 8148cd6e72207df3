import { describe, expect, it } from 'vitest';
import { normalizePath } from '../../../../shared/match/path.ts';
import type { ValueMatcher } from '../../../../shared/xds/match/metadata-matcher.ts';
import { Permission, Principal } from '../../../../shared/xds/rbac.ts';
import { type RequestParts, requestDouble } from '../../testing/request-double.ts';
import { compilePermission, compilePrincipal } from './matchers.ts';

const permits = (permission: Permission, parts: RequestParts = {}) => {
  const request = requestDouble(parts);
  return compilePermission(Permission.parse(permission), 'p')(request);
};
const identifies = (principal: Principal, parts: RequestParts = {}) => {
  const request = requestDouble(parts);
  return compilePrincipal(Principal.parse(principal), 'p')(request);
};
const yes = { any: true };
const no: Permission & Principal = { header: { name: 'x-absent', presentMatch: true } };

describe('and, or, not', () => {
  it.each([
    [[yes, yes], true, true],
    [[yes, no], false, true],
    [[no, yes], false, true],
    [[no, no], false, false],
    [[yes], true, true],
    [[no], false, false],
  ])('%j: and %s, or %s', (list, and, or) => {
    expect(permits({ andRules: { rules: list } })).toBe(and);
    expect(permits({ orRules: { rules: list } })).toBe(or);
    expect(permits({ notRule: { orRules: { rules: list } } })).toBe(!or);
    expect(identifies({ andIds: { ids: list } })).toBe(and);
    expect(identifies({ orIds: { ids: list } })).toBe(or);
    expect(identifies({ notId: { andIds: { ids: list } } })).toBe(!and);
  });
});

describe('addresses and ports', () => {
  const range = (text: string) => {
    const [addressPrefix, length] = text.split('/') as [string, string];
    return { addressPrefix, prefixLen: Number(length) };
  };
  it.each([
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['10.0.0.1/32', '10.0.0.1', true],
    ['10.0.0.1/32', '10.0.0.2', false],
    ['0.0.0.0/0', '203.0.113.9', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['::/0', '2001:db8::1', true],
    ['::/0', '10.0.0.1', false],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['::ffff:10.0.0.0/104', '10.1.2.3', true],
    ['10.0.0.0/8', 'unknown', false],
    ['0.0.0.0/0', '', false],
  ])('%s holds %s: %s', (cidr, address, expected) => {
    const downstream = { remoteAddress: address };
    expect(identifies({ directRemoteIp: range(cidr) }, { downstream })).toBe(expected);
    expect(identifies({ sourceIp: range(cidr) }, { downstream })).toBe(expected);
    expect(identifies({ remoteIp: range(cidr) }, { remoteIp: address })).toBe(expected);
    expect(permits({ destinationIp: range(cidr) }, { downstream: { localAddress: address } })).toBe(expected);
  });
  it('the client behind a proxy is not the peer', () => {
    const parts = { remoteIp: '203.0.113.9', downstream: { remoteAddress: '10.0.0.1' } };
    expect(identifies({ directRemoteIp: range('10.0.0.1/32') }, parts)).toBe(true);
    expect(identifies({ remoteIp: range('10.0.0.1/32') }, parts)).toBe(false);
    expect(identifies({ remoteIp: range('203.0.113.0/24') }, parts)).toBe(true);
  });
  it('without a request the peer is the client', () => {
    const match = compilePrincipal({ remoteIp: range('10.0.0.1/32') }, 'p');
    expect(match({ kind: 'connection', downstream: requestDouble().downstream })).toBe(true);
  });
  it('port and server name are the connection’s', () => {
    expect(permits({ destinationPort: 9080 })).toBe(true);
    expect(permits({ destinationPort: 9081 })).toBe(false);
    const sni = { requestedServerName: { exact: 'a.example' } };
    expect(permits(sni, { downstream: { serverName: 'a.example' } })).toBe(true);
    expect(permits(sni, { downstream: { serverName: 'b.example' } })).toBe(false);
    expect(permits(sni, { authority: 'a.example' })).toBe(false);
  });
});

describe('paths', () => {
  const path = (matcher: NonNullable<Permission['urlPath']>['path'], text: string) =>
    permits({ urlPath: { path: matcher! } }, { path: text });
  it('without query and fragment', () => {
    expect(path({ exact: '/admin' }, '/admin?x=/y')).toBe(true);
    expect(path({ exact: '/admin' }, '/admin#top')).toBe(true);
    expect(path({ suffix: '/open' }, '/admin?/open')).toBe(false);
    expect(path({ prefix: '/admin' }, '/x?/admin')).toBe(false);
    expect(path({ exact: '/admin' }, '/Admin')).toBe(false);
    expect(path({ exact: '/admin' }, '/admin/')).toBe(false);
    expect(identifies({ urlPath: { path: { exact: '/admin' } } }, { path: '/admin?x' })).toBe(true);
  });
  it.each([
    '/admin',
    '/x/../admin',
    '/./admin',
    '/%61dmin',
    '/x/%2e%2e/admin',
    '\\admin',
    '/x\\..\\admin',
    '/x/..;/admin',
    '/..;a=b/admin',
  ])('as normalised before: %s is /admin', (received) =>
    expect(path({ exact: '/admin' }, normalizePath(received) ?? '')).toBe(true),
  );
  it('what normalisation keeps apart stays apart', () => {
    for (const received of ['//admin', '/%2Fadmin', '/admin%2F'])
      expect(path({ exact: '/admin' }, normalizePath(received) ?? '')).toBe(false);
  });
  it('templates', () => {
    const template = (pathTemplate: string, text: string) => {
      const type = 'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig' as const;
      const uriTemplate = { name: 'uri-template', typedConfig: { '@type': type, pathTemplate } };
      return permits({ uriTemplate } as Permission, { path: text });
    };
    expect(template('/a/*/c', '/a/b/c?q')).toBe(true);
    expect(template('/a/*/c', '/a/b/b/c')).toBe(false);
    expect(template('/a/*/c', '/a//c')).toBe(false);
    expect(template('/a/**', '/a/b/c')).toBe(true);
    expect(template('/a/**', '/b/a/c')).toBe(false);
  });
});

describe('headers', () => {
  const header = (name: string, more: object, parts: RequestParts) => {
    const matcher = { header: { name, ...more } };
    const one = permits(matcher as Permission, parts);
    expect(identifies(matcher as Principal, parts)).toBe(one);
    return one;
  };
  it('the host is what the request says, its port included, in any case', () => {
    const host = (exact: string, authority: string) =>
      header(':authority', { stringMatch: { exact, ignoreCase: true } }, { authority });
    expect(host('shop.example', 'Shop.Example')).toBe(true);
    expect(host('shop.example', 'shop.example:80')).toBe(false);
    expect(host('shop.example:80', 'shop.example:80')).toBe(true);
    const prefix = { stringMatch: { prefix: 'shop.example:', ignoreCase: true } };
    expect(header(':authority', prefix, { authority: 'SHOP.example:8080' })).toBe(true);
    expect(header('Host', { presentMatch: true }, { authority: 'x' })).toBe(true);
  });
  it('the method is case-sensitive', () => {
    const get = { stringMatch: { exact: 'GET' } };
    expect(header(':method', get, { method: 'GET' })).toBe(true);
    expect(header(':method', get, { method: 'get' })).toBe(false);
  });
  it('names in any case; several values are judged one by one', () => {
    const parts = { headers: { 'X-A': '1' } };
    expect(header('x-a', { stringMatch: { exact: '1' } }, parts)).toBe(true);
    expect(header('X-a', { presentMatch: true }, parts)).toBe(true);
    const request = requestDouble(parts);
    request.headers.append('x-a', '2');
    const matches = (exact: string) =>
      compilePermission({ header: { name: 'x-a', stringMatch: { exact } } }, 'p')(request);
    expect([matches('1'), matches('2'), matches('1,2')]).toEqual([true, true, false]);
  });
  it('absent', () => {
    expect(header('x', { stringMatch: { exact: '' } }, {})).toBe(false);
    expect(header('x', { presentMatch: false }, {})).toBe(true);
  });
});

describe('who is authenticated', () => {
  const a = 'spiffe://td/ns/a/sa/a';
  const named = (exact: string): Principal => ({ authenticated: { principalName: { exact } } });
  const peer = (...peerUris: string[]): RequestParts => ({ downstream: { peerUris } });
  it('by certificate or by token, each alone', () => {
    expect(identifies(named(a), peer(a))).toBe(true);
    expect(identifies(named(a), peer('spiffe://td/ns/b/sa/b'))).toBe(false);
    expect(identifies(named(a), { tokenPrincipal: a })).toBe(true);
    expect(identifies(named(a), { tokenPrincipal: `${a}x` })).toBe(false);
    expect(identifies(named(a))).toBe(false);
  });
  it('only a SPIFFE id is a principal', () => {
    const parts = { downstream: { peerUris: ['https://td'], peerDns: ['td'], peerSubject: 'CN=td' } };
    for (const name of ['https://td', 'td', 'CN=td']) expect(identifies(named(name), parts)).toBe(false);
    expect(identifies({ authenticated: {} }, parts)).toBe(false);
  });
  it('without a name: anyone who proved one', () => {
    expect(identifies({ authenticated: {} }, peer(a))).toBe(true);
    expect(identifies({ authenticated: {} }, { tokenPrincipal: a })).toBe(true);
    expect(identifies({ authenticated: {} })).toBe(false);
  });
  it('a header cannot say who one is', () => {
    const headers = { 'x-forwarded-client-cert': `URI=${a}`, authorization: `Bearer ${a}` };
    expect(identifies(named(a), { headers })).toBe(false);
  });
});

describe('metadata', () => {
  const metadata = {
    f: { payload: { sub: 'x', groups: ['dev', 'ops'], nested: { deep: 'y' }, on: true, none: null, n: 1 } },
  };
  const has = (keys: string[], value: ValueMatcher, invert = false) => {
    const matcher = { filter: 'f', path: ['payload', ...keys].map((key) => ({ key })), value, invert };
    const one = permits({ metadata: matcher }, { metadata });
    expect(identifies({ metadata: matcher }, { metadata })).toBe(one);
    return one;
  };
  it.each<[string[], ValueMatcher, boolean]>([
    [['sub'], { stringMatch: { exact: 'x' } }, true],
    [['sub'], { stringMatch: { exact: 'z' } }, false],
    [['nested', 'deep'], { stringMatch: { exact: 'y' } }, true],
    [['nested', 'gone'], { presentMatch: true }, false],
    [['sub', 'length'], { presentMatch: true }, false],
    [['constructor'], { presentMatch: true }, false],
    [['groups'], { listMatch: { oneOf: { stringMatch: { exact: 'ops' } } } }, true],
    [['groups'], { listMatch: { oneOf: { stringMatch: { exact: 'op' } } } }, false],
    [['groups'], { stringMatch: { exact: 'ops' } }, false],
    [['sub'], { listMatch: { oneOf: { stringMatch: { exact: 'x' } } } }, false],
    [['on'], { boolMatch: true }, true],
    [['on'], { boolMatch: false }, false],
    [['none'], { nullMatch: {} }, true],
    [['gone'], { nullMatch: {} }, false],
    [['n'], { stringMatch: { exact: '1' } }, false],
    [['sub'], { orMatch: { valueMatchers: [{ boolMatch: true }, { stringMatch: { prefix: 'x' } }] } }, true],
    [['sub'], { orMatch: { valueMatchers: [{ boolMatch: true }] } }, false],
  ])('%j %j: %s', (keys, value, expected) => {
    expect(has(keys, value)).toBe(expected);
    expect(has(keys, value, true)).toBe(!expected);
  });
  it('none was written', () => {
    const matcher = { filter: 'f', path: [{ key: 'a' }], value: { presentMatch: true } };
    expect(permits({ metadata: matcher })).toBe(false);
    expect(permits({ metadata: { ...matcher, filter: '__proto__' } }, { metadata })).toBe(false);
  });
});

describe('configuration it refuses', () => {
  const invalid: [unknown, string][] = [
    [{}, 'exactly one field'],
    [{ any: true, destinationPort: 1 }, 'exactly one field'],
    [{ any: false }, 'can only be true'],
    [{ andRules: { rules: [] } }, 'p.andRules: must not be empty'],
    [{ orRules: {} }, 'p.orRules: must not be empty'],
    [{ notRule: {} }, 'p.notRule: must have exactly one field'],
    [{ destinationIp: { addressPrefix: '10.0.0.0', prefixLen: 33 } }, 'p.destinationIp'],
    [{ destinationIp: { addressPrefix: 'x', prefixLen: 8 } }, 'p.destinationIp'],
    [{ urlPath: {} }, 'p.urlPath.path'],
    [{ header: { name: 'x', stringMatch: { safeRegex: { regex: '(?=x)' } } } }, 'p.header'],
    [{ metadata: { filter: 'f', path: [{ key: 'a' }], value: {} } }, 'p.metadata.value'],
    [{ sourcedMetadata: {} }, 'p.sourcedMetadata: is not supported'],
  ];
  it.each(invalid)('permission %j', (one, reason) =>
    expect(() => compilePermission(one as Permission, 'p')).toThrow(reason),
  );
  it.each<[unknown, string]>([
    [{ andIds: {} }, 'p.andIds: must not be empty'],
    [{ orIds: { ids: [] } }, 'p.orIds: must not be empty'],
    [{ notId: { any: false } }, 'p.notId.any: can only be true'],
    [{ remoteIp: { addressPrefix: '::1', prefixLen: 129 } }, 'p.remoteIp'],
    [{ authenticated: { principalName: {} } }, 'p.authenticated.principalName'],
    [{ filterState: { key: 'io.istio.peer_principal' } }, 'p.filterState: is not supported'],
  ])('principal %j', (one, reason) => expect(() => compilePrincipal(one as Principal, 'p')).toThrow(reason));
});
