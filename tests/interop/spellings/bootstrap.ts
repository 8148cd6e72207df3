/** The bootstrap whose policies and routes are compared under every spelling of a request. */
import {
  any,
  at,
  filter,
  type Json,
  listener,
  manager,
  prefix,
  staticCluster,
  to,
} from '../harness/bootstrap-parts.ts';

/** Options of the connection manager by listener: every way to treat a path. */
export const PATH_LISTENERS: Readonly<Record<string, Json>> = {
  // Istio's default.
  base: { normalize_path: true },
  merge: { normalize_path: true, merge_slashes: true },
  decode: { normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD' },
  forward: { normalize_path: true, path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD' },
  redirect: { normalize_path: true, path_with_escaped_slashes_action: 'UNESCAPE_AND_REDIRECT' },
  reject: { normalize_path: true, path_with_escaped_slashes_action: 'REJECT_REQUEST' },
  keep: { normalize_path: true, path_with_escaped_slashes_action: 'KEEP_UNCHANGED' },
  raw: {},
  'raw-merge': { merge_slashes: true },
  'raw-forward': { path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD' },
  'raw-redirect': { merge_slashes: true, path_with_escaped_slashes_action: 'UNESCAPE_AND_REDIRECT' },
  'raw-reject': { path_with_escaped_slashes_action: 'REJECT_REQUEST' },
};

const underscores = (action: string): Json => ({
  normalize_path: true,
  common_http_protocol_options: { headers_with_underscores_action: action },
});

/** Options by listener: every way to treat hosts and names of header fields. */
export const NAME_LISTENERS: Readonly<Record<string, Json>> = {
  'names-allow': underscores('ALLOW'),
  'names-drop': underscores('DROP_HEADER'),
  'names-reject': underscores('REJECT_REQUEST'),
  'host-any-port': { normalize_path: true, strip_any_host_port: true },
  'host-own-port': { normalize_path: true, strip_matching_host_port: true },
  'host-dot': { normalize_path: true, strip_trailing_host_dot: true },
  'host-dot-port': { normalize_path: true, strip_trailing_host_dot: true, strip_any_host_port: true },
};

const everyone = [{ any: true }];
const deny = (policies: Record<string, Json[]>) =>
  filter('rbac.v3.RBAC', {
    rules: {
      action: 'DENY',
      policies: Object.fromEntries(
        Object.entries(policies).map(([name, permissions]) => [name, { permissions, principals: everyone }]),
      ),
    },
  });
const text = (name: string, match: Json) => ({ header: { name, string_match: match } });

/** What the compiler writes for paths, hosts, methods and headers of an AuthorizationPolicy, and its neighbours. */
const policies = deny({
  exact: [{ url_path: { path: { exact: '/admin' } } }],
  prefix: [{ url_path: { path: { prefix: '/admin/' } } }],
  folded: [{ url_path: { path: { exact: '/folded', ignore_case: true } } }],
  regex: [{ url_path: { path: { safe_regex: { regex: '/v[0-9]+/secret.*' } } } }],
  target: [text(':path', { prefix: '/target' })],
  template: [
    {
      uri_template: {
        name: 'template',
        typed_config: any('path.match.uri_template.v3.UriTemplateMatchConfig', { path_template: '/u/*/x' }),
      },
    },
  ],
  host: [text(':authority', { exact: 'deny.test', ignore_case: true })],
  hostPort: [text(':authority', { prefix: 'deny.test:', ignore_case: true })],
  hostExact: [text(':authority', { exact: 'exact.test' })],
  hostHeader: [text('host', { suffix: '.deny.test' })],
  method: [text(':method', { exact: 'DELETE' })],
  header: [text('x-role', { exact: 'admin' })],
  // Values are bytes: Envoy matches regular expressions in Latin-1 (CVE-2026-73552).
  bytes: [text('x-note', { safe_regex: { regex: '.*secret.*' } })],
  byteClass: [text('x-note', { safe_regex: { regex: '[^a-z]hidden\\W' } })],
  wide: [text('x-note', { exact: 'blåbær' }), text('x-note', { safe_regex: { regex: 'caf(é|E)' } })],
  underscore: [{ header: { name: 'x_role', present_match: true } }],
  scheme: [{ and_rules: { rules: [text(':scheme', { exact: 'https' }), text('x-scheme', { exact: 'judged' })] } }],
});

const routed = (match: Json, name: string) => ({
  match,
  ...to('upstream'),
  request_headers_to_add: [{ header: { key: 'x-route', value: name }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }],
});
const routes = [
  routed({ path: '/api' }, 'exact'),
  routed({ path_separated_prefix: '/api' }, 'separated'),
  routed({ safe_regex: { regex: '/r[0-9]/.*' } }, 'regex'),
  routed({ prefix: '/x/' }, 'prefix'),
  routed({ prefix: '/', headers: [{ name: 'x-role', string_match: { exact: 'admin' } }] }, 'role'),
  routed(prefix('/').match, 'rest'),
];
const hosts = [
  { name: 'exact', domains: ['deny.test', 'exact.test'], routes: [routed({ prefix: '/' }, 'denied-host')] },
  { name: 'suffix', domains: ['*.deny.test'], routes: [routed({ prefix: '/' }, 'suffix-host')] },
];

export function spellingsBootstrap(upstream: number): object {
  const listeners = Object.entries({ ...PATH_LISTENERS, ...NAME_LISTENERS });
  return {
    node: { id: 'spellings', cluster: 'spellings' },
    admin: { address: at(0) },
    static_resources: {
      listeners: listeners.map(([name, more]) => {
        const all = [...hosts, { name: 'all', domains: ['*'], routes }];
        return listener(name, manager([], [policies], { ...more, access_log: [] }, all));
      }),
      clusters: [staticCluster('upstream', upstream)],
    },
  };
}
