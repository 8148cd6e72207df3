/** The bootstrap of a stock Envoy that follows the control plane itself, without an agent. */
import { isIP } from 'node:net';
import type { Node } from '../../../shared/xds/core.ts';

/** Where Envoy finds its certificate and the roots of the mesh: the folder of `default.json` and `ROOTCA.json`, or an SDS server. */
export type CertificateSource = { readonly folder: string } | { readonly socket: string };

export interface BootstrapOptions {
  readonly node: Node;
  /** `https://HOST:PORT` */
  readonly controlPlanes: readonly string[];
  readonly certificates: CertificateSource;
  readonly adminPort: number;
}

/** Istio's names of the clusters that lead to the control plane, and to an SDS server. */
const XDS_CLUSTER = 'xds-grpc';
const SDS_CLUSTER = 'sds-grpc';

/** As Envoy reads it (proto3 JSON of envoy.config.bootstrap.v3.Bootstrap). */
export function envoyBootstrap(options: BootstrapOptions): object {
  const { node, certificates, adminPort } = options;
  const { id, cluster, metadata, locality } = node;
  const sdsFiles = 'folder' in certificates ? { SDS_FILES: certificates.folder } : {};
  // An Envoy that has no config yet is not ready, however long that takes.
  const config = { resourceApiVersion: 'V3', initialFetchTimeout: '0s', ads: {} };
  const adsConfig = grpcSource(XDS_CLUSTER, 'DELTA_GRPC');
  return {
    node: { id, cluster, metadata: { ...metadata, ...sdsFiles }, ...(locality && { locality }) },
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: adminPort } } },
    dynamicResources: { adsConfig, cdsConfig: config, ldsConfig: config },
    staticResources: {
      clusters: [xdsCluster(options), ...('socket' in certificates ? [sdsCluster(certificates.socket)] : [])],
    },
  };
}

const grpcSource = (clusterName: string, apiType: 'DELTA_GRPC' | 'GRPC') => ({
  apiType,
  transportApiVersion: 'V3',
  setNodeOnFirstMessageOnly: true,
  grpcServices: [{ envoyGrpc: { clusterName } }],
});

/** Control planes share the connections of one cluster: where one does not answer, Envoy connects to the next. */
function xdsCluster({ controlPlanes, certificates }: BootstrapOptions): object {
  const urls = controlPlanes.map((url) => new URL(url));
  const hosts = urls.map(({ hostname }) => hostname.replace(/^\[|\]$/g, ''));
  const isNamed = hosts.some((host) => isIP(host) === 0);
  return {
    name: XDS_CLUSTER,
    type: isNamed ? 'STRICT_DNS' : 'STATIC',
    connectTimeout: '5s',
    loadAssignment: {
      clusterName: XDS_CLUSTER,
      endpoints: [
        {
          lbEndpoints: urls.map(({ port }, i) => ({
            endpoint: { address: { socketAddress: { address: hosts[i], portValue: Number(port || 443) } } },
          })),
        },
      ],
    },
    typedExtensionProtocolOptions: http2Options({ connectionKeepalive: { interval: '30s', timeout: '10s' } }),
    transportSocket: {
      name: 'envoy.transport_sockets.tls',
      typedConfig: tlsContext(hosts, certificates),
    },
  };
}

function http2Options(http2ProtocolOptions: object): object {
  const type = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return {
    [type]: { '@type': `type.googleapis.com/${type}`, explicitHttpConfig: { http2ProtocolOptions } },
  };
}

function tlsContext(hosts: readonly string[], certificates: CertificateSource): object {
  const sdsConfig = (name: string) => ({
    name,
    sdsConfig: {
      resourceApiVersion: 'V3',
      ...('folder' in certificates
        ? { pathConfigSource: { path: `${certificates.folder}/${name}.json` } }
        : { apiConfigSource: grpcSource(SDS_CLUSTER, 'GRPC') }),
    },
  });
  const [first = ''] = hosts;
  return {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
    ...(isIP(first) === 0 && { sni: first }),
    commonTlsContext: {
      alpnProtocols: ['h2'],
      // Without it Envoy offers TLS 1.2 at most.
      tlsParams: { tlsMinimumProtocolVersion: 'TLSv1_2', tlsMaximumProtocolVersion: 'TLSv1_3' },
      tlsCertificateSdsSecretConfigs: [sdsConfig('default')],
      combinedValidationContext: {
        defaultValidationContext: {
          matchTypedSubjectAltNames: hosts.map((host) => ({
            sanType: isIP(host) === 0 ? 'DNS' : 'IP_ADDRESS',
            matcher: { exact: host },
          })),
        },
        validationContextSdsSecretConfig: sdsConfig('ROOTCA'),
      },
    },
  };
}

function sdsCluster(path: string): object {
  return {
    name: SDS_CLUSTER,
    type: 'STATIC',
    connectTimeout: '1s',
    loadAssignment: {
      clusterName: SDS_CLUSTER,
      endpoints: [{ lbEndpoints: [{ endpoint: { address: { pipe: { path } } } }] }],
    },
    typedExtensionProtocolOptions: http2Options({}),
  };
}
