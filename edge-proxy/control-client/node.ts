/** The xDS Node a proxy calls itself: Istio's node id and metadata (istio.io/istio pkg/model NodeMetadata). */
import type { Node } from '../../shared/xds/core.ts';

export interface NodeSettings {
  readonly type: 'sidecar' | 'router';
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The workload's name, as `reviews-v1`. */
  readonly name: string;
  readonly ip: string;
  /** `ip` may become another one: nothing else of the node depends on it. */
  readonly ipChanges?: boolean;
  /** WorkloadGroup in which the machine registers. */
  readonly group?: string | undefined;
  readonly network?: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly interceptionMode: 'NONE' | 'TPROXY';
  readonly domainSuffix: string;
  /** `region/zone/subzone`, parts may be missing. */
  readonly locality: string | undefined;
  readonly version: string;
  readonly runtime: string;
  /** Of what runs its traffic, where that is not this process. */
  readonly userAgent?: string | undefined;
  /** Application port by service port name or number, where it differs. */
  readonly appPorts: Readonly<Record<string, number>>;
  /** Where outbound listeners bind without capture; absent: a loopback address of this workload's own, see `outboundAddress`. */
  readonly outboundBind: string | undefined;
  /** Loopback port for HTTP proxy requests; absent: none. */
  readonly httpProxyPort: number | undefined;
  /** Of the server of metrics at its address; absent: there is none. */
  readonly statsPort?: number | undefined;
  /** It answers DNS queries of the workload. */
  readonly answersDns: boolean;
  /** No peer can dial it. */
  readonly behindNat?: boolean | undefined;
  /** Where it takes tunnels of workloads behind NAT. */
  readonly tunnelPort?: number | undefined;
}

/** `sidecar~10.0.0.1~reviews-v1.default~default.svc.cluster.local`, with the metadata compile reads. */
export function buildNode(settings: NodeSettings): Node {
  const { namespace, name } = settings;
  const app = settings.labels['app'] ?? settings.labels['app.kubernetes.io/name'] ?? name;
  const [region, zone, subZone] = (settings.locality ?? '').split('/');
  const idAt = (ip: string) => `${settings.type}~${ip}~${name}.${namespace}~${namespace}.svc.${settings.domainSuffix}`;
  const id = idAt(settings.ip);
  return {
    id,
    cluster: `${app}.${namespace}`,
    metadata: {
      NAMESPACE: namespace,
      SERVICE_ACCOUNT: settings.serviceAccount,
      NAME: name,
      WORKLOAD_NAME: name,
      LABELS: { ...settings.labels },
      INSTANCE_IPS: settings.ip,
      INTERCEPTION_MODE: settings.interceptionMode,
      ISTIO_VERSION: '1.32.0',
      ...(Object.keys(settings.appPorts).length === 0 ? {} : { APP_PORTS: { ...settings.appPorts } }),
      ...(settings.type === 'sidecar' && settings.interceptionMode === 'NONE'
        ? { OUTBOUND_BIND: settings.outboundBind ?? outboundAddress(settings.ipChanges ? idAt('auto') : id) }
        : {}),
      ...(settings.group === undefined ? {} : { AUTO_REGISTER_GROUP: settings.group }),
      ...(settings.network === undefined ? {} : { NETWORK: settings.network }),
      ...(settings.httpProxyPort === undefined ? {} : { HTTP_PROXY_PORT: settings.httpProxyPort }),
      ...(settings.statsPort === undefined ? {} : { ENVOY_PROMETHEUS_PORT: settings.statsPort }),
      ...(settings.answersDns ? { DNS_CAPTURE: 'true' } : {}),
      ...(settings.behindNat ? { TULLE_BEHIND_NAT: 'true' } : {}),
      ...(settings.tunnelPort === undefined ? {} : { TULLE_TUNNEL_PORT: settings.tunnelPort }),
    },
    ...(region ? { locality: { region, zone: zone ?? '', subZone: subZone ?? '' } } : {}),
    userAgentName: settings.userAgent ?? `tulle-${settings.runtime}`,
    userAgentVersion: settings.version,
  };
}

/** FNV-1a, 32 bits (draft-eastlake-fnv). */
const FNV = { offset: 0x811c9dc5, prime: 0x01000193 };

/**
 * Where outbound listeners of a workload bind when the user names no address: the same in every run, and different for the
 * workloads of one host, whose applications and other local servers have 127.0.0.1 for themselves. 127.64.0.1 to
 * 127.127.255.254, all of which Linux routes to the loopback interface.
 * @param nodeId tells workloads apart by type, address, name and namespace
 */
export function outboundAddress(nodeId: string): string {
  let hash = FNV.offset;
  for (const byte of new TextEncoder().encode(nodeId)) hash = Math.imul(hash ^ byte, FNV.prime) >>> 0;
  return `127.${64 + ((hash >>> 16) & 63)}.${(hash >>> 8) & 255}.${1 + (hash % 254)}`;
}
