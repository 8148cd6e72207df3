/** More routes and listeners of the shared bootstrap: rewrites, matches, headers, CORS, faults, tunnels, options. */
import { any, filter, header, type Json, percent, prefix, say, to } from '../harness/bootstrap-parts.ts';

const OVERWRITE = 'OVERWRITE_IF_EXISTS_OR_ADD';
const APPEND = 'APPEND_IF_EXISTS_OR_ADD';
const ABSENT = 'ADD_IF_ABSENT';
const EXISTS = 'OVERWRITE_IF_EXISTS';

const template = (path_template: string) => ({
  match: {
    path_match_policy: {
      name: 'envoy.path.match.uri_template.uri_template_matcher',
      typed_config: any('path.match.uri_template.v3.UriTemplateMatchConfig', { path_template }),
    },
  },
});
const templateRewrite = (path_template_rewrite: string) => ({
  path_rewrite_policy: {
    name: 'envoy.path.rewrite.uri_template.uri_template_rewriter',
    typed_config: any('path.rewrite.uri_template.v3.UriTemplateRewriteConfig', { path_template_rewrite }),
  },
});
const named = (name: string, string_match: Json, more: Json = {}) => ({ headers: [{ name, string_match, ...more }] });
const query = (name: string, string_match: Json) => ({ query_parameters: [{ name, string_match }] });
const retry = (on: string, more: Json = {}) => ({
  retry_policy: { retry_on: on, num_retries: 2, retry_back_off: { base_interval: '0.005s' }, ...more },
});
const fault = (fields: Json) => ({
  'envoy.filters.http.fault': any('filters.http.fault.v3.HTTPFault', fields),
});
const buffer = (fields: Json) => ({
  'envoy.filters.http.buffer': any('filters.http.buffer.v3.BufferPerRoute', fields),
});
const cors = (fields: Json) => ({ 'envoy.filters.http.cors': any('filters.http.cors.v3.CorsPolicy', fields) });
const perFilter = (typed_per_filter_config: Json) => ({ typed_per_filter_config });
const abort = (http_status: number, share = 100) => ({ abort: { http_status, percentage: percent(share) } });

const rewriting = [
  { ...template('/t/{a}/{b=**}'), ...to('echo', templateRewrite('/new/{b}/{a}')) },
  { ...template('/tv/{lang=*}/items/{id}.json'), ...to('echo', templateRewrite('/items/{id}/in/{lang}')) },
  { ...template('/tw/*/x/**'), ...say('template') },
  { ...template('/tfixed/only'), ...say('template literal') },
  { ...prefix('/host/header'), ...to('echo', { host_rewrite_header: 'x-new-host' }) },
  {
    ...prefix('/host/path'),
    ...to('echo', {
      host_rewrite_path_regex: { pattern: { regex: '^/host/path/([a-z]+)/.*$' }, substitution: '\\1.test' },
    }),
  },
  { ...prefix('/host/auto'), ...to('named', { auto_host_rewrite: true, append_x_forwarded_host: true }) },
  { ...prefix('/host/auto-none'), ...to('echo', { auto_host_rewrite: true }) },
  { ...prefix('/host/forwarded'), ...to('echo', { host_rewrite_literal: 'lit.test', append_x_forwarded_host: true }) },
  { match: { path: '/prefix-of-path' }, ...to('echo', { prefix_rewrite: '/whole' }) },
  { match: { safe_regex: { regex: '/rx/.*' } }, ...to('echo', { prefix_rewrite: '/by-regex' }) },
  { match: { path_separated_prefix: '/psp' }, ...to('echo', { prefix_rewrite: '/other' }) },
  { match: { prefix: '/FoldPrefix', case_sensitive: false }, ...to('echo', { prefix_rewrite: '/fp' }) },
  { ...prefix('/to-root/'), ...to('echo', { prefix_rewrite: '/' }) },
  { ...prefix('/to-root'), ...to('echo', { prefix_rewrite: '/' }) },
  {
    ...prefix('/regex-all/'),
    ...to('echo', { regex_rewrite: { pattern: { regex: 'a' }, substitution: 'bb' } }),
  },
  {
    ...prefix('/regex-groups/'),
    ...to('echo', {
      regex_rewrite: { pattern: { regex: '/regex-groups/([^/]*)/?(.*)' }, substitution: '/\\2\\\\\\1/\\0' },
    }),
  },
  {
    ...prefix('/regex-none/'),
    ...to('echo', { regex_rewrite: { pattern: { regex: '^/never' }, substitution: '/x' } }),
  },
];

