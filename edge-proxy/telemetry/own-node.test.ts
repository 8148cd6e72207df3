import { expect, it } from 'vitest';
import { ownNode } from './own-node.ts';

it("reads a node's own workload as Istio's proxies do", () => {
  const id = 'sidecar~10.0.0.1~front-v1.shop~shop.svc.cluster.local';
  const metadata = {
    NAME: 'front-v1-0',
    NAMESPACE: 'shop',
    WORKLOAD_NAME: 'front-v1',
    CLUSTER_ID: 'east',
    LABELS: { app: 'front', 'service.istio.io/canonical-revision': 'r2', version: 'v1' },
  };
  expect(ownNode({ id, metadata, locality: { region: 'eu', zone: 'eu-1' } }, { app: 'x', cluster: 'y' })).toEqual({
    id,
    metadata,
    locality: 'eu/eu-1',
    workload: {
      name: 'front-v1-0',
      namespace: 'shop',
      workload: 'front-v1',
      cluster: 'east',
      service: 'front',
      revision: 'r2',
      app: 'front',
      version: 'v1',
      type: '',
      region: 'eu',
      availabilityZone: 'eu-1',
    },
  });
});

it('takes what it is given where the node says nothing', () => {
  expect(ownNode({ id: 'static' }, { app: 'gateway', cluster: 'Kubernetes' }).workload).toMatchObject({
    name: '',
    namespace: '',
    workload: 'static',
    cluster: 'Kubernetes',
    service: 'gateway',
    revision: '',
    app: 'gateway',
    version: '',
  });
});
