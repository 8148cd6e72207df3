/** Header operations of every level, which of them wins, and what their formats can say. */
import { any, header, type Json, listener, manager, prefix, say, to } from '../../harness/bootstrap-parts.ts';
import type { Spec } from '../cases.ts';
import { on } from '../cases.ts';
import type { Theme } from './themes.ts';

const ACTIONS = ['APPEND_IF_EXISTS_OR_ADD', 'ADD_IF_ABSENT', 'OVERWRITE_IF_EXISTS_OR_ADD', 'OVERWRITE_IF_EXISTS'];
const OVERWRITE = 'OVERWRITE_IF_EXISTS_OR_ADD';

/** Every action, on headers that each level touches: who comes last is seen. */
const operations = (level: string): Json => {
  const all = (side: string) => ACTIONS.map((action, i) => header(`x-${side}-${i}`, level, action));
  return {
    request_headers_to_add: [...all('q'), header(`x-${level}-only`, 'yes', OVERWRITE)],
    request_headers_to_remove: [`x-gone-${level}`, 'x-gone-any'],
    response_headers_to_add: [...all('r'), header(`x-r-${level}-only`, 'yes', OVERWRITE)],
    response_headers_to_remove: [`x-r-gone-${level}`, 'x-r-gone-any'],
  };
};
/** One level adds what another removes. */
const crossing = (adds: Json, removes: Json) => ({ adds, removes });
const add = (name: string) => ({
  request_headers_to_add: [header(`x-${name}`, 'added', OVERWRITE)],
  response_headers_to_add: [header(`x-r-${name}`, 'added', OVERWRITE)],
});
const remove = (name: string) => ({
  request_headers_to_remove: [`x-${name}`],
  response_headers_to_remove: [`x-r-${name}`],
});
const cross = crossing(add('cross'), remove('cross'));

const weighted = (more: Json) => ({
  route: { weighted_clusters: { clusters: [{ name: 'echo', weight: 1, ...more }] } },
});
const table = (most_specific_header_mutations_wins: boolean) => ({
  route_config: {
    name: 'levels',
    validate_clusters: false,
    most_specific_header_mutations_wins,
    ...operations('table'),
    virtual_hosts: [
      {
        name: 'levels',
        domains: ['levels.test'],
        ...operations('host'),
        routes: [
          { ...prefix('/weighted'), ...weighted(operations('cluster')), ...operations('route') },
          { ...prefix('/route'), ...to('echo'), ...operations('route') },
          { ...prefix('/said'), ...say('said'), ...operations('route') },
          { ...prefix('/moved'), redirect: { path_redirect: '/new' }, ...operations('route') },
          { ...prefix('/dead'), ...to('dead'), ...operations('route') },
          { ...prefix('/missing'), ...to('missing'), ...operations('route') },
          { ...prefix('/plain'), ...to('echo') },
        ],
      },
      {
        name: 'adds',
        domains: ['adds.test'],
        ...cross.adds,
        routes: [{ ...prefix('/'), ...to('echo'), ...cross.removes }],
      },
      {
        name: 'removes',
        domains: ['removes.test'],
        ...cross.removes,
        routes: [{ ...prefix('/'), ...to('echo'), ...cross.adds }],
      },
      { name: 'bare', domains: ['bare.test'], routes: [{ ...prefix('/'), ...to('echo') }] },
    ],
  },
});

/** What only internal clients may say, and the scheme that routes see. */
const internalOnly = {
  route_config: {
    name: 'internal-only',
    internal_only_headers: ['X-Inside', 'x-secret'],
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        routes: [
          { match: { prefix: '/is', headers: [{ name: 'x-inside', present_match: true }] }, ...say('inside') },
          {
            match: { prefix: '/is', headers: [{ name: ':scheme', string_match: { exact: 'https' } }] },
            ...say('https'),
          },
          { ...prefix('/moved'), redirect: { path_redirect: '/there' } },
          { ...prefix('/'), ...to('echo') },
        ],
      },
    ],
  },
};
const edge = { use_remote_address: true, skip_xff_append: true };
const inside = { internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] } };
const outsides: Record<string, Json> = {
  'outside-not-edge': internalOnly,
  outside: { ...edge, ...internalOnly },
  inside: { ...edge, ...inside, ...internalOnly },
  'scheme-https': { ...internalOnly, scheme_header_transformation: { scheme_to_overwrite: 'https' } },
  'scheme-https-edge': { ...internalOnly, ...edge, scheme_header_transformation: { scheme_to_overwrite: 'https' } },
  'scheme-https-hops': {
    ...internalOnly,
    ...edge,
    xff_num_trusted_hops: 1,
    scheme_header_transformation: { scheme_to_overwrite: 'https' },
  },
  'scheme-http': { ...internalOnly, ...edge, scheme_header_transformation: { scheme_to_overwrite: 'http' } },
};