/** Configuration is Unicode and goes out as UTF-8; U+010A must not become a line feed. */
const unicode = [
  {
    ...prefix('/utf8/headers'),
    ...to('echo'),
    request_headers_to_add: [header('x-text', 'a\u010ab caf\u00e9 %REQ(x-c)% \u263a', OVERWRITE)],
    response_headers_to_add: [header('x-text', 'a\u010ab caf\u00e9 %REQ(x-c)% \u263a', OVERWRITE)],
  },
  { ...prefix('/utf8/said'), ...say('caf\u00e9 \u263a') },
  { ...prefix('/utf8/moved'), redirect: { host_redirect: 'caf\u00e9.test', path_redirect: '/\u010a\u263a' } },
  { ...prefix('/utf8/host'), ...to('echo', { host_rewrite_literal: 'caf\u00e9.test' }) },
  { ...prefix('/utf8/match', named('x-c', { exact: 'caf\u00e9' })), ...say('matched') },
];

const choosing = [
  { ...prefix('/cluster/header'), ...to(undefined, { cluster_header: 'x-cluster' }) },
  { ...prefix('/cluster/404'), ...to('missing', { cluster_not_found_response_code: 'NOT_FOUND' }) },
  { ...prefix('/cluster/500'), ...to('missing', { cluster_not_found_response_code: 'INTERNAL_SERVER_ERROR' }) },
  {
    ...prefix('/cluster/weighted'),
    route: {
      weighted_clusters: {
        clusters: [
          { name: 'second', weight: 0 },
          {
            name: 'echo',
            weight: 7,
            host_rewrite_literal: 'weighted.test',
            request_headers_to_add: [header('x-level', 'cluster', APPEND)],
            request_headers_to_remove: ['x-gone'],
            response_headers_to_add: [header('x-r-level', 'cluster', APPEND)],
            response_headers_to_remove: ['x-r-gone'],
          },
        ],
      },
    },
    request_headers_to_add: [header('x-level', 'route', APPEND)],
    response_headers_to_add: [header('x-r-level', 'route', APPEND)],
  },
  { ...prefix('/never', { runtime_fraction: { default_value: percent(0) } }), ...say('never') },
  { ...prefix('/never'), ...say('behind never') },
  { ...prefix('/always', { runtime_fraction: { default_value: percent(100) } }), ...say('always') },
  {
    ...prefix('/mirror'),
    ...to('echo', { request_mirror_policies: [{ cluster: 'second' }, { cluster: 'missing' }] }),
  },
  { ...prefix('/retry/host'), ...to('echo') },
  { ...prefix('/retry/own'), ...to('echo', retry('retriable-4xx')) },
  { ...prefix('/retry/none'), ...to('echo', { retry_policy: { retry_on: '5xx', num_retries: 0 } }) },
  { ...prefix('/retry/many'), ...to('echo', retry('5xx', { num_retries: 5 })) },
  { ...prefix('/retry/grpc'), ...to('echo', retry('cancelled,unavailable')) },
  { ...prefix('/retry/connect-only'), ...to('echo', retry('connect-failure')) },
  {
    ...prefix('/retry/mixed'),
    ...to('echo', retry('gateway-error,retriable-status-codes', { retriable_status_codes: [418, 404] })),
  },
  { ...prefix('/idle'), ...to('echo', { idle_timeout: '0.6s' }) },
  { ...prefix('/slow'), ...to('echo', { timeout: '0.2s', ...retry('5xx') }) },
  { ...prefix('/dead/retried'), ...to('dead', retry('5xx')) },
  { ...prefix('/dead/grpc'), ...to('dead') },
  { ...prefix('/empty'), ...to('empty') },
];

