import { expect, it } from 'vitest';
import type { Resource } from '../../../../shared/resources/resource.ts';
import { knownRefusals } from './known-refusals.ts';

const stored = (...conditions: object[]): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'a', generation: 2 },
  spec: { hosts: ['a'] },
  status: { conditions },
});
const refused = {
  type: 'Effective',
  status: 'False',
  reason: 'RefusedByProxies',
  message: 'no',
  observedGeneration: 2,
};

it('warns of a write that leaves as it is what is refused now, and of no other', () => {
  const written = stored();
  expect(knownRefusals(stored(refused, { ...refused, type: 'Reconciled', reason: 'PatchLeftOut' }), written)).toEqual([
    {
      path: '',
      rule: 'condition.Effective',
      message: 'the resource is stored as it is written and not in force everywhere: RefusedByProxies: no',
    },
    expect.objectContaining({ rule: 'condition.Reconciled', message: expect.stringContaining('PatchLeftOut: no') }),
  ]);
  const none = [
    stored({ ...refused, status: 'True' }),
    stored({ ...refused, status: 'Unknown' }),
    stored({ ...refused, observedGeneration: 1 }),
    stored({ ...refused, type: 'Ready' }),
    { ...stored(refused), status: { conditions: 'none' } },
    { ...stored(refused), spec: { hosts: ['b'] } },
    undefined,
  ];
  for (const each of none) expect(knownRefusals(each, written)).toEqual([]);
});
