/** Matching, rewriting and answering, at the corners: what a table of everyday routes does not reach. */
import { header, type Json, listener, manager, percent, prefix, say, to } from '../../harness/bootstrap-parts.ts';
import type { Options, Spec } from '../cases.ts';
import { on, raw } from '../cases.ts';
import type { Theme } from './themes.ts';

const OVERWRITE = 'OVERWRITE_IF_EXISTS_OR_ADD';
const head = (matcher: Json) => ({ headers: [{ name: 'x-h', ...matcher }] });
const text = (string_match: Json, more: Json = {}) => head({ string_match, ...more });
const query = (...query_parameters: Json[]) => ({ query_parameters });
const q = (name: string, string_match?: Json) => ({ name, ...(string_match && { string_match }) });

/** Each at a path of its own, so that one request asks one matcher. */
const matchers: Record<string, Json> = {
  exact: text({ exact: 'a' }),
  'exact-folded': text({ exact: 'AbC', ignore_case: true }),
  'suffix-folded': text({ suffix: 'BC', ignore_case: true }),
  'contains-folded': text({ contains: 'BC', ignore_case: true }),
  regex: text({ safe_regex: { regex: 'a|ab' } }),
  'regex-dot': text({ safe_regex: { regex: 'a.c' } }),
  'regex-folded': text({ safe_regex: { regex: '(?i)abc' } }),
  'regex-any': text({ safe_regex: { regex: '.*' } }),
  'regex-empty': text({ safe_regex: { regex: 'a*' } }),
  'prefix-empty': text({ prefix: 'a' }),
  inverted: text({ exact: 'a' }, { invert_match: true }),
  'inverted-missing': text({ exact: '' }, { invert_match: true, treat_missing_header_as_empty: true }),
  'missing-prefix': text({ safe_regex: { regex: 'x*' } }, { treat_missing_header_as_empty: true }),
  present: head({ present_match: true }),
  'present-inverted': head({ present_match: true, invert_match: true }),
  'absent-inverted': head({ present_match: false, invert_match: true }),
  'absent-empty': head({ present_match: true, treat_missing_header_as_empty: true }),
  range: head({ range_match: { start: 1, end: 3 } }),
  'range-inverted': head({ range_match: { start: 1, end: 3 }, invert_match: true }),
  'range-missing': head({ range_match: { start: 0, end: 3 }, treat_missing_header_as_empty: true }),
  nothing: head({}),
  method: { headers: [{ name: ':method', string_match: { exact: 'GET' } }] },
  host: { headers: [{ name: 'host', string_match: { prefix: 'corner' } }] },
  path: { headers: [{ name: ':path', string_match: { suffix: '?' } }] },
  'q-present': query(q('a')),
  'q-present-match': query({ name: 'a', present_match: true }),
  'q-exact': query(q('a', { exact: 'b c' })),
  'q-exact-encoded': query(q('a', { exact: 'b%20c' })),
  'q-plus': query(q('a', { exact: 'b+c' })),
  'q-empty': query(q('a', { exact: '' })),
  'q-regex': query(q('a', { safe_regex: { regex: '[a-c]+' } })),
  'q-two': query(q('a', { exact: '1' }), q('b', { exact: '2' })),
  'q-folded': query(q('a', { prefix: 'XY', ignore_case: true })),
  'q-name-case': query(q('A')),
  half: { runtime_fraction: { default_value: { numerator: 0, denominator: 'MILLION' } } },
  whole: { runtime_fraction: { default_value: percent(100), runtime_key: 'none' } },
};
const matching = Object.entries(matchers).map(([name, more]) => ({ ...prefix(`/is/${name}/`, more), ...say(name) }));

const rewriting = [
  { match: { path_separated_prefix: '/Sep', case_sensitive: false }, ...to('echo', { prefix_rewrite: '/new' }) },
  { match: { path: '/Whole', case_sensitive: false }, ...to('echo', { prefix_rewrite: '/all/of/it' }) },
  { ...prefix('/w/none'), ...to('echo', { prefix_rewrite: '/' }) },
  { ...prefix('/w/query'), ...to('echo', { prefix_rewrite: '/x' }) },
  {
    ...prefix('/w/regex-query'),
    ...to('echo', { regex_rewrite: { pattern: { regex: '[?].*|y' }, substitution: 'Z' } }),
  },
  {
    ...prefix('/w/regex-gone'),
    ...to('echo', { regex_rewrite: { pattern: { regex: '^/w/regex-gone' }, substitution: '' } }),
  },
  { ...prefix('/w/host'), ...to('echo', { host_rewrite_literal: 'UPPER.test:81' }) },
  {
    ...prefix('/w/both'),
    ...to('echo', { prefix_rewrite: '/b', host_rewrite_header: 'x-host', append_x_forwarded_host: true }),
  },
  {
    ...prefix('/w/named'),
    ...to('named', { auto_host_rewrite: true }),
    request_headers_to_add: [header('x-seen', '%REQ(:AUTHORITY)%', OVERWRITE)],
  },
  {
    ...prefix('/w/path-host'),
    ...to('echo', { host_rewrite_path_regex: { pattern: { regex: '^/w/path-host/?' }, substitution: 'h-' } }),
  },
];

