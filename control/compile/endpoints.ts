/** Endpoints of a cluster, grouped by locality. */
import type { ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints } from '../../shared/xds/cluster.ts';
import type { Locality } from '../../shared/xds/core.ts';
import { compare } from '../mesh/build-view.ts';
import { selects } from '../mesh/fields.ts';
import type { MeshEndpoint, MeshService, ServicePort } from '../mesh/view.ts';
import type { CompileContext } from './context.ts';
import { mtlsMode } from './peer-authentication.ts';

export interface AssignmentOptions {
  subsetLabels: Record<string, string>;
  /** Prefer near localities: only with outlier detection, as Istio does. */
  failover: boolean;
}

export function loadAssignment(
  ctx: CompileContext,
  clusterName: string,
  service: MeshService,
  port: ServicePort,
  options: AssignmentOptions,
): ClusterLoadAssignment {
  const groups = new Map<string, LbEndpoint[]>();
  const dns = service.resolution === 'DNS' || service.resolution === 'DNS_ROUND_ROBIN';
  for (const endpoint of ctx.view.endpoints(service)) {
    if (endpoint.servicePort !== port.number || !selects(options.subsetLabels, endpoint.labels)) continue;
    if (!endpoint.healthy && !dns) continue;
    const group = groups.get(endpoint.locality);
    const item = lbEndpoint(ctx, endpoint);
    if (group) group.push(item);
    else groups.set(endpoint.locality, [item]);
  }
  const names = [...groups.keys()].sort(compare);
  const endpoints = names.map((name): LocalityLbEndpoints => {
    const lbEndpoints = groups.get(name) ?? [];
    const loadBalancingWeight = lbEndpoints.reduce((sum, item) => sum + (item.loadBalancingWeight ?? 1), 0);
    return { locality: localityMessage(name), lbEndpoints, loadBalancingWeight };
  });
  if (options.failover && ctx.proxy.locality !== '') prioritise(endpoints, names, ctx.proxy.locality);
  return { clusterName, endpoints };
}

export function localityMessage(locality: string): Locality {
  const [region = '', zone = '', subZone = ''] = locality.split('/');
  return { ...(region && { region }), ...(zone && { zone }), ...(subZone && { subZone }) };
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
  const mtls = endpoint.mtls && mtlsMode(ctx.view, endpoint, endpoint.port) !== 'DISABLE';
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

/** Priority by nearness: same subzone, zone, region, elsewhere; then the numbers are closed up. */
function prioritise(endpoints: LocalityLbEndpoints[], names: readonly string[], own: string): void {
  const mine = own.split('/');
  const distances = names.map((name) => {
    const parts = name.split('/');
    let same = 0;
    while (same < 3 && (mine[same] ?? '') === (parts[same] ?? '')) same += 1;
    return 3 - same;
  });
  const levels = [...new Set(distances)].sort((a, b) => a - b);
  for (const [index, item] of endpoints.entries()) {
    const priority = levels.indexOf(distances[index] ?? 0);
    if (priority > 0) item.priority = priority;
  }
  endpoints.sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0));
}
