/** Kubernetes Service and EndpointSlice -> services and endpoints. */
import { portProtocol } from '../../shared/match/protocol.ts';
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { ServiceSpec, ServicePort as WrittenPort } from '../../shared/resources/schema/core.ts';
import { exportToOf } from './export-to.ts';
import { namespaceOf, numeric, specOf } from './fields.ts';
import { type ServiceDefinition, speaksMtls, workloadEndpoints } from './service-entry.ts';
import type { MeshEndpoint, MeshService, MeshSettings, ServicePort } from './view.ts';

type Service = ResourceOfKind<'Service'>;
type EndpointSlice = ResourceOfKind<'EndpointSlice'>;

/** Istio's annotation that names the identities behind a Service. */
const SERVICE_ACCOUNTS = 'alpha.istio.io/kubernetes-serviceaccounts';

/** Label of an EndpointSlice that names its Service. */
const SERVICE_NAME = 'kubernetes.io/service-name';

/** `namespace/name` of the Service a slice belongs to; undefined: of none. */
export function sliceOwner(slice: EndpointSlice): string | undefined {
  const name = slice.metadata.labels?.[SERVICE_NAME];
  return name === undefined ? undefined : `${namespaceOf(slice)}/${name}`;
}

/** @param settings those of the mesh that a Service follows: its domain, and who sees a Service that does not say so */
export function kubernetesDefinition(
  resource: Service,
  { domainSuffix, config }: Pick<MeshSettings, 'domainSuffix' | 'config'>,
): ServiceDefinition {
  const spec = specOf(resource);
  const namespace = namespaceOf(resource);
  const { name, annotations = {}, labels = {}, creationTimestamp = '' } = resource.metadata;
  const ports = (spec.ports ?? []).map(servicePort);
  const exportTo = (annotations['networking.istio.io/exportTo'] ?? '').split(',').map((item) => item.trim());
  const externalName = spec.type === 'ExternalName' ? spec.externalName || undefined : undefined;
  const service: MeshService = {
    hostname: `${name}.${namespace}.svc.${domainSuffix}`,
    namespace,
    name,
    ports,
    addresses: clusterIps(spec),
    ...(externalName && { aliasOf: externalName.replace(/\.$/, '') }),
    resolution: externalName ? 'DNS' : 'STATIC',
    external: externalName !== undefined,
    exportTo: exportToOf(exportTo[0] === '' ? [] : exportTo, config.defaultServiceExportTo),
    subjectAltNames: [],
    labels,
    creationTimestamp,
    resource,
  };
  const account = annotations[SERVICE_ACCOUNTS]?.split(',')[0]?.trim() ?? '';
  const itself =
    externalName === undefined
      ? []
      : [{ kind: 'Service' as const, name, namespace, body: { address: externalName }, labels: {} }];
  return {
    service,
    namespace,
    selector: spec.selector ?? {},
    endpoints: itself.flatMap((workload) => workloadEndpoints(workload, ports)),
    slices: { serviceName: name, account },
  };
}

function clusterIps({ clusterIPs: all = [], clusterIP: first }: ServiceSpec): string[] {
  return (all.length > 0 || first === undefined ? all : [first]).filter((ip) => ip !== 'None' && ip !== '');
}

function servicePort({ port: number, name = '', ...port }: WrittenPort): ServicePort {
  const protocol = portProtocol(number, name, port.protocol, port.appProtocol || undefined);
  const targetPort = numeric(port.targetPort) ?? (port.targetPort || undefined);
  return targetPort === undefined ? { number, name, protocol } : { number, name, protocol, targetPort };
}

const known = new WeakMap<EndpointSlice, WeakMap<ServiceDefinition, readonly MeshEndpoint[]>>();

/** The endpoints of one slice of a Service; the same objects for the same slice and definition. */
export function sliceEndpoints(slice: EndpointSlice, definition: ServiceDefinition): readonly MeshEndpoint[] {
  let ofSlice = known.get(slice);
  if (!ofSlice) known.set(slice, (ofSlice = new WeakMap()));
  let endpoints = ofSlice.get(definition);
  if (!endpoints)
    ofSlice.set(definition, (endpoints = readSlice(slice, definition.service.ports, definition.slices?.account ?? '')));
  return endpoints;
}

function readSlice(slice: EndpointSlice, ports: readonly ServicePort[], account: string): MeshEndpoint[] {
  const { ports: slicePorts = [], endpoints = [] } = slice;
  const labels = endpointLabels(slice);
  const found: MeshEndpoint[] = [];
  for (const { addresses, hostname, targetRef, zone, conditions } of endpoints) {
    const target = targetRef?.name || undefined;
    for (const address of addresses)
      for (const port of ports) {
        const number = slicePorts.find(({ name = '' }) => name === port.name)?.port;
        if (number === undefined) continue;
        found.push({
          address,
          port: number,
          servicePort: port.number,
          labels,
          locality: zone ? localityOf(zone) : '',
          weight: 1,
          serviceAccount: account,
          namespace: namespaceOf(slice),
          network: '',
          workloadName: target ?? slice.metadata.name,
          workloadKind: target === undefined ? 'EndpointSlice' : 'Pod',
          healthy: conditions?.ready !== false,
          ...(hostname && { hostname }),
          mtls: speaksMtls(labels, account),
        });
      }
  }
  return found;
}

/** An EndpointSlice knows its zone only; the region is the zone's name without its last letter group. */
function localityOf(zone: string): string {
  return `${zone.replace(/-?[a-z0-9]$/, '')}/${zone}`;
}

/** There is no Pod kind: a slice's own labels, except those Kubernetes sets, are used as its endpoints' labels. */
function endpointLabels(slice: EndpointSlice): Record<string, string> {
  return Object.fromEntries(
    Object.entries(slice.metadata.labels ?? {}).filter(([key]) => !key.includes('kubernetes.io/')),
  );
}