const conditions = [
  { ...prefix('/m', named('x-s', { suffix: '.test' })), ...say('suffix') },
  { ...prefix('/m', named('x-s', { contains: 'mid' })), ...say('contains') },
  { ...prefix('/m', named('x-i', { exact: 'MiXed', ignore_case: true })), ...say('ignoring case') },
  { ...prefix('/m', named('x-p', { prefix: 'PRE', ignore_case: true })), ...say('prefix ignoring case') },
  { ...prefix('/m', { headers: [{ name: 'x-neg', range_match: { start: -5, end: 0 } }] }), ...say('negative') },
  {
    ...prefix('/m/empty', named('x-e', { exact: '' }, { treat_missing_header_as_empty: true })),
    ...say('missing is empty'),
  },
  { ...prefix('/m/absent', { headers: [{ name: 'x-f', present_match: false }] }), ...say('absent') },
  { ...prefix('/m/absent', { headers: [{ name: 'x-f', present_match: true, invert_match: true }] }), ...say('never') },
  { ...prefix('/m/not', named('x-g', { prefix: 'a' }, { invert_match: true })), ...say('not a') },
  { ...prefix('/m/host', named(':authority', { prefix: 'more' })), ...say('by host') },
  { ...prefix('/m/scheme', named(':scheme', { exact: 'https' })), ...say('https') },
  { ...prefix('/m/path', named(':path', { suffix: 'z=1' })), ...say('by whole path') },
  { ...prefix('/m/both', { headers: [{ name: 'x-1' }, { name: 'x-2' }] }), ...say('both') },
  { ...prefix('/m/list', named('x-l', { exact: 'a,b' })), ...say('joined') },
  { ...prefix('/m/q', query('r', { safe_regex: { regex: '[0-9]+' } })), ...say('q regex') },
  { ...prefix('/m/q', query('p', { prefix: 'ab' })), ...say('q prefix') },
  { ...prefix('/m/q', query('s', { suffix: 'yz' })), ...say('q suffix') },
  { ...prefix('/m/q', query('c', { contains: 'mm' })), ...say('q contains') },
  { ...prefix('/m/q', query('i', { exact: 'ABC', ignore_case: true })), ...say('q ignoring case') },
  { ...prefix('/m/q', query('e', { exact: '' })), ...say('q empty') },
  {
    ...prefix('/m/q', { query_parameters: [{ name: 'a' }, { name: 'b', string_match: { exact: '2' } }] }),
    ...say('q two'),
  },
  { ...prefix('/m/q', query('enc', { exact: '%20' })), ...say('q encoded') },
];

