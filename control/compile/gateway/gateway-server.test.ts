/** Where gateways listen, which servers share a listener, and what is said of those that cannot. */
import { describe, expect, it } from 'vitest';
import { checkGateway } from '../../../shared/resources/checks/gateway.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { GatewaySpec } from '../../../shared/resources/schema/gateway.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileInSlices, compileWithNotes } from '../node/node.ts';
import { inOneGo } from '../output/compiled-node.ts';

const resource = (kind: string, name: string, spec: object, namespace = 'default'): Resource =>
  ({ apiVersion: 'networking.istio.io/v1', kind, metadata: { name, namespace }, spec }) as Resource;
const port = (number: number, protocol = 'HTTP', name = `${protocol.toLowerCase()}-${number}`) => ({
  number,
  protocol,
  name,
});
const gateway = (name: string, servers: object[], namespace = 'default') =>
  resource('Gateway', name, { selector: { app: 'gw' }, servers }, namespace);
const service = (name: string, hosts: string[], gateways: string[], namespace = 'default') =>
  resource(
    'VirtualService',
    name,
    { hosts, gateways, http: [{ route: [{ destination: { host: 'web' } }] }] },
    namespace,
  );
const NODE = { id: 'router~10.0.0.9~gw.default~default.svc.cluster.local', metadata: { LABELS: { app: 'gw' } } };

const compiled = (resources: Resource[]) => compileWithNotes(buildView(resources, 1), NODE);
const listenersOf = (resources: Resource[]) => compiled(resources).snapshot.listeners;
const names = (resources: Resource[]) => listenersOf(resources).map(({ name }) => name);
const findings = (resources: Resource[]) => {
  const { errors } = inOneGo(compileInSlices(buildView(resources, 1), NODE));
  return errors.map(({ about, reason, message }) => `${reason} ${about.metadata.name}: ${message}`);
};
/** Virtual hosts by route configuration. */
const hostsOf = (resources: Resource[]) =>
  Object.fromEntries(
    (compiled(resources).snapshot.routes ?? []).map(({ name, virtualHosts = [] }) => [
      name,
      virtualHosts.map((host) => host.name),
    ]),
  );
const SIMPLE = { mode: 'SIMPLE', credentialName: 'cert' };

describe('where a gateway listens', () => {
  it('each bind of a port is a listener with routes of its own', () => {
    const all = [
      gateway('gw', [
        { port: port(8080), hosts: ['out.test'] },
        { port: port(8080, 'HTTP', 'in'), hosts: ['in.test'], bind: '127.0.0.1' },
      ]),
      service('web', ['out.test', 'in.test'], ['gw']),
    ];
    expect(names(all)).toEqual(['0.0.0.0_8080', '127.0.0.1_8080']);
    expect(hostsOf(all)).toEqual({ 'http.8080': ['out.test:8080'], 'http.8080.127.0.0.1': ['in.test:8080'] });
  });

  it('a bind is a unix socket, whose port may be 0', () => {
    const servers = [{ port: port(0), hosts: ['a.test'], bind: 'unix:///run/gw.sock' }];
    const all = [gateway('gw', servers), service('web', ['a.test'], ['gw'])];
    expect(listenersOf(all)).toMatchObject([
      { name: 'unix:///run/gw.sock_0', address: { pipe: { path: '/run/gw.sock' } } },
    ]);
    const violations = (spec: object) => checkGateway(spec as GatewaySpec, all[0]!).violations;
    expect(violations({ servers })).toEqual([]);
    expect(violations({ servers: [{ ...servers[0], bind: '10.0.0.1' }] })).toHaveLength(1);
  });
});

describe('servers of one port', () => {
  const https = (name: string, host: string, more: object = {}) => ({
    port: port(443, 'HTTPS', name),
    hosts: [host],
    tls: SIMPLE,
    ...more,
  });

  it.each<[string, Resource[], string[], string[]]>([
    [
      'plain HTTP of two gateways is joined',
      [
        gateway('one', [{ port: port(80), hosts: ['a.test'] }]),
        gateway('two', [{ port: port(80, 'GRPC'), hosts: ['b.test'] }]),
      ],
      ['0.0.0.0_80'],
      [],
    ],
    [
      'another protocol is not',
      [
        gateway('one', [{ port: port(80), hosts: ['a.test'] }]),
        gateway('two', [{ port: port(80, 'TCP'), hosts: ['*'] }]),
      ],
      ['0.0.0.0_80'],
      ['RuleWithoutEffect two: spec.servers[0]: port 80: default/one uses the port with another protocol: not served'],
    ],
    [
      'TLS is distinguished by its hosts',
      [gateway('one', [https('a', 'a.test'), https('b', 'b.test')])],
      ['0.0.0.0_443'],
      [],
    ],
    [
      'a host that another server has is refused with its server',
      [
        gateway('one', [https('a', 'a.test')]),
        gateway('two', [https('b', 'b.test'), https('c', './a.test'), https('d', 'a.test')]),
      ],
      ['0.0.0.0_443'],
      [
        'RuleWithoutEffect two: spec.servers[2]: port 443: other servers of the port have its hosts a.test (default/one): not served',
        'RuleWithoutEffect two: spec.servers[1]: listener port 443: a.test belongs to an earlier route or server',
      ],
    ],
    [
      'a bind of its own has no conflict',
      [
        gateway('one', [https('a', '*', { bind: '10.0.0.1' })]),
        gateway('two', [https('a', '*', { bind: '10.0.0.2' })]),
      ],
      ['10.0.0.1_443', '10.0.0.2_443'],
      [],
    ],
    [
      'a protocol that gateways do not serve',
      [gateway('one', [{ port: port(53, 'UDP'), hosts: ['*'] }])],
      [],
      ['RuleWithoutEffect one: spec.servers[0]: port 53: UDP is not supported: not served'],
    ],
    [
      'a Secret of another namespace is not read, nothing is served with it',
      [gateway('one', [https('a', 'a.test', { tls: { mode: 'SIMPLE', credentialName: 'shop/cert' } })])],
      [],
      [
        'RuleWithoutEffect one: spec.servers[0]: port 443: credential shop/cert: Secrets of other namespaces than default are not read: not served',
      ],
    ],
  ])('%s', (_, gateways, listeners, found) => {
    const all = [...gateways, service('web', ['a.test', 'b.test'], ['one', 'two'])];
    expect(names(all)).toEqual(listeners);
    expect(findings(all)).toEqual(found);
  });

  it('a credential may name the gateway´s own namespace', () => {
    const all = [gateway('one', [https('a', 'a.test', { tls: { mode: 'SIMPLE', credentialName: 'default/cert' } })])];
    expect(JSON.stringify(listenersOf([...all, service('web', ['a.test'], ['one'])]))).toContain('"kubernetes://cert"');
  });
});

