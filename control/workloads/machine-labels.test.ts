import { expect, it } from 'vitest';
import type { Join } from '../ca/joins.ts';
import type { WorkloadGroup } from './group-template.ts';
import { MachineLabels } from './machine-labels.ts';

const group = {
  metadata: { name: 'edge', namespace: 'shop' },
  spec: { metadata: { labels: { istio: 'ingressgateway' } }, template: { serviceAccount: 'edge' } },
} as unknown as WorkloadGroup;
const joinOf = (name: string | undefined) =>
  ({ namespace: 'shop', group: name, labels: { rack: 'r1' } }) as unknown as Join;

function admit(type: string, metadata: object, join: Join | undefined) {
  const logged: (string | undefined)[] = [];
  const labels = new MachineLabels({
    joinOf: () => join,
    groups: () => [group],
    events: { registration: ({ reason }) => void logged.push(reason) },
  });
  const node = { id: `${type}~10.0.0.1~a.shop~shop.svc.cluster.local`, metadata: { NAME: 'a', ...metadata } };
  const admitted = labels.admit(node, 'serial');
  labels.report(admitted);
  return { admitted, isSame: admitted === node, note: labels.noteOn(admitted), logged };
}
const refused = expect.objectContaining({ code: 'not-allowed' });

it('lets a gateway of a WorkloadGroup have the labels that an administrator gave it', () => {
  expect(admit('router', { LABELS: { istio: 'ingressgateway', rack: 'r1' } }, joinOf('edge')).isSame).toBe(true);
  expect(admit('router', {}, joinOf('edge')).isSame).toBe(true);
});

it.each([{ LABELS: { istio: 'other' } }, { LABELS: { app: 'x' } }, { STATIC_LABELS: { app: 'x' } }])(
  'refuses a gateway of a WorkloadGroup with others: %j',
  (metadata) => {
    expect(() => admit('router', metadata, joinOf('edge'))).toThrow(refused);
  },
);

it('refuses a gateway with labels of a group that is gone', () => {
  expect(() => admit('router', { LABELS: { istio: 'ingressgateway' } }, joinOf('gone'))).toThrow(refused);
});

it('takes labels of a sidecar that its group and invitation do not give away, and names them', () => {
  const labels = { istio: 'ingressgateway', rack: 'r2', tier: 'x', 'app.kubernetes.io/name': 'payments' };
  const own = { 'service.istio.io/canonical-name': 'a', 'service.istio.io/canonical-revision': 'v1' };
  const { admitted, note, logged } = admit(
    'sidecar',
    { LABELS: { ...labels, ...own }, STATIC_LABELS: { rack: 'r1', 'topology.istio.io/network': 'n' } },
    joinOf('edge'),
  );
  expect(admitted.metadata).toEqual({
    NAME: 'a',
    LABELS: { istio: 'ingressgateway', ...own },
    STATIC_LABELS: { rack: 'r1' },
  });
  expect(note).toMatch(
    /^labels "rack", "tier", "app\.kubernetes\.io\/name", "topology\.istio\.io\/network" of .* not taken: neither WorkloadGroup "edge"/,
  );
  expect(logged).toEqual([note]);
});

it('leaves a sidecar that has none besides them as it is', () => {
  const { isSame, note, logged } = admit('sidecar', { LABELS: { rack: 'r1' } }, joinOf('edge'));
  expect({ isSame, note, logged }).toEqual({ isSame: true, note: undefined, logged: [] });
});

it('leaves proxies that joined without a group', () => {
  for (const type of ['sidecar', 'router'])
    for (const join of [joinOf(undefined), undefined])
      expect(admit(type, { LABELS: { app: 'x' } }, join).isSame).toBe(true);
});
