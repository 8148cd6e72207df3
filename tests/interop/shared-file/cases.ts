/** The scripted requests of the comparison. */
export interface Case {
  readonly id: string;
  readonly listener: string;
  readonly bytes: string;
  /** Methods of the requests in `bytes`: as many responses are awaited. */
  readonly methods: readonly string[];
  /** The client ends its side behind the last byte. */
  readonly halfCloses?: boolean;
  /** The access log is not compared. */
  readonly unlogged?: boolean;
  /** Several loggers write of it, each as `id/name`; the one that writes always, `all`, is the last. */
  readonly manyLogs?: boolean;
  /** So many mirrored requests are awaited at the upstream of mirrors, and compared. */
  readonly mirrored?: number;
}

export type Options = { host?: string; method?: string; version?: string; body?: string };

export function request(
  id: string,
  target: string,
  headers: Record<string, string> = {},
  options: Options = {},
): string {
  const { host = 'main.test', method = 'GET', version = '1.1', body } = options;
  const lines = [`${method} ${target} HTTP/${version}`, `Host: ${host}`, `X-Case: ${id}`];
  for (const [key, value] of Object.entries(headers)) lines.push(`${key}: ${value}`);
  if (body !== undefined && !('Transfer-Encoding' in headers)) lines.push(`Content-Length: ${body.length}`);
  return `${lines.join('\r\n')}\r\n\r\n${body ?? ''}`;
}

export type Spec = [id: string, target: string, headers?: Record<string, string>, options?: Options];
export const one =
  (listener: Case['listener']) =>
  ([id, target, headers, options]: Spec): Case => ({
    id,
    listener,
    bytes: request(id, target, headers, options),
    methods: [headers?.['Upgrade'] === undefined ? (options?.method ?? 'GET') : 'UPGRADE'],
  });
export const on = (listener: string, host: string, specs: readonly Spec[]): Case[] =>
  specs.map(([id, target, headers, options]) => one(listener)([id, target, headers, { host, ...options }]));
export const raw = (id: string, listener: Case['listener'], bytes: string, methods = ['GET']): Case => ({
  id,
  listener,
  bytes: bytes.replace(/\n/g, '\r\n'),
  methods,
});

