/** Small xDS resources in Envoy's JSON for the proxy tests; both spellings of field names are used on purpose. */
import type { Leaf } from '../mtls/certificates.ts';

export const cluster = (name: string, port: number, transportSocket?: object) => ({
  name,
  type: 'STATIC',
  load_assignment: {
    cluster_name: name,
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }] },
    ],
  },
  ...(transportSocket ? { transportSocket } : {}),
});
export const at = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
export const ANY = 'type.googleapis.com/';
export const hcm = (to: string) => ({
  name: 'envoy.filters.network.http_connection_manager',
  typed_config: {
    '@type': `${ANY}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'test',
    route_config: {
      name: 'local',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: to } }] }],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': `${ANY}envoy.extensions.filters.http.router.v3.Router` },
      },
    ],
  },
});
export const tcp = (to: string) => ({
  name: 'envoy.filters.network.tcp_proxy',
  typed_config: {
    '@type': `${ANY}envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`,
    stat_prefix: 'test',
    cluster: to,
  },
});
export const listener = (name: string, filters: object[], transportSocket?: object, port = 0) => ({
  name,
  address: at(port),
  filterChains: [{ filters, ...(transportSocket ? { transportSocket } : {}) }],
});
export const secretOf = (certificate: Leaf) => ({
  name: 'default',
  tls_certificate: {
    certificate_chain: { inline_string: certificate.cert },
    private_key: { inline_string: certificate.key },
  },
});
export const commonTls = {
  tls_certificate_sds_secret_configs: [{ name: 'default' }],
  validation_context_sds_secret_config: { name: 'ROOTCA' },
  alpn_protocols: ['istio'],
};
export const serverTls = {
  name: 'tls',
  typed_config: {
    '@type': `${ANY}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
    common_tls_context: commonTls,
    require_client_certificate: true,
  },
};
export const clientTls = {
  name: 'tls',
  typed_config: {
    '@type': `${ANY}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
    common_tls_context: commonTls,
    sni: 'outbound_.80_._.b.default.svc.cluster.local',
  },
};
