/** Endpoints of a cluster, grouped by locality. */
import type { ClusterLoadAssignment, LbEndpoint } from '../../shared/xds/cluster.ts';
import type { Locality } from '../../shared/xds/core.ts';
import { compare } from '../mesh/build-view.ts';
import { selects } from '../mesh/fields.ts';
import type { MeshEndpoint, MeshService, MeshView, ServicePort } from '../mesh/view.ts';
import type { CompileContext } from './context.ts';
import {
  applyLocalityLb,
  type LocalityLb,
  type PlacedEndpoint,
  type PlacedLocality,
  withLocalityLabels,
} from './locality-lb.ts';
import { mtlsMode } from './peer-authentication.ts';

export interface AssignmentOptions {
  subsetLabels: Record<string, string>;
  /** Prefer near localities: only with outlier detection, as Istio does. */
  failover: boolean;
  /** Undefined: localities count for nothing. */
  locality?: LocalityLb | undefined;
}

export function loadAssignment(
  ctx: CompileContext,
  clusterName: string,
  service: MeshService,
  port: ServicePort,
  options: AssignmentOptions,
): ClusterLoadAssignment {
  const groups = new Map<string, PlacedEndpoint[]>();
  const dns = service.resolution === 'DNS' || service.resolution === 'DNS_ROUND_ROBIN';
  const { clusterId } = ctx.proxy;
  for (const endpoint of ctx.view.endpoints(service)) {
    if (endpoint.servicePort !== port.number || !selects(options.subsetLabels, endpoint.labels)) continue;
    if (!endpoint.healthy && !dns) continue;
    const group = groups.get(endpoint.locality);
    const labels = withLocalityLabels(endpoint.labels, endpoint.locality, endpoint.network, clusterId);
    const item = { endpoint: lbEndpoint(ctx, endpoint), labels };
    if (group) group.push(item);
    else groups.set(endpoint.locality, [item]);
  }
  const names = [...groups.keys()].sort(compare);
  const localities = names.map((name): PlacedLocality => {
    const endpoints = groups.get(name) ?? [];
    const lbEndpoints = endpoints.map(({ endpoint }) => endpoint);
    const loadBalancingWeight = lbEndpoints.reduce((sum, item) => sum + (item.loadBalancingWeight ?? 1), 0);
    return { name, endpoints, message: { locality: localityMessage(name), lbEndpoints, loadBalancingWeight } };
  });
  if (!options.locality) return { clusterName, endpoints: localities.map(({ message }) => message) };
  const { locality, labels } = ctx.proxy;
  const caller = { locality, labels: withLocalityLabels(labels, locality, '', clusterId) };
  return { clusterName, endpoints: applyLocalityLb(localities, options.locality, caller, options.failover) };
}

export function localityMessage(locality: string): Locality {
  const [region = '', zone = '', subZone = ''] = locality.split('/');
  return { ...(region && { region }), ...(zone && { zone }), ...(subZone && { subZone }) };
}

/** Whether the listener at an endpoint's port takes mTLS; where workloads share it, one that wants it decides for all. */
function takesMtls(view: MeshView, endpoint: MeshEndpoint): boolean {
  const { address, namespace, port } = endpoint;
  if (mtlsMode(view, endpoint, port) !== 'DISABLE') return true;
  return view
    .endpointsAt(address)
    .some(
      ({ endpoint: other }) =>
        other.namespace === namespace && other.port === port && mtlsMode(view, other, port) !== 'DISABLE',
    );
}

function lbEndpoint(ctx: CompileContext, endpoint: MeshEndpoint): LbEndpoint {
  const { labels } = endpoint;
  const canonical =
    labels['service.istio.io/canonical-name'] ??
    labels['app.kubernetes.io/name'] ??
    labels['app'] ??
    endpoint.workloadName;
  const revision =
    labels['service.istio.io/canonical-revision'] ?? labels['app.kubernetes.io/version'] ?? labels['version'] ?? '';
  const workload = [endpoint.workloadName, endpoint.namespace, canonical, revision, ctx.proxy.clusterId].join(';');
  const mtls = endpoint.mtls && takesMtls(ctx.view, endpoint);
  const address = endpoint.address.startsWith('unix://')
    ? { pipe: { path: endpoint.address.slice('unix://'.length) } }
    : { socketAddress: { address: endpoint.address, portValue: endpoint.port } };
  return {
    endpoint: { address },
    loadBalancingWeight: endpoint.weight,
    metadata: {
      filterMetadata: {
        ...(mtls && { 'envoy.transport_socket_match': { tlsMode: 'istio' } }),
        istio: { workload },
      },
    },
  };
}
