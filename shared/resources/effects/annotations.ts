/**
 * What Istio's annotations do here (istio.io/latest/docs/reference/config/annotations). Those of Pods may be set on a
 * WorkloadEntry or WorkloadGroup, which describe a workload in their place.
 */
import { type NamedEffects, namesWithoutEffect, on, unused } from './named-effect.ts';

const INJECTION = unused(': proxies are not injected');
const DEPLOYED = unused(': set it where the proxy is deployed');
const STATS = unused(' yet: a proxy makes all of its metrics');
/** In the template's metadata: `tulle join` follows them. */
const CAPTURE = on(['WorkloadGroup'], 'control/api/join.test.ts', 'machine/capture/annotations.test.ts');
const INTERFACES = unused(": containers' interfaces are not captured");
const READINESS = unused(' yet: proxies do not look at the health of their workload');
const RECORD = unused(': Istio keeps records of its own in it');
const REGISTRATION = on(['WorkloadEntry'], 'control/workloads/registrations.test.ts');
const AMBIENT = unused(' yet: there are no waypoints and no ambient capture');
const GATEWAY_API = unused(' yet: the Gateway API is not served');

/** Every annotation that Istio documents, and those of its own that it reads. */
export const ANNOTATION_EFFECTS: NamedEffects = {
  'alpha.istio.io/kubernetes-serviceaccounts': {
    ...on(['Service'], 'shared/resources/effects/annotations.test.ts'),
    ofValue: (value) => (value.includes(',') ? 'only its first account has an effect' : undefined),
  },
  'alpha.istio.io/canonical-serviceaccounts': unused(': name SPIFFE ids as subjectAltNames of a ServiceEntry'),
  'networking.istio.io/exportTo': on(['Service']),
  'proxy.istio.io/config': on(['WorkloadEntry', 'WorkloadGroup'], 'control/compile/node/proxy-config.test.ts'),
  'istio.io/dry-run': on(['AuthorizationPolicy']),
  'internal.istio.io/route-semantics': on(['VirtualService']),
  'internal.istio.io/gateway-service': on(['Gateway'], 'control/compile/gateway/gateway-ports.test.ts'),
  // Both are refused where they would have an effect.
  'internal.istio.io/parents': unused(''),
  'internal.istio.io/parent-namespace': unused(''),

  'prometheus.istio.io/merge-metrics': unused(" yet: a proxy serves its own metrics only, not the application's"),
  'sidecar.istio.io/inject': INJECTION,
  'sidecar.istio.io/status': RECORD,
  'sidecar.istio.io/rewriteAppHTTPProbers': INJECTION,
  'sidecar.istio.io/discoveryAddress': DEPLOYED,
  'sidecar.istio.io/proxyImage': DEPLOYED,
  'sidecar.istio.io/proxyImageType': DEPLOYED,
  'sidecar.istio.io/proxyCPU': DEPLOYED,
  'sidecar.istio.io/proxyCPULimit': DEPLOYED,
  'sidecar.istio.io/proxyMemory': DEPLOYED,
  'sidecar.istio.io/proxyMemoryLimit': DEPLOYED,
  'sidecar.istio.io/interceptionMode': unused(': a proxy names its mode in its node metadata'),
  'sidecar.istio.io/bootstrapOverride': unused(': it configures the Envoy process'),
  'sidecar.istio.io/statsInclusionPrefixes': STATS,
  'sidecar.istio.io/statsInclusionSuffixes': STATS,
  'sidecar.istio.io/statsInclusionRegexps': STATS,
  'sidecar.istio.io/statsHistogramBuckets': STATS,
  'sidecar.istio.io/statsFlushInterval': STATS,
  'sidecar.istio.io/statsEvictionInterval': STATS,
  'sidecar.istio.io/statsHistogramBins': STATS,
  'sidecar.istio.io/statsCompression': unused(': set statsCompression in annotation proxy.istio.io/config'),
  'sidecar.istio.io/extraStatTags': STATS,
  'sidecar.istio.io/userVolume': INJECTION,
  'sidecar.istio.io/userVolumeMount': INJECTION,
  'sidecar.istio.io/logLevel': DEPLOYED,
  'sidecar.istio.io/componentLogLevel': DEPLOYED,
  'sidecar.istio.io/agentLogLevel': DEPLOYED,
  'sidecar.istio.io/nativeSidecar': INJECTION,
  'status.sidecar.istio.io/port': DEPLOYED,
  'readiness.status.sidecar.istio.io/initialDelaySeconds': READINESS,
  'readiness.status.sidecar.istio.io/periodSeconds': READINESS,
  'readiness.status.sidecar.istio.io/failureThreshold': READINESS,
  'readiness.status.sidecar.istio.io/applicationPorts': READINESS,
  'traffic.istio.io/nodeSelector': unused(' yet: gateways of other networks are not called'),
  'traffic.sidecar.istio.io/includeOutboundIPRanges': CAPTURE,
  'traffic.sidecar.istio.io/excludeOutboundIPRanges': CAPTURE,
  'traffic.sidecar.istio.io/includeInboundPorts': CAPTURE,
  'traffic.sidecar.istio.io/excludeInboundPorts': CAPTURE,
  'traffic.sidecar.istio.io/excludeInterfaces': CAPTURE,
  'traffic.sidecar.istio.io/includeOutboundPorts': CAPTURE,
  'traffic.sidecar.istio.io/excludeOutboundPorts': CAPTURE,
  'traffic.sidecar.istio.io/kubevirtInterfaces': INTERFACES,
  'istio.io/reroute-virtual-interfaces': INTERFACES,
  'kubernetes.io/ingress.class': unused(': Ingress resources are not served; use a Gateway'),
  'galley.istio.io/analyze-suppress': unused(' yet: resources are not analyzed'),
  'istio.io/rev': unused(': a control plane has no revisions'),
  'proxy.istio.io/overrides': INJECTION,
  'inject.istio.io/templates': INJECTION,
  'proxy.istio.io/health-checks-enabled': REGISTRATION,
  'istio.io/autoRegistrationGroup': REGISTRATION,
  'istio.io/workloadController': REGISTRATION,
  'istio.io/connectedAt': REGISTRATION,
  'istio.io/disconnectedAt': REGISTRATION,
  'topology.istio.io/controlPlaneClusters': unused(' yet: the mesh has one cluster'),
  'gateway.istio.io/controller-version': GATEWAY_API,
  'gateway.istio.io/service-account': GATEWAY_API,
  'gateway.istio.io/name-override': GATEWAY_API,
  'networking.istio.io/service-type': GATEWAY_API,
  'networking.istio.io/traffic-distribution': unused(' yet: write a localityLbSetting'),
  'ambient.istio.io/redirection': AMBIENT,
  'ambient.istio.io/waypoint-inbound-binding': AMBIENT,
  'ambient.istio.io/bypass-inbound-capture': AMBIENT,
  'ambient.istio.io/dns-capture': AMBIENT,
  'istio.io/use-waypoint-canary-weight': AMBIENT,
};

/** Of each annotation of Istio's that has no effect on a resource of `kind`: why. */
export const annotationsWithoutEffect = (kind: string, given: Readonly<Record<string, unknown>>) =>
  namesWithoutEffect(ANNOTATION_EFFECTS, 'annotation', kind, given);