const editing = [
  {
    ...prefix('/edit/formats'),
    ...to('echo'),
    request_headers_to_add: [
      header('x-req', 'a-%REQ(X-A)%-%REQ(x-none?X-B)%-%REQ(X-A):2%', OVERWRITE),
      header('x-proto', '%PROTOCOL% 100%%', OVERWRITE),
      header('x-route', '%ROUTE_NAME%', OVERWRITE),
      header('x-method', '%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)%', OVERWRITE),
    ],
    response_headers_to_add: [
      header('x-r-code', '%RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS%', OVERWRITE),
      header('x-r-cluster', '%UPSTREAM_CLUSTER%', OVERWRITE),
      header('x-r-req', '%REQ(X-A)%', OVERWRITE),
      header('x-r-status', '%RESPONSE_CODE%', OVERWRITE),
    ],
    name: 'formats',
  },
  {
    ...prefix('/edit/actions'),
    ...to('echo'),
    request_headers_to_add: [
      header('x-exists', 'new', EXISTS),
      header('x-absent', 'new', ABSENT),
      header('x-append', 'one', APPEND),
      header('x-append', 'two', APPEND),
      { header: { key: 'x-empty', value: '' }, keep_empty_value: true },
      { header: { key: 'x-dropped', value: '' } },
      header('x-old', 'last', OVERWRITE),
    ],
    request_headers_to_remove: ['x-old', 'x-away'],
    response_headers_to_add: [
      header('x-r-exists', 'new', EXISTS),
      header('x-r-absent', 'new', ABSENT),
      header('set-cookie', 'c=3', APPEND),
      header('server', 'edited', OVERWRITE),
      header('content-type', 'text/edited', OVERWRITE),
    ],
    response_headers_to_remove: ['x-r-away', 'x-envoy-upstream-service-time'],
  },
  {
    ...prefix('/edit/direct'),
    ...say('edited', 202),
    response_headers_to_add: [header('x-r-d', '%REQ(X-A)%', APPEND), header('content-type', 'text/html', OVERWRITE)],
  },
  {
    ...prefix('/edit/redirect'),
    redirect: { path_redirect: '/away' },
    response_headers_to_add: [header('x-r-d', 'redirected', APPEND)],
  },
];

const redirecting = [
  { ...prefix('/r/scheme'), redirect: { scheme_redirect: 'https', host_redirect: 'sec.test', port_redirect: 444 } },
  { ...prefix('/r/query'), redirect: { path_redirect: '/q?fixed=1' } },
  {
    ...prefix('/r/regex'),
    redirect: { regex_rewrite: { pattern: { regex: '/r/regex/(.*)' }, substitution: '/x/\\1' } },
  },
  {
    ...prefix('/r/regex-strip'),
    redirect: { regex_rewrite: { pattern: { regex: '^.*$' }, substitution: '/y' }, strip_query: true },
  },
  { ...prefix('/r/prefix-strip'), redirect: { prefix_rewrite: '/z', strip_query: true } },
  { ...prefix('/r/host-only'), redirect: { host_redirect: 'else.test' } },
  { ...prefix('/r/https'), redirect: { https_redirect: true } },
  { ...prefix('/r/https-port'), redirect: { https_redirect: true, port_redirect: 8443 } },
  { match: { path: '/r-exact' }, redirect: { prefix_rewrite: '/whole' } },
];

const origins = [
  { exact: 'http://a.test' },
  { safe_regex: { regex: 'https://.*\\.b\\.test' } },
  { prefix: 'http://pre' },
];
const crossing = [
  {
    ...prefix('/cors/full'),
    ...to('echo'),
    ...perFilter(
      cors({
        allow_origin_string_match: origins,
        allow_methods: 'GET, PUT',
        allow_headers: 'x-one, x-two',
        expose_headers: 'x-three',
        max_age: '600',
        allow_credentials: true,
      }),
    ),
  },
  {
    ...prefix('/cors/refusing'),
    ...to('echo'),
    ...perFilter(cors({ allow_origin_string_match: origins, forward_not_matching_preflights: false })),
  },
  {
    ...prefix('/cors/off'),
    ...to('echo'),
    ...perFilter(cors({ allow_origin_string_match: origins, filter_enabled: { default_value: percent(0) } })),
  },
  { ...prefix('/cors/direct'), ...say('c'), ...perFilter(cors({ allow_origin_string_match: [{ prefix: 'http' }] })) },
  { ...prefix('/cors/host'), ...to('echo') },
];