const redirecting = [
  { ...prefix('/g/port'), redirect: { port_redirect: 443 } },
  { ...prefix('/g/https'), redirect: { https_redirect: true, port_redirect: 443 } },
  { ...prefix('/g/http'), redirect: { scheme_redirect: 'http' } },
  { ...prefix('/g/host-port'), redirect: { host_redirect: 'to.test:99', https_redirect: true } },
  { ...prefix('/g/prefix'), redirect: { prefix_rewrite: '/', https_redirect: true } },
  { match: { path_separated_prefix: '/g/sep' }, redirect: { prefix_rewrite: '/s' } },
  { match: { safe_regex: { regex: '/g/rx.*' } }, redirect: { prefix_rewrite: '/s' } },
  { ...prefix('/g/fragment'), redirect: { path_redirect: '/there#part' } },
  { ...prefix('/g/empty'), redirect: { response_code: 'FOUND' } },
  {
    ...prefix('/g/regex'),
    redirect: { regex_rewrite: { pattern: { regex: '^/g/(\\w+)(.*)$' }, substitution: '\\2/\\1' } },
  },
];

const saying = [
  { ...prefix('/s/200'), direct_response: { status: 200 } },
  { ...prefix('/s/bytes'), direct_response: { status: 200, body: { inline_bytes: 'aGVsbG8=' } } },
  { ...prefix('/s/204'), ...say('unseen', 204) },
  { ...prefix('/s/304'), ...say('unseen', 304) },
  { ...prefix('/s/503'), ...say('busy', 503) },
  { ...prefix('/s/599'), direct_response: { status: 599 } },
  {
    ...prefix('/s/type'),
    ...say('{"a":1}'),
    response_headers_to_add: [header('content-type', 'application/json', OVERWRITE)],
  },
  {
    ...prefix('/s/typed'),
    ...say('no type'),
    response_headers_to_remove: ['content-type'],
  },
];

const formatted = [
  {
    ...prefix('/f/text'),
    direct_response: {
      status: 201,
      body: { inline_string: 'said' },
      body_format: {
        text_format_source: { inline_string: '%LOCAL_REPLY_BODY% %RESPONSE_CODE% %REQ(:PATH)% %REQ(X-NONE)%\n' },
      },
    },
  },
  {
    ...prefix('/f/json'),
    direct_response: {
      status: 404,
      body_format: { json_format: { code: '%RESPONSE_CODE%', none: '%REQ(X-NONE)%', path: '%REQ(:PATH)%' } },
    },
  },
  {
    ...prefix('/f/html'),
    direct_response: {
      status: 503,
      body: { inline_string: 'x' },
      body_format: { text_format_source: { inline_string: '<b>%LOCAL_REPLY_BODY%</b>' }, content_type: 'text/html' },
    },
  },
];
const onlyGrpc = [
  { match: { prefix: '/only', grpc: {} }, ...say('grpc') },
  { ...prefix('/only'), ...say('not grpc') },
];

const choosing = [
  { ...prefix('/c/header'), ...to(undefined, { cluster_header: 'X-Cluster' }) },
  { ...prefix('/c/host'), ...to(undefined, { cluster_header: 'host' }) },
  {
    ...prefix('/c/mirrored'),
    route: {
      weighted_clusters: {
        total_weight: 5,
        clusters: [
          { name: 'echo', weight: 5 },
          { name: 'second', weight: 0 },
        ],
      },
    },
  },
];

