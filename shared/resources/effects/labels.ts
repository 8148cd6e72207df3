/**
 * What Istio's labels do here (istio.io/latest/docs/reference/config/labels), on resources and on the workloads that they
 * describe: labels of Pods are those of WorkloadEntry, of endpoints of a ServiceEntry and of a WorkloadGroup's template.
 */
import { type NamedEffects, namesWithoutEffect, on, unused } from './named-effect.ts';

/** Kinds that describe workloads. */
const WORKLOADS = ['WorkloadEntry', 'ServiceEntry', 'WorkloadGroup'] as const;

const AMBIENT = unused(' yet: there are no waypoints and no ambient capture');
const GATEWAY_API = unused(' yet: the Gateway API is not served');
const OPERATOR = unused(": it is a record of Istio's installer");

export const LABEL_EFFECTS: NamedEffects = {
  'security.istio.io/tlsMode': on(WORKLOADS, 'control/compile/cluster/protocols.test.ts'),
  'service.istio.io/canonical-name': on(WORKLOADS),
  'service.istio.io/canonical-revision': on(WORKLOADS),
  'service.istio.io/workload-name': unused(' yet: a workload is named by its proxy'),
  'networking.istio.io/gatewayPort': on(['Service', 'ServiceEntry'], 'control/compile/cluster/network-view.test.ts'),
  'networking.istio.io/enable-autoallocate-ip': on(['ServiceEntry'], 'control/status/address-allocator.test.ts'),
  'experimental.istio.io/disable-gateway-port-translation': on(
    ['Service', 'ServiceEntry'],
    'control/compile/gateway/gateway-ports.test.ts',
  ),
  'topology.istio.io/subzone': unused(': the locality is a field of the endpoint'),
  'topology.istio.io/network': on(['Service', ...WORKLOADS], 'control/compile/cluster/network-view.test.ts'),
  'topology.istio.io/cluster': unused(' yet: the mesh has one cluster'),
  'topology.istio.io/locality': unused(' yet: the locality is a field of the endpoint'),
  'sidecar.istio.io/inject': unused(': proxies are not injected'),
  'istio.io/rev': unused(': a control plane has no revisions'),
  'istio.io/tag': unused(': a control plane has no revisions'),
  'operator.istio.io/component': OPERATOR,
  'operator.istio.io/managed': OPERATOR,
  'operator.istio.io/version': OPERATOR,
  'gateway.istio.io/managed': GATEWAY_API,
  'istio.io/dataplane-mode': AMBIENT,
  'istio.io/use-waypoint': AMBIENT,
  'istio.io/use-waypoint-namespace': AMBIENT,
  'istio.io/use-waypoint-canary': AMBIENT,
  'istio.io/use-waypoint-canary-namespace': AMBIENT,
  'istio.io/ingress-use-waypoint': AMBIENT,
  'istio.io/waypoint-for': AMBIENT,
  'gateway.networking.k8s.io/gateway-name': GATEWAY_API,
  'gateway.networking.k8s.io/gateway-class-name': GATEWAY_API,
};

/** Of each label of Istio's that has no effect on a resource of `kind`: why. */
export const labelsWithoutEffect = (kind: string, given: Readonly<Record<string, unknown>>) =>
  namesWithoutEffect(LABEL_EFFECTS, 'label', kind, given);
