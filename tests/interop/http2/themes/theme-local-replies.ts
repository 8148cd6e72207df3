/** Answers of the proxy itself, as HTTP and as gRPC, and what it makes of gRPC: timeouts, retries, status. */
import { data, headers, trailers } from '../../../kit/http2/frames.ts';
import type { Field } from '../../../kit/http2/hpack.ts';
import {
  any,
  filter,
  header,
  listener,
  percent,
  prefix,
  say,
  staticCluster,
  to,
} from '../../harness/bootstrap-parts.ts';
import { ALONE, http2, manager, speaking } from '../bootstrap.ts';
import { answers, asks, asksPlainly, type Case, type Http2Case, ok, request, type Theme } from '../case.ts';
import type { Http2Attempt } from '../upstreams.ts';

const f = (name: string, value: string): Field => [name, value];
const grpc = (type = 'application/grpc'): Field[] => [f('content-type', type), f('te', 'trailers')];

const paths = [
  'direct',
  'teapot',
  'redirect',
  'dead',
  'missing',
  'empty',
  'none',
  'denied',
  'aborted',
  'aborted-grpc',
  'unrouted',
];
const kinds: [name: string, method: string, more: Field[], body?: string][] = [
  ['get', 'GET', []],
  ['head', 'HEAD', []],
  ['post', 'POST', [], 'hello'],
  ['grpc', 'POST', grpc(), '\0\0\0\0\0'],
  ['grpc-proto', 'POST', grpc('application/grpc+proto'), '\0\0\0\0\0'],
  ['grpc-web', 'POST', grpc('application/grpc-web'), '\0\0\0\0\0'],
  ['grpc-like', 'POST', grpc('application/grpcish'), '\0\0\0\0\0'],
];
const matrix: Case[] = paths.flatMap((path) =>
  kinds.map(([kind, method, more, body]) =>
    asks(`local-${path}-${kind}`, 'local', {
      fields: request({ method, path: `/${path}` }, more),
      ...(body !== undefined && { body }),
    }),
  ),
);
const plainly: Case[] = paths.map((path) =>
  asksPlainly(`local-${path}-grpc-h1`, 'local', [
    `POST /${path} HTTP/1.1`,
    'Host: main.test',
    'Content-Type: application/grpc',
    'Content-Length: 0',
  ]),
);

const fault = (fields: object) => ({
  typed_per_filter_config: { 'envoy.filters.http.fault': any('filters.http.fault.v3.HTTPFault', fields) },
});
const localRoutes = [
  { ...prefix('/direct'), ...say('made here') },
  { ...prefix('/teapot'), ...say('short and stout', 418) },
  { ...prefix('/redirect'), redirect: { host_redirect: 'other.test', path_redirect: '/x' } },
  { ...prefix('/dead'), ...to('dead') },
  { ...prefix('/missing'), ...to('missing') },
  { ...prefix('/empty'), ...to('empty') },
  { ...prefix('/none'), direct_response: { status: 404 } },
  { ...prefix('/denied'), ...to('two') },
  { ...prefix('/aborted-grpc'), ...to('two'), ...fault({ abort: { grpc_status: 14, percentage: percent(100) } }) },
  { ...prefix('/aborted'), ...to('two'), ...fault({ abort: { http_status: 429, percentage: percent(100) } }) },
];
const deny = filter('rbac.v3.RBAC', {
  rules: {
    action: 'DENY',
    policies: {
      'no[1]': { permissions: [{ url_path: { path: { prefix: '/denied' } } }], principals: [{ any: true }] },
    },
  },
});

/** A body of JSON, fields and another status: what Istio's meshConfig may say. */
const mapped = {
  local_reply_config: {
    mappers: [
      {
        filter: {
          status_code_filter: { comparison: { op: 'EQ', value: { default_value: 418, runtime_key: 'none' } } },
        },
        status_code: 503,
        headers_to_add: [header('x-mapped', 'yes', 'OVERWRITE_IF_EXISTS_OR_ADD')],
        body: { inline_string: 'mapped' },
      },
    ],
    body_format: { json_format: { body: '%LOCAL_REPLY_BODY%', code: '%RESPONSE_CODE%', path: '%REQ(:PATH)%' } },
  },
};
const mappings: Case[] = ['teapot', 'dead', 'unrouted'].flatMap((path) => [
  asks(`mapped-${path}`, 'mapped', { fields: request({ path: `/${path}` }) }),
  asks(`mapped-${path}-grpc`, 'mapped', { fields: request({ method: 'POST', path: `/${path}` }, grpc()), body: '' }),
]);