const hosts = [
  {
    name: 'corner',
    domains: ['corner.test'],
    routes: [
      ...matching,
      ...rewriting,
      ...redirecting,
      ...saying,
      ...formatted,
      ...onlyGrpc,
      ...choosing,
      { ...prefix('/'), ...to('echo') },
    ],
  },
  { name: 'port', domains: ['ported.test:81'], routes: [{ ...prefix('/'), ...say('with port') }] },
  { name: 'no-port', domains: ['ported.test'], routes: [{ ...prefix('/'), ...say('without') }] },
  { name: 'wild-port', domains: ['*.wild.test:81'], routes: [{ ...prefix('/'), ...say('wild with port') }] },
  { name: 'wild', domains: ['*.wild.test', 'wild.*'], routes: [{ ...prefix('/'), ...say('wild') }] },
  { name: 'wild-longer', domains: ['*-x.wild.test', 'wild.te*'], routes: [{ ...prefix('/'), ...say('wilder') }] },
  { name: 'rest', domains: ['*'], routes: [{ ...prefix('/'), ...say('rest') }] },
];
const ignoring = {
  route_config: {
    name: 'ignoring',
    ignore_port_in_host_matching: true,
    virtual_hosts: hosts.filter(({ name }) => !name.includes('port') || name === 'no-port'),
  },
};
const large = {
  route_config: {
    name: 'large',
    max_direct_response_body_size_bytes: 100_000,
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        routes: [
          { ...prefix('/said'), ...say('x'.repeat(50_000)) },
          {
            ...prefix('/'),
            ...to('echo', {
              retry_policy: { retry_on: '5xx', num_retries: 2, retry_back_off: { base_interval: '0.005s' } },
            }),
          },
        ],
        include_request_attempt_count: true,
      },
    ],
  },
};

const VALUES = ['a', 'ab', 'abc', 'ABC', '', '1', '2', '3', '-1', '+2', '2.0', ' 2', 'b'];
const asked: Spec[] = Object.keys(matchers).flatMap((name): Spec[] => {
  const path = `/is/${name}/`;
  if (name.startsWith('q-')) {
    const queries = [
      '',
      '?',
      '?a',
      '?a=',
      '?a=1',
      '?a=b%20c',
      '?a=b+c',
      '?a=abc',
      '?a=1&b=2',
      '?b=2&a=1&a=3',
      '?a=xyz',
      '?A=1',
      '?a==1',
      '?a=1?b=2',
      '?%61=1',
      '?=1',
      '?x&a&y',
      '?a=1;b=2',
      '?a=1#b=2',
    ];
    return queries.map((one, i): Spec => [`is-${name}-${i}`, `${path}${one}`]);
  }
  return [[`is-${name}`, path], ...VALUES.map((value, i): Spec => [`is-${name}-${i}`, path, { 'X-H': value }])];
});
const post = (body: string, more: Options = {}): Options => ({ method: 'POST', body, ...more });
const many = (id: string, path: string, tails: readonly string[], more: Options = {}): Spec[] =>
  tails.map((tail, i): Spec => [`${id}-${i}`, `${path}${tail}`, {}, more]);

const corners: Spec[] = [
  ...many('w-sep', '/', ['sep', 'SEP/x', 'Sep?x', 'separate', 'sEp/', 'whole', 'WHOLE?q', 'whole/']),
  ...many('w-none', '/w/none', ['', '/', '/x', '?q', '//x', 'x']),
  ...many('w-query', '/w/query', ['?a=/w/query', '/?a#b', '?', '/%2F']),
  ...many('w-regex', '/w/regex-', ['query/y?y', 'query', 'gone', 'gone?x', 'gone/x']),
  ...many('w-host', '/w/', ['host', 'named', 'path-host/a/b', 'path-host', 'path-host?x']),
  ['w-both', '/w/both/x', { 'X-Host': 'given.test', 'X-Forwarded-Host': 'a, b' }],
  ['w-both-none', '/w/both/x'],
  ...many('g', '/g/', [
    'port',
    'port?x',
    'https/a?b',
    'http',
    'host-port/x?y',
    'prefix/a',
    'prefix',
    'sep/a?b',
    'sep',
    'rx/a?b',
    'fragment?x',
    'empty/a?b',
    'regex/a/b?c',
    'port#x',
  ]),
  ...many('s', '/s/', ['200', 'bytes', '204', '304', '503', '599', 'type', 'typed']),
  ...many('s-head', '/s/', ['200', 'bytes', '204', '304', '503', 'type'], { method: 'HEAD' }),
  ['s-post', '/s/503', {}, post('unread')],
  ['s-grpc', '/s/503', { 'Content-Type': 'application/grpc' }, post('')],
  ['s-grpc-200', '/s/200', { 'Content-Type': 'application/grpc' }, post('')],
  ...many('f', '/f/', ['text', 'text?q', 'json', 'html']),
  ['f-head', '/f/html', {}, { method: 'HEAD' }],
  ['f-grpc', '/f/html', { 'Content-Type': 'application/grpc' }, post('')],
  ['only-grpc', '/only', { 'Content-Type': 'application/grpc+proto' }, post('')],
  ['only-grpc-web', '/only', { 'Content-Type': 'application/grpc-web' }, post('')],
  ['only-grpc-not', '/only'],
  ['c-header', '/c/header', { 'X-Cluster': 'second' }],
  ['c-header-two', '/c/header', { 'X-Cluster': 'second', 'x-cluster': 'echo' }],
  ['c-host', '/c/host'],
  ['c-total', '/c/mirrored'],
];
const hostNames = [
  'corner.test',
  'CORNER.TEST',
  'corner.test.',
  'corner.test:80',
  'ported.test:81',
  'ported.test:082',
  'ported.test',
  'ported.test:',
  'a.wild.test',
  'a.wild.test:81',
  'a-x.wild.test',
  'wild.test',
  'wild.tex',
  'wild.x',
  '.wild.test',
  'x.y.wild.test:82',
  '127.0.0.1',
  '127.0.0.1:81',
  '[::1]',
  'other',
];

