import { expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { buildView } from './build-view.ts';

const SOCKET = 'unix:///var/run/docker.sock';
const service = (more: object): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: 'app', namespace: 'shop' },
  spec: {
    hosts: ['app.example.com'],
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    resolution: 'STATIC',
    ...more,
  } as never,
});
const workload = (address: string): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadEntry',
  metadata: { name: address.includes('unix') ? 'socket' : 'machine', namespace: 'shop' },
  spec: { address, labels: { app: 'app' } },
});
const seen = (...resources: Resource[]) => {
  const view = buildView(resources, 1);
  const [{ exportTo }, ...others] = view.services as [(typeof view.services)[0]];
  expect(others).toEqual([]);
  return [exportTo, view.endpoints(view.services[0]!).map(({ address }) => address)];
};

it.each<[string[] | undefined, string[]]>([
  [undefined, ['.']],
  [['*'], ['.']],
  [['shop', 'web'], ['.']],
  [['web'], ['~']],
])('a service at a socket, exported to %j, is seen in its namespace alone', (exportTo, wanted) => {
  const endpoints = [{ address: SOCKET }];
  expect(seen(service({ endpoints, ...(exportTo && { exportTo }) }))).toEqual([wanted, [SOCKET]]);
  const others = [{ address: '10.0.0.1' }];
  expect(seen(service({ endpoints: others, ...(exportTo && { exportTo }) }))[0]).toEqual(exportTo ?? ['*']);
});

it('a workload at a socket is an endpoint where no other namespace calls the service', () => {
  const selecting = (exportTo: string[]) => service({ workloadSelector: { labels: { app: 'app' } }, exportTo });
  const workloads = [workload(SOCKET), workload('10.0.0.1')];
  for (const own of [['.'], ['shop'], ['~']])
    expect((seen(selecting(own), ...workloads)[1] as string[]).toSorted()).toEqual(['10.0.0.1', SOCKET]);
  for (const wide of [['*'], ['.', 'web']]) expect(seen(selecting(wide), ...workloads)[1]).toEqual(['10.0.0.1']);
});
