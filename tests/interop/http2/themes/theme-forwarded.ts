/** What a proxy adds, removes and rewrites: forwarded fields, scheme, request ids, authorities, redirects, `x-envoy-*`. */
import { headers } from '../../../kit/http2/frames.ts';
import type { Field } from '../../../kit/http2/hpack.ts';
import { header, listener, prefix, to } from '../../harness/bootstrap-parts.ts';
import { manager } from '../bootstrap.ts';
import { answers, asks, asksPlainly, type Case, type Request, request, type Theme } from '../case.ts';

const f = (name: string, value: string): Field => [name, value];
const routes = [
  { ...prefix('/redirect/host'), redirect: { host_redirect: 'other.test', path_redirect: '/new' } },
  { ...prefix('/redirect/https'), redirect: { https_redirect: true, response_code: 'FOUND' } },
  { ...prefix('/redirect/prefix'), redirect: { prefix_rewrite: '/p', response_code: 'PERMANENT_REDIRECT' } },
  { ...prefix('/redirect/port'), redirect: { port_redirect: 8443, response_code: 'TEMPORARY_REDIRECT' } },
  { ...prefix('/redirect/scheme'), redirect: { scheme_redirect: 'ftp' } },
  { ...prefix('/literal'), ...to('two', { host_rewrite_literal: 'new.test' }) },
  { ...prefix('/literal-xfh'), ...to('two', { host_rewrite_literal: 'new.test', append_x_forwarded_host: true }) },
  { ...prefix('/by-header'), ...to('two', { host_rewrite_header: 'x-host' }) },
  { ...prefix('/prefix/'), ...to('two', { prefix_rewrite: '/' }) },
  {
    ...prefix('/regex'),
    ...to('two', { regex_rewrite: { pattern: { regex: '^/regex/([a-z]+)' }, substitution: '/\\1' } }),
  },
  {
    ...prefix('/headers'),
    ...to('two'),
    request_headers_to_add: [
      header('x-over', 'new', 'OVERWRITE_IF_EXISTS_OR_ADD'),
      header('x-append', 'new', 'APPEND_IF_EXISTS_OR_ADD'),
      header('x-authority', '%REQ(:AUTHORITY)%', 'OVERWRITE_IF_EXISTS_OR_ADD'),
      header('x-protocol', '%PROTOCOL%', 'OVERWRITE_IF_EXISTS_OR_ADD'),
    ],
    request_headers_to_remove: ['x-removed'],
    response_headers_to_add: [header('x-r', 'new', 'APPEND_IF_EXISTS_OR_ADD')],
    response_headers_to_remove: ['x-r-removed'],
  },
  {
    ...prefix('/by-scheme', { headers: [{ name: ':scheme', string_match: { exact: 'https' } }] }),
    direct_response: { status: 200, body: { inline_string: 'https' } },
  },
  {
    ...prefix('/by-method', { headers: [{ name: ':method', string_match: { exact: 'PUT' } }] }),
    direct_response: { status: 200, body: { inline_string: 'put' } },
  },
  {
    ...prefix('/by-host', { headers: [{ name: 'host', string_match: { exact: 'main.test' } }] }),
    direct_response: { status: 200, body: { inline_string: 'host' } },
  },
  {
    ...prefix('/by-authority', { headers: [{ name: ':authority', string_match: { exact: 'main.test' } }] }),
    direct_response: { status: 200, body: { inline_string: 'authority' } },
  },
  { ...prefix('/grpc', { grpc: {} }), direct_response: { status: 200, body: { inline_string: 'grpc' } } },
  { ...prefix('/'), ...to('two') },
];

