/** What VirtualServices do to requests: rules of the host `reviews`, and requests that show the effect of each field. */

export interface ServiceRequest {
  readonly path: string;
  readonly method?: string;
  readonly host?: string;
  /** With their line ends. */
  readonly headers?: string;
}

const v1 = { destination: { host: 'reviews', subset: 'v1' } };
const toV1 = { route: [v1] };
const percentage = { value: 100 };

/** A rule for one path that says by a header which it is. */
const marked = (path: string, match: object = {}) => ({
  match: [{ uri: { exact: path }, ...match }],
  headers: { response: { set: { 'x-rule': path } } },
  ...toV1,
});

export const RULES: readonly object[] = [
  // Matches: a request that does not match reaches the rule of all, which sets no header.
  marked('/absent', { withoutHeaders: { 'x-no': {} } }),
  marked('/not-beta', { withoutHeaders: { 'x-group': { exact: 'beta' } } }),
  marked('/present', { headers: { 'x-yes': {} } }),
  marked('/header-regex', { headers: { 'x-id': { regex: '[0-9]{3}' } } }),
  marked('/query', { queryParams: { q: { exact: '1' }, p: {} } }),
  marked('/method', { method: { regex: 'PUT|DELETE' } }),
  marked('/authority', { authority: { prefix: 'reviews.default' } }),
  marked('/scheme', { scheme: { exact: 'https' } }),
  { ...marked('/case'), match: [{ uri: { prefix: '/CaSe' }, ignoreUriCase: true }] },
  { ...marked('/regex'), match: [{ uri: { regex: '/re+gex/[a-z]+' } }] },
  marked('/port', { port: 9080 }),
  marked('/other-port', { port: 9999 }),
  marked('/from-front', { sourceLabels: { app: 'front' } }),
  marked('/from-cart', { sourceLabels: { app: 'cart' } }),
  marked('/from-default', { sourceNamespace: 'default' }),
  marked('/from-shop', { sourceNamespace: 'shop' }),
  marked('/in-mesh', { gateways: ['mesh'] }),
  marked('/at-gateway', { gateways: ['shop'] }),
  // Headers: of the route, of the destination, and variables.
  {
    match: [{ uri: { prefix: '/headers' } }],
    headers: {
      request: {
        set: { 'x-set': 'route', 'x-path': '%REQ(:PATH)%', 'x-percent': '100%%' },
        add: { 'x-add': 'route' },
        remove: ['x-gone'],
      },
      response: { set: { 'x-code': '%RESPONSE_CODE%', 'x-protocol': '%PROTOCOL%' }, remove: ['x-upstream'] },
    },
    route: [
      {
        ...v1,
        headers: {
          request: { add: { 'x-add': 'destination' }, set: { 'x-to': 'v1' } },
          response: { add: { 'x-from': 'v1' } },
        },
      },
    ],
  },
  {
    match: [{ uri: { exact: '/weighted' } }],
    route: [
      { ...v1, weight: 100, headers: { request: { set: { 'x-share': 'all', host: 'weighted.example' } } } },
      { destination: { host: 'reviews', subset: 'v3' }, weight: 0 },
    ],
  },
  // Redirects.
  { match: [{ uri: { exact: '/r-port' } }], redirect: { port: 8443, scheme: 'https', redirectCode: 308 } },
  { match: [{ uri: { exact: '/r-host' } }], redirect: { authority: 'other.example', redirectCode: 307 } },
  { match: [{ uri: { exact: '/r-derive' } }], redirect: { derivePort: 'FROM_REQUEST_PORT', uri: '/there' } },
  { match: [{ uri: { exact: '/r-default' } }], redirect: { derivePort: 'FROM_PROTOCOL_DEFAULT', scheme: 'https' } },
  { match: [{ uri: { prefix: '/r-prefix' } }], redirect: { prefixRewrite: '/new', redirectCode: 303 } },
  // Rewrites.
  { match: [{ uri: { prefix: '/w-prefix/' } }], rewrite: { uri: '/', authority: 'rewritten.example' }, ...toV1 },
  {
    match: [{ uri: { prefix: '/w-regex' } }],
    rewrite: { uriRegexRewrite: { match: '^/w-regex/([^/]+)/(.*)$', rewrite: '/\\2/of/\\1' } },
    ...toV1,
  },
  // Answers of the proxy's own.
  { match: [{ uri: { exact: '/d-text' } }], directResponse: { status: 418, body: { string: 'short and stout\n' } } },
  {
    match: [{ uri: { exact: '/d-bytes' } }],
    headers: { response: { add: { 'x-kind': 'bytes' } } },
    directResponse: { status: 200, body: { bytes: Buffer.from([0x7b, 0x7d]).toString('base64') } },
  },
  { match: [{ uri: { exact: '/d-none' } }], directResponse: { status: 204 } },
  // Faults.
  {
    match: [{ uri: { exact: '/f-grpc' } }],
    fault: { abort: { grpcStatus: 'RESOURCE_EXHAUSTED', percentage } },
    ...toV1,
  },
  {
    match: [{ uri: { exact: '/f-both' } }],
    fault: { delay: { fixedDelay: '20ms', percentage }, abort: { httpStatus: 429, percentage } },
    ...toV1,
  },
  { match: [{ uri: { exact: '/f-never' } }], fault: { abort: { httpStatus: 500, percentage: { value: 0 } } }, ...toV1 },
  // CORS.
  ...(['FORWARD', 'IGNORE'] as const).map((unmatchedPreflights) => ({
    match: [{ uri: { exact: `/cors-${unmatchedPreflights.toLowerCase()}` } }],
    corsPolicy: {
      allowOrigins: [{ exact: 'https://a.example' }, { regex: 'https://[a-z]+\\.b\\.example' }],
      allowMethods: ['GET', 'PUT'],
      allowHeaders: ['x-one'],
      exposeHeaders: ['x-two'],
      maxAge: '2h',
      allowCredentials: true,
      unmatchedPreflights,
    },
    ...toV1,
  })),
  // Retries and timeouts.
  {
    match: [{ uri: { exact: '/retried' }, statPrefix: 'again' }],
    retries: { attempts: 2, retryOn: '503', backoff: '1ms' },
    ...toV1,
  },
  { match: [{ uri: { exact: '/not-retried' } }], retries: { attempts: 0 }, ...toV1 },
  { match: [{ uri: { exact: '/too-slow' }, statPrefix: 'slow' }], timeout: '0.2s', retries: { attempts: 0 }, ...toV1 },
  {
    match: [{ uri: { exact: '/try-too-slow' } }],
    timeout: '10s',
    retries: { attempts: 1, perTryTimeout: '200ms', retryOn: 'gateway-error', backoff: '1ms' },
    ...toV1,
  },
  // The rules of another VirtualService.
  { match: [{ uri: { prefix: '/team' } }], delegate: { name: 'team' } },
];

