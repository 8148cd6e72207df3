import { expect, it } from 'vitest';
import { type DeltaDiscoveryRequest, TYPE_URLS } from '../../shared/xds/discovery.ts';
import { MeshIndex } from '../mesh/mesh-index.ts';
import { isConcerned, namesConcerned } from './concerned.ts';
import { Session } from './session.ts';

const resource = (kind: string, name: string, spec: object) => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'shop' },
  spec,
});
const entry = (name: string) =>
  resource('ServiceEntry', name, {
    hosts: [`${name}.shop.svc.cluster.local`],
    resolution: 'STATIC',
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    workloadSelector: { labels: { app: name } },
  });
const workload = (app: string, address: string) => resource('WorkloadEntry', app, { address, labels: { app } });
const session = (...requests: DeltaDiscoveryRequest[]) => {
  const made = new Session('s', 'owner', { id: 'sidecar~10.0.0.1~x.shop~shop.svc.cluster.local' }, 0);
  made.take(requests);
  return made;
};
const host = (name: string) => `${name}.shop.svc.cluster.local`;
const uses = (name: string) =>
  session({ typeUrl: TYPE_URLS.virtualHosts, resourceNamesSubscribe: [`80/${host(name)}:80`] });

it('finds the sessions that use what was written: a route, a rule, an endpoint, a service', () => {
  const index = new MeshIndex();
  const before = [entry('a'), entry('b'), entry('c'), workload('a', '10.1.0.1')];
  index.apply({ removed: [], added: before }, 1);
  const [a, b] = [uses('a'), uses('b')];
  const tcp = session({ typeUrl: TYPE_URLS.clusters, resourceNamesSubscribe: [`outbound|80||${host('a')}`] });
  const write = (removed: object[], ...added: ReturnType<typeof resource>[]) => {
    const { view, change } = index.apply({ removed: removed as never, added }, 2);
    const names = namesConcerned(change, view);
    return names && [a, b, tcp].map((each) => isConcerned(each, names));
  };
  expect(write([], resource('VirtualService', 'a', { hosts: ['a'] }))).toEqual([true, false, true]);
  expect(write([], resource('VirtualService', 'b', { hosts: [host('b')] }))).toEqual([false, true, false]);
  expect(write([], resource('DestinationRule', 'b', { host: host('b') }))).toEqual([false, true, false]);
  expect(write([], workload('b', '10.1.0.2'))).toEqual([false, true, false]);
  expect(write([before[3]!], workload('a', '10.1.0.3'))).toEqual([true, false, true]);
  expect(write([], resource('PeerAuthentication', 'p', {}))).toBe(undefined);
  // With so many none comes first.
  expect(write([], ...Array.from({ length: 30 }, (_, i) => entry(`x${i}`)))).toBe(undefined);
});
