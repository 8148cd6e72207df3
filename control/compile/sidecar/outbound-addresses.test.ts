/** TCP services that share a port, without capture: by destination address, or on loopback addresses of their own. */
import { expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { FilterChain, Listener } from '../../../shared/xds/listener.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileWithNotes } from '../node/node.ts';

const service = (name: string, addresses: readonly string[], protocol = 'TCP') => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}, namespace: default }
spec:
  hosts: [${name}.ext.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  addresses: [${addresses.join(', ')}]
  ports: [{ number: 7000, name: port, protocol: ${protocol} }]
  endpoints: [{ address: 10.10.9.1 }]`;

const clusterOf = (chain: FilterChain | undefined) =>
  (chain?.filters?.at(-1)?.typedConfig as { cluster?: string } | undefined)?.cluster?.split('|')[3];

function compile(services: readonly string[], bind = '127.64.0.1') {
  const resources = services.flatMap((yaml) => parseAllDocuments(yaml).map((one) => one.toJS() as Resource));
  const { snapshot, notes } = compileWithNotes(buildView(resources, 1), {
    id: 'sidecar~10.0.0.1~x.default~default.svc.cluster.local',
    metadata: { NAMESPACE: 'default', INTERCEPTION_MODE: 'NONE', OUTBOUND_BIND: bind },
    userAgentName: 'tulle-node',
  });
  const listeners = Object.fromEntries(
    [...(snapshot.listeners as Iterable<{ resource: Listener } | Listener>)].map((one) => {
      const listener = 'resource' in one ? one.resource : one;
      const chains = (listener.filterChains ?? []).map((chain) => [
        ...(chain.filterChainMatch?.prefixRanges ?? []).map(({ addressPrefix }) => addressPrefix),
        clusterOf(chain),
      ]);
      return [listener.name, { chains, otherwise: clusterOf(listener.defaultFilterChain) }];
    }),
  );
  return { listeners, notes };
}

it('tells them apart by the address that the client connects to; the first has what is left', () => {
  const given = [service('db1', ['10.10.20.1']), service('db2', ['10.10.20.2', '10.10.21.0/24'])];
  const chains = [
    ['10.10.20.1', 'db1.ext.test'],
    ['10.10.20.2', '10.10.21.0', 'db2.ext.test'],
  ];
  const { listeners, notes } = compile(given);
  expect(listeners).toEqual({ '127.64.0.1_7000': { chains, otherwise: 'db1.ext.test' } });
  expect(notes).toEqual([
    'listener 127.64.0.1_7000: its connections go to db1.ext.test, not to db2.ext.test:7000: give it an address of its ' +
      'own in 127.0.0.0/8 (spec.addresses of its ServiceEntry), where it gets a listener, or another port',
  ]);
  // On all addresses, those of the services are reached where the host has them.
  expect(compile(given, '0.0.0.0')).toEqual({
    listeners: { '0.0.0.0_7000': { chains, otherwise: 'db1.ext.test' } },
    notes: [],
  });
});

it('the advice of the note helps: a loopback address gets a listener of its own', () => {
  const { listeners, notes } = compile([service('db1', ['10.10.20.1']), service('db2', ['10.10.20.2', '127.9.0.2'])]);
  expect(listeners).toEqual({
    '127.64.0.1_7000': { chains: [['db1.ext.test']], otherwise: undefined },
    '127.9.0.2_7000': { chains: [['db2.ext.test']], otherwise: undefined },
  });
  expect(notes).toEqual([]);
});

it('so does a TCP service whose port HTTP services have', () => {
  const web = service('web', [], 'HTTP');
  const before = compile([web, service('db', ['10.10.20.1'])]);
  expect(Object.keys(before.listeners)).toEqual(['127.64.0.1_7000']);
  expect(before.notes).toEqual([expect.stringMatching(/^db\.ext\.test:7000 has no listener: HTTP .*127\.0\.0\.0\/8/)]);
  const { listeners, notes } = compile([web, service('db', ['127.9.0.1'])]);
  expect(listeners['127.9.0.1_7000']).toEqual({ chains: [['db.ext.test']], otherwise: undefined });
  expect(notes).toEqual([]);
});
