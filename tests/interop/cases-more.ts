/** Cases of the routes and listeners in bootstrap-more.ts. */
import { type Case, type Options, one, raw, request, type Spec } from './cases.ts';

const on = (listener: string, host: string, specs: readonly Spec[]): Case[] =>
  specs.map(([id, target, headers, options]) => one(listener)([id, target, headers, { host, ...options }]));
const post = (body: string, more: Options = {}): Options => ({ method: 'POST', body, ...more });
const grpc = { 'Content-Type': 'application/grpc' };
const respond = (headers: string) => ({ 'X-Echo-Headers': headers });
/** The upstream answers with exactly these bytes. */
const answer = (text: string, end = true) => ({
  'X-Echo-Raw': Buffer.from(text.replace(/\n/g, '\r\n'), 'latin1').toString('base64'),
  ...(end && { 'X-Echo-Raw-End': '1' }),
});

const rewrites: Spec[] = [
  ['template', '/t/one/two/three?q=1'],
  ['template-rest-empty', '/t/one/'],
  ['template-short', '/t/one'],
  ['template-suffix', '/tv/en/items/42.json'],
  ['template-suffix-not', '/tv/en/items/42.xml'],
  ['template-deep', '/tv/en/x/items/42.json'],
  ['template-unnamed', '/tw/a/x/b/c'],
  ['template-encoded', '/t/a%2Fb/c%20d'],
  ['template-literal', '/tfixed/only'],
  ['template-literal-longer', '/tfixed/only/x'],
  ['host-header', '/host/header', { 'X-New-Host': 'from-header.test' }],
  ['host-header-none', '/host/header'],
  ['host-path', '/host/path/abc/x?y=/z'],
  ['host-path-none', '/host/path/ABC/x'],
  ['host-auto', '/host/auto'],
  ['host-auto-forwarded', '/host/auto', { 'X-Forwarded-Host': 'first.test' }],
  ['host-auto-none', '/host/auto-none'],
  ['host-forwarded', '/host/forwarded', { 'X-Forwarded-Host': 'first.test' }],
  ['host-forwarded-port', '/host/forwarded', {}, { host: 'more.test:8080' }],
  ['rewrite-path-match', '/prefix-of-path?q'],
  ['rewrite-regex-match', '/rx/a/b?q'],
  ['rewrite-separated', '/psp/a?q'],
  ['rewrite-separated-bare', '/psp?q'],
  ['rewrite-folded', '/foldPREFIX/X?q'],
  ['rewrite-to-root-slash', '/to-root/'],
  ['rewrite-to-root', '/to-root'],
  ['rewrite-to-root-more', '/to-rooted'],
  ['rewrite-regex-all', '/regex-all/banana?a=a'],
  ['rewrite-regex-groups', '/regex-groups/x/y/z?q'],
  ['rewrite-regex-groups-short', '/regex-groups/x'],
  ['rewrite-regex-none', '/regex-none/x?never'],
];

const unicode: Spec[] = [
  ['utf8-headers', '/utf8/headers', { 'X-C': 'caf\xc3\xa9' }],
  ['utf8-said', '/utf8/said'],
  ['utf8-moved', '/utf8/moved'],
  ['utf8-host', '/utf8/host'],
  ['utf8-match', '/utf8/match', { 'X-C': 'caf\xc3\xa9' }],
  ['utf8-match-not', '/utf8/match', { 'X-C': 'caf\xe9' }],
];

