/** The bootstrap that runs in Envoy and in Tulle, word for word the same file. */

import {
  any,
  assignment,
  at,
  filter,
  header,
  listener,
  manager,
  percent,
  prefix,
  say,
  staticCluster,
  to,
} from '../harness/bootstrap-parts.ts';
import { moreHosts, moreListeners } from './bootstrap-more.ts';
import { THEMES, type Upstreams } from './themes/themes.ts';

export { any, listener, manager, staticCluster } from '../harness/bootstrap-parts.ts';

const OVERWRITE = 'OVERWRITE_IF_EXISTS_OR_ADD';
const APPEND = 'APPEND_IF_EXISTS_OR_ADD';
const ABSENT = 'ADD_IF_ABSENT';

const retry = (on: string, more: object = {}) => ({
  retry_policy: { retry_on: on, num_retries: 2, retry_back_off: { base_interval: '0.005s' }, ...more },
});
const fault = (fields: object) => ({
  typed_per_filter_config: { 'envoy.filters.http.fault': any('filters.http.fault.v3.HTTPFault', fields) },
});

const matching = [
  { match: { path: '/exact' }, ...say('exact') },
  { match: { path: '/Fold', case_sensitive: false }, ...say('folded') },
  { match: { path_separated_prefix: '/sep' }, ...say('separated') },
  { match: { safe_regex: { regex: '/re/[0-9]+' } }, ...say('regex') },
  { ...prefix('/h', { headers: [{ name: 'x-a', string_match: { exact: 'one' } }] }), ...say('h exact') },
  { ...prefix('/h', { headers: [{ name: 'x-a', string_match: { prefix: 'pre' } }] }), ...say('h prefix') },
  { ...prefix('/h', { headers: [{ name: 'x-b', present_match: true }] }), ...say('h present') },
  {
    ...prefix('/h', { headers: [{ name: 'x-c', string_match: { safe_regex: { regex: 'v[0-9]' } } }] }),
    ...say('h regex'),
  },
  { ...prefix('/h', { headers: [{ name: 'x-n', range_match: { start: 5, end: 10 } }] }), ...say('h range') },
  {
    ...prefix('/h', { headers: [{ name: 'x-d', string_match: { exact: 'no' }, invert_match: true }] }),
    ...say('h inverted'),
  },
  { ...prefix('/q', { query_parameters: [{ name: 'a', string_match: { exact: '1' } }] }), ...say('q exact') },
  { ...prefix('/q', { query_parameters: [{ name: 'b', present_match: true }] }), ...say('q present') },
  { match: { prefix: '/m', headers: [{ name: ':method', string_match: { exact: 'PUT' } }] }, ...say('put') },
];
const acting = [
  {
    ...prefix('/weights'),
    route: {
      weighted_clusters: {
        clusters: [
          { name: 'echo', weight: 0 },
          { name: 'second', weight: 100 },
        ],
      },
    },
  },
  { ...prefix('/rewrite/'), ...to('echo', { prefix_rewrite: '/' }) },
  { ...prefix('/hostrewrite'), ...to('echo', { host_rewrite_literal: 'new.test' }) },
  {
    ...prefix('/regexrewrite'),
    ...to('echo', { regex_rewrite: { pattern: { regex: '^/regexrewrite/([a-z]+)/(.*)$' }, substitution: '/\\2/\\1' } }),
  },
  { ...prefix('/redirect/host'), redirect: { host_redirect: 'other.test', path_redirect: '/new' } },
  { ...prefix('/redirect/https'), redirect: { https_redirect: true, response_code: 'FOUND' } },
  { ...prefix('/redirect/prefix'), redirect: { prefix_rewrite: '/p', response_code: 'PERMANENT_REDIRECT' } },
  { ...prefix('/redirect/strip'), redirect: { path_redirect: '/s', strip_query: true, response_code: 'SEE_OTHER' } },
  { ...prefix('/redirect/port'), redirect: { port_redirect: 8443, response_code: 'TEMPORARY_REDIRECT' } },
  { ...prefix('/direct/empty'), direct_response: { status: 204 } },
  { ...prefix('/direct/teapot'), ...say('short and stout', 418) },
  {
    ...prefix('/headers'),
    ...to('echo'),
    request_headers_to_add: [
      header('x-over', 'new', OVERWRITE),
      header('x-append', 'new', APPEND),
      header('x-absent', 'new', ABSENT),
    ],
    request_headers_to_remove: ['x-gone'],
    response_headers_to_add: [header('x-r-over', 'new', OVERWRITE), header('x-r-append', 'new', APPEND)],
    response_headers_to_remove: ['x-r-gone'],
  },
  { ...prefix('/retry/5xx'), ...to('echo', retry('5xx')) },
  { ...prefix('/retry/codes'), ...to('echo', retry('retriable-status-codes', { retriable_status_codes: [418] })) },
  { ...prefix('/retry/reset'), ...to('echo', retry('reset')) },
  { ...prefix('/retry/connect'), ...to('dead', retry('connect-failure')) },
  { ...prefix('/retry/gateway'), ...to('echo', retry('gateway-error')) },
  {
    ...prefix('/retry/pertry'),
    ...to('echo', { ...retry('5xx', { per_try_timeout: '0.2s', num_retries: 1 }), timeout: '5s' }),
  },
  { ...prefix('/timeout'), ...to('echo', { timeout: '0.6s' }) },
  { ...prefix('/notimeout'), ...to('echo', { timeout: '0s' }) },
  { ...prefix('/abort'), ...to('echo'), ...fault({ abort: { http_status: 555, percentage: percent(100) } }) },
  {
    ...prefix('/delay'),
    ...to('echo'),
    ...fault({ delay: { fixed_delay: '0.02s', percentage: percent(100) } }),
  },
  { ...prefix('/dead'), ...to('dead') },
  { ...prefix('/empty'), ...to('empty') },
  { ...prefix('/missing'), ...to('missing') },
  { ...prefix('/echo'), ...to('echo') },
  { ...prefix('/raw'), ...to('raw') },
];

