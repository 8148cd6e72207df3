/** The xDS Node a proxy calls itself: Istio's node id and metadata (istio.io/istio pkg/model NodeMetadata). */
import type { Node } from '../../shared/xds/core.ts';

export interface NodeSettings {
  readonly type: 'sidecar' | 'router';
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The workload's name, as `reviews-v1`. */
  readonly name: string;
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly interceptionMode: 'NONE';
  readonly domainSuffix: string;
  /** `region/zone/subzone`, parts may be missing. */
  readonly locality: string | undefined;
  readonly version: string;
  readonly runtime: string;
  /** Application port by service port name or number, where it differs. */
  readonly appPorts: Readonly<Record<string, number>>;
  /** Where outbound listeners bind; absent: loopback, as compile chooses. */
  readonly outboundBind: string | undefined;
  /** Loopback port for HTTP proxy requests; absent: none. */
  readonly httpProxyPort: number | undefined;
}

/** `sidecar~10.0.0.1~reviews-v1.default~default.svc.cluster.local`, with the metadata compile reads. */
export function buildNode(settings: NodeSettings): Node {
  const { namespace, name } = settings;
  const app = settings.labels['app'] ?? settings.labels['app.kubernetes.io/name'] ?? name;
  const [region, zone, subZone] = (settings.locality ?? '').split('/');
  return {
    id: `${settings.type}~${settings.ip}~${name}.${namespace}~${namespace}.svc.${settings.domainSuffix}`,
    cluster: `${app}.${namespace}`,
    metadata: {
      NAMESPACE: namespace,
      SERVICE_ACCOUNT: settings.serviceAccount,
      NAME: name,
      WORKLOAD_NAME: name,
      LABELS: { ...settings.labels },
      INSTANCE_IPS: settings.ip,
      INTERCEPTION_MODE: settings.interceptionMode,
      ISTIO_VERSION: '1.28.0',
      ...(Object.keys(settings.appPorts).length === 0 ? {} : { APP_PORTS: { ...settings.appPorts } }),
      ...(settings.outboundBind === undefined ? {} : { OUTBOUND_BIND: settings.outboundBind }),
      ...(settings.httpProxyPort === undefined ? {} : { HTTP_PROXY_PORT: settings.httpProxyPort }),
    },
    ...(region ? { locality: { region, zone: zone ?? '', subZone: subZone ?? '' } } : {}),
    userAgentName: `tulle-${settings.runtime}`,
    userAgentVersion: settings.version,
  };
}
