/** Schemas of the Kubernetes kinds a mesh needs (kubernetes.io/docs/reference/kubernetes-api). */
import * as z from 'zod';
import {
  atomic,
  bool,
  integer,
  intOrString,
  list,
  map,
  mergedAsSet,
  mergedBy,
  object,
  oneOfNames,
  string,
  struct,
} from './vocabulary.ts';

const port = () => integer({ min: 1, max: 65535 });
const nodePort = () => integer({ min: 0, max: 65535 });
const status = () => struct().describe('What is the case, as controllers have found it. Kept, not read.').optional();
const protocol = () => oneOfNames(['TCP', 'UDP', 'SCTP']).describe('Transport protocol. Default: TCP.');
const appProtocol = () =>
  string().describe(
    'Protocol of the port, as http, grpc or kubernetes.io/h2c. Default: selected by the name of the port.',
  );

export const NamespaceBody = z.strictObject({
  spec: object({ finalizers: list(string()).describe('What must be done before the namespace goes. Kept, not read.') })
    .describe('What the namespace is to be.')
    .optional(),
  status: status(),
});

export const ServicePort = object(
  {
    name: string({ max: 63 }).describe(
      'Name of the port; http, grpc, tcp and so on, alone or before "-", select the protocol. Required with several ports.',
    ),
    protocol: protocol(),
    appProtocol: appProtocol(),
    port: port().describe('Port clients use.'),
    targetPort: intOrString().describe('Port of the workloads, by number or by name. Default: port.'),
    nodePort: nodePort().describe('Port on every node. Kept, not used.'),
  },
  ['port'],
);
export type ServicePort = z.infer<typeof ServicePort>;

export const ServiceSpec = object({
  ports: mergedBy(list(ServicePort), 'port', 'protocol').describe('Ports of the service.'),
  selector: atomic(map(string())).describe(
    'Labels of its workloads. Default: none, the endpoints are written by others.',
  ),
  clusterIP: string().describe(
    'Virtual address; None for a headless service, whose clients call workloads themselves.',
  ),
  clusterIPs: list(string(), { max: 2 }).describe('Virtual addresses, one for each address family, clusterIP first.'),
  type: oneOfNames(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName']).describe(
    'How it is reached; ExternalName makes it an alias of another domain name. Default: ClusterIP.',
  ),
  externalIPs: list(string()).describe(
    'Further addresses it is reached at: of a gateway between networks, those that other networks call.',
  ),
  sessionAffinity: oneOfNames(['None', 'ClientIP']).describe('Kept, not used: see DestinationRule. Default: None.'),
  loadBalancerIP: string().describe('Deprecated. Kept, not used.'),
  loadBalancerSourceRanges: list(string()).describe('Clients a load balancer lets in. Kept, not used.'),
  externalName: string().describe(
    'Domain name that it is an alias of, with type ExternalName. Where a service has the name, calls of the alias go to it, and ports are not read.',
  ),
  externalTrafficPolicy: oneOfNames(['Cluster', 'Local']).describe('Kept, not used. Default: Cluster.'),
  healthCheckNodePort: nodePort().describe('Kept, not used.'),
  publishNotReadyAddresses: bool().describe(
    'Workloads count as endpoints before they are ready. Kept, not used: the conditions of endpoints count. Default: false.',
  ),
  sessionAffinityConfig: object({
    clientIP: object({
      timeoutSeconds: integer({ min: 1, max: 86400 }).describe('Seconds an affinity lasts. Default: 10800.'),
    }).describe('Settings of ClientIP.'),
  }).describe('Settings of sessionAffinity. Kept, not used.'),
  ipFamilies: list(oneOfNames(['IPv4', 'IPv6']), { max: 2 }).describe(
    'Address families of the virtual addresses. Kept, not used: the addresses determine it.',
  ),
  ipFamilyPolicy: oneOfNames(['SingleStack', 'PreferDualStack', 'RequireDualStack']).describe(
    'One address family or both. Kept, not used. Default: SingleStack.',
  ),
  allocateLoadBalancerNodePorts: bool().describe('Kept, not used. Default: true.'),
  loadBalancerClass: string().describe('Kept, not used.'),
  internalTrafficPolicy: oneOfNames(['Cluster', 'Local']).describe(
    'Local: clients reach only workloads of their own node. Kept, not used. Default: Cluster.',
  ),
  trafficDistribution: string().describe(
    'PreferClose: endpoints near the client first. Kept, not used: see localityLbSetting of DestinationRule.',
  ),
});
export type ServiceSpec = z.infer<typeof ServiceSpec>;
export const ServiceBody = z.strictObject({
  spec: ServiceSpec.describe('What the service is.').optional(),
  status: status(),
});