const managers: Readonly<Record<string, object>> = {
  sidecar: {},
  edge: {
    use_remote_address: true,
    skip_xff_append: true,
    via: 'interop',
    server_name: 'me',
    append_x_forwarded_port: true,
  },
  'id-kept': {
    preserve_external_request_id: true,
    always_set_request_id_in_response: true,
    use_remote_address: true,
    skip_xff_append: true,
  },
  'id-none': { generate_request_id: false, server_header_transformation: 'PASS_THROUGH' },
  stripped: {
    strip_any_host_port: true,
    normalize_path: true,
    merge_slashes: true,
    path_with_escaped_slashes_action: 'UNESCAPE_AND_REDIRECT',
  },
  schemed: { scheme_header_transformation: { scheme_to_overwrite: 'https' } },
  underscored: { common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST' } },
  dropping: { common_http_protocol_options: { headers_with_underscores_action: 'DROP_HEADER' } },
  continuing: { proxy_100_continue: true },
};

type Spec = [id: string, own: Request, more?: Field[]];
const everywhere: Spec[] = [
  ['plain', {}],
  ['https', { scheme: 'https' }],
  ['xfp', {}, [f('x-forwarded-proto', 'https')]],
  ['xff', {}, [f('x-forwarded-for', '9.9.9.9, 10.0.0.1')]],
  ['id', {}, [f('x-request-id', '01234567-89ab-4cde-8f01-23456789abcd')]],
  ['port', { authority: 'main.test:8080' }],
  ['underscore', {}, [f('x_a', '1')]],
  ['dots', { path: '/a/../b//c' }],
  ['slashes', { path: '/a%2fb' }],
  ['expect', { method: 'POST' }, [f('expect', '100-continue')]],
];
const matrix: Case[] = Object.keys(managers).flatMap((on) =>
  everywhere.map(([id, own, more = []]) =>
    asks(`${on}-${id}`, on, { fields: request(own, more), ...(own.method === 'POST' && { body: 'hello' }) }),
  ),
);

const once: Spec[] = [
  ...['host', 'https', 'prefix', 'port', 'scheme'].map(
    (name): Spec => [`redirect-${name}`, { path: `/redirect/${name}/x?y` }],
  ),
  ['redirect-https-already', { path: '/redirect/https', scheme: 'https' }],
  ['redirect-authority-port', { path: '/redirect/https', authority: 'main.test:8080' }],
  ['literal', { path: '/literal' }],
  ['literal-xfh', { path: '/literal-xfh' }],
  ['by-header', { path: '/by-header' }, [f('x-host', 'given.test')]],
  ['by-header-bad', { path: '/by-header' }, [f('x-host', 'gi ven')]],
  ['by-header-none', { path: '/by-header' }],
  ['prefix', { path: '/prefix/a?b' }],
  ['regex', { path: '/regex/abc?d' }],
  ['header-operations', { path: '/headers' }, [f('x-over', 'old'), f('x-append', 'old'), f('x-removed', '1')]],
  ['by-scheme', { path: '/by-scheme', scheme: 'https' }],
  ['by-scheme-not', { path: '/by-scheme' }],
  ['by-method', { path: '/by-method', method: 'PUT' }],
  ['by-host', { path: '/by-host' }],
  ['by-authority', { path: '/by-authority' }],
  ['grpc-route', { path: '/grpc', method: 'POST' }, [f('content-type', 'application/grpc')]],
  ['grpc-route-not', { path: '/grpc', method: 'POST' }, [f('content-type', 'text/plain')]],
  [
    'timeout-header',
    {},
    [f('x-envoy-upstream-rq-timeout-ms', '7000'), f('x-envoy-upstream-rq-per-try-timeout-ms', '900')],
  ],
  ['retry-headers', {}, [f('x-envoy-retry-on', '5xx'), f('x-envoy-max-retries', '2')]],
  [
    'envoy-headers',
    {},
    [
      f('x-envoy-internal', 'true'),
      f('x-envoy-original-path', '/forged'),
      f('x-envoy-attempt-count', '9'),
      f('x-envoy-decorator-operation', 'forged'),
    ],
  ],
  [
    'trace-headers',
    {},
    [f('traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'), f('x-b3-traceid', '1')],
  ],
  ['forwarded-host', {}, [f('x-forwarded-host', 'forged.test'), f('x-forwarded-port', '7'), f('forwarded', 'for=1')]],
  ['via', {}, [f('via', '1.1 before')]],
  ['xfcc', {}, [f('x-forwarded-client-cert', 'By=forged')]],
];
const onceEach: Case[] = ['sidecar', 'edge'].flatMap((on) =>
  once.map(([id, own, more = []]) => asks(`${on}-${id}`, on, { fields: request(own, more) })),
);

const responseFields: Case[] = Object.keys(managers).map((on) =>
  asks(
    `${on}-response`,
    on,
    { fields: request({ path: '/headers' }) },
    {
      two: answers((stream) => [
        headers(
          stream,
          [
            f(':status', '200'),
            f('server', 'upstream'),
            f('via', '2 before'),
            f('x-r', 'old'),
            f('x-r-removed', 'old'),
            f('x-request-id', 'theirs'),
            f('x-envoy-upstream-healthchecked-cluster', 'x'),
            f('x-envoy-immediate-health-check-fail', '1'),
          ],
          true,
        ),
      ]),
    },
  ),
);
const plainly: Case[] = ['sidecar', 'edge', 'schemed'].flatMap((on) => [
  asksPlainly(`${on}-from-h1`, on, ['GET /literal HTTP/1.1', 'Host: main.test']),
  asksPlainly(`${on}-from-h1-xfp`, on, ['GET / HTTP/1.1', 'Host: main.test', 'X-Forwarded-Proto: https']),
]);

export const forwarded: Theme = {
  listeners: Object.entries(managers).map(([name, more]) => listener(name, manager(routes, more))),
  cases: [...matrix, ...onceEach, ...responseFields, ...plainly],
};