/** The upstream's own gRPC answers. */
const typed = (...more: Field[]) => [f(':status', '200'), f('content-type', 'application/grpc'), ...more];
const only = (status: string) => (s: number) => [
  headers(s, typed(f('grpc-status', status), f('grpc-message', 'why%20not')), true),
];
const full = (status: string) => (s: number) => [
  headers(s, typed()),
  data(s, '\0\0\0\0\x01a'),
  trailers(s, [f('grpc-status', status)]),
];
const grpcAnswers: [name: string, frames: (s: number) => Uint8Array[]][] = [
  ...['0', '1', '5', '14', '16', '99', 'x'].map((status): [string, (s: number) => Uint8Array[]] => [
    `only-${status}`,
    only(status),
  ]),
  ...['0', '2', '13'].map((status): [string, (s: number) => Uint8Array[]] => [`full-${status}`, full(status)]),
  ['no-status', (s) => [headers(s, typed()), data(s, '\0\0\0\0\0', true)]],
  ['http-503', (s) => [headers(s, [f(':status', '503'), f('content-type', 'text/html')]), data(s, 'no', true)]],
  ['http-503-bare', (s) => [headers(s, [f(':status', '503')], true)]],
];
const passed: Case[] = grpcAnswers.flatMap(([name, frames]) => [
  asks(
    `grpc-${name}`,
    'two',
    { fields: request({ method: 'POST' }, grpc()), body: '\0\0\0\0\0' },
    { two: answers(frames) },
  ),
  asksPlainly(
    `grpc-${name}-h1`,
    'two',
    ['POST / HTTP/1.1', 'Host: main.test', 'Content-Type: application/grpc', 'TE: trailers', 'Content-Length: 0'],
    { two: answers(frames) },
  ),
]);
const toOne = asks('grpc-to-h1', 'one', { fields: request({ method: 'POST' }, grpc()), body: '\0\0\0\0\0' });

/** Retries by the gRPC status of an attempt without a message. */
const conditions: Record<string, string> = {
  cancelled: '1',
  'deadline-exceeded': '4',
  internal: '13',
  'resource-exhausted': '8',
  unavailable: '14',
};
const twice =
  (first: (s: number) => Uint8Array[]) =>
  async (attempt: Http2Attempt): Promise<void> => {
    await attempt.whole();
    attempt.send(...(attempt.number === 1 ? first(attempt.stream) : full('0')(attempt.stream)));
  };
const retried: Http2Case[] = Object.entries(conditions).flatMap(([name, status]) =>
  ['14', status, '5']
    .filter((one, i, all) => all.indexOf(one) === i)
    .map((given) =>
      asks(
        `grpc-retry-${name}-${given}`,
        'grpc',
        { fields: request({ method: 'POST', path: `/retry/${name}` }, grpc()), body: '' },
        { two: twice(only(given)) },
      ),
    ),
);
const retriedMore: Http2Case[] = [
  asks(
    'grpc-retry-by-header',
    'grpc',
    {
      fields: request({ method: 'POST', path: '/plain' }, [
        ...grpc(),
        f('x-envoy-retry-grpc-on', 'unavailable'),
        f('x-envoy-max-retries', '1'),
      ]),
      body: '',
    },
    { two: twice(only('14')) },
  ),
  asks(
    'grpc-retry-late',
    'grpc',
    { fields: request({ method: 'POST', path: '/retry/unavailable' }, grpc()), body: '' },
    { two: twice(full('14')) },
  ),
  asks(
    'grpc-retry-http',
    'grpc',
    { fields: request({ method: 'POST', path: '/retry/unavailable' }, grpc()), body: '' },
    { two: twice((s) => [headers(s, [f(':status', '503')], true)]) },
  ),
  asks(
    'grpc-retry-untyped',
    'grpc',
    { fields: request({ method: 'POST', path: '/retry/unavailable' }), body: '' },
    { two: twice((s) => [headers(s, [f(':status', '200'), f('grpc-status', '14')], true)]) },
  ),
];