const clusters: Spec[] = [
  ['cluster-header', '/cluster/header', { 'X-Cluster': 'second' }],
  ['cluster-header-none', '/cluster/header'],
  ['cluster-header-unknown', '/cluster/header', { 'X-Cluster': 'nobody' }],
  ['cluster-404', '/cluster/404'],
  ['cluster-500', '/cluster/500'],
  ['cluster-500-grpc', '/cluster/500', grpc, post('')],
  [
    'cluster-weighted',
    '/cluster/weighted',
    { 'X-Gone': '1', 'X-Level': 'client', ...respond('x-r-level=up|x-r-gone=up') },
  ],
  ['runtime-never', '/never'],
  ['runtime-always', '/always'],
  ['mirror', '/mirror/a?b', {}, post('mirrored')],
  ['mirror-chunked', '/mirror', { 'Transfer-Encoding': 'chunked' }, post('3\r\nabc\r\n0\r\n\r\n')],
  ['retry-of-host', '/retry/host', { 'X-Echo-Fail': '1' }],
  ['retry-of-host-not', '/retry/host', { 'X-Echo-Fail': '1', 'X-Echo-Status': '500' }],
  ['retry-own-4xx', '/retry/own', { 'X-Echo-Fail': '1', 'X-Echo-Status': '409' }],
  ['retry-own-4xx-other', '/retry/own', { 'X-Echo-Fail': '1', 'X-Echo-Status': '404' }],
  ['retry-own-not-hosts', '/retry/own', { 'X-Echo-Fail': '1' }],
  ['retry-zero', '/retry/none', { 'X-Echo-Fail': '1' }],
  ['retry-many', '/retry/many', { 'X-Echo-Fail': '4' }],
  ['retry-many-spent', '/retry/many', { 'X-Echo-Fail': '9' }],
  [
    'retry-many-chunked',
    '/retry/many',
    { 'X-Echo-Fail': '2', 'Transfer-Encoding': 'chunked' },
    post('3\r\nabc\r\n0\r\n\r\n'),
  ],
  ['retry-many-reset', '/retry/many', { 'X-Echo-Reset': '2' }],
  ['retry-many-put', '/retry/many', { 'X-Echo-Reset': '1' }, { method: 'PUT', body: 'again' }],
  [
    'retry-grpc',
    '/retry/grpc',
    { ...grpc, 'X-Echo-Fail': '1', 'X-Echo-Status': '200', ...respond('grpc-status=14') },
    post(''),
  ],
  ['retry-grpc-other', '/retry/grpc', { ...grpc, ...respond('grpc-status=5') }, post('')],
  ['retry-connect-only-reset', '/retry/connect-only', { 'X-Echo-Reset': '1' }],
  ['retry-mixed-404', '/retry/mixed', { 'X-Echo-Fail': '1', 'X-Echo-Status': '404' }],
  ['retry-mixed-504', '/retry/mixed', { 'X-Echo-Fail': '1', 'X-Echo-Status': '504' }],
  ['retry-mixed-500', '/retry/mixed', { 'X-Echo-Fail': '1', 'X-Echo-Status': '500' }],
  ['idle-response', '/idle', { 'X-Echo-Delay': '1500' }],
  ['idle-not', '/idle'],
  ['slow', '/slow', { 'X-Echo-Delay': '1500' }],
  ['slow-grpc', '/slow', { ...grpc, 'X-Echo-Delay': '1500' }, post('')],
  ['dead-retried', '/dead/retried'],
  ['dead-grpc', '/dead/grpc', grpc, post('')],
  ['empty-grpc', '/empty', grpc, post('')],
  ['empty-head', '/empty', {}, { method: 'HEAD' }],
  ['grpc-not-web', '/cluster/404', { 'Content-Type': 'application/grpc-web' }, post('')],
  ['grpc-plus', '/cluster/404', { 'Content-Type': 'application/grpc+proto' }, post('')],
  ['grpc-parameter', '/cluster/404', { 'Content-Type': 'application/grpc;charset=x' }, post('')],
  ['grpc-get', '/cluster/404', grpc],
];

