/** Kubernetes Service and EndpointSlice -> services and endpoints. */
import type { Resource } from '../../shared/resources/resource.ts';
import { exportToOf } from './export-to.ts';
import { type Fields, fields, labelsOf, namespaceOf, numeric, objects, specOf, strings, text } from './fields.ts';
import { protocolOf } from './protocol.ts';
import { type ServiceDefinition, speaksMtls, workloadEndpoints } from './service-entry.ts';
import type { MeshEndpoint, MeshService, MeshSettings, ServicePort } from './view.ts';

/** Istio's annotation that names the identities behind a Service. */
const SERVICE_ACCOUNTS = 'alpha.istio.io/kubernetes-serviceaccounts';

/** Label of an EndpointSlice that names its Service. */
const SERVICE_NAME = 'kubernetes.io/service-name';

/** `namespace/name` of the Service a slice belongs to; undefined: of none. */
export function sliceOwner(slice: Resource): string | undefined {
  const name = slice.metadata.labels?.[SERVICE_NAME];
  return name === undefined ? undefined : `${namespaceOf(slice)}/${name}`;
}

/** @param settings those of the mesh that a Service follows: its domain, and who sees a Service that does not say so */
export function kubernetesDefinition(
  resource: Resource,
  { domainSuffix, config }: Pick<MeshSettings, 'domainSuffix' | 'config'>,
): ServiceDefinition {
  const spec = specOf(resource);
  const namespace = namespaceOf(resource);
  const { name, annotations = {}, labels = {}, creationTimestamp = '' } = resource.metadata;
  const ports = objects(spec['ports']).map(servicePort);
  const exportTo = (annotations['networking.istio.io/exportTo'] ?? '').split(',').map((item) => item.trim());
  const externalName = spec['type'] === 'ExternalName' ? text(spec['externalName']) : undefined;
  const service: MeshService = {
    hostname: `${name}.${namespace}.svc.${domainSuffix}`,
    namespace,
    name,
    ports,
    addresses: clusterIps(spec),
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
    selector: labelsOf(spec['selector']),
    endpoints: itself.flatMap((workload) => workloadEndpoints(workload, ports)),
    slices: { serviceName: name, account },
  };
}

function clusterIps(spec: Fields): string[] {
  const all = strings(spec['clusterIPs']);
  const first = text(spec['clusterIP']);
  return (all.length > 0 || first === undefined ? all : [first]).filter((ip) => ip !== 'None' && ip !== '');
}

function servicePort(port: Fields): ServicePort {
  const number = numeric(port['port']) ?? 0;
  const name = text(port['name']) ?? '';
  const protocol =
    port['protocol'] === 'UDP' ? ('UDP' as const) : protocolOf(text(port['appProtocol']), name || undefined);
  const targetPort = numeric(port['targetPort']) ?? text(port['targetPort']);
  return targetPort === undefined ? { number, name, protocol } : { number, name, protocol, targetPort };
}

const known = new WeakMap<Resource, WeakMap<ServiceDefinition, readonly MeshEndpoint[]>>();

/** The endpoints of one slice of a Service; the same objects for the same slice and definition. */
export function sliceEndpoints(slice: Resource, definition: ServiceDefinition): readonly MeshEndpoint[] {
  let ofSlice = known.get(slice);
  if (!ofSlice) known.set(slice, (ofSlice = new WeakMap()));
  let endpoints = ofSlice.get(definition);
  if (!endpoints)
    ofSlice.set(definition, (endpoints = readSlice(slice, definition.service.ports, definition.slices?.account ?? '')));
  return endpoints;
}

function readSlice(slice: Resource, ports: readonly ServicePort[], account: string): MeshEndpoint[] {
  const body = slice as Resource & { endpoints?: unknown; ports?: unknown };
  const slicePorts = objects(body.ports);
  const labels = endpointLabels(slice);
  const found: MeshEndpoint[] = [];
  for (const endpoint of objects(body.endpoints)) {
    const target = text(fields(endpoint['targetRef'])['name']);
    for (const address of strings(endpoint['addresses']))
      for (const port of ports) {
        const match = slicePorts.find((item) => (text(item['name']) ?? '') === port.name);
        const number = match && numeric(match['port']);
        if (number === undefined) continue;
        found.push({
          address,
          port: number,
          servicePort: port.number,
          labels,
          locality: endpoint['zone'] ? `${regionOf(text(endpoint['zone']))}` : '',
          weight: 1,
          serviceAccount: account,
          namespace: namespaceOf(slice),
          network: '',
          workloadName: target ?? slice.metadata.name,
          workloadKind: target === undefined ? 'EndpointSlice' : 'Pod',
          healthy: fields(endpoint['conditions'])['ready'] !== false,
          mtls: speaksMtls(labels, account),
        });
      }
  }
  return found;
}

/** An EndpointSlice knows its zone only; the region is the zone's name without its last letter group. */
function regionOf(zone: string | undefined): string {
  return zone === undefined ? '' : `${zone.replace(/-?[a-z0-9]$/, '')}/${zone}`;
}

/** There is no Pod kind: a slice's own labels, except those Kubernetes sets, are used as its endpoints' labels. */
function endpointLabels(slice: Resource): Record<string, string> {
  return Object.fromEntries(
    Object.entries(slice.metadata.labels ?? {}).filter(([key]) => !key.includes('kubernetes.io/')),
  );
}
