import { describe, expect, it } from 'vitest';
import type { ConfigPatch } from './config-patch.ts';
import {
  matchesChain,
  matchesCluster,
  matchesConfiguration,
  matchesListener,
  matchesRoute,
  matchesVirtualHost,
} from './match-resource.ts';
import { patchedListener } from './patch-listener.ts';

type Match = ConfigPatch['match'];
const patch = (match: Match): Pick<ConfigPatch, 'applyTo' | 'match'> => ({ applyTo: 'FILTER_CHAIN', match });

const LISTENER = { name: '10.0.0.1_9080', address: { socketAddress: { address: '10.0.0.1', portValue: 9080 } } };
const CHAIN = {
  name: 'main',
  filterChainMatch: {
    serverNames: ['a.example.com', '*.b.example.com'],
    transportProtocol: 'tls',
    applicationProtocols: ['istio', 'h2'],
    destinationPort: 9080,
  },
  transportSocket: { name: 'envoy.transport_sockets.tls' },
};

describe('matches of listeners', () => {
  it.each([
    [{}, true],
    [{ name: '10.0.0.1_9080' }, true],
    [{ name: 'virtualInbound' }, false],
    [{ portNumber: 9080 }, true],
    [{ portNumber: 80 }, false],
  ])('%j: %s', (listener, expected) => expect(matchesListener(patch({ listener }), LISTENER)).toBe(expected));

  it.each([
    [{ name: 'main' }, true],
    [{ name: 'other' }, false],
    [{ sni: 'a.example.com' }, true],
    [{ sni: 'b.example.com' }, false],
    [{ transportProtocol: 'tls' }, true],
    [{ transportProtocol: 'raw_buffer' }, false],
    [{ applicationProtocols: 'istio,h2' }, true],
    [{ applicationProtocols: 'istio,http/1.1' }, false],
    [{ destinationPort: 9080 }, true],
    [{ destinationPort: 80 }, false],
    [{ transportSocket: 'envoy.transport_sockets.tls' }, true],
    [{ transportSocket: 'envoy.transport_sockets.quic' }, false],
  ])('chain %j: %s', (filterChain, expected) =>
    expect(matchesChain(patch({ listener: { filterChain } }), LISTENER, CHAIN)).toBe(expected),
  );

  it('the ports of the virtual listeners are those of their chains', () => {
    const inbound = { ...LISTENER, name: 'virtualInbound' };
    expect(matchesListener(patch({ listener: { portNumber: 80 } }), inbound)).toBe(true);
    expect(matchesChain(patch({ listener: { portNumber: 80 } }), inbound, CHAIN)).toBe(false);
    expect(matchesChain(patch({ listener: { portNumber: 9080 } }), inbound, CHAIN)).toBe(true);
  });

  it('listenerFilter chooses the listener filter', () => {
    const filters = [{ name: 'first' }, { name: 'second' }];
    const removed = patchedListener({ ...LISTENER, listenerFilters: filters }, {
      applyTo: 'LISTENER_FILTER',
      match: { listener: { listenerFilter: 'first' } },
      operation: 'REMOVE',
      value: {},
    } as unknown as ConfigPatch);
    expect(removed?.['listenerFilters']).toEqual([{ name: 'second' }]);
  });
});

describe('matches of route configurations', () => {
  const config = { name: 'https.443.app1.gw1.ns1' };
  it.each([
    [{ portNumber: 443 }, true],
    [{ portNumber: 80 }, false],
    [{ portName: 'app1' }, true],
    [{ portName: 'app2' }, false],
    [{ gateway: 'ns1/gw1' }, true],
    [{ gateway: 'ns2/gw1' }, false],
  ])('%j: %s', (routeConfiguration, expected) =>
    expect(matchesConfiguration({ match: { routeConfiguration } }, config, { context: 'GATEWAY' })).toBe(expected),
  );

  it.each([
    [{ name: 'web:80' }, true],
    [{ domainName: 'web' }, true],
    [{ domainName: 'api' }, false],
    [{ name: 'web:80', domainName: 'api' }, false],
  ])('virtual host %j: %s', (vhost, expected) =>
    expect(
      matchesVirtualHost({ match: { routeConfiguration: { vhost } } }, { name: 'web:80', domains: ['web', 'web:80'] }),
    ).toBe(expected),
  );

  it.each([
    [{ action: 'REDIRECT' as const }, true],
    [{ action: 'ROUTE' as const }, false],
    [{ name: 'r' }, true],
  ])('route %j: %s', (route, expected) =>
    expect(matchesRoute({ match: { routeConfiguration: { vhost: { route } } } }, { name: 'r', redirect: {} })).toBe(
      expected,
    ),
  );
});

it.each([
  [{ name: 'outbound|80|v1|web.example.com' }, true],
  [{ name: 'outbound|80|v1|web.example.com', portNumber: 81 }, true],
  [{ name: 'outbound|80||web.example.com' }, false],
  [{ service: 'web.example.com' }, true],
  [{ service: 'api.example.com' }, false],
  [{ subset: 'v1' }, true],
  [{ subset: 'v2' }, false],
  [{ portNumber: 80 }, true],
  [{ portNumber: 81 }, false],
])('matches clusters by %j: %s', (cluster, expected) => {
  expect(matchesCluster({ match: { cluster } }, { name: 'outbound|80|v1|web.example.com' }, [])).toBe(expected);
});
