import { expect, it } from 'vitest';
import type { Endpoint } from './cluster.ts';
import { WorkloadDirectory } from './workload-directory.ts';

const endpoint = (address: string, workload?: string) =>
  ({ address, metadata: workload === undefined ? undefined : { istio: { workload } } }) as unknown as Endpoint;

it('finds workloads by address and namespace, where the endpoints agree', () => {
  let now = 0;
  const endpoints = [
    endpoint('10.0.0.1', 'front-v1;shop;front;v1;c'),
    endpoint('10.0.0.2', 'a;shop;a;;c'),
    endpoint('10.0.0.2', 'b;shop;b;;c'),
    endpoint('10.0.0.2', 'c;books;c;;c'),
    endpoint('10.0.0.3'),
  ];
  const clusters = [{ endpoints: () => endpoints }, { endpoints: () => endpoints.slice(0, 1) }];
  const directory = new WorkloadDirectory(() => clusters, { monotonicMs: () => now });
  const workload = (address: string, namespace: string) => directory.at(address, namespace)?.workload;
  expect(directory.at('10.0.0.1', 'shop')).toMatchObject({ workload: 'front-v1', service: 'front', revision: 'v1' });
  expect(workload('10.0.0.1', 'books')).toBeUndefined();
  // Two workloads of a namespace share the address; the third has a namespace of its own.
  expect(workload('10.0.0.2', 'shop')).toBeUndefined();
  expect(workload('10.0.0.2', 'books')).toBe('c');
  expect(workload('10.0.0.3', 'shop')).toBeUndefined();
  // A burst of changes is one new index.
  endpoints.push(endpoint('10.0.0.4', 'd;shop;d;;c'));
  directory.changed();
  now = 999;
  expect(workload('10.0.0.4', 'shop')).toBeUndefined();
  now = 1000;
  expect(workload('10.0.0.4', 'shop')).toBe('d');
});