const matches: Spec[] = [
  ['match-suffix', '/m', { 'X-S': 'a.test' }],
  ['match-contains', '/m', { 'X-S': 'amidst' }],
  ['match-folded', '/m', { 'X-I': 'mIXED' }],
  ['match-folded-prefix', '/m', { 'X-P': 'prefix' }],
  ['match-negative', '/m', { 'X-Neg': '-3' }],
  ['match-negative-not', '/m', { 'X-Neg': '0' }],
  ['match-negative-text', '/m', { 'X-Neg': '-3x' }],
  ['match-empty-missing', '/m/empty'],
  ['match-empty-there', '/m/empty', { 'X-E': 'x' }],
  ['match-absent', '/m/absent'],
  ['match-absent-not', '/m/absent', { 'X-F': '' }],
  ['match-inverted', '/m/not', { 'X-G': 'b' }],
  ['match-inverted-not', '/m/not', { 'X-G': 'ab' }],
  ['match-inverted-missing', '/m/not'],
  ['match-authority', '/m/host'],
  ['match-scheme', '/m/scheme', { 'X-Forwarded-Proto': 'https' }],
  ['match-scheme-not', '/m/scheme'],
  ['match-path-header', '/m/path?y&z=1'],
  ['match-both', '/m/both', { 'X-1': '', 'X-2': 'b' }],
  ['match-both-one', '/m/both', { 'X-1': '' }],
  ['match-joined', '/m/list', { 'X-L': 'a', 'x-l': 'b' }],
  ['match-joined-one', '/m/list', { 'X-L': 'a,b' }],
  ['match-values-first', '/m', { 'X-S': 'a.test', 'x-s': 'zzz' }],
  ['match-values-last', '/m', { 'X-S': 'zzz', 'x-s': 'a.test' }],
  ['match-values-list', '/m', { 'X-S': 'a.test,zzz' }],
  ['match-values-inverted', '/m/not', { 'X-G': 'b', 'x-g': 'ab' }],
  ['match-values-inverted-first', '/m/not', { 'X-G': 'ab', 'x-g': 'b' }],
  ['match-values-range', '/m', { 'X-Neg': '-3', 'x-neg': '7' }],
  ['match-values-exact', '/m', { 'X-I': 'mixed', 'x-i': 'mixed' }],
  ['match-joined-space', '/m/list', { 'X-L': 'a, b' }],
  ['match-query-regex', '/m/q?r=12'],
  ['match-query-regex-whole', '/m/q?r=12a'],
  ['match-query-prefix', '/m/q?x&p=abc'],
  ['match-query-suffix', '/m/q?s=xyz'],
  ['match-query-contains', '/m/q?c=ammo'],
  ['match-query-folded', '/m/q?i=aBc'],
  ['match-query-empty', '/m/q?e='],
  ['match-query-bare', '/m/q?e'],
  ['match-query-two', '/m/q?b=2&a=1'],
  ['match-query-encoded', '/m/q?enc=%20'],
  ['match-query-encoded-name', '/m/q?%65=1'],
  ['match-query-fragmentless', '/m/q?&&a&b=2'],
];

const edits: Spec[] = [
  ['edit-formats', '/edit/formats?p', { 'X-A': 'alpha', 'X-B': 'beta' }],
  ['edit-formats-none', '/edit/formats'],
  [
    'edit-actions',
    '/edit/actions',
    { 'X-Exists': 'old', 'X-Absent': 'old', 'X-Append': 'zero', 'X-Old': 'o', 'X-Away': '1' },
  ],
  ['edit-actions-none', '/edit/actions'],
  [
    'edit-actions-response',
    '/edit/actions',
    respond('x-r-exists=old|x-r-absent=old|set-cookie=a=1|set-cookie=b=2|x-r-away=1'),
  ],
  ['edit-direct', '/edit/direct', { 'X-A': 'seen' }],
  ['edit-redirect', '/edit/redirect/x'],
  ['redirect-scheme', '/r/scheme/a?b'],
  ['redirect-query', '/r/query?x=1'],
  ['redirect-regex', '/r/regex/a/b?x=1'],
  ['redirect-regex-strip', '/r/regex-strip/a?x=1'],
  ['redirect-prefix-strip', '/r/prefix-strip/a?x=1'],
  ['redirect-host-only', '/r/host-only/a?b', {}, { host: 'more.test:8080' }],
  ['redirect-https-default-port', '/r/https/a', {}, { host: 'more.test:80' }],
  ['redirect-https-other-port', '/r/https/a', {}, { host: 'more.test:8080' }],
  ['redirect-https-port', '/r/https-port/a', {}, { host: 'more.test:8080' }],
  ['redirect-exact', '/r-exact?x'],
  ['redirect-post', '/r/prefix-strip', {}, post('unread')],
  ['redirect-forwarded', '/r/host-only/a', { 'X-Forwarded-Proto': 'https' }],
  ['redirect-head', '/r/host-only', {}, { method: 'HEAD' }],
];

