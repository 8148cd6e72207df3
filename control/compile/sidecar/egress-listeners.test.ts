/** Egress listeners of Sidecars with ports, addresses, sockets and capture modes of their own. */
import { expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Listener } from '../../../shared/xds/listener.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileWithNotes } from '../node/node.ts';

const entry = (host: string, ports: readonly [number: number, protocol: string][], more: object = {}): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: host, namespace: 'shop' },
  spec: {
    hosts: [host],
    resolution: 'STATIC',
    location: 'MESH_INTERNAL',
    endpoints: [{ address: '10.0.9.1' }],
    ports: ports.map(([number, protocol]) => ({ number, name: `p${number}`, protocol })),
    ...more,
  },
});
const SERVICES = [
  entry('web.example', [
    [80, 'HTTP'],
    [8080, 'HTTP'],
  ]),
  entry('db.example', [[5432, 'TCP']], { addresses: ['10.96.0.5'] }),
  entry('tls.example', [[443, 'TLS']]),
];

function compile(egress: readonly object[], mode = 'NONE') {
  const sidecar = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name: 'default', namespace: 'shop' },
    spec: { egress },
  };
  const { snapshot, notes } = compileWithNotes(buildView([...SERVICES, sidecar], 1), {
    id: 'sidecar~10.0.0.1~a.shop~shop.svc.cluster.local',
    metadata: { NAMESPACE: 'shop', INTERCEPTION_MODE: mode },
    userAgentName: 'tulle-node',
  });
  const listeners = (snapshot.listeners as readonly Listener[]).filter(
    ({ name, trafficDirection }) => trafficDirection === 'OUTBOUND' && name !== 'virtualOutbound',
  );
  const routes = new Map(snapshot.routes.map((one) => [one.name, one.virtualHosts ?? []]));
  const domains = (name: string) => (routes.get(name) ?? []).flatMap((host) => host.domains);
  return { listeners, notes, domains, routes: [...routes.keys()] };
}
const targetOf = ({ filterChains = [], defaultFilterChain }: Listener) =>
  [...filterChains, ...(defaultFilterChain ? [defaultFilterChain] : [])].map(({ filters = [] }) => {
    const config = filters.at(-1)?.typedConfig as { cluster?: string; rds?: { routeConfigName: string } };
    return config.cluster ?? config.rds?.routeConfigName;
  });
const shown = (listeners: readonly Listener[]) =>
  Object.fromEntries(
    listeners.map((one) => [one.name, [one.bindToPort === false ? 'captured' : 'bound', ...targetOf(one)]]),
  );

it('without capture binds 127.0.0.1, or the address that is named', () => {
  const { listeners } = compile([
    { port: { number: 8080, protocol: 'HTTP' }, hosts: ['./*'] },
    { port: { number: 5432, protocol: 'TCP' }, bind: '127.0.0.9', hosts: ['./*'] },
    { bind: '127.0.0.8', hosts: ['./web.example'] },
  ]);
  expect(shown(listeners)).toEqual({
    '127.0.0.1_8080': ['bound', '8080'],
    '127.0.0.9_5432': ['bound', 'outbound|5432||db.example'],
    '127.0.0.8_80': ['bound', '80'],
    '127.0.0.8_8080': ['bound', '8080'],
  });
});

it('with capture is found by the address of the service, or bound with captureMode NONE', () => {
  const { listeners } = compile(
    [
      { port: { number: 8080, protocol: 'HTTP' }, captureMode: 'NONE', hosts: ['./*'] },
      { port: { number: 5432, protocol: 'TCP' }, hosts: ['./*'] },
      { port: { number: 80, protocol: 'HTTP' }, bind: '10.96.0.9', hosts: ['./*'] },
      { hosts: ['./*'] },
    ],
    'REDIRECT',
  );
  expect(shown(listeners)).toEqual({
    '127.0.0.1_8080': ['bound', '8080'],
    '10.96.0.5_5432': ['captured', 'outbound|5432||db.example'],
    '10.96.0.9_80': ['captured', '80'],
    '0.0.0.0_80': ['captured', '80', 'PassthroughCluster'],
    '0.0.0.0_8080': ['captured', '8080', 'PassthroughCluster'],
    '0.0.0.0_443': ['captured', 'outbound|443||tls.example', 'PassthroughCluster'],
  });
});

