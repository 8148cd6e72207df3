/** One bootstrap with a listener for each way to configure ext_authz; Envoy and Tulle run the same file. */
import { any, at, filter, type Json, listener, manager, staticCluster, to } from '../harness/bootstrap-parts.ts';

export interface Ports {
  readonly echo: number;
  readonly second: number;
  readonly http: number;
  readonly grpc: number;
  readonly dead: number;
  /** Sends back what it gets, without HTTP. */
  readonly bytes: number;
}

const exact = (...names: string[]) => names.map((name) => ({ exact: name, ignore_case: true }));
const prefix = (...names: string[]) => names.map((name) => ({ prefix: name, ignore_case: true }));
const list = (...patterns: object[][]) => ({ patterns: patterns.flat() });
const serverUri = (cluster: string, timeout = '5s') => ({ uri: 'http://authz.test', cluster, timeout });
const http = (service: object = {}, more: object = {}) => ({
  http_service: { server_uri: serverUri('authz-http'), ...service },
  allowed_headers: list(exact('x-case', 'x-twice', 'content-type'), prefix('x-pre-')),
  ...more,
});
const grpc = (more: object = {}, cluster = 'authz-grpc', timeout = '5s') => ({
  grpc_service: { envoy_grpc: { cluster_name: cluster, authority: 'authz.test' }, timeout },
  transport_api_version: 'V3',
  ...more,
});
const RESPONSE = {
  authorization_response: {
    allowed_upstream_headers: list(exact('x-user', 'x-twice'), prefix('x-up-')),
    allowed_upstream_headers_to_append: list(exact('x-more')),
    allowed_client_headers: list(exact('x-why', 'set-cookie')),
    allowed_client_headers_on_success: list(exact('set-cookie', 'x-ok')),
    dynamic_metadata_from_headers: list(exact('x-meta')),
  },
};
const body = (max: number, more: object = {}) => ({ with_request_body: { max_request_bytes: max, ...more } });
const open = { failure_mode_allow: true, failure_mode_allow_header_add: true };
const onError = (code: string) => ({ status_on_error: { code } });
const metadataMatcher = (key: string, value: object) => ({
  filter: 'envoy.filters.http.rbac',
  path: [{ key }],
  value,
});

/** By the name of the listener. */
export const CONFIGS: Readonly<Record<string, object>> = {
  'h-plain': http({ path_prefix: '/check', ...RESPONSE }),
  'h-default': http(),
  'h-added': http({
    authorization_request: {
      headers_to_add: [
        { key: 'x-add', value: 'v' },
        { key: 'x-twice', value: 'one' },
      ],
    },
  }),
  'h-override': http({ path_override: '/decide' }),
  'h-open': http({ server_uri: serverUri('authz-http', '0.4s') }, open),
  'h-closed': http({ server_uri: serverUri('authz-http', '0.4s') }, onError('ServiceUnavailable')),
  'h-dead': http({ server_uri: serverUri('dead') }),
  'h-dead-open': http({ server_uri: serverUri('dead') }, open),
  'h-dead-quiet': http({ server_uri: serverUri('dead') }, { failure_mode_allow: true }),
  'h-missing': http({ server_uri: serverUri('missing') }, onError('TooManyRequests')),
  'h-body': http({}, body(16)),
  'h-partial': http({}, body(16, { allow_partial_message: true })),
  'h-bytes': http({}, body(16, { pack_as_bytes: true })),
  'h-route': http({ ...RESPONSE }, { clear_route_cache: true }),
  'h-disallow': http({}, { disallowed_headers: list(exact('x-pre-secret', 'authorization')) }),
  'h-short': http({}, { max_denied_response_body_bytes: 4 }),
  'g-plain': grpc(),
  'g-valid': grpc({ validate_mutations: true }),
  'g-headers': grpc({
    allowed_headers: list(exact('x-case', ':path'), prefix('x-pre-')),
    disallowed_headers: list(exact('x-pre-secret')),
  }),
  'g-raw': grpc({ encode_raw_headers: true }),
  'g-open': grpc(open, 'authz-grpc', '0.4s'),
  'g-closed': grpc(onError('BadGateway'), 'authz-grpc', '0.4s'),
  'g-dead': grpc({}, 'dead-grpc'),
  'g-body': grpc(body(16)),
  'g-partial': grpc(body(16, { allow_partial_message: true })),
  'g-bytes': grpc(body(16, { pack_as_bytes: true })),
  'g-route': grpc({ clear_route_cache: true }),
  'g-meta': grpc({ metadata_context_namespaces: ['envoy.filters.http.rbac', 'absent'] }),
  'g-matched': grpc({
    filter_enabled_metadata: metadataMatcher('istio_ext_authz_shadow_effective_policy_id', {
      string_match: { prefix: 'istio-ext-authz-one' },
    }),
  }),
  'g-unmatched': grpc({
    filter_enabled_metadata: metadataMatcher('istio_ext_authz_shadow_effective_policy_id', {
      string_match: { prefix: 'istio-ext-authz-two' },
    }),
  }),
  'g-denied': grpc({
    filter_enabled_metadata: metadataMatcher('shadow_effective_policy_id', { string_match: { exact: 'never' } }),
    deny_at_disable: { default_value: true, runtime_key: 'deny' },
    ...onError('NotFound'),
  }),
  'g-ingest': grpc({ enable_dynamic_metadata_ingestion: false }),
};