const faulty = [
  { ...prefix('/fault/none'), ...to('echo'), ...perFilter(fault({})) },
  { ...prefix('/fault/zero'), ...to('echo'), ...perFilter(fault(abort(500, 0))) },
  { ...prefix('/fault/own'), ...to('echo'), ...perFilter(fault(abort(418))) },
  {
    ...prefix('/fault/both'),
    ...to('echo'),
    ...perFilter(fault({ ...abort(429), delay: { fixed_delay: '0.02s', percentage: percent(100) } })),
  },
  { ...prefix('/fault/direct'), ...say('unseen'), ...perFilter(fault(abort(503))) },
  { ...prefix('/'), ...to('echo') },
];

const tunnelling = [
  {
    match: { connect_matcher: {} },
    ...to('tunnel', { upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] }),
  },
  { ...prefix('/ws/raw'), ...to('raw') },
  { ...prefix('/ws/off'), ...to('echo', { upgrade_configs: [{ upgrade_type: 'websocket', enabled: false }] }) },
  {
    ...prefix('/ws/any'),
    ...to('echo', { upgrade_configs: [{ upgrade_type: 'websocket' }, { upgrade_type: 'Custom' }] }),
  },
  { ...prefix('/ws/dead'), ...to('dead', { upgrade_configs: [{ upgrade_type: 'websocket' }] }) },
  { ...prefix('/ws'), ...to('echo') },
  { ...prefix('/'), ...to('echo') },
];

export const moreHosts: Json[] = [
  {
    name: 'more',
    domains: ['more.test', 'more.test:*'],
    routes: [...rewriting, ...unicode, ...choosing, ...conditions, ...editing, ...redirecting, ...crossing],
    include_request_attempt_count: true,
    include_attempt_count_in_response: true,
    request_headers_to_add: [header('x-level', 'host', APPEND)],
    response_headers_to_add: [header('x-r-level', 'host', APPEND)],
    ...retry('gateway-error'),
    ...perFilter(cors({ allow_origin_string_match: [{ exact: 'http://host.test' }], allow_methods: 'PATCH' })),
  },
  { name: 'faulty', domains: ['faulty.test'], routes: faulty, ...perFilter(fault(abort(555))) },
  { name: 'tunnels', domains: ['tunnel.test', 'tunnel.test:*', 'raw.test:*'], routes: tunnelling },
  {
    name: 'secure',
    domains: ['secure.test', 'secure.test:*'],
    require_tls: 'ALL',
    routes: [{ ...prefix('/'), ...say('secure') }],
  },
  {
    name: 'external',
    domains: ['external.test'],
    require_tls: 'EXTERNAL_ONLY',
    routes: [{ ...prefix('/'), ...say('external') }],
  },
  { name: 'any-port', domains: ['port.test:8080'], routes: [{ ...prefix('/'), ...say('with port') }] },
  { name: 'no-routes', domains: ['void.test'], routes: [] },
];

const equals = (op: string, default_value: number) => ({
  status_code_filter: { comparison: { op, value: { default_value, runtime_key: 'none' } } },
});
const everything = () => [
  { ...prefix('/raw'), ...to('raw') },
  { ...prefix('/'), ...to('echo') },
];
const hosts = (routes: Json[]) => [{ name: 'all', domains: ['*'], routes, include_request_attempt_count: true }];