export const ObjectReference = atomic(
  object({
    apiVersion: string().describe('API version of the object.'),
    kind: string().describe('Kind of the object.'),
    name: string().describe('Name of the object.'),
    namespace: string().describe('Namespace of the object.'),
    uid: string().describe('UID of the object.'),
    resourceVersion: string().describe('Resource version of the object.'),
    fieldPath: string().describe('A part of the object.'),
  }),
);

const forName = (what: string) =>
  list(object({ name: string().describe(`Name of the ${what}.`) }, ['name']), { max: 8 }).describe(
    `Clients of these ${what}s should use the endpoint.`,
  );

export const SliceEndpoint = object(
  {
    addresses: mergedAsSet(list(string({ min: 1 }), { min: 1, max: 100 })).describe(
      'Addresses of the endpoint; the first is used.',
    ),
    conditions: object({
      ready: bool().describe('Takes traffic. Default: true.'),
      serving: bool().describe('Answers, also while it is going down. Default: the value of ready.'),
      terminating: bool().describe('Is going down. Default: false.'),
    }).describe('How the endpoint is.'),
    hostname: string().describe('Name of the endpoint below the domain name of the service.'),
    targetRef: ObjectReference.describe('The workload behind the endpoint, as a Pod.'),
    deprecatedTopology: map(string()).describe('Deprecated: use nodeName and zone.'),
    nodeName: string().describe('Node the endpoint runs on. Kept, not used.'),
    zone: string().describe('Zone the endpoint runs in, for locality-aware load balancing.'),
    hints: object({ forZones: forName('zone'), forNodes: forName('node') }).describe(
      'Which clients should use it. Kept, not used.',
    ),
  },
  ['addresses'],
);
export type SliceEndpoint = z.infer<typeof SliceEndpoint>;

export const EndpointSliceBody = z.strictObject({
  addressType: oneOfNames(['IPv4', 'IPv6', 'FQDN']).describe('What the addresses are.'),
  endpoints: list(SliceEndpoint, { max: 1000 }).describe('The endpoints, at most 1000 in a slice.'),
  ports: list(
    object({
      name: string({ max: 63 }).describe('Name of the port, that of the service.'),
      protocol: protocol(),
      port: port().describe('Port of the endpoints.'),
      appProtocol: appProtocol(),
    }),
    { max: 100 },
  )
    .describe('Ports every endpoint of the slice has.')
    .optional(),
});

export const ServiceAccountBody = z.strictObject({
  secrets: mergedBy(list(ObjectReference), 'name')
    .describe('Secrets its workloads may use. Kept, not read.')
    .optional(),
  imagePullSecrets: list(object({ name: string().describe('Name of the Secret.') }))
    .describe('Secrets with credentials of image registries. Kept, not read.')
    .optional(),
  automountServiceAccountToken: bool().describe('Kept, not read.').optional(),
});

export const SecretBody = z.strictObject({
  data: map(string()).describe('Values by key, in base64.').optional(),
  stringData: map(string()).describe('Values by key, as text; they win over data.').optional(),
  type: string().describe('What is in it, as kubernetes.io/tls. Default: Opaque.').optional(),
  immutable: bool().describe('Values never change. Default: false.').optional(),
});

export const ConfigMapBody = z.strictObject({
  data: map(string()).describe('Values by key, as text.').optional(),
  binaryData: map(string()).describe('Values by key, in base64.').optional(),
  immutable: bool().describe('Values never change. Default: false.').optional(),
});