/** `grpc-timeout`: what of it holds, what the upstream is sent, and how its end is answered. */
const late = async (attempt: Http2Attempt) => {
  await attempt.whole();
  const timer = setTimeout(() => attempt.send(...ok(attempt.stream)), 1500);
  void attempt.peer.until('given up', () => attempt.peer.closed).finally(() => clearTimeout(timer));
};
const timeouts: Http2Case[] = [
  ['unlimited', '300m'],
  ['unlimited', '300000u'],
  ['unlimited', '300000000n'],
  ['limited', '9S'],
  ['limited', '100m'],
  ['offset', '500m'],
  ['ignored', '100m'],
].map(([path, value]) =>
  asks(
    `grpc-timeout-${path}-${value!.toLowerCase()}`,
    'grpc',
    { fields: request({ method: 'POST', path: `/${path}` }, [...grpc(), f('grpc-timeout', value!)]), body: '' },
    { two: late },
  ),
);
const fast: Http2Case[] = ['1H', '2M', '3S', '123456789S', 'x', '', '5', '5s', '-5S', '1 S', '99999999H'].map(
  (value, i) =>
    asks(`grpc-timeout-passed-${i}`, 'grpc', {
      fields: request({ method: 'POST', path: '/unlimited' }, [...grpc(), f('grpc-timeout', value)]),
      body: '',
    }),
);
const unasked: Http2Case[] = [
  asks(
    'grpc-route-timeout',
    'grpc',
    { fields: request({ method: 'POST', path: '/timed' }, grpc()), body: '' },
    { two: late },
  ),
  asks(
    'grpc-route-timeout-plain',
    'grpc',
    { fields: request({ method: 'POST', path: '/timed' }), body: '' },
    { two: late },
  ),
  asks(
    'grpc-by-header',
    'grpc',
    {
      fields: request({ method: 'POST', path: '/plain' }, [...grpc(), f('x-envoy-upstream-rq-timeout-ms', '200')]),
      body: '',
    },
    { two: late },
  ),
];

const grpcTimeout = (more: object) => ({ max_stream_duration: more });
const grpcRoutes = [
  ...Object.keys(conditions).map((name) => ({
    ...prefix(`/retry/${name}`),
    ...to('grpc-retried', {
      retry_policy: { retry_on: name, num_retries: 1, retry_back_off: { base_interval: '0.005s' } },
    }),
  })),
  { ...prefix('/unlimited'), ...to('two', grpcTimeout({ max_stream_duration: '5s', grpc_timeout_header_max: '0s' })) },
  { ...prefix('/limited'), ...to('two', grpcTimeout({ max_stream_duration: '5s', grpc_timeout_header_max: '0.3s' })) },
  {
    ...prefix('/offset'),
    ...to(
      'two',
      grpcTimeout({ max_stream_duration: '5s', grpc_timeout_header_max: '0s', grpc_timeout_header_offset: '0.2s' }),
    ),
  },
  { ...prefix('/ignored'), ...to('two', { timeout: '0.4s' }) },
  { ...prefix('/timed'), ...to('two', { timeout: '0.3s' }) },
  { ...prefix('/plain'), ...to('two') },
];

export const localReplies: Theme = {
  listeners: [
    listener('local', manager(localRoutes, {}, [deny, filter('fault.v3.HTTPFault')])),
    listener('mapped', manager(localRoutes, mapped)),
    listener('grpc', manager(grpcRoutes)),
  ],
  clusters: (ports) => [staticCluster('grpc-retried', ports.two, speaking(http2(), ALONE))],
  cases: [
    ...matrix,
    ...plainly,
    ...mappings,
    ...passed,
    toOne,
    ...retried,
    ...retriedMore,
    ...timeouts,
    ...fast,
    ...unasked,
  ],
};