const origin = (value: string, more = {}) => ({ Origin: value, ...more });
const asks = { 'Access-Control-Request-Method': 'PUT' };
const crossing: Spec[] = [
  ['cors-simple', '/cors/full', origin('http://a.test')],
  ['cors-simple-regex', '/cors/full', origin('https://x.b.test')],
  ['cors-simple-prefix', '/cors/full', origin('http://prefix.test')],
  ['cors-simple-not', '/cors/full', origin('http://c.test')],
  ['cors-no-origin', '/cors/full'],
  ['cors-preflight', '/cors/full', origin('http://a.test', asks), { method: 'OPTIONS' }],
  ['cors-preflight-not', '/cors/full', origin('http://c.test', asks), { method: 'OPTIONS' }],
  ['cors-preflight-no-method', '/cors/full', origin('http://a.test'), { method: 'OPTIONS' }],
  ['cors-preflight-get', '/cors/full', origin('http://a.test', asks)],
  ['cors-refusing', '/cors/refusing', origin('http://c.test', asks), { method: 'OPTIONS' }],
  ['cors-refusing-allowed', '/cors/refusing', origin('http://a.test', asks), { method: 'OPTIONS' }],
  ['cors-off', '/cors/off', origin('http://a.test')],
  ['cors-direct', '/cors/direct', origin('http://any.test')],
  ['cors-host', '/cors/host', origin('http://host.test', asks), { method: 'OPTIONS' }],
  ['cors-upstream', '/cors/full', origin('http://a.test', respond('access-control-allow-origin=*|vary=x'))],
];

const faults: Spec[] = [
  ['fault-of-host', '/x'],
  ['fault-none', '/fault/none'],
  ['fault-zero', '/fault/zero'],
  ['fault-own', '/fault/own'],
  ['fault-own-head', '/fault/own', {}, { method: 'HEAD' }],
  ['fault-both', '/fault/both'],
  ['fault-direct', '/fault/direct'],
  ['fault-grpc', '/fault/own', grpc, post('')],
  ['fault-post', '/fault/own', {}, post('unread')],
  ['fault-chunked', '/fault/own', { 'Transfer-Encoding': 'chunked' }, post('3\r\nabc\r\n0\r\n\r\n')],
];

const hostsOnly: Case[] = [
  ...on('main', 'secure.test', [
    ['tls-required', '/a?b'],
    ['tls-forwarded', '/a', { 'X-Forwarded-Proto': 'https' }],
  ]),
  ...on('main', 'secure.test:8080', [['tls-required-port', '/a']]),
  ...on('main', 'external.test', [
    ['tls-external', '/a'],
    ['tls-internal', '/a', { 'X-Envoy-Internal': 'true' }],
  ]),
  ...on('main', 'port.test:8080', [['host-with-port', '/']]),
  ...on('main', 'port.test', [['host-without-port', '/']]),
  ...on('main', 'void.test', [['host-no-routes', '/']]),
  ...on('main', '[::1]:80', [['host-ipv6', '/']]),
  ...on('main', 'a.b.wild.test', [['host-wild-deep', '/']]),
  ...on('main', 'wild.test', [['host-wild-bare', '/']]),
  ...on('main', 'pre.exact.wild.test', [['host-wild-both', '/']]),
];

