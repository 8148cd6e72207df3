/** Fragments of clusters: traffic policies and localities. */
import type { TrafficPolicy } from '../../../../shared/resources/schema/destination-rule.ts';
import type { Cluster } from '../../../../shared/xds/cluster.ts';
import type { Locality } from '../../../../shared/xds/core.ts';
import { buildView } from '../../../mesh/build-view.ts';
import type { ServicePort } from '../../../mesh/view.ts';
import { withMeshKeepalive } from '../../cluster/clusters.ts';
import { trafficPolicy } from '../../cluster/destination-rule.ts';
import { applyLocalityLb } from '../../cluster/locality-lb.ts';
import { applyTrafficPolicy } from '../../cluster/traffic-policy.ts';
import { compileNode } from '../../node/node.ts';
import { type Fragment, type Json, type Outcome, settingsOf } from './fragment.ts';

const PORT: ServicePort = { number: 80, name: 'http', protocol: 'HTTP' };

function clusterWith(policy: TrafficPolicy): Cluster {
  const cluster: Cluster = { name: 'outbound|80||foo', type: 'EDS' };
  applyTrafficPolicy(cluster, policy, PORT, { upgrades: false, detects: false }, () => {});
  return cluster;
}

type OutlierDetection = NonNullable<TrafficPolicy['outlierDetection']>;

export function outlierDetection({ input, expected }: Fragment<OutlierDetection>): Outcome {
  return { made: clusterWith({ outlierDetection: input }).outlierDetection, expected };
}

interface PoolInput {
  /** What the cluster has before the pool is applied. */
  readonly httpProtocolOptions: { readonly commonHttpProtocolOptions: Json };
  readonly connectionPool: NonNullable<TrafficPolicy['connectionPool']>;
  readonly retryBudget?: NonNullable<TrafficPolicy['retryBudget']>;
}

interface PoolExpectation {
  readonly expectedHTTPPOpt: { readonly commonHttpProtocolOptions: Json };
  readonly expectedCircuitBreakers: { readonly thresholds: readonly Json[] };
}

/** `trackRemaining` only makes gauges. */
export function connectionPool({ input, expected }: Fragment<PoolInput>): Outcome {
  const { connectionPool: pool, retryBudget } = input;
  const cluster = clusterWith({ connectionPool: pool, ...(retryBudget && { retryBudget }) });
  const [options] = Object.values(cluster.typedExtensionProtocolOptions ?? {});
  const wanted = expected as PoolExpectation;
  return {
    made: {
      common: { ...input.httpProtocolOptions.commonHttpProtocolOptions, ...options?.commonHttpProtocolOptions },
      thresholds: cluster.circuitBreakers?.thresholds,
    },
    expected: {
      common: wanted.expectedHTTPPOpt.commonHttpProtocolOptions,
      thresholds: wanted.expectedCircuitBreakers.thresholds.map(({ trackRemaining: _, ...threshold }) => threshold),
    },
  };
}

interface KeepaliveInput {
  readonly meshConfig: object;
  readonly connectionPool: NonNullable<TrafficPolicy['connectionPool']>;
}

export function tcpKeepalive({ input, expected }: Fragment<KeepaliveInput>): Outcome {
  const cluster = clusterWith({ connectionPool: input.connectionPool });
  return { made: withMeshKeepalive(settingsOf(input.meshConfig), cluster).upstreamConnectionOptions, expected };
}

interface SubsetInput {
  readonly original: TrafficPolicy | null;
  readonly subset: TrafficPolicy | null;
  readonly port: { readonly port: number } | null;
}

/** null: no policy at all. */
export function subsetPolicy({ input: { original, subset, port }, expected }: Fragment<SubsetInput>): Outcome {
  const rule = { trafficPolicy: original ?? undefined };
  const chosen = subset ? { trafficPolicy: subset } : undefined;
  const made = trafficPolicy(rule, { ...PORT, number: port?.port ?? 80 }, chosen);
  const set = Object.entries(made).filter(([, value]) => value !== undefined);
  return { made: set.length === 0 ? null : Object.fromEntries(set), expected };
}

/** The locality of an endpoint. */
export function localityOf({ input, expected }: Fragment<string>): Outcome {
  const entry = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'one', namespace: 'default' },
    spec: {
      hosts: ['a.example'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'STATIC',
      endpoints: [{ address: '10.0.0.2', locality: input }],
    },
  };
  const node = { id: 'sidecar~10.0.0.1~app.default~default.svc.cluster.local', metadata: { NAMESPACE: 'default' } };
  const { endpoints = [] } = compileNode(buildView([entry], 1), node);
  const [own] = endpoints.filter(({ clusterName }) => clusterName.endsWith('|a.example'));
  return { made: own?.endpoints?.[0]?.locality, expected };
}

/** Whether the endpoints of a locality are among those that a rule distributes to. */
export function localityMatches({ input, expected }: Fragment<{ locality: Locality; rule: string }>): Outcome {
  const { region = '', zone = '', subZone = '' } = input.locality;
  const name = [region, zone, subZone].join('/');
  const endpoint = { endpoint: { address: { socketAddress: { address: '10.0.0.2', portValue: 80 } } } };
  const placed = { name, message: { locality: input.locality, lbEndpoints: [endpoint] }, endpoints: [] };
  const setting = { distribute: [{ from: '*', to: { [input.rule]: 100 } }], failover: [], failoverPriority: [] };
  const [message] = applyLocalityLb([placed], setting, { locality: 'own/zone', labels: {} }, false);
  return { made: (message?.lbEndpoints ?? []).length > 0, expected };
}
