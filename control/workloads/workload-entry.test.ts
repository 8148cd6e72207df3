import { expect, it } from 'vitest';
import { machineOf, workloadEntryOf } from './workload-entry.ts';

const group = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadGroup',
  metadata: { name: 'web', namespace: 'default', uid: 'u' },
  spec: { metadata: { labels: { app: 'web' } }, template: { serviceAccount: 'web' } },
} as never;

it.each(['true', undefined])('a machine that says %s of being behind NAT has its label accordingly', (behindNat) => {
  const machine = machineOf({
    id: 'sidecar~192.168.0.2~web.default~default.svc.cluster.local',
    metadata: { NAMESPACE: 'default', AUTO_REGISTER_GROUP: 'web', ...(behindNat && { TULLE_BEHIND_NAT: behindNat }) },
  })!;
  const { entry } = workloadEntryOf(group, machine, {}, { controller: 'c', join: undefined, connectedAt: new Date() });
  const labels = { app: 'web', ...(behindNat && { 'tulle.dev/behind-nat': 'true' }) };
  expect(entry).toMatchObject({ metadata: { labels }, spec: { labels } });
});