const requestLines: [string, string][] = [
  ['options-star', 'OPTIONS * HTTP/1.1\nHost: corner.test\n\n'],
  ['absolute', 'GET http://corner.test/s/503 HTTP/1.1\nHost: other.test\n\n'],
  ['absolute-https', 'GET https://corner.test/x HTTP/1.1\nHost: corner.test\n\n'],
  ['absolute-no-path', 'GET http://corner.test HTTP/1.1\nHost: corner.test\n\n'],
  ['absolute-query', 'GET http://corner.test?x=1 HTTP/1.1\nHost: corner.test\n\n'],
  ['absolute-port', 'GET http://ported.test:81/ HTTP/1.1\nHost: x\n\n'],
  ['absolute-upper', 'GET HTTP://CORNER.test/s/503 HTTP/1.1\nHost: corner.test\n\n'],
  ['trace', 'TRACE /x HTTP/1.1\nHost: corner.test\n\n'],
  ['patch-no-length', 'PATCH /x HTTP/1.1\nHost: corner.test\n\n'],
  ['delete-body', 'DELETE /x HTTP/1.1\nHost: corner.test\nContent-Length: 3\n\nabc'],
  ['get-body', 'GET /x HTTP/1.1\nHost: corner.test\nContent-Length: 3\n\nabc'],
  ['get-chunked', 'GET /x HTTP/1.1\nHost: corner.test\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n'],
  ['head-body', 'HEAD /x HTTP/1.1\nHost: corner.test\nContent-Length: 3\n\nabc'],
  ['chunk-extension', 'POST /x HTTP/1.1\nHost: corner.test\nTransfer-Encoding: chunked\n\n3;a=b\nabc\n0;x\n\n'],
  ['te-trailers', 'GET /x HTTP/1.1\nHost: corner.test\nTE: trailers, deflate\nConnection: te\n\n'],
  ['connection-list', 'GET /x HTTP/1.1\nHost: corner.test\nX-A: 1\nX-B: 2\nConnection: x-a, keep-alive , X-B\n\n'],
  ['keep-alive-named', 'GET /x HTTP/1.1\nHost: corner.test\nKeep-Alive: timeout=5\nProxy-Connection: keep-alive\n\n'],
  ['value-spaces', 'GET /x HTTP/1.1\nHost:  corner.test  \nX-A:   a  b   \nX-E:\n\n'],
  ['value-latin1', 'GET /x HTTP/1.1\nHost: corner.test\nX-A: caf\xe9\n\n'],
  ['name-odd', "GET /x HTTP/1.1\nHost: corner.test\n!#$%&'*+-.^_`|~09: odd\n\n"],
  ['path-odd', 'GET /x/{}|^`<>"\\ HTTP/1.1\nHost: corner.test\n\n'],
  ['path-latin1', 'GET /caf\xe9 HTTP/1.1\nHost: corner.test\n\n'],
  ['version-12', 'GET /x HTTP/1.2\nHost: corner.test\n\n'],
  ['version-09', 'GET /x\n\n'],
  ['connect-plain', 'CONNECT corner.test:443 HTTP/1.1\nHost: corner.test:443\n\n'],
];

export const routes: Theme = {
  listeners: [
    listener('corners', manager([], [], {}, hosts)),
    listener('corners-ports', manager([], [], ignoring)),
    { ...listener('large', manager([], [], large)), per_connection_buffer_limit_bytes: 300_000 },
  ],
  cases: [
    ...on('corners', 'corner.test', [...asked, ...corners]),
    ...hostNames.flatMap((host, i) => [
      ...on('corners', host, [[`host-name-${i}`, '/']]),
      ...on('corners-ports', host, [[`host-ports-${i}`, '/']]),
    ]),
    ...requestLines.map(([id, bytes]) => raw(`line-${id}`, 'corners', bytes, [bytes.split(' ')[0]!])),
    ...on('large', 'large.test', [
      ['large-said', '/said'],
      ['large-retried', '/x', { 'X-Echo-Fail': '1' }, post('x'.repeat(200_000))],
      ['large-spent', '/x', { 'X-Echo-Fail': '9' }, post('x'.repeat(200_000))],
    ]),
  ],
};
