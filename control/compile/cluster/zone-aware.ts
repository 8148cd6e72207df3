/**
 * DestinationRule `zoneAwareLbSetting`: requests stay in the caller's zone as far as the zones are of like size. Endpoints of other
 * regions are always of later priorities. And the cluster of the caller's own service, by which a proxy knows the shares.
 */
import { isIpAddress } from '../../../shared/match/cidr.ts';
import type { TrafficPolicy, ZoneAwareLbSetting } from '../../../shared/resources/schema/destination-rule.ts';
import type { Cluster, ClusterLoadAssignment } from '../../../shared/xds/cluster.ts';
import type { MeshEndpoint, MeshService, MeshSettings } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import { type Produced, produced } from '../output/produced.ts';
import { ADS } from '../security/tls-context.ts';
import { connectTimeout } from './connect-timeout.ts';
import type { LocalityLb } from './locality-lb.ts';

/** As istiod names it. */
const LOCAL_CLUSTER = 'local_cluster';
const DEFAULT_SIZE = 6;

/** The setting in force for a destination; undefined: its requests are not divided by zone. */
export function zoneSetting({ loadBalancer }: TrafficPolicy): ZoneAwareLbSetting | undefined {
  const setting = loadBalancer?.zoneAwareLbSetting;
  return setting?.enabled === true ? setting : undefined;
}

/** Without a setting it is switched off: Envoy would divide all clusters. */
export function zoneConfig(setting: ZoneAwareLbSetting | undefined) {
  if (!setting) return { routingEnabled: { value: 0 } };
  return { routingEnabled: { value: 100 }, minClusterSize: setting.minClusterSize ?? DEFAULT_SIZE };
}

/** The order of its regions and labels. */
export function zoneLocality({ failover = [], failoverPriority = [] }: ZoneAwareLbSetting): LocalityLb {
  return {
    distribute: [],
    failover: failover.map(({ from = '', to = '' }) => ({ from, to })),
    failoverPriority,
    regionsOnly: true,
  };
}

export interface LocalClusterInput {
  /** The service of the proxy that is oldest, and its port. */
  readonly service: MeshService;
  readonly port: number;
  readonly endpoints: readonly MeshEndpoint[];
  readonly locality: string;
  /** `pod-template-hash` of the proxy, '' none: others are of another version. */
  readonly template: string;
  readonly settings: MeshSettings;
}

/** The proxies like this one, in its region. */
export const localCluster = generator<
  LocalClusterInput,
  { readonly clusters: readonly Produced<'clusters'>[]; readonly endpoints: readonly Produced<'endpoints'>[] }
>(
  { service: true, port: true, endpoints: true, locality: true, template: true, settings: true },
  ({ service, port, endpoints, locality, template, settings }) => {
    const cluster: Cluster = {
      name: LOCAL_CLUSTER,
      type: 'EDS',
      edsClusterConfig: { edsConfig: ADS, serviceName: LOCAL_CLUSTER },
      connectTimeout: connectTimeout(settings),
    };
    const region = locality.split('/')[0];
    const alike = endpoints.filter(
      (one) =>
        one.servicePort === port &&
        isIpAddress(one.address) &&
        one.locality.split('/')[0] === region &&
        (template === '' || one.labels['pod-template-hash'] === template),
    );
    const origin = { side: 'outbound', service, port } as const;
    return {
      clusters: sharedList([produced('clusters', cluster, origin)]),
      endpoints: sharedList([produced('endpoints', assignmentOf(alike), origin)]),
    };
  },
);

function assignmentOf(alike: readonly MeshEndpoint[]): ClusterLoadAssignment {
  const localities = [...new Set(alike.map((one) => one.locality))].sort();
  return {
    clusterName: LOCAL_CLUSTER,
    endpoints: localities.map((name) => {
      const [region = '', zone = '', subZone = ''] = name.split('/');
      return {
        locality: { ...(region && { region }), ...(zone && { zone }), ...(subZone && { subZone }) },
        lbEndpoints: alike
          .filter((one) => one.locality === name)
          .map(({ address, port: portValue, healthy }) => ({
            endpoint: { address: { socketAddress: { address, portValue } } },
            ...(!healthy && { healthStatus: 'UNHEALTHY' as const }),
          })),
      };
    }),
  };
}
