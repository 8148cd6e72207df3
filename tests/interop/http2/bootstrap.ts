/** The bootstrap of the HTTP/2 comparison: the same file in Envoy and in Tulle. */
import { any, at, filter, type Json, listener, prefix, say, staticCluster, to } from '../harness/bootstrap-parts.ts';
import type { Ports, Theme } from './case.ts';

const accessLog = {
  name: 'stdout',
  typed_config: any('access_loggers.stream.v3.StdoutAccessLog', {
    log_format: {
      json_format: {
        connection: '%DOWNSTREAM_LOCAL_PORT%-%DOWNSTREAM_REMOTE_PORT%',
        case: '%REQ(X-CASE)%',
        code: '%RESPONSE_CODE%',
        flags: '%RESPONSE_FLAGS%',
        details: '%RESPONSE_CODE_DETAILS%',
        ended: '%CONNECTION_TERMINATION_DETAILS%',
        failure: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
        protocol: '%PROTOCOL%',
        request: '%REQ(:METHOD)% %REQ(:SCHEME)% %REQ(:AUTHORITY)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
        received: '%BYTES_RECEIVED%',
        sent: '%BYTES_SENT%',
        cluster: '%UPSTREAM_CLUSTER%',
        attempts: '%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
      },
    },
  }),
};

/** A connection manager with one virtual host for every name. */
export const manager = (routes: readonly object[], more: object = {}, filters: readonly object[] = []): Json => ({
  name: 'envoy.filters.network.http_connection_manager',
  typed_config: any('filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'interop',
    access_log: [accessLog],
    delayed_close_timeout: '0.1s',
    route_config: {
      name: 'local',
      validate_clusters: false,
      virtual_hosts: [{ name: 'all', domains: ['*'], routes, include_request_attempt_count: true }],
    },
    http_filters: [...filters, filter('router.v3.Router')],
    ...more,
  }),
});

/** Protocol options of a cluster. @param common of `common_http_protocol_options` */
export const speaking = (protocol: object, common: Json = {}): Json => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('upstreams.http.v3.HttpProtocolOptions', {
      ...(Object.keys(common).length > 0 && { common_http_protocol_options: common }),
      ...protocol,
    }),
  },
});
export const http2 = (options: Json = {}): Json => ({ explicit_http_config: { http2_protocol_options: options } });
/** One request a connection: what a case does to it meets no other case. */
export const ALONE = { max_requests_per_connection: 1 };
const ONE = { explicit_http_config: { http_protocol_options: { enable_trailers: true } } };

/** A cluster of the HTTP/2 upstream for cases whose streams share a connection. */
export const shared = (name: string, ports: Ports, options: Json = {}, more: Json = {}): Json =>
  staticCluster(name, ports.two, { ...speaking(http2(options)), ...more });

const everything = (cluster: string) => [
  { ...prefix('/direct'), ...say('made here') },
  { ...prefix('/redirect'), redirect: { https_redirect: true } },
  { ...prefix('/teapot'), ...say('short and stout', 418) },
  { ...prefix('/dead'), ...to('dead') },
  { ...prefix('/missing'), ...to('missing') },
  { ...prefix('/empty'), ...to('empty') },
  { match: { path: '/nowhere-but-here' }, ...to(cluster) },
  { ...prefix('/none'), direct_response: { status: 404 } },
  { ...prefix('/rewrite/'), ...to(cluster, { prefix_rewrite: '/', host_rewrite_literal: 'new.test' }) },
  { ...prefix('/timeout'), ...to(cluster, { timeout: '0.6s' }) },
  { ...prefix('/idle'), ...to(cluster, { idle_timeout: '0.6s' }) },
  { ...prefix('/grpc-timeout'), ...to(cluster, { max_stream_duration: { grpc_timeout_header_max: '0s' } }) },
  { ...prefix('/'), ...to(cluster) },
];

export const LENIENT = { http2_protocol_options: { override_stream_error_on_invalid_http_message: true } };
const TRAILERS = { http_protocol_options: { enable_trailers: true } };

export function bootstrap(themes: readonly Theme[], ports: Ports): object {
  return {
    node: { id: 'interop', cluster: 'interop' },
    admin: { address: at(0) },
    static_resources: {
      listeners: [
        listener('two', manager(everything('two'), TRAILERS)),
        listener('one', manager(everything('one'), TRAILERS)),
        listener('lenient', manager(everything('one'), { ...TRAILERS, ...LENIENT })),
        ...themes.flatMap((theme) => theme.listeners ?? []),
      ],
      clusters: [
        staticCluster('two', ports.two, speaking(http2(), ALONE)),
        staticCluster('one', ports.one, speaking(ONE, ALONE)),
        staticCluster('dead', ports.dead, speaking(http2())),
        staticCluster('empty', undefined, speaking(http2())),
        ...themes.flatMap((theme) => theme.clusters?.(ports) ?? []),
      ],
    },
  };
}