const main: Spec[] = [
  ['exact', '/exact'],
  ['exact-query', '/exact?x=1'],
  ['exact-longer', '/exact/more'],
  ['case-folded', '/fOLD'],
  ['separated', '/sep/a'],
  ['separated-bare', '/sep'],
  ['separated-not', '/separate'],
  ['regex', '/re/42'],
  ['regex-whole', '/re/42x'],
  ['regex-query', '/re/42?x'],
  ['header-exact', '/h', { 'X-A': 'one' }],
  ['header-prefix', '/h', { 'X-A': 'prefixed' }],
  ['header-present', '/h', { 'X-B': '' }],
  ['header-regex', '/h', { 'X-C': 'v7' }],
  ['header-regex-whole', '/h', { 'X-C': 'v77', 'X-D': 'no' }],
  ['header-range', '/h', { 'X-N': '9', 'X-D': 'no' }],
  ['header-range-end', '/h', { 'X-N': '10', 'X-D': 'no' }],
  ['header-inverted', '/h'],
  ['header-inverted-not', '/h', { 'X-D': 'no' }],
  ['query-exact', '/q?a=1'],
  ['query-present', '/q?x=2&b'],
  ['query-none', '/q?a=2'],
  ['query-first', '/q?a=2&a=1'],
  ['method-match', '/m', {}, { method: 'PUT' }],
  ['no-route', '/nowhere'],
  ['unknown-host', '/exact', {}, { host: 'unserved.test' }],
  ['host-port', '/exact', {}, { host: 'main.test:8080' }],
  ['host-case', '/exact', {}, { host: 'MAIN.test' }],
  ['host-wild', '/', {}, { host: 'a.wild.test' }],
  ['host-wild-exact', '/', {}, { host: 'exact.wild.test' }],
  ['host-wild-suffix', '/', {}, { host: 'pre.fix' }],
  ['weights', '/weights'],
  ['rewrite', '/rewrite/a/b?c=d'],
  ['host-rewrite', '/hostrewrite'],
  ['regex-rewrite', '/regexrewrite/ab/cd?e=f'],
  ['redirect-host', '/redirect/host?a=b'],
  ['redirect-https', '/redirect/https/x?y'],
  ['redirect-prefix', '/redirect/prefix/x?y'],
  ['redirect-strip', '/redirect/strip?y'],
  ['redirect-port', '/redirect/port'],
  ['direct-empty', '/direct/empty'],
  ['direct-teapot', '/direct/teapot'],
  ['direct-head', '/direct/teapot', {}, { method: 'HEAD' }],
  ['headers', '/headers', { 'X-Over': 'old', 'X-Append': 'old', 'X-Absent': 'old', 'X-Gone': 'old' }],
  ['headers-absent', '/headers'],
  ['headers-response', '/headers', { 'X-Echo-Headers': 'x-r-over=old|x-r-append=old|x-r-gone=old' }],
  ['retry-5xx', '/retry/5xx', { 'X-Echo-Fail': '1' }],
  ['retry-5xx-spent', '/retry/5xx', { 'X-Echo-Fail': '9' }],
  ['retry-body', '/retry/5xx', { 'X-Echo-Fail': '1' }, { method: 'POST', body: 'again' }],
  ['retry-codes', '/retry/codes', { 'X-Echo-Fail': '2', 'X-Echo-Status': '418' }],
  ['retry-codes-not', '/retry/codes', { 'X-Echo-Fail': '2', 'X-Echo-Status': '500' }],
  ['retry-reset', '/retry/reset', { 'X-Echo-Reset': '1' }],
  ['retry-reset-spent', '/retry/reset', { 'X-Echo-Reset': '9' }],
  ['retry-connect', '/retry/connect'],
  ['retry-gateway', '/retry/gateway', { 'X-Echo-Fail': '1', 'X-Echo-Status': '502' }],
  ['retry-gateway-not', '/retry/gateway', { 'X-Echo-Fail': '1', 'X-Echo-Status': '500' }],
  ['retry-per-try', '/retry/pertry', { 'X-Echo-Delay': '1000' }],
  ['timeout', '/timeout', { 'X-Echo-Delay': '1000' }],
  ['timeout-fast', '/timeout'],
  ['timeout-none', '/notimeout', { 'X-Echo-Delay': '10' }],
  ['upstream-reset', '/echo', { 'X-Echo-Reset': '1' }],
  ['fault-abort', '/abort'],
  ['fault-delay', '/delay'],
  ['dead', '/dead'],
  ['no-endpoints', '/empty'],
  ['no-cluster', '/missing'],
  ['echo', '/echo?a=b&c'],
  ['echo-fragment', '/echo#frag'],
  ['echo-encoded', '/echo/%2e%2e/%41%2f?%20'],
  ['echo-dots', '/echo/../x//y'],
  ['echo-post', '/echo', {}, { method: 'POST', body: 'hello' }],
  ['echo-post-empty', '/echo', {}, { method: 'POST', body: '' }],
  ['echo-put-none', '/echo', {}, { method: 'PUT' }],
  ['echo-delete', '/echo', {}, { method: 'DELETE' }],
  ['echo-options', '/echo', {}, { method: 'OPTIONS' }],
  ['echo-head', '/echo', {}, { method: 'HEAD' }],
  ['echo-head-chunked', '/echo', { 'X-Echo-Chunked': '1' }, { method: 'HEAD' }],
  ['echo-custom-method', '/echo', {}, { method: 'PURGE' }],
  ['echo-chunked-response', '/echo', { 'X-Echo-Chunked': '1' }],
  ['echo-trailers-response', '/echo', { 'X-Echo-Chunked': '1', 'X-Echo-Trailer': '1' }],
  ['echo-204', '/echo', { 'X-Echo-Status': '204' }],
  ['echo-304', '/echo', { 'X-Echo-Status': '304' }],
  ['echo-500', '/echo', { 'X-Echo-Status': '500' }],
  ['echo-response-headers', '/echo', { 'X-Echo-Headers': 'set-cookie=a|set-cookie=b|x-y=1|connection=x-y|server=up' }],
  ['echo-hop-by-hop', '/echo', { Connection: 'X-Hop', 'X-Hop': '1', 'Keep-Alive': 'x', TE: 'trailers, gzip' }],
  ['echo-connection-close', '/echo', { Connection: 'close' }],
  ['echo-proxy-connection', '/echo', { 'Proxy-Connection': 'keep-alive' }],
  ['echo-upgrade', '/echo', { Connection: 'Upgrade', Upgrade: 'websocket' }],
  ['echo-xff', '/echo', { 'X-Forwarded-For': '1.2.3.4, 5.6.7.8', 'X-Forwarded-Proto': 'https' }],
  ['echo-xff-proto-bad', '/echo', { 'X-Forwarded-Proto': 'gopher' }],
  ['echo-xfcc', '/echo', { 'X-Forwarded-Client-Cert': 'By=me' }],
  [
    'echo-envoy-controls',
    '/echo',
    { 'X-Envoy-Max-Retries': '3', 'X-Envoy-Upstream-Rq-Timeout-Ms': '1', 'X-Envoy-Internal': 'true' },
  ],
  ['echo-request-id', '/echo', { 'X-Request-Id': 'mine' }],
  ['echo-trace', '/echo', { Traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', B3: '0' }],
  ['echo-same-name', '/echo', { 'X-Same': 'a', 'x-same': 'b', Cookie: 'a=1', cookie: 'b=2' }],
  ['echo-underscore', '/echo', { X_Under: '1' }],
  ['echo-large-header', '/echo', { 'X-Large': 'x'.repeat(20_000) }],
  ['echo-expect', '/echo', { Expect: '100-continue' }, { method: 'POST', body: 'waited' }],
  ['echo-expect-other', '/echo', { Expect: 'magic' }, { method: 'POST', body: 'waited' }],
  ['star-options', '*', {}, { method: 'OPTIONS' }],
  [
    'chunked-request',
    '/echo',
    { 'Transfer-Encoding': 'chunked' },
    { method: 'POST', body: '3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n' },
  ],
  [
    'chunked-trailers',
    '/echo',
    { 'Transfer-Encoding': 'chunked', Trailer: 'x-t' },
    { method: 'POST', body: '3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n' },
  ],
  ['chunked-bad-size', '/echo', { 'Transfer-Encoding': 'chunked' }, { method: 'POST', body: 'zz\r\nabc\r\n0\r\n\r\n' }],
  ['te-unknown', '/echo', { 'Transfer-Encoding': 'gzip' }, { method: 'POST', body: '' }],
  ['te-identity', '/echo', { 'Transfer-Encoding': 'identity' }, { method: 'POST', body: '' }],
  [
    'cl-and-te',
    '/echo',
    { 'Content-Length': '3', 'Transfer-Encoding': 'chunked' },
    { method: 'POST', body: '3\r\nabc\r\n0\r\n\r\n' },
  ],
  ['cl-bad', '/echo', { 'Content-Length': '1x' }, { method: 'POST' }],
  ['cl-negative', '/echo', { 'Content-Length': '-1' }, { method: 'POST' }],
  ['absolute-form', 'http://main.test/exact', {}, { host: 'other.test' }],
  ['absolute-no-path', 'http://main.test', {}],
  ['absolute-echo', 'http://main.test:99/echo?q'],
  ['header-name-space', '/echo', { 'X-Bad ': '1' }],
  ['header-value-nul', '/echo', { 'X-Bad': 'a\0b' }],
  ['header-value-bytes', '/echo', { 'X-Bytes': 'caf\xe9' }],
  ['host-bad', '/echo', {}, { host: 'a b' }],
  ['version-20', '/echo', {}, { version: '2.0' }],
  ['version-10', '/echo', {}, { version: '1.0' }],
  ['version-19', '/echo', {}, { version: '1.9' }],
  ['connect', 'main.test:443', {}, { method: 'CONNECT' }],
  ['path-control', '/echo/\x01'],
  ['path-high', '/echo/\xe9'],
  ['grpc-no-route', '/nowhere', { 'Content-Type': 'application/grpc' }, { method: 'POST', body: '' }],
];
const guarded: Spec[] = [
  ['rbac-allowed', '/open', { 'X-User': 'u1' }],
  ['rbac-none', '/open'],
  ['rbac-values', '/open', { 'X-User': 'evil', 'x-user': 'u1' }],
  ['rbac-values-first', '/open', { 'X-User': 'u1', 'x-user': 'evil' }],
  ['rbac-values-list', '/open', { 'X-User': 'evil, u1' }],
  ['rbac-closed', '/closed', { 'X-User': 'u1' }],
  ['rbac-denied', '/secret/x', { 'X-User': 'u1' }],
  ['rbac-denied-head', '/secret', {}, { method: 'HEAD' }],
  ['rbac-denied-post', '/secret', {}, { method: 'POST', body: 'unread' }],
  ['rbac-query', '/secret?x', { 'X-User': 'u1' }],
  ['rbac-grpc', '/secret', { 'Content-Type': 'application/grpc' }, { method: 'POST', body: '' }],
];
const edge: Spec[] = [
  ['edge', '/a?b'],
  ['edge-dots', '/a/../b/./c'],
  ['edge-dots-encoded', '/a/%2e%2e/b'],
  ['edge-slashes', '//a///b'],
  ['edge-escaped-slash', '/a%2Fb'],
  ['edge-escaped-backslash', '/a%5cb'],
  ['edge-above-root', '/../../x'],
  ['edge-xff', '/x', { 'X-Forwarded-For': '9.9.9.9', 'X-Forwarded-Proto': 'https', 'X-Request-Id': 'mine' }],
  ['edge-http10', '/x', {}, { version: '1.0' }],
  ['edge-http10-keep', '/x', { Connection: 'keep-alive' }, { version: '1.0' }],
  ['edge-large', '/x', { 'X-Large': 'x'.repeat(20_000) }],
  ['edge-via', '/x', { Via: '1.1 before', 'X-Echo-Headers': 'via=up' }],
  ['edge-trailers', '/x', { 'X-Echo-Chunked': '1', 'X-Echo-Trailer': '1', TE: 'trailers' }],
  [
    'edge-decorator',
    '/x',
    { 'X-Envoy-Downstream-Service-Cluster': 'c', 'X-Envoy-Retry-On': '5xx', 'X-Envoy-External-Address': '1.1.1.1' },
  ],
];
const scripted: Case[] = [
  raw('missing-host', 'main', 'GET /exact HTTP/1.1\n\n'),
  raw('empty-host', 'main', 'GET /exact HTTP/1.1\nHost:\n\n'),
  raw('two-hosts', 'main', 'GET /exact HTTP/1.1\nHost: main.test\nHost: other.test\n\n'),
  raw('garbage', 'main', 'nonsense\n\n'),
  raw('no-version', 'main', 'GET /exact\n\n'),
  raw('leading-empty-line', 'main', '\nGET /exact HTTP/1.1\nHost: main.test\n\n'),
  raw('no-colon', 'main', 'GET /exact HTTP/1.1\nHost: main.test\nbroken\n\n'),
  raw('obs-fold', 'main', 'GET /echo HTTP/1.1\nHost: main.test\nX-F: a\n b\n\n'),
  raw('double-cl', 'main', 'POST /echo HTTP/1.1\nHost: main.test\nContent-Length: 1\nContent-Length: 2\n\nab', [
    'POST',
  ]),
  raw('same-cl-twice', 'main', 'POST /echo HTTP/1.1\nHost: main.test\nContent-Length: 1\nContent-Length: 1\n\na', [
    'POST',
  ]),
  raw('too-many-headers', 'main', `GET /echo HTTP/1.1\nHost: main.test\n${'X-M: 1\n'.repeat(120)}\n`),
  raw('too-large-headers', 'main', `GET /echo HTTP/1.1\nHost: main.test\nX-L: ${'x'.repeat(70_000)}\n\n`),
  raw('http10-no-host', 'edge', 'GET /exact HTTP/1.0\n\n'),
  {
    id: 'pipelined',
    listener: 'main',
    bytes:
      request('p1', '/exact') + request('p2', '/echo', {}, { method: 'POST', body: 'xy' }) + request('p3', '/q?a=1'),
    methods: ['GET', 'POST', 'GET'],
  },
  {
    id: 'keep-alive-after-404',
    listener: 'main',
    bytes: request('k1', '/nowhere') + request('k2', '/echo', {}, { method: 'HEAD' }) + request('k3', '/echo'),
    methods: ['GET', 'HEAD', 'GET'],
  },
  {
    id: 'pipelined-then-garbage',
    listener: 'main',
    bytes: `${request('g1', '/exact')}nonsense\r\n\r\n`,
    methods: ['GET', 'GET'],
  },
];

export const CASES: readonly Case[] = [
  ...main.map(one('main')),
  ...guarded.map(one('guarded')),
  ...edge.map(one('edge')),
  ...scripted,
];