describe('hosts of a server', () => {
  const hosts = (written: string) =>
    hostsOf([
      gateway('gw', [{ port: port(80), hosts: [written] }], 'edge'),
      service('own', ['own.test'], ['gw'], 'edge'),
      service('shop', ['shop.test'], ['edge/gw'], 'shop'),
    ])['http.80'];

  it.each([
    ['*', ['own.test:80', 'shop.test:80']],
    ['*/*', ['own.test:80', 'shop.test:80']],
    ['./*', ['own.test:80']],
    ['shop/*', ['shop.test:80']],
    ['shop/shop.test', ['shop.test:80']],
    ['other/*', ['blackhole:80']],
    ['*/*.else', ['blackhole:80']],
  ])('%s', (written, expected) => {
    expect(hosts(written)).toEqual(expected);
  });

  it('that are only redirected to HTTPS have no routes, and need none', () => {
    const servers = [{ port: port(80), hosts: ['shop/*.a.test'], tls: { httpsRedirect: true } }];
    const { routes } = compiled([gateway('gw', servers)]).snapshot;
    expect(routes).toMatchObject([
      { name: 'http.80', virtualHosts: [{ domains: ['*.a.test'], requireTls: 'ALL', routes: [] }] },
    ]);
  });
});

describe('TLS of a server', () => {
  const context = (tls: object) =>
    JSON.stringify(
      listenersOf([
        gateway('gw', [
          { port: port(443, 'HTTPS'), hosts: ['a.test'], tls: { mode: 'MUTUAL', credentialName: 'cert', ...tls } },
        ]),
        service('web', ['a.test'], ['gw']),
      ])[0]?.filterChains?.[0]?.transportSocket ?? null,
    );

  it.each([
    [
      'subjectAltNames',
      { subjectAltNames: ['spiffe://a/b', 'c.test'] },
      '"matchTypedSubjectAltNames":[{"sanType":"URI","matcher":{"exact":"spiffe://a/b"}},{"sanType":"DNS","matcher":{"exact":"c.test"}}]',
    ],
    [
      'verifyCertificateHash',
      { verifyCertificateHash: ['ab'.repeat(32)] },
      `"verifyCertificateHash":["${'ab'.repeat(32)}"]`,
    ],
    ['verifyCertificateSpki', { verifyCertificateSpki: ['c3BraQ=='] }, '"verifyCertificateSpki":["c3BraQ=="]'],
    ['ecdhCurves', { ecdhCurves: ['P-256', 'X25519', 'P-256'] }, '"ecdhCurves":["P-256","X25519"]'],
    [
      'cipherSuites',
      { cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'] },
      '"cipherSuites":["ECDHE-RSA-AES128-GCM-SHA256"]',
    ],
    ['minProtocolVersion', { minProtocolVersion: 'TLSV1_3' }, '"tlsMinimumProtocolVersion":"TLSv1_3"'],
    ['maxProtocolVersion', { maxProtocolVersion: 'TLSV1_2' }, '"tlsMaximumProtocolVersion":"TLSv1_2"'],
    ['insecureSkipVerify', { insecureSkipVerify: true }, '"trustChainVerification":"ACCEPT_UNTRUSTED"'],
    ['caCertCredentialName', { caCertCredentialName: 'ca' }, '"name":"kubernetes://ca-cacert"'],
  ])('%s', (_, tls, wanted) => {
    expect(context({})).not.toContain(wanted);
    expect(context(tls)).toContain(wanted);
  });

  it('without a mode is passed through, as in Istio', () => {
    const all = [
      gateway('gw', [{ port: port(443, 'TLS'), hosts: ['a.test'], tls: {} }]),
      resource('VirtualService', 'web', {
        hosts: ['a.test'],
        gateways: ['gw'],
        tls: [{ match: [{ sniHosts: ['a.test'] }], route: [{ destination: { host: 'web', port: { number: 443 } } }] }],
      }),
    ];
    const [chain] = listenersOf(all)[0]!.filterChains!;
    expect(chain).toMatchObject({ filterChainMatch: { serverNames: ['a.test'] } });
    expect(chain!.transportSocket).toBeUndefined();
  });
});
