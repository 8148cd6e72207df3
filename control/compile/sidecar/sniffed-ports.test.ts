/** Outbound ports that declare no protocol. */
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { HttpConnectionManager } from '../../../shared/xds/http-connection-manager.ts';
import type { FilterChain } from '../../../shared/xds/listener.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileWithNotes } from '../node/node.ts';

const service = (name: string, { protocol = '""', addresses = '[]', port = 7000 } = {}) => `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}, namespace: default }
spec:
  hosts: [${name}.test]
  location: MESH_INTERNAL
  resolution: STATIC
  addresses: ${addresses}
  ports: [{ number: ${port}, name: p, protocol: ${protocol} }]
  endpoints: [{ address: 10.9.9.1 }]
`;

const leadsTo = ({ filters }: FilterChain): string => {
  const config = filters!.at(-1)!.typedConfig as unknown as HttpConnectionManager & { cluster?: string };
  return config.rds
    ? `routes ${config.rds.routeConfigName}`
    : `bytes ${config.cluster?.split('|')[3] ?? config.cluster}`;
};

function compile(yaml: string, { captured = false, proxyPort = 0 } = {}) {
  const resources = parseAllDocuments(yaml).map((one) => one.toJS() as Resource);
  const { snapshot, notes } = compileWithNotes(buildView(resources, 1), {
    id: 'sidecar~10.0.0.1~x.default~default.svc.cluster.local',
    metadata: {
      NAMESPACE: 'default',
      ...(!captured && { INTERCEPTION_MODE: 'NONE' }),
      ...(proxyPort > 0 && { HTTP_PROXY_PORT: proxyPort }),
    },
    userAgentName: 'tulle-node',
  });
  const outbound = [...snapshot.listeners].filter(
    ({ trafficDirection, name }) => trafficDirection === 'OUTBOUND' && name !== 'virtualOutbound',
  );
  const listeners = outbound.map(({ name, filterChains = [], defaultFilterChain, listenerFilters = [] }) => [
    name,
    filterChains.map((chain) => [chain.filterChainMatch?.applicationProtocols?.join(), leadsTo(chain)]),
    defaultFilterChain && leadsTo(defaultFilterChain),
    listenerFilters.map((filter) => filter.name.split('.').at(-1)),
  ]);
  const routes = [...snapshot.routes].map(({ name, virtualHosts = [] }) => [
    name,
    virtualHosts.map((host) => [host.name, host.domains.join(' ')]),
  ]);
  return { listeners, routes: Object.fromEntries(routes), snapshot, notes };
}

const WEB = ['http/1.1,h2c'];

describe('without capture', () => {
  it('HTTP is routed by the service alone, whatever host it names; the rest is passed on', () => {
    const { listeners, routes } = compile(service('auto'));
    expect(listeners).toEqual([
      ['127.0.0.1_7000', [[...WEB, 'routes auto.test:7000']], 'bytes auto.test', ['http_inspector']],
    ]);
    expect(routes).toEqual({ 'auto.test:7000': [['auto.test:7000', '*']] });
  });

  it('the requested host tells services of one port apart; bytes belong to the first', () => {
    const { listeners, routes } = compile(service('one') + service('two'));
    expect(listeners).toEqual([['127.0.0.1_7000', [[...WEB, 'routes 7000']], 'bytes one.test', ['http_inspector']]]);
    expect(routes['7000']).toEqual([
      ['one.test:7000', 'one.test one.test.'],
      ['two.test:7000', 'two.test two.test.'],
      ['allow_any', '*'],
    ]);
  });

  it('a service with a loopback address of its own has its listener and its routes', () => {
    const { listeners, routes } = compile(service('one') + service('own', { addresses: '[127.0.9.1]' }));
    expect(listeners.map(([name, chains]) => [name, (chains as string[][])[0]![1]])).toEqual([
      ['127.0.0.1_7000', 'routes one.test:7000'],
      ['127.0.9.1_7000', 'routes own.test:7000'],
    ]);
    expect(Object.keys(routes)).toEqual(['one.test:7000', 'own.test:7000']);
  });

  it('at a port of HTTP services it is called over HTTP, which a note says', () => {
    const { listeners, routes, notes } = compile(service('auto') + service('web', { protocol: 'HTTP' }));
    expect(listeners).toEqual([['127.0.0.1_7000', [[undefined, 'routes 7000']], undefined, []]]);
    expect(routes['7000']!.map(([name]: string[]) => name)).toContain('auto.test:7000');
    expect(notes.join()).toContain('auto.test:7000 is called over HTTP alone: HTTP services use that port');
  });

  it('through the HTTP proxy requests are routed and tunnels opened', () => {
    const { routes, snapshot } = compile(service('auto'), { proxyPort: 3128 });
    expect(routes['http_proxy']![0]).toEqual(['auto.test:7000', 'auto.test:7000 auto.test.:7000']);
    const { virtualHosts } = [...snapshot.routes].find(({ name }) => name === 'http_proxy')!;
    expect(virtualHosts![0]!.routes!.map(({ name, match }) => [name, Object.keys(match)[0]])).toEqual([
      ['tunnel', 'connectMatcher'],
      ['default', 'prefix'],
    ]);
  });

  it('rules of a VirtualService hold for its HTTP', () => {
    const rules = `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: auto, namespace: default }
spec: { hosts: [auto.test], http: [{ timeout: 3s, route: [{ destination: { host: auto.test } }] }] }
`;
    const { snapshot } = compile(service('auto') + rules);
    const [{ virtualHosts } = {}] = [...snapshot.routes];
    expect(virtualHosts?.[0]).toMatchObject({ domains: ['*'], routes: [{ route: { timeout: '3s' } }] });
  });
});

describe('with capture', () => {
  it('a virtual IP has a listener with routes of its own', () => {
    const { listeners, routes } = compile(service('auto', { addresses: '[10.96.1.1]' }), { captured: true });
    expect(listeners).toEqual([
      ['10.96.1.1_7000', [[...WEB, 'routes auto.test:7000']], 'bytes auto.test', ['http_inspector']],
    ]);
    expect(Object.keys(routes)).toEqual(['auto.test:7000']);
  });

  it('without a virtual IP the requested host decides', () => {
    const { listeners, routes } = compile(service('one') + service('two'), { captured: true });
    expect(listeners).toEqual([['0.0.0.0_7000', [[...WEB, 'routes 7000']], 'bytes one.test', ['http_inspector']]]);
    expect(Object.keys(routes)).toEqual(['7000']);
  });

  it('beside HTTP services its HTTP is routed with theirs', () => {
    const { listeners, notes } = compile(service('auto') + service('web', { protocol: 'HTTP' }), { captured: true });
    expect(listeners).toEqual([
      ['0.0.0.0_7000', [[...WEB, 'routes 7000']], 'bytes PassthroughCluster', ['http_inspector']],
    ]);
    expect(notes).toEqual([]);
  });
});