const websocket = (more = {}) => ({ Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': 'k', ...more });
const tunnels: Case[] = [
  ...on('tunnels', 'tunnel.test', [
    ['ws', '/ws/x?y', websocket()],
    ['ws-case', '/ws/x', websocket({ Upgrade: 'WebSocket', Connection: 'keep-alive, upgrade' })],
    ['ws-off', '/ws/off', websocket()],
    ['ws-custom', '/ws/any', websocket({ Upgrade: 'custom' })],
    ['ws-custom-not', '/ws', websocket({ Upgrade: 'custom' })],
    ['ws-no-connection', '/ws', { Upgrade: 'websocket' }],
    ['ws-refused', '/ws/raw', websocket({ ...answer('HTTP/1.1 403 No\nContent-Length: 2\n\nno', false) })],
    ['ws-h2c', '/ws', { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': 'x' }],
  ]).map((given) => ({ ...given, bytes: `${given.bytes}hello bye`, unlogged: true })),
  ...on('tunnels', 'tunnel.test', [['ws-dead', '/ws/dead', websocket()]]),
  {
    id: 'connect-terminated',
    listener: 'tunnels',
    bytes: 'CONNECT raw.test:443 HTTP/1.1\r\nHost: raw.test:443\r\nX-Case: connect-terminated\r\n\r\nhello bye',
    methods: ['CONNECT'],
  },
  {
    id: 'connect-disabled',
    listener: 'main',
    bytes: 'CONNECT else.test:443 HTTP/1.1\r\nHost: else.test:443\r\nX-Case: connect-disabled\r\n\r\n',
    methods: ['CONNECT'],
  },
];

const strict: Spec[] = [
  ['strict', '/a'],
  ['strict-underscore', '/a', { X_Under: '1' }],
  ['strict-escaped', '/a%2Fb%5cc?q=%2F'],
  ['strict-slashes', '//a///b//'],
  ['strict-dots', '/a/./b/../../c'],
  ['strict-dots-encoded', '/a/%2E%2E/b/%2e/c'],
  ['strict-backslash', '/a\\b\\..\\c'],
  ['strict-unreserved', '/%41%7e%2d/%zz'],
  ['strict-dot-end', '/a/..'],
  ['strict-nul', '/a%00b'],
  ['strict-query-dots', '/a?../b//c'],
  ['strict-semicolon', '/a;x=../b'],
  ['strict-many-headers', '/a', Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`X-${i}`, '1']))],
  ['strict-server', '/a', respond('server=upstream')],
  ['strict-id', '/a', { 'X-Request-Id': 'given' }],
  ['strict-port', '/a', {}, { host: 'all.test:99' }],
  ['strict-port-ipv6', '/a', {}, { host: '[::1]:99' }],
  ['strict-port-none', '/a', {}, { host: '[::1]' }],
];

const lenient: Spec[] = [
  ['lenient', '/a'],
  ['lenient-underscore', '/a', { X_Under: '1', 'X-Fine': '1' }],
  ['lenient-escaped', '/a%2Fb%5cc%2f..%2fd?q=%2F'],
  ['lenient-slashes', '//a//b'],
  ['lenient-dot', '/a', {}, { host: 'all.test.' }],
  ['lenient-dot-port', '/a', {}, { host: 'all.test.:81' }],
  ['lenient-server', '/a', respond('server=upstream')],
  [
    'lenient-hops',
    '/a',
    { 'X-Forwarded-For': '1.1.1.1, 2.2.2.2', 'X-Forwarded-Proto': 'https', 'X-Request-Id': 'kept' },
  ],
  ['lenient-hops-one', '/a', { 'X-Forwarded-For': '2.2.2.2' }],
  ['lenient-hops-bad', '/a', { 'X-Forwarded-For': 'not an address' }],
  ['lenient-forwarded-port', '/a', { 'X-Forwarded-Port': '123' }],
  ['lenient-expect', '/a', { Expect: '100-continue' }, post('waited')],
  [
    'lenient-100',
    '/raw',
    { Expect: '100-continue', ...answer('HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok') },
    post('x'),
  ],
  ['lenient-103', '/raw', answer('HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok')],
  [
    'lenient-102',
    '/a',
    answer('HTTP/1.1 102 Processing\n\nHTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 204 No Content\n\n'),
  ],
];

const hops: Spec[] = [
  ['hops', '/a'],
  ['hops-three', '/a', { 'X-Forwarded-For': '1.1.1.1,2.2.2.2, 3.3.3.3' }],
  ['hops-one', '/a', { 'X-Forwarded-For': '1.1.1.1' }],
  ['hops-slashes', '//a//../b'],
  ['hops-id', '/a', { 'X-Request-Id': 'given' }],
  ['hops-10-no-host', '/a', {}, { version: '1.0' }],
  ['hops-10-keep', '/a', { Connection: 'keep-alive' }, { version: '1.0' }],
  ['hops-10-chunked', '/a', { 'X-Echo-Chunked': '1' }, { version: '1.0' }],
  ['hops-10-post', '/a', {}, post('ten', { version: '1.0' })],
  ['hops-10-te', '/a', { 'Transfer-Encoding': 'chunked' }, post('0\r\n\r\n', { version: '1.0' })],
  [
    'hops-103-hidden',
    '/raw',
    answer('HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok'),
  ],
  [
    'hops-request-trailers',
    '/a',
    { 'Transfer-Encoding': 'chunked', Trailer: 'x-t' },
    post('3\r\nabc\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n'),
  ],
  ['hops-short', '/short', { 'X-Echo-Delay': '1500' }],
];

const mapped: Spec[] = [
  ['mapped-404', '/nowhere'],
  ['mapped-404-head', '/nowhere', {}, { method: 'HEAD' }],
  ['mapped-404-grpc', '/nowhere', grpc, post('')],
  ['mapped-404-upstream', '/up', { 'X-Echo-Status': '404' }],
  ['mapped-json', '/dead', { 'X-Api': '1' }],
  ['mapped-general', '/dead'],
  ['mapped-html', '/empty'],
  ['mapped-html-cluster', '/missing'],
  ['mapped-or', '/teapot'],
  ['mapped-redirect', '/moved/x?y'],
  ['mapped-direct', '/said?x'],
  ['mapped-grpc', '/dead', { ...grpc, 'X-Api': '1' }, post('')],
];

/** Chunks of 16 bytes, with no end: what a proxy that waits for it has read so far. */
const unfinished = (count: number) => '10\r\n0123456789abcdef\r\n'.repeat(count);
const inChunks = { 'Transfer-Encoding': 'chunked' };
const buffered: Spec[] = [
  ['buffered-none', '/a'],
  ['buffered-short', '/a', {}, post('short')],
  ['buffered-empty', '/a', {}, post('')],
  ['buffered-chunked', '/a', inChunks, post(`${unfinished(1)}0\r\n\r\n`)],
  ['buffered-chunked-empty', '/a', inChunks, post('0\r\n\r\n')],
  ['buffered-trailers', '/a', inChunks, post(`${unfinished(1)}0\r\nX-T: 1\r\n\r\n`)],
  ['buffered-long-chunked', '/a', inChunks, post(unfinished(2))],
  ['buffered-long-grpc', '/a', { ...grpc, ...inChunks }, post(unfinished(2))],
  ['buffered-long-head', '/a', inChunks, { method: 'HEAD', body: unfinished(2) }],
  ['buffered-long-own', '/more', inChunks, post(unfinished(3))],
  ['buffered-more', '/more', inChunks, post(`${unfinished(2)}0\r\n\r\n`)],
  ['buffered-off', '/off', inChunks, post(`${unfinished(3)}0\r\n\r\n`)],
  ['buffered-before-fault', '/fault', inChunks, post(unfinished(2))],
  ['buffered-then-fault', '/fault', inChunks, post(`${unfinished(1)}0\r\n\r\n`)],
  ['buffered-expect', '/a', { Expect: '100-continue' }, post('waited')],
];

const internal: Spec[] = [
  ['internal', '/a'],
  [
    'internal-controls',
    '/a',
    { 'X-Envoy-External-Address': '9.9.9.9', 'X-Envoy-Internal': 'false', 'X-Request-Id': 'kept' },
  ],
  ['internal-forwarded', '/a', { 'X-Forwarded-For': '9.9.9.9' }],
  ['internal-downstream', '/a', { 'X-Envoy-Downstream-Service-Cluster': 'c', 'X-Envoy-Decorator-Operation': 'o' }],
];

const upstreamAnswers: [id: string, text: string, keep?: true][] = [
  ['two-lengths', 'HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok!'],
  ['length-and-chunked', 'HTTP/1.1 200 OK\nContent-Length: 2\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n'],
  ['bad-length', 'HTTP/1.1 200 OK\nContent-Length: x\n\nok'],
  ['bad-coding', 'HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\nok'],
  ['bad-chunk', 'HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nzz\nok\n0\n\n'],
  ['short-body', 'HTTP/1.1 200 OK\nContent-Length: 10\n\nshort'],
  ['short-chunked', 'HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nab'],
  ['until-close', 'HTTP/1.1 200 OK\n\nuntil close'],
  ['until-close-10', 'HTTP/1.0 200 OK\nX-A: 1\n\nuntil close'],
  ['keep-alive-10', 'HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 2\n\nok', true],
  ['no-reason', 'HTTP/1.1 200\nContent-Length: 2\n\nok', true],
  ['own-reason', 'HTTP/1.1 200 All Good\nContent-Length: 2\n\nok', true],
  ['status-299', 'HTTP/1.1 299 Odd\nContent-Length: 2\n\nok', true],
  ['status-599', 'HTTP/1.1 599 Odd\nContent-Length: 2\n\nok', true],
  ['status-20', 'HTTP/1.1 20 OK\nContent-Length: 2\n\nok'],
  ['status-2000', 'HTTP/1.1 2000 OK\nContent-Length: 2\n\nok'],
  ['version-3', 'HTTP/3.0 200 OK\nContent-Length: 2\n\nok'],
  ['not-http', 'SSH-2.0-OpenSSH\n'],
  ['nothing', ''],
  ['half-head', 'HTTP/1.1 200 OK\nX-A: 1\n'],
  ['nul-in-header', 'HTTP/1.1 200 OK\nX-A: a\0b\nContent-Length: 2\n\nok'],
  ['space-before-colon', 'HTTP/1.1 200 OK\nX-A : 1\nContent-Length: 2\n\nok'],
  ['no-colon', 'HTTP/1.1 200 OK\nbroken\nContent-Length: 2\n\nok'],
  ['folded', 'HTTP/1.1 200 OK\nX-A: a\n b\nContent-Length: 2\n\nok', true],
  ['latin1', 'HTTP/1.1 200 OK\nX-A: caf\xe9\nContent-Length: 2\n\nok', true],
  ['204-with-length', 'HTTP/1.1 204 No Content\nContent-Length: 2\n\nok'],
  ['304-with-length', 'HTTP/1.1 304 Not Modified\nContent-Length: 2\nETag: "a"\n\n', true],
  ['continue-first', 'HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok', true],
  [
    'hop-by-hop',
    'HTTP/1.1 200 OK\nKeep-Alive: timeout=5\nProxy-Connection: x\nContent-Length: 2\nTrailer: x\n\nok',
    true,
  ],
  ['date-own', 'HTTP/1.1 200 OK\nDate: Thu, 01 Jan 1970 00:00:00 GMT\nContent-Length: 2\n\nok', true],
  ['extra-bytes', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok and more'],
  ['close', 'HTTP/1.1 200 OK\nConnection: close\nContent-Length: 2\n\nok'],
  ['large-head', `HTTP/1.1 200 OK\nX-L: ${'x'.repeat(70_000)}\nContent-Length: 2\n\nok`],
];
const upstream: Spec[] = upstreamAnswers.map(([id, text, keep]) => [`up-${id}`, '/raw', answer(text, !keep)]);

/** A response that is slow, a body and a head that stop half-way. */
const timed: Case[] = ['longest', 'whole-request', 'idle-stream', 'slow-head']
  .flatMap((listener) => [
    ...on(listener, 'all.test', [
      [`${listener}-answer`, '/a', { 'X-Echo-Delay': '1000' }],
      [`${listener}-grpc`, '/a', { ...grpc, 'X-Echo-Delay': '1000' }, post('')],
      [`${listener}-quick`, '/a', {}, post('in time')],
      [`${listener}-body`, '/a', { 'Content-Length': '9' }, { method: 'POST' }],
    ]),
    raw(`${listener}-head`, listener, 'GET /a HTTP/1.1\nHost: all.test\nX-H'),
  ])
  .filter(({ id }) => !/^(slow-head-body|(longest|whole-request|idle-stream)-head)$/.test(id));

const scripted: Case[] = [
  {
    id: 'requests-per-connection',
    listener: 'lenient',
    bytes: ['1', '2', '3'].map((n) => request(`rpc${n}`, '/a', {}, { host: 'all.test' })).join(''),
    methods: ['GET', 'GET', 'GET'],
  },
  {
    id: 'close-amid-pipeline',
    listener: 'main',
    bytes: request('cap1', '/exact', { Connection: 'close' }) + request('cap2', '/exact'),
    methods: ['GET', 'GET'],
  },
  {
    id: 'error-keeps-connection',
    listener: 'main',
    bytes: request('ekc1', '/dead') + request('ekc2', '/exact') + request('ekc3', '/echo'),
    methods: ['GET', 'GET', 'GET'],
  },
  {
    id: 'pipelined-chunked',
    listener: 'main',
    bytes:
      request('pc1', '/echo', { 'Transfer-Encoding': 'chunked' }, { method: 'POST', body: '3\r\nabc\r\n0\r\n\r\n' }) +
      request('pc2', '/echo', { 'X-Echo-Chunked': '1' }) +
      request('pc3', '/echo', {}, { method: 'HEAD' }),
    methods: ['POST', 'GET', 'HEAD'],
  },
  { id: 'lf-only', listener: 'main', bytes: 'GET /exact HTTP/1.1\nHost: main.test\n\n', methods: ['GET'] },
  raw('tab-after-colon', 'main', 'GET /echo HTTP/1.1\nHost:\tmain.test\nX-T:\ta\tb \n\n'),
  raw('two-spaces', 'main', 'GET  /exact HTTP/1.1\nHost: main.test\n\n'),
  raw('space-in-target', 'main', 'GET /exact a HTTP/1.1\nHost: main.test\n\n'),
  raw('lower-method', 'main', 'get /exact HTTP/1.1\nHost: main.test\n\n'),
  raw('lower-version', 'main', 'GET /exact http/1.1\nHost: main.test\n\n'),
  raw('unknown-method', 'main', 'BREW /echo HTTP/1.1\nHost: main.test\n\n'),
  raw('relative-target', 'main', 'GET exact HTTP/1.1\nHost: main.test\n\n'),
  raw('ftp-target', 'main', 'GET ftp://main.test/exact HTTP/1.1\nHost: main.test\n\n'),
  raw('absolute-user', 'main', 'GET http://u:p@main.test/exact HTTP/1.1\nHost: main.test\n\n'),
  raw('host-with-user', 'main', 'GET /exact HTTP/1.1\nHost: u@main.test\n\n'),
  raw('host-with-path', 'main', 'GET /exact HTTP/1.1\nHost: main.test/x\n\n'),
  raw('empty-name', 'main', 'GET /exact HTTP/1.1\nHost: main.test\n: x\n\n'),
  raw('name-with-comma', 'main', 'GET /exact HTTP/1.1\nHost: main.test\nX,Y: x\n\n'),
  raw('cl-plus', 'main', 'POST /echo HTTP/1.1\nHost: main.test\nContent-Length: +1\n\na', ['POST']),
  raw('cl-list', 'main', 'POST /echo HTTP/1.1\nHost: main.test\nContent-Length: 1, 1\n\na', ['POST']),
  raw('cl-huge', 'main', 'POST /echo HTTP/1.1\nHost: main.test\nContent-Length: 99999999999999999999\n\na', ['POST']),
  raw('cl-empty', 'main', 'POST /echo HTTP/1.1\nHost: main.test\nContent-Length:\n\na', ['POST']),
  raw(
    'te-twice',
    'main',
    'POST /echo HTTP/1.1\nHost: main.test\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n',
    ['POST'],
  ),
  raw('te-list', 'main', 'POST /echo HTTP/1.1\nHost: main.test\nTransfer-Encoding: gzip, chunked\n\n0\n\n', ['POST']),
  raw('te-case', 'main', 'POST /echo HTTP/1.1\nHost: main.test\nTransfer-Encoding: CHUNKED\n\n0\n\n', ['POST']),
  raw(
    'chunk-size-huge',
    'main',
    'POST /echo HTTP/1.1\nHost: main.test\nTransfer-Encoding: chunked\n\nfffffffffffffffff\n',
    ['POST'],
  ),
  raw(
    'chunk-size-negative',
    'main',
    'POST /echo HTTP/1.1\nHost: main.test\nTransfer-Encoding: chunked\n\n-1\na\n0\n\n',
    ['POST'],
  ),
  raw(
    'chunk-size-prefix',
    'main',
    'POST /echo HTTP/1.1\nHost: main.test\nTransfer-Encoding: chunked\n\n0x1\na\n0\n\n',
    ['POST'],
  ),
  raw('chunk-no-crlf', 'main', 'POST /echo HTTP/1.1\nHost: main.test\nTransfer-Encoding: chunked\n\n1\nab\n0\n\n', [
    'POST',
  ]),
  raw('connection-host', 'main', 'GET /echo HTTP/1.1\nHost: main.test\nConnection: host\n\n'),
  raw(
    'connection-forwarded',
    'main',
    'GET /echo HTTP/1.1\nHost: main.test\nX-Forwarded-For: 1.1.1.1\nConnection: x-forwarded-for\n\n',
  ),
  raw('many-empty-lines', 'main', '\n\n\n\nGET /exact HTTP/1.1\nHost: main.test\n\n'),
];

export const MORE_CASES: readonly Case[] = [
  ...on('main', 'more.test', [...rewrites, ...unicode, ...clusters, ...matches, ...edits, ...crossing]),
  ...on('main', 'faulty.test', faults),
  ...hostsOnly,
  ...tunnels,
  ...on('strict', 'all.test', strict),
  ...on('lenient', 'all.test', lenient),
  ...on('hops', 'all.test', hops),
  ...on('mapped', 'all.test', mapped),
  raw('mapped-malformed', 'mapped', 'nonsense\n\n'),
  ...on('internal', 'all.test', internal),
  ...on('buffered', 'all.test', buffered),
  // It has a length and does not come up to it.
  ...on('buffered', 'all.test', [
    ['buffered-long', '/a', { 'Content-Length': '90' }, { method: 'POST' }],
    ['buffered-long-fault', '/fault', { 'Content-Length': '90' }, { method: 'POST' }],
  ]).map((given) => ({ ...given, bytes: given.bytes + 'x'.repeat(30) })),
  ...on('main', 'main.test', upstream),
  ...timed,
  ...scripted,
];