const rbac = (action: string, policies: object) => filter('rbac.v3.RBAC', { rules: { action, policies } });
const path = (value: string) => ({ url_path: { path: { prefix: value } } });
const deny = rbac('DENY', {
  'ns[foo]-policy[deny]-rule[0]': { permissions: [path('/secret')], principals: [{ any: true }] },
});
const allow = rbac('ALLOW', {
  'ns[foo]-policy[allow]-rule[0]': {
    permissions: [{ and_rules: { rules: [path('/'), { not_rule: path('/closed') }] } }],
    principals: [{ header: { name: 'x-user', string_match: { prefix: 'u' } } }],
  },
});
const wildcards = ['*.wild.test', 'exact.wild.test', 'pre.*'].map((domain, i) => ({
  name: `w${i}`,
  domains: [domain],
  routes: [{ match: { prefix: '/' }, ...say(domain) }],
}));

const ONE_REQUEST = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('upstreams.http.v3.HttpProtocolOptions', {
      common_http_protocol_options: { max_requests_per_connection: 1 },
      explicit_http_config: { http_protocol_options: {} },
    }),
  },
};

export function sharedBootstrap(upstreams: Upstreams) {
  const echo = [{ match: { prefix: '/' }, ...to('echo') }];
  const cors = filter('cors.v3.Cors');
  return {
    node: { id: 'interop', cluster: 'interop' },
    admin: { address: at(0) },
    static_resources: {
      listeners: [
        listener(
          'main',
          manager([...matching, ...acting], [cors, filter('fault.v3.HTTPFault')], {}, [...wildcards, ...moreHosts]),
        ),
        listener('guarded', manager(echo, [deny, allow])),
        ...moreListeners.map(([name, more, filters, hosts]) => listener(name, manager([], filters, more, hosts))),
        ...THEMES.flatMap((theme) => theme.listeners),
        listener(
          'edge',
          manager(echo, [], {
            use_remote_address: true,
            // Envoy writes the machine's own address for a loopback client.
            skip_xff_append: true,
            normalize_path: true,
            merge_slashes: true,
            path_with_escaped_slashes_action: 'REJECT_REQUEST',
            via: 'interop',
            server_name: 'me',
            http_protocol_options: {
              accept_http_10: true,
              default_host_for_http_10: 'main.test',
              enable_trailers: true,
            },
            max_request_headers_kb: 16,
          }),
        ),
      ],
      clusters: [
        ...THEMES.flatMap((theme) => theme.clusters?.(upstreams) ?? []),
        staticCluster('echo', upstreams.echo),
        staticCluster('second', upstreams.second),
        staticCluster('dead', upstreams.dead),
        staticCluster('empty', undefined),
        staticCluster('tunnel', upstreams.bytes),
        // One answer, however odd, must not meet the next case.
        staticCluster('raw', upstreams.raw, ONE_REQUEST),
        staticCluster('named', upstreams.echo, {
          load_assignment: assignment('named', upstreams.echo, 'endpoint.test'),
        }),
      ],
    },
  };
}

/** The same message with lowerCamel names: proto3 JSON reads both. Keys of maps, and values, stay. */
export function camelCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camelCase);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const name = /^[a-z0-9_]+$/.test(key) ? key.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase()) : key;
      return [name, key === 'json_format' ? inner : camelCase(inner)];
    }),
  );
}
