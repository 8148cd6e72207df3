/** One gateway for all peers: HTTP to an application, a forward proxy that ends CONNECT, TCP to a database. */
import { any, at, filter, type Json, percent, prefix, say, to } from '../interop/harness/bootstrap-parts.ts';

export interface Backends {
  readonly http: number;
  readonly websocket: number;
  readonly tcp: number;
}

const cluster = (name: string, port: number) => ({
  name,
  type: 'STATIC',
  connect_timeout: '5s',
  load_assignment: {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: at(port) } }] }],
  },
});
const listener = (name: string, typed_config: Json, transport_socket?: Json) => ({
  name,
  address: at(0),
  filter_chains: [{ filters: [{ name, typed_config }], ...(transport_socket && { transport_socket }) }],
});

/** A server certificate and its key, as PEM. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

const serving = ({ cert, key }: ServerCertificate): Json => ({
  name: 'tls',
  typed_config: any('transport_sockets.tls.v3.DownstreamTlsContext', {
    common_tls_context: {
      alpn_protocols: ['h2', 'http/1.1'],
      tls_certificates: [{ certificate_chain: { inline_string: cert }, private_key: { inline_string: key } }],
    },
  }),
});
const manager = (virtual_hosts: Json[], more: Json = {}): Json =>
  any('filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'peers',
    route_config: { name: 'peers', virtual_hosts },
    http_filters: [filter('fault.v3.HTTPFault'), filter('router.v3.Router')],
    http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'default.test' },
    ...more,
  });

const routes = [
  { ...prefix('/ws'), ...to('websocket', { timeout: '0s', upgrade_configs: [{ upgrade_type: 'websocket' }] }) },
  { ...prefix('/direct'), ...say('made here') },
  {
    ...prefix('/refused'),
    ...to('http'),
    typed_per_filter_config: {
      'envoy.filters.http.fault': any('filters.http.fault.v3.HTTPFault', {
        abort: { http_status: 418, percentage: percent(100) },
      }),
    },
  },
  { ...prefix('/'), ...to('http', { timeout: '30s' }) },
];

/** @param secure of a listener `secure` beside `gateway`, which speaks HTTP/2 too */
export function peersBootstrap({ http, websocket, tcp }: Backends, secure?: ServerCertificate) {
  return {
    node: { id: 'peers', cluster: 'peers' },
    admin: { address: at(0) },
    static_resources: {
      listeners: [
        listener('gateway', manager([{ name: 'all', domains: ['*'], routes }])),
        ...(secure
          ? [
              listener(
                'secure',
                manager([{ name: 'all', domains: ['*'], routes }], { http2_protocol_options: { allow_connect: true } }),
                serving(secure),
              ),
            ]
          : []),
        listener(
          'forward',
          manager(
            [
              { name: 'named', domains: ['app.test', 'app.test:*'], routes },
              {
                name: 'tunnels',
                domains: ['tunnel.test:80'],
                routes: [{ match: { connect_matcher: {} }, ...to('http', CONNECT) }],
              },
            ],
            { normalize_path: true },
          ),
        ),
        listener(
          'tcp',
          any('filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: 'tcp', cluster: 'tcp', idle_timeout: '60s' }),
        ),
      ],
      clusters: [cluster('http', http), cluster('websocket', websocket), cluster('tcp', tcp)],
    },
  };
}

const CONNECT = { timeout: '0s', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] };
