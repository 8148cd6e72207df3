/** The bootstraps under measure: one file each, read by Envoy and by Tulle alike. */
import { any, listener, manager, staticCluster } from '../interop/shared-file/bootstrap.ts';

const at = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const filter = (kind: string, fields: object = {}) => ({
  name: `envoy.filters.http.${kind.split('.')[0]}`,
  typed_config: any(`filters.http.${kind}`, fields),
});
/** Never a limit of its own: what is measured is work, not refusal. */
const wide = {
  circuit_breakers: {
    thresholds: [
      { max_connections: 100_000, max_pending_requests: 100_000, max_requests: 1_000_000, max_retries: 1000 },
    ],
  },
};

export interface Target {
  /** Where the upstream listens on 127.0.0.1. */
  readonly port: number;
  /** Clusters speak HTTP/2. */
  readonly http2?: boolean;
  /** Transport socket towards it; absent: plaintext. */
  readonly upstreamTls?: object;
  /** Transport socket of the listener. */
  readonly downstreamTls?: object;
}

const whole = (listeners: object[], clusters: object[]) => ({
  node: { id: 'bench', cluster: 'bench' },
  admin: { address: at(0) },
  static_resources: { listeners, clusters },
});
const HTTP2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('upstreams.http.v3.HttpProtocolOptions', {
      explicit_http_config: { http2_protocol_options: {} },
    }),
  },
};
const clusterTo = (name: string, target: Target) =>
  staticCluster(name, target.port, {
    ...wide,
    ...(target.http2 ? HTTP2 : {}),
    ...(target.upstreamTls ? { transport_socket: target.upstreamTls } : {}),
  });
/** As Istio writes a sidecar's manager; no access log. */
const managerOf = (routes: object[], filters: object[], more: object = {}, hosts: object[] = []) => {
  const made = manager([], filters, { access_log: [], ...more });
  const config = made.typed_config as Record<string, unknown>;
  config['route_config'] = {
    name: 'local',
    validate_clusters: false,
    virtual_hosts: [...hosts, { name: 'any', domains: ['*'], routes }],
  };
  return made;
};

/** One route, no filter but the router. */
export function plainBootstrap(target: Target, more: object = {}): object {
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'u', timeout: '0s' } }];
  const hcm = managerOf(routes, [], more);
  return whole([listener('http', hcm, target.downstreamTls)], [clusterTo('u', target)]);
}

export const SERVICES = 50;
const retried = {
  timeout: '15s',
  retry_policy: {
    retry_on: 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',
    num_retries: 2,
  },
};
const clusterName = (i: number) => `outbound|80||s${i}.default.svc.cluster.local`;

/**
 * What a sidecar carries: 51 virtual hosts over 50 clusters, RBAC with 5 policies of which the last lets in, fault, cors,
 * tracing at 1 %, retry policy, timeouts.
 * @param first filters in front of these
 */
export function sidecarBootstrap(target: Target, first: readonly object[] = []): object {
  return sidecarWith(target, first, []);
}

/**
 * The same with external authorization in front, as Istio writes a CUSTOM policy: an HTTP service is asked about every request.
 * The upstream is the service, too: its answer of 1 KB is 200.
 */
export function extAuthzBootstrap(target: Target): object {
  const shadow = filter('rbac.v3.RBAC', {
    shadow_rules: {
      action: 'DENY',
      policies: {
        'istio-ext-authz-p-ns[default]-policy[p]-rule[0]': {
          permissions: [{ url_path: { path: { prefix: '/' } } }],
          principals: [{ any: true }],
        },
      },
    },
    shadow_rules_stat_prefix: 'istio_ext_authz_',
  });
  const extAuthz = filter('ext_authz.v3.ExtAuthz', {
    http_service: {
      server_uri: { uri: 'http://authz.test', cluster: 'authz', timeout: '600s' },
      path_prefix: '/check',
      authorization_response: { allowed_upstream_headers: { patterns: [{ exact: 'x-user', ignore_case: true }] } },
    },
    allowed_headers: { patterns: [{ exact: 'x-request-id', ignore_case: true }] },
    transport_api_version: 'V3',
    filter_enabled_metadata: {
      filter: 'envoy.filters.http.rbac',
      path: [{ key: 'istio_ext_authz_shadow_effective_policy_id' }],
      value: { string_match: { prefix: 'istio-ext-authz-p' } },
    },
  });
  return sidecarWith(target, [shadow, extAuthz], [clusterTo('authz', target)]);
}

function sidecarWith(target: Target, first: readonly object[], more: readonly object[]): object {
  const hosts = Array.from({ length: SERVICES }, (_, i) => ({
    name: `s${i}`,
    domains: [`s${i}.default.svc.cluster.local`, `s${i}`],
    routes: [
      { match: { prefix: '/a' }, route: { cluster: clusterName(i) } },
      { match: { prefix: '/' }, route: { cluster: clusterName(i), ...retried } },
    ],
  }));
  const routes = [
    {
      match: { prefix: '/', headers: [{ name: 'end-user', string_match: { exact: 'jason' } }] },
      route: { cluster: clusterName(1) },
    },
    { match: { prefix: '/' }, route: { cluster: clusterName(0), ...retried } },
  ];
  const tracing = { random_sampling: { value: 1 }, overall_sampling: { value: 100 }, client_sampling: { value: 100 } };
  const filters = [
    ...first,
    filter('rbac.v3.RBAC', { rules: { action: 'ALLOW', policies: policies() } }),
    filter('fault.v3.HTTPFault'),
    filter('cors.v3.Cors'),
  ];
  const hcm = managerOf(routes, filters, { tracing, server_name: 'istio-envoy', use_remote_address: false }, hosts);
  const clusters = Array.from({ length: SERVICES }, (_, i) => clusterTo(clusterName(i), target));
  return whole([listener('http', hcm, target.downstreamTls)], [...clusters, ...more]);
}

function policies(): Record<string, object> {
  const policy = (prefix: string) => ({
    permissions: [
      {
        and_rules: {
          rules: [
            {
              or_rules: {
                rules: ['GET', 'POST'].map((exact) => ({ header: { name: ':method', string_match: { exact } } })),
              },
            },
            { or_rules: { rules: [{ url_path: { path: { prefix } } }] } },
          ],
        },
      },
    ],
    principals: [
      {
        and_ids: {
          ids: [{ or_ids: { ids: [{ direct_remote_ip: { address_prefix: '127.0.0.0', prefix_len: 8 } }] } }],
        },
      },
    ],
  });
  return Object.fromEntries(
    Array.from({ length: 5 }, (_, i) => [`ns[foo]-policy[p${i}]-rule[0]`, policy(i < 4 ? `/svc${i}/` : '/')]),
  );
}

/** WebSocket tunnels allowed on the one route. */
export function webSocketBootstrap(target: Target): object {
  return plainBootstrap(target, { upgrade_configs: [{ upgrade_type: 'websocket' }] });
}

/** One tcp_proxy. */
export function tcpBootstrap(target: Target): object {
  const proxy = {
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: any('filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: 'bench', cluster: 'u' }),
  };
  return whole([listener('http', proxy)], [clusterTo('u', target)]);
}