/** Name, options of the connection manager, filters before the router, virtual hosts. */
export const moreListeners: readonly [string, Json, Json[], Json[]][] = [
  [
    'tunnels',
    { upgrade_configs: [{ upgrade_type: 'WebSocket' }, { upgrade_type: 'CONNECT', enabled: false }] },
    [],
    moreHosts,
  ],
  [
    'strict',
    {
      common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST', max_headers_count: 20 },
      normalize_path: true,
      merge_slashes: true,
      path_with_escaped_slashes_action: 'UNESCAPE_AND_REDIRECT',
      strip_any_host_port: true,
      server_header_transformation: 'PASS_THROUGH',
      always_set_request_id_in_response: true,
    },
    [],
    hosts(everything()),
  ],
  [
    'lenient',
    {
      common_http_protocol_options: { headers_with_underscores_action: 'DROP_HEADER', max_requests_per_connection: 2 },
      normalize_path: true,
      path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD',
      strip_matching_host_port: true,
      strip_trailing_host_dot: true,
      server_header_transformation: 'APPEND_IF_ABSENT',
      server_name: 'lenient',
      use_remote_address: true,
      skip_xff_append: true,
      xff_num_trusted_hops: 1,
      preserve_external_request_id: true,
      append_x_forwarded_port: true,
      proxy_100_continue: true,
    },
    [],
    hosts(everything()),
  ],
  [
    'hops',
    {
      xff_num_trusted_hops: 2,
      merge_slashes: true,
      generate_request_id: false,
      http_protocol_options: { accept_http_10: true, enable_trailers: true },
    },
    [],
    hosts([{ ...prefix('/short'), ...to('echo', { timeout: '0.3s' }) }, ...everything()]),
  ],
  ['longest', { common_http_protocol_options: { max_stream_duration: '0.6s' } }, [], hosts(everything())],
  ['whole-request', { request_timeout: '0.6s' }, [], hosts(everything())],
  ['idle-stream', { stream_idle_timeout: '0.6s' }, [], hosts(everything())],
  ['slow-head', { request_headers_timeout: '0.6s' }, [], hosts(everything())],
  [
    'mapped',
    {
      local_reply_config: {
        mappers: [
          {
            filter: equals('EQ', 404),
            status_code: 410,
            body: { inline_string: 'gone' },
            headers_to_add: [header('x-mapped', '%RESPONSE_CODE%', OVERWRITE)],
          },
          {
            filter: { and_filter: { filters: [equals('GE', 500), { header_filter: { header: { name: 'x-api' } } }] } },
            body_format_override: {
              json_format: {
                body: '%LOCAL_REPLY_BODY%',
                case: '%REQ(X-CASE)%',
                code: '%RESPONSE_CODE%',
                more: { n: 1 },
              },
            },
          },
          {
            filter: { response_flag_filter: { flags: ['UH', 'NC'] } },
            body_format_override: {
              text_format_source: { inline_string: '<h1>%LOCAL_REPLY_BODY%</h1> %RESPONSE_FLAGS%\n' },
              content_type: 'text/html; charset=UTF-8',
            },
          },
          {
            filter: { or_filter: { filters: [equals('EQ', 418), equals('EQ', 301)] } },
            headers_to_add: [header('x-mapped', 'or', APPEND), header('x-mapped', 'twice', APPEND)],
          },
        ],
        body_format: { text_format_source: { inline_string: '%LOCAL_REPLY_BODY%|%RESPONSE_CODE%|%REQ(:PATH)%' } },
      },
    },
    [],
    hosts([
      { ...prefix('/dead'), ...to('dead') },
      { ...prefix('/empty'), ...to('empty') },
      { ...prefix('/missing'), ...to('missing') },
      { ...prefix('/teapot'), ...say('short', 418) },
      { ...prefix('/said'), ...say('said') },
      { ...prefix('/moved'), redirect: { path_redirect: '/new' } },
      { ...prefix('/up'), ...to('echo') },
    ]),
  ],
  [
    'buffered',
    { proxy_100_continue: false },
    [filter('buffer.v3.Buffer', { max_request_bytes: 20 }), filter('fault.v3.HTTPFault')],
    hosts([
      { ...prefix('/off'), ...to('echo'), ...perFilter(buffer({ disabled: true })) },
      { ...prefix('/more'), ...to('echo'), ...perFilter(buffer({ buffer: { max_request_bytes: 40 } })) },
      { ...prefix('/fault'), ...to('echo'), ...perFilter(fault(abort(555))) },
      ...everything(),
    ]),
  ],
  [
    'internal',
    {
      use_remote_address: true,
      skip_xff_append: true,
      internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] },
      normalize_path: true,
    },
    [filter('cors.v3.Cors')],
    hosts(everything()),
  ],
];
