/** Schemas of the Kubernetes kinds a mesh needs (kubernetes.io/docs/reference/kubernetes-api). */
import { z } from 'zod';
import { bool, integer, intOrString, list, map, object, oneOfNames, string, struct } from './vocabulary.ts';

const port = () => integer({ min: 1, max: 65535 });
const status = () => struct().optional();

export const NamespaceBody = z.strictObject({
  spec: object({ finalizers: list(string()) }).optional(),
  status: status(),
});

export const ServicePort = object(
  {
    name: string({ max: 63 }),
    protocol: oneOfNames(['TCP', 'UDP', 'SCTP']),
    appProtocol: string(),
    port: port(),
    targetPort: intOrString(),
    nodePort: integer({ min: 0, max: 65535 }),
  },
  ['port'],
);
export type ServicePort = z.infer<typeof ServicePort>;

export const ServiceSpec = object({
  ports: list(ServicePort),
  selector: map(string()),
  clusterIP: string(),
  clusterIPs: list(string(), { max: 2 }),
  type: oneOfNames(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName']),
  externalIPs: list(string()),
  sessionAffinity: oneOfNames(['None', 'ClientIP']),
  loadBalancerIP: string(),
  loadBalancerSourceRanges: list(string()),
  externalName: string(),
  externalTrafficPolicy: oneOfNames(['Cluster', 'Local']),
  healthCheckNodePort: integer({ min: 0, max: 65535 }),
  publishNotReadyAddresses: bool(),
  sessionAffinityConfig: object({ clientIP: object({ timeoutSeconds: integer({ min: 1, max: 86400 }) }) }),
  ipFamilies: list(oneOfNames(['IPv4', 'IPv6']), { max: 2 }),
  ipFamilyPolicy: oneOfNames(['SingleStack', 'PreferDualStack', 'RequireDualStack']),
  allocateLoadBalancerNodePorts: bool(),
  loadBalancerClass: string(),
  internalTrafficPolicy: oneOfNames(['Cluster', 'Local']),
  trafficDistribution: string(),
});
export type ServiceSpec = z.infer<typeof ServiceSpec>;
export const ServiceBody = z.strictObject({ spec: ServiceSpec.optional(), status: status() });

const ObjectReference = object({
  apiVersion: string(),
  kind: string(),
  name: string(),
  namespace: string(),
  uid: string(),
  resourceVersion: string(),
  fieldPath: string(),
});

export const SliceEndpoint = object(
  {
    addresses: list(string({ min: 1 }), { min: 1, max: 100 }),
    conditions: object({ ready: bool(), serving: bool(), terminating: bool() }),
    hostname: string(),
    targetRef: ObjectReference,
    deprecatedTopology: map(string()),
    nodeName: string(),
    zone: string(),
    hints: object({
      forZones: list(object({ name: string() }, ['name']), { max: 8 }),
      forNodes: list(object({ name: string() }, ['name']), { max: 8 }),
    }),
  },
  ['addresses'],
);
export type SliceEndpoint = z.infer<typeof SliceEndpoint>;

export const EndpointSliceBody = z.strictObject({
  addressType: oneOfNames(['IPv4', 'IPv6', 'FQDN']),
  endpoints: list(SliceEndpoint, { max: 1000 }),
  ports: list(
    object({
      name: string({ max: 63 }),
      protocol: oneOfNames(['TCP', 'UDP', 'SCTP']),
      port: port(),
      appProtocol: string(),
    }),
    { max: 100 },
  ).optional(),
});

export const ServiceAccountBody = z.strictObject({
  secrets: list(ObjectReference).optional(),
  imagePullSecrets: list(object({ name: string() })).optional(),
  automountServiceAccountToken: bool().optional(),
});

export const SecretBody = z.strictObject({
  /** Values in base64. */
  data: map(string()).optional(),
  stringData: map(string()).optional(),
  type: string().optional(),
  immutable: bool().optional(),
});

export const ConfigMapBody = z.strictObject({
  data: map(string()).optional(),
  binaryData: map(string()).optional(),
  immutable: bool().optional(),
});