it('an earlier item keeps its listener and its routes', () => {
  const { listeners, notes, domains } = compile([
    { port: { number: 80, protocol: 'HTTP' }, hosts: ['./none.example'] },
    { port: { number: 8080, protocol: 'HTTP' }, hosts: ['./web.example'] },
    { port: { number: 8080, protocol: 'TCP' }, bind: '127.0.0.1', hosts: ['./web.example'] },
    { hosts: ['./*'] },
  ]);
  expect(Object.keys(shown(listeners)).sort()).toEqual([
    '127.0.0.1_443',
    '127.0.0.1_5432',
    '127.0.0.1_80',
    '127.0.0.1_8080',
  ]);
  expect(domains('8080')).toEqual(['web.example', 'web.example.', '*']);
  expect(notes).toEqual([
    'Sidecar shop/default: spec.egress[0]: no host of it has port 80: there is no listener',
    'Sidecar shop/default: spec.egress[2]: listener 127.0.0.1_8080 belongs to an item before it',
  ]);
});

it('HTTP_PROXY serves the HTTP ports of all its hosts, by the port that requests name', () => {
  const { listeners, domains } = compile([{ port: { number: 3128, protocol: 'HTTP_PROXY' }, hosts: ['./*'] }]);
  expect(shown(listeners)).toEqual({ '127.0.0.1_3128': ['bound', '3128'] });
  expect(domains('3128')).toEqual([
    'web.example:80',
    'web.example',
    'web.example.:80',
    'web.example.',
    'web.example:8080',
    'web.example.:8080',
    '*',
  ]);
});

it('a Unix domain socket serves HTTP by host and port', () => {
  const { listeners, domains } = compile([
    { bind: 'unix:///run/app.sock', port: { number: 0, protocol: 'HTTP' }, hosts: ['./*'] },
  ]);
  expect(listeners).toMatchObject([
    { name: 'unix:///run/app.sock_0', address: { pipe: { path: '/run/app.sock' } }, trafficDirection: 'OUTBOUND' },
  ]);
  expect(targetOf(listeners[0]!)).toEqual(['unix:///run/app.sock']);
  expect(domains('unix:///run/app.sock')).toContain('web.example:8080');
});

it('a Unix domain socket hands connections to the first host with a single port, TLS by SNI', () => {
  const socket = (protocol: string, ...hosts: string[]) =>
    compile([{ bind: 'unix:///run/app.sock', port: { number: 0, protocol }, hosts }]);
  expect(targetOf(socket('TCP', './db.example').listeners[0]!)).toEqual(['outbound|5432||db.example']);
  const several = socket('TCP', './db.example', './tls.example', './web.example');
  expect(targetOf(several.listeners[0]!)).toEqual(['outbound|5432||db.example']);
  expect(several.notes).toEqual([
    'listener unix:///run/app.sock_0: web.example has several ports: it is not called there',
    'listener unix:///run/app.sock_0: its connections go to db.example, not to tls.example',
  ]);
  const [tls] = socket('TLS', './db.example', './tls.example').listeners;
  expect(tls!.filterChains!.map(({ filterChainMatch }) => filterChainMatch?.serverNames)).toEqual([
    ['db.example'],
    ['tls.example'],
  ]);
  // Nothing is declared: what is HTTP is routed.
  expect(targetOf(socket('', './db.example').listeners[0]!)).toEqual([
    'unix:///run/app.sock',
    'outbound|5432||db.example',
  ]);
});