/** What `/team` is delegated to. */
export const DELEGATE = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'team', namespace: 'default' },
  spec: {
    http: [
      { match: [{ uri: { prefix: '/team/direct' } }], directResponse: { status: 202 } },
      { rewrite: { uri: '/delegated' }, ...toV1 },
    ],
  },
};

/** What `statPrefix` counts, by the stat's name behind `route.`. */
export const COUNTED = ['again', 'slow'].flatMap((route) =>
  ['total', 'completed', 'retry', 'timeout', '2xx', '5xx', '200', '504'].map((name) => `${route}.upstream_rq_${name}`),
);

const get = (path: string, headers = ''): ServiceRequest => ({ path, headers });
const preflight = (path: string, origin: string): ServiceRequest => ({
  path,
  method: 'OPTIONS',
  headers: `origin: ${origin}\r\naccess-control-request-method: PUT\r\n`,
});

export const REQUESTS: readonly ServiceRequest[] = [
  ...['/absent', '/not-beta', '/present', '/header-regex', '/method', '/scheme', '/port', '/other-port'].map((path) =>
    get(path),
  ),
  ...['/from-front', '/from-cart', '/from-default', '/from-shop', '/in-mesh', '/at-gateway'].map((path) => get(path)),
  get('/absent', 'x-no: 1\r\n'),
  get('/not-beta', 'x-group: beta\r\n'),
  get('/present', 'x-yes:\r\n'),
  get('/header-regex', 'x-id: 123\r\n'),
  get('/header-regex', 'x-id: 1234\r\n'),
  get('/query?q=1&p'),
  get('/query?q=1'),
  get('/query?q=2&p=1'),
  { path: '/method', method: 'PUT', headers: 'content-length: 0\r\n' },
  get('/authority'),
  { path: '/authority', host: 'reviews.default.svc:9080' },
  get('/CASE/x'),
  get('/reeegex/abc'),
  get('/reeegex/abc/d'),
  get('/headers/all', 'x-set: client\r\nx-add: client\r\nx-gone: 1\r\n'),
  get('/weighted'),
  ...['/r-port', '/r-host?a=b', '/r-derive', '/r-default', '/r-prefix/tail?a=b'].map((path) => get(path)),
  ...['/w-prefix/one/two', '/w-regex/a/b/c?d=e', '/w-regex/alone'].map((path) => get(path)),
  ...['/d-text', '/d-bytes', '/d-none', '/f-grpc', '/f-both', '/f-never'].map((path) => get(path)),
  get('/f-grpc', 'content-type: application/grpc\r\nte: trailers\r\n'),
  ...(['/cors-forward', '/cors-ignore'] as const).flatMap((path) => [
    preflight(path, 'https://a.example'),
    preflight(path, 'https://x.b.example'),
    preflight(path, 'https://c.example'),
    get(path, 'origin: https://a.example\r\n'),
    get(path, 'origin: https://c.example\r\n'),
  ]),
  get('/retried', 'x-echo-id: retried\r\nx-echo-fail: 2\r\nx-echo-status: 503\r\n'),
  get('/not-retried', 'x-echo-id: not-retried\r\nx-echo-fail: 1\r\nx-echo-status: 503\r\n'),
  get('/too-slow', 'x-echo-delay: 3000\r\n'),
  get('/try-too-slow', 'x-echo-delay: 3000\r\n'),
  get('/team/x'),
  get('/team/direct'),
];
