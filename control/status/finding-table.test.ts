import { expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Finding } from '../compile/output/finding.ts';
import { resourceId } from '../mesh/mesh-resource.ts';
import { FindingTable } from './finding-table.ts';

const about = (uid: string, generation: number, resourceVersion: string): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'cart', namespace: 'shop', uid, generation, resourceVersion },
});
const finding = (resource: Resource): Finding => ({
  about: resource,
  reason: 'RuleWithoutEffect',
  message: 'http[0]: it has no effect',
});

it('keeps the newest resource of a finding, whichever reporter knows it first', () => {
  const first = about('a', 3, '10');
  const again = about('b', 1, '99');
  for (const order of [
    [first, about('a', 4, '12'), again],
    [again, about('a', 4, '12'), first],
  ]) {
    const table = new FindingTable();
    for (const [i, resource] of order.entries()) table.replace(`proxy ${i}`, [finding(resource)]);
    expect(table.of(resourceId(first))).toEqual([finding(again)]);
  }
});

it('reports a change for a newer resource alone', () => {
  const table = new FindingTable();
  const [older, newer] = [about('a', 1, '9'), about('b', 1, '10')];
  expect(table.replace('one', [finding(older)]).size).toBe(1);
  expect([...table.replace('two', [finding(newer)]).values()]).toEqual([newer]);
  // A proxy that is behind.
  expect(table.replace('three', [finding(older)]).size).toBe(0);
  expect(table.of(resourceId(older))).toEqual([finding(newer)]);
});
