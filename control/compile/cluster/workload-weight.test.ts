import { expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileNode } from '../node/node.ts';

const resource = (kind: string, name: string, spec: object): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'shop' },
  spec: spec as never,
});
const NODE = { id: 'sidecar~10.0.0.9~a.shop~shop.svc.cluster.local', metadata: { NAMESPACE: 'shop' } };

it('the weight of a WorkloadEntry is that of its endpoint, one without has 1', () => {
  const entry = (name: string, address: string, weight?: number) =>
    resource('WorkloadEntry', name, { address, labels: { app: 'v' }, ...(weight !== undefined && { weight }) });
  const service = resource('ServiceEntry', 'v', {
    hosts: ['v.example'],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    workloadSelector: { labels: { app: 'v' } },
  });
  const view = buildView([service, entry('heavy', '10.0.0.1', 3), entry('light', '10.0.0.2')], 1);
  const assignment = compileNode(view, NODE).endpoints.find(
    ({ clusterName }) => clusterName === 'outbound|80||v.example',
  );
  const weights = (assignment?.endpoints ?? []).flatMap(({ lbEndpoints = [] }) =>
    lbEndpoints.map(({ endpoint, loadBalancingWeight }) => [
      endpoint?.address?.socketAddress?.address,
      loadBalancingWeight,
    ]),
  );
  expect(weights.toSorted()).toEqual([
    ['10.0.0.1', 3],
    ['10.0.0.2', 1],
  ]);
});
