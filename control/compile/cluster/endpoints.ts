/** Endpoints of a cluster, grouped by locality. */
import type { ClusterLoadAssignment, LbEndpoint } from '../../../shared/xds/cluster.ts';
import type { Locality } from '../../../shared/xds/core.ts';
import { selects } from '../../mesh/fields.ts';
import { compare } from '../../mesh/sorted-list.ts';
import type { MeshEndpoint, MeshService, ServicePort } from '../../mesh/view.ts';
import { generator, labelsFrom } from '../memo.ts';
import type { MtlsModes } from '../security/peer-authentication.ts';
import { type Subset, selectedLabels } from './destination-rule.ts';
import {
  applyLocalityLb,
  dependsOnCaller,
  type LocalityLb,
  type PlacedEndpoint,
  type PlacedLocality,
  withLocalityLabels,
} from './locality-lb.ts';
import { isBehindNat } from './tunnel-view.ts';

export interface AssignmentInput {
  readonly endpoints: readonly MeshEndpoint[];
  /** Endpoints of other services at the same addresses, where they might matter. */
  readonly neighbours: readonly MeshEndpoint[];
  readonly service: MeshService;
  readonly port: ServicePort;
  readonly subset: Subset | undefined;
  readonly mtls: MtlsModes;
  readonly clusterName: string;
  readonly clusterId: string;
}

export interface Assignment {
  readonly localities: readonly PlacedLocality[];
  readonly message: ClusterLoadAssignment;
  /** Some are behind NAT. */
  readonly behindNat?: boolean;
}

/** The endpoints of a cluster by locality, as every caller sees them. */
export const assignmentOf = generator<AssignmentInput, Assignment>(
  {
    endpoints: true,
    neighbours: true,
    service: true,
    port: true,
    subset: true,
    mtls: true,
    clusterName: true,
    clusterId: true,
  },
  ({ endpoints, neighbours, service, port, subset, mtls, clusterName, clusterId }) => {
    const groups = new Map<string, PlacedEndpoint[]>();
    const dns = service.resolution === 'DNS' || service.resolution === 'DNS_ROUND_ROBIN';
    for (const endpoint of endpoints) {
      if (endpoint.servicePort !== port.number || !selects(selectedLabels(subset), endpoint.labels)) continue;
      if (!endpoint.healthy && !dns) continue;
      const group = groups.get(endpoint.locality);
      const labels = withLocalityLabels(endpoint.labels, endpoint.locality, endpoint.network, clusterId);
      const secured = endpoint.mtls && takesMtls(mtls, endpoint, neighbours);
      const item = { endpoint: lbEndpoint({ endpoint, secured, clusterId }), labels, source: endpoint, secured };
      if (group) group.push(item);
      else groups.set(endpoint.locality, [item]);
    }
    const names = [...groups.keys()].sort(compare);
    const localities = names.map((name): PlacedLocality => {
      const placed = groups.get(name) ?? [];
      const lbEndpoints = placed.map((item) => item.endpoint);
      const loadBalancingWeight = lbEndpoints.reduce((sum, item) => sum + (item.loadBalancingWeight ?? 1), 0);
      return {
        name,
        endpoints: placed,
        message: { locality: localityMessage(name), lbEndpoints, loadBalancingWeight },
      };
    });
    const behindNat = endpoints.some(isBehindNat);
    return {
      localities,
      message: { clusterName, endpoints: localities.map(({ message }) => message) },
      ...(behindNat && { behindNat }),
    };
  },
);

export interface PlacedInput {
  readonly assignment: Assignment;
  /** Undefined: localities count for nothing. */
  readonly setting: LocalityLb | undefined;
  /** Prefer near localities: only with outlier detection, as Istio does. */
  readonly failover: boolean;
  readonly clusterId: string;
  readonly locality: string;
  /** The caller's labels that failover priorities name, as `labelsKey` writes them. */
  readonly labels: string;
}

/** An assignment as callers of one place see it. */
export function placedAssignment(input: PlacedInput): ClusterLoadAssignment {
  const { assignment, setting, failover } = input;
  return setting && dependsOnCaller(setting, failover) ? placed(input) : assignment.message;
}

const placed = generator<PlacedInput, ClusterLoadAssignment>(
  { assignment: true, setting: true, failover: true, clusterId: true, locality: true, labels: true },
  ({ assignment, setting, failover, clusterId, locality, labels }) => {
    const { clusterName } = assignment.message;
    if (!setting) return assignment.message;
    const caller = { locality, labels: withLocalityLabels(labelsFrom(labels), locality, '', clusterId) };
    return { clusterName, endpoints: applyLocalityLb(assignment.localities, setting, caller, failover) };
  },
);

function localityMessage(locality: string): Locality {
  const [region = '', zone = '', subZone = ''] = locality.split('/');
  return { ...(region && { region }), ...(zone && { zone }), ...(subZone && { subZone }) };
}

/** Whether the listener at an endpoint's port takes mTLS; where workloads share it, one that wants it decides for all. */
function takesMtls(mtls: MtlsModes, endpoint: MeshEndpoint, neighbours: readonly MeshEndpoint[]): boolean {
  const { address, namespace, port } = endpoint;
  if (mtls.of(endpoint, port) !== 'DISABLE') return true;
  return neighbours.some(
    (other) =>
      other.address === address &&
      other.namespace === namespace &&
      other.port === port &&
      mtls.of(other, port) !== 'DISABLE',
  );
}

const lbEndpoint = generator<{ endpoint: MeshEndpoint; secured: boolean; clusterId: string }, LbEndpoint>(
  { endpoint: true, secured: true, clusterId: true },
  ({ endpoint, secured, clusterId }) => {
    const { labels } = endpoint;
    const canonical =
      labels['service.istio.io/canonical-name'] ??
      labels['app.kubernetes.io/name'] ??
      labels['app'] ??
      endpoint.workloadName;
    const revision =
      labels['service.istio.io/canonical-revision'] ?? labels['app.kubernetes.io/version'] ?? labels['version'] ?? '';
    const workload = [endpoint.workloadName, endpoint.namespace, canonical, revision, clusterId].join(';');
    const address = endpoint.address.startsWith('unix://')
      ? { pipe: { path: endpoint.address.slice('unix://'.length) } }
      : { socketAddress: { address: endpoint.address, portValue: endpoint.port } };
    return {
      endpoint: { address },
      loadBalancingWeight: endpoint.weight,
      metadata: {
        filterMetadata: {
          ...(secured && { 'envoy.transport_socket_match': { tlsMode: 'istio' } }),
          istio: { workload },
        },
      },
    };
  },
);