/** Of connections. */
const CONNECTIONS: Readonly<Record<string, object>> = {
  't-plain': tcp(),
  't-closed': tcp({}, 'dead-grpc'),
  't-open': tcp({ failure_mode_allow: true }, 'dead-grpc'),
  't-matched': tcp({ filter_enabled_metadata: connectionMatcher('istio-ext-authz-one') }),
  't-unmatched': tcp({ filter_enabled_metadata: connectionMatcher('istio-ext-authz-two') }),
};

function tcp(more: object = {}, cluster = 'authz-grpc'): object {
  return {
    stat_prefix: 'tcp.',
    grpc_service: { envoy_grpc: { cluster_name: cluster, authority: 'authz.test' }, timeout: '5s' },
    transport_api_version: 'V3',
    ...more,
  };
}

function connectionMatcher(prefix: string): object {
  const matcher = metadataMatcher('istio_ext_authz_shadow_effective_policy_id', { string_match: { prefix } });
  return { ...matcher, filter: 'envoy.filters.network.rbac' };
}

const SHADOW_POLICY = {
  'istio-ext-authz-one-ns[foo]-policy[p]-rule[0]': { permissions: [{ any: true }], principals: [{ any: true }] },
};

function connectionListener([name, config]: [string, object]): Json {
  const filters = [
    {
      name: 'envoy.filters.network.rbac',
      typed_config: any('filters.network.rbac.v3.RBAC', {
        stat_prefix: 'tcp.',
        shadow_rules: { action: 'DENY', policies: SHADOW_POLICY },
        shadow_rules_stat_prefix: 'istio_ext_authz_',
      }),
    },
    { name: 'envoy.filters.network.ext_authz', typed_config: any('filters.network.ext_authz.v3.ExtAuthz', config) },
    {
      name: 'envoy.filters.network.tcp_proxy',
      typed_config: any('filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: 'tcp', cluster: 'bytes' }),
    },
  ];
  return { name, address: at(0), filter_chains: [{ filters }] };
}

/** Shadow rules as Istio puts them in front of a CUSTOM policy's ext_authz. */
const SHADOW = filter('rbac.v3.RBAC', {
  shadow_rules: {
    action: 'DENY',
    policies: {
      'istio-ext-authz-one-ns[foo]-policy[p]-rule[0]': {
        permissions: [{ url_path: { path: { prefix: '/guarded' } } }],
        principals: [{ any: true }],
      },
    },
  },
  shadow_rules_stat_prefix: 'istio_ext_authz_',
});

const perRoute = (fields: object) => ({
  typed_per_filter_config: {
    'envoy.filters.http.ext_authz': any('filters.http.ext_authz.v3.ExtAuthzPerRoute', fields),
  },
});
const settings = (fields: object) => perRoute({ check_settings: fields });

const ROUTES = [
  { match: { connect_matcher: {} }, ...to('echo') },
  { match: { prefix: '/off' }, ...to('echo'), ...perRoute({ disabled: true }) },
  {
    match: { prefix: '/extended' },
    ...to('echo'),
    ...settings({ context_extensions: { route: 'r', both: 'of the route' } }),
  },
  { match: { prefix: '/bodiless' }, ...to('echo'), ...settings({ disable_request_body_buffering: true }) },
  {
    match: { prefix: '/longer' },
    ...to('echo'),
    ...settings({ with_request_body: { max_request_bytes: 64, allow_partial_message: false } }),
  },
  {
    match: { prefix: '/', headers: [{ name: 'x-up-route', string_match: { exact: 'second' } }] },
    ...to('second'),
  },
  { match: { prefix: '/say' }, direct_response: { status: 200, body: { inline_string: 'said' } } },
  {
    match: { prefix: '/', headers: [{ name: ':authority', string_match: { exact: 'second.test' } }] },
    ...to('second'),
  },
  { match: { prefix: '/' }, ...to('echo') },
];
/** The route configuration extends contexts, too: the most specific value of a key counts. */
const HOST = {
  ...settings({ context_extensions: { host: 'h', both: 'of the host' } }),
};

export function bootstrap(ports: Ports): object {
  const http2 = {
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('upstreams.http.v3.HttpProtocolOptions', {
        explicit_http_config: { http2_protocol_options: {} },
      }),
    },
  };
  const one = ([name, config]: [string, object]): Json =>
    listener(name, managed([SHADOW, filter('ext_authz.v3.ExtAuthz', config)], name.startsWith('g-')));
  return {
    node: { id: 'interop', cluster: 'interop' },
    admin: { address: at(0) },
    static_resources: {
      listeners: [...Object.entries(CONFIGS).map(one), ...Object.entries(CONNECTIONS).map(connectionListener)],
      clusters: [
        staticCluster('echo', ports.echo),
        staticCluster('second', ports.second),
        staticCluster('dead', ports.dead),
        staticCluster('bytes', ports.bytes),
        staticCluster('dead-grpc', ports.dead, http2),
        staticCluster('authz-http', ports.http),
        staticCluster('authz-grpc', ports.grpc, http2),
      ],
    },
  };
}

function managed(filters: object[], hasExtensions: boolean): object {
  return manager(ROUTES, filters, {
    upgrade_configs: [{ upgrade_type: 'websocket' }, { upgrade_type: 'CONNECT' }],
    route_config: {
      name: 'local',
      validate_clusters: false,
      virtual_hosts: [{ name: 'main', domains: ['*'], routes: ROUTES, ...(hasExtensions && HOST) }],
    },
  });
}
