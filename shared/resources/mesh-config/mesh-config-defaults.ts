/** Istiod's defaults of MeshConfig (pkg/config/mesh of Istio), and how a MeshConfig is merged over them. */
import type { MeshConfig } from './mesh-config.ts';
import type { MeshProxyConfig } from './mesh-config-proxy.ts';

export const DEFAULT_PROXY_CONFIG: MeshProxyConfig = {
  configPath: './etc/istio/proxy',
  binaryPath: '/usr/local/bin/envoy',
  serviceCluster: 'istio-proxy',
  drainDuration: '45s',
  terminationDrainDuration: '5s',
  proxyAdminPort: 15000,
  controlPlaneAuthPolicy: 'MUTUAL_TLS',
  discoveryAddress: 'istiod.istio-system.svc:15012',
  statNameLength: 189,
  statusPort: 15020,
};

export const DEFAULT_MESH_CONFIG: MeshConfig = {
  proxyListenPort: 15001,
  proxyInboundListenPort: 15006,
  connectTimeout: '10s',
  protocolDetectionTimeout: '0s',
  ingressClass: 'istio',
  ingressService: 'istio-ingressgateway',
  ingressControllerMode: 'STRICT',
  ingressSelector: 'ingressgateway',
  enableTracing: true,
  accessLogEncoding: 'TEXT',
  defaultConfig: DEFAULT_PROXY_CONFIG,
  outboundTrafficPolicy: { mode: 'ALLOW_ANY' },
  inboundTrafficPolicy: { mode: 'PASSTHROUGH' },
  enableAutoMtls: true,
  trustDomain: 'cluster.local',
  trustDomainAliases: [],
  defaultServiceExportTo: ['*'],
  defaultVirtualServiceExportTo: ['*'],
  defaultDestinationRuleExportTo: ['*'],
  rootNamespace: 'istio-system',
  localityLbSetting: { enabled: true },
  dnsRefreshRate: '60s',
  enablePrometheusMerge: true,
  serviceSettings: [],
  defaultProviders: {},
  extensionProviders: [
    { name: 'prometheus', prometheus: {} },
    { name: 'stackdriver', stackdriver: {} },
    { name: 'envoy', envoyFileAccessLog: { path: '/dev/stdout' } },
  ],
};

/**
 * `own` over `base`: a field replaces the whole field, but `defaultConfig` (and `proxyMetadata` in it) is merged field by
 * field, and providers of `base` stay unless one of their name is given.
 */
export function overMeshConfig(own: MeshConfig, base: MeshConfig = DEFAULT_MESH_CONFIG): MeshConfig {
  const names = new Set((own.extensionProviders ?? []).map((provider) => provider.name));
  const kept = (base.extensionProviders ?? []).filter((provider) => !names.has(provider.name));
  return {
    ...base,
    ...own,
    extensionProviders: [...(own.extensionProviders ?? []), ...kept],
    defaultConfig: overProxyConfig(own.defaultConfig ?? {}, base.defaultConfig ?? {}),
  };
}

/** As `overMeshConfig`, for the settings of proxies; also how annotation `proxy.istio.io/config` goes over `defaultConfig`. */
export function overProxyConfig(own: MeshProxyConfig, base: MeshProxyConfig): MeshProxyConfig {
  const merged = { ...base, ...own };
  // The two are one choice.
  if (own.tracingServiceName !== undefined && own.serviceCluster === undefined) delete merged.serviceCluster;
  if (own.serviceCluster !== undefined && own.tracingServiceName === undefined) delete merged.tracingServiceName;
  if (base.proxyMetadata && own.proxyMetadata) merged.proxyMetadata = { ...base.proxyMetadata, ...own.proxyMetadata };
  return merged;
}