const formats = [
  '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
  '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%',
  '%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%',
  '%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(:SCHEME)%',
  '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  '%REQ(X-NONE)%',
  '[%REQ(X-NONE)%]',
  '%REQ(X-NONE?X-A):3%',
  '%REQ(X-TWICE)%',
  '%REQ(HOST)%',
  '%PROTOCOL%',
  '%START_TIME(%Y)%',
  '%START_TIME(%Y-%m-%d)% is today',
  '%ROUTE_NAME%/%VIRTUAL_CLUSTER_NAME%',
  '%UPSTREAM_CLUSTER%',
  '%UPSTREAM_CLUSTER_RAW%',
  '%UPSTREAM_HOST%',
  '%UPSTREAM_REMOTE_ADDRESS%',
  '%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
  '%BYTES_RECEIVED%',
  '%RESPONSE_CODE%',
  '%RESPONSE_CODE_DETAILS%',
  '%RESPONSE_FLAGS%',
  '%RESPONSE_FLAGS_LONG%',
  '%RESP(X-UP)%',
  '%RESP(:STATUS)%',
  '%REQUESTED_SERVER_NAME%',
  '%DOWNSTREAM_PEER_URI_SAN%',
  '%DOWNSTREAM_PEER_SUBJECT%',
  '%DOWNSTREAM_LOCAL_URI_SAN%',
  '%DYNAMIC_METADATA(envoy.filters.http.rbac:shadow_engine_result)%',
  '100%%',
  '%%REQ(X-A)%%',
  '"a" %REQ(X-A)%\t%REQ(X-A)%!',
];
const saying = (side: 'request' | 'response') => ({
  [`${side}_headers_to_add`]: formats.map((format, i) =>
    header(`x-f-${String(i).padStart(2, '0')}`, format, OVERWRITE),
  ),
});
const shadow = {
  name: 'envoy.filters.http.rbac',
  typed_config: any('filters.http.rbac.v3.RBAC', {
    shadow_rules: { action: 'DENY', policies: { any: { permissions: [{ any: true }], principals: [{ any: true }] } } },
  }),
};
const formatted = [
  {
    name: 'formats',
    domains: ['*'],
    routes: [
      { ...prefix('/request'), ...to('echo', { prefix_rewrite: '/rewritten' }), ...saying('request'), name: 'named' },
      { ...prefix('/response'), ...to('echo'), ...saying('response'), name: 'named' },
      { ...prefix('/said'), ...say('said'), ...saying('response') },
      { ...prefix('/dead'), ...to('dead'), ...saying('response') },
      { ...prefix('/retried'), ...to('echo', { retry_policy: { retry_on: '5xx' } }), ...saying('response') },
    ],
  },
];

/** What each level of a request and its response meets: nothing, something, several of it. */
const before = (what: string) =>
  [0, 1, 2, 3].flatMap((i) =>
    what === 'twice'
      ? [
          [`X-Q-${i}`, 'old'],
          [`x-q-${i}`, 'old2'],
        ]
      : [[`X-Q-${i}`, 'old']],
  );
const gone = ['table', 'host', 'route', 'cluster', 'any'];
const asked = Object.fromEntries([...before('once'), ...gone.map((level) => [`X-Gone-${level}`, '1'])]);
const twice = Object.fromEntries(before('twice'));
const answered = {
  'X-Echo-Headers': [...[0, 1, 2, 3].map((i) => `x-r-${i}=old`), ...gone.map((level) => `x-r-gone-${level}=1`)].join(
    '|',
  ),
};
const paths = ['weighted', 'route', 'said', 'moved', 'dead', 'missing', 'plain', 'nowhere'];
const levelled = (id: string): Spec[] =>
  paths.flatMap((path): Spec[] => [
    [`${id}-${path}`, `/${path}`],
    [`${id}-${path}-old`, `/${path}`, { ...asked, ...answered }],
  ]);
const listeners = { levels: false, 'levels-specific': true };

export const headers: Theme = {
  listeners: [
    ...Object.entries(listeners).map(([name, specific]) => listener(name, manager([], [], table(specific)))),
    ...Object.entries(outsides).map(([name, options]) => listener(name, manager([], [], options))),
    listener('formats', manager([], [shadow], { use_remote_address: true, skip_xff_append: true }, formatted)),
  ],
  cases: [
    ...Object.keys(listeners).flatMap((name) => [
      ...on(name, 'levels.test', [...levelled(name), [`${name}-twice`, '/weighted', twice]]),
      ...on(name, 'adds.test', [[`${name}-adds`, '/', { 'X-Cross': 'old', 'X-Echo-Headers': 'x-r-cross=old' }]]),
      ...on(name, 'removes.test', [[`${name}-removes`, '/', { 'X-Cross': 'old', 'X-Echo-Headers': 'x-r-cross=old' }]]),
      ...on(name, 'bare.test', [[`${name}-bare`, '/']]),
    ]),
    ...Object.keys(outsides).flatMap((name) =>
      on(name, 'in.test', [
        [`${name}-is`, '/is', { 'X-Inside': '1' }],
        [`${name}-is-not`, '/is'],
        [`${name}-sent`, '/x', { 'X-Inside': '1', 'x-inside': '2', 'X-Secret': 's', 'X-Other': '3' }],
        [`${name}-proto`, '/is', { 'X-Forwarded-Proto': 'https' }],
        [`${name}-moved`, '/moved', { 'X-Forwarded-Proto': 'https' }],
        [`${name}-echo`, '/x', { 'X-Forwarded-Proto': 'https' }],
      ]),
    ),
    ...on('formats', 'formats.test', [
      ['formats-request', '/request/x?y', { 'X-A': 'alpha', 'X-Twice': 'one', 'x-twice': 'two' }],
      ['formats-request-bare', '/request'],
      ['formats-request-post', '/request', {}, { method: 'POST', body: 'hello' }],
      ['formats-response', '/response?y', { 'X-A': 'alpha', 'X-Echo-Headers': 'x-up=one|x-up=two' }],
      ['formats-response-bare', '/response'],
      ['formats-response-404', '/response', { 'X-Echo-Status': '404' }],
      ['formats-said', '/said', { 'X-A': 'alpha' }],
      ['formats-dead', '/dead', { 'X-A': 'alpha' }],
      ['formats-retried', '/retried', { 'X-Echo-Fail': '1' }],
      ['formats-spent', '/retried', { 'X-Echo-Fail': '5' }],
    ]),
  ],
};
