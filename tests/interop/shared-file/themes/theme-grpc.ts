/** gRPC over HTTP/1.1: statuses in logs, faults, gRPC-Web, the longest life of a stream. */
import { any, filter, type Json, listener, manager, percent, prefix, to } from '../../harness/bootstrap-parts.ts';
import { on, type Spec } from '../cases.ts';
import type { Theme } from './themes.ts';

const log = (format: object, name = 'all', more: Json = {}) => ({
  name: 'stdout',
  typed_config: any('access_loggers.stream.v3.StdoutAccessLog', {
    log_format: { json_format: { case: `%REQ(X-CASE)%/${name}`, ...format } },
  }),
  ...more,
});
const only = (statuses: string[], exclude: boolean) => ({ filter: { grpc_status_filter: { statuses, exclude } } });
const STATUS = {
  camel: '%GRPC_STATUS%',
  upper: '%GRPC_STATUS(SNAKE_STRING)%',
  number: '%GRPC_STATUS(NUMBER)%',
  plain: '%GRPC_STATUS_NUMBER%',
  message: '%TRAILER(grpc-message)%',
  code: '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%',
};
const logs = [
  log({}, 'failed', only(['UNAVAILABLE', 'CANCELED', 'UNKNOWN'], false)),
  log({}, 'other', only(['OK'], true)),
  log(STATUS),
];

const fault = (fields: Json) => ({
  typed_per_filter_config: { 'envoy.filters.http.fault': any('filters.http.fault.v3.HTTPFault', fields) },
});
const abort = (fields: Json, share = 100) => fault({ abort: { ...fields, percentage: percent(share) } });
const routes = [
  { ...prefix('/fault/0'), ...to('echo'), ...abort({ grpc_status: 0 }) },
  { ...prefix('/fault/14'), ...to('echo'), ...abort({ grpc_status: 14 }) },
  { ...prefix('/fault/99'), ...to('echo'), ...abort({ grpc_status: 99 }) },
  {
    ...prefix('/fault/asked'),
    ...to('echo'),
    ...fault({
      abort: { header_abort: {}, percentage: percent(100) },
      delay: { header_delay: {}, percentage: percent(100) },
    }),
  },
  { ...prefix('/duration/most'), ...to('echo', { max_stream_duration: { grpc_timeout_header_max: '0.15s' } }) },
  {
    ...prefix('/duration/offset'),
    ...to('echo', {
      max_stream_duration: {
        max_stream_duration: '5s',
        grpc_timeout_header_max: '0s',
        grpc_timeout_header_offset: '0.05s',
      },
    }),
  },
  { ...prefix('/duration/never'), ...to('echo', { max_stream_duration: { max_stream_duration: '0s' } }) },
  { ...prefix('/raw'), ...to('raw-trailers') },
  { ...prefix('/none'), ...to('dead') },
  { ...prefix('/'), ...to('echo') },
];
const hosts = [{ name: 'grpc', domains: ['*'], routes }];

const GRPC = { 'Content-Type': 'application/grpc' };
const WEB = { 'Content-Type': 'application/grpc-web' };
const TEXT = { 'Content-Type': 'application/grpc-web-text', Accept: 'application/grpc-web-text' };
const post = (body = '') => ({ method: 'POST', body });
const message = (text: string) => `\0\0\0\0${String.fromCharCode(text.length)}${text}`;
const base64 = (text: string) => Buffer.from(text, 'latin1').toString('base64');

/** An upstream's whole response, in chunks, with these trailers. */
function answering(chunks: string[], trailers: string[], type = 'application/grpc'): Record<string, string> {
  const body = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('');
  const end = trailers.map((one) => `${one}\r\n`).join('');
  const text = `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ntransfer-encoding: chunked\r\n\r\n${body}0\r\n${end}\r\n`;
  return { 'X-Echo-Raw': base64(text) };
}
const status = (code: string, text = 'fine') => [`grpc-status: ${code}`, `grpc-message: ${text}`];
const headOnly = (fields: string) => ({ 'X-Echo-Headers': fields });
const asked = (of: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(of).map(([name, value]) => [`X-Envoy-Fault-${name}`, value]));

const logged: Spec[] = [
  ...['0', '1', '4', '14', '16', '17', '99', 'x', ''].map(
    (code): Spec => [
      `grpc-log-${code || 'empty'}`,
      '/raw',
      { ...GRPC, ...answering([message('a')], status(code)) },
      post(),
    ],
  ),
  ['grpc-log-none', '/raw', { ...GRPC, ...answering([message('a')], []) }, post()],
  ['grpc-log-plain', '/raw', answering([message('a')], status('14')), post()],
  ['grpc-log-head', '/', { ...GRPC, ...headOnly('grpc-status=5') }, post()],
  ['grpc-log-404', '/', { ...GRPC, 'X-Echo-Status': '404' }, post()],
  ['grpc-log-dead', '/none', GRPC, post()],
  ['grpc-fault-0', '/fault/0', GRPC, post()],
  ['grpc-fault-14', '/fault/14', GRPC, post()],
  ['grpc-fault-14-plain', '/fault/14', {}, post()],
  ['grpc-fault-99', '/fault/99', GRPC, post()],
  ['grpc-asked-none', '/fault/asked', GRPC, post()],
  ['grpc-asked-grpc', '/fault/asked', { ...GRPC, ...asked({ 'Abort-Grpc-Request': '8' }) }, post()],
  ['grpc-asked-http', '/fault/asked', { ...GRPC, ...asked({ 'Abort-Request': '429' }) }, post()],
  [
    'grpc-asked-both',
    '/fault/asked',
    { ...GRPC, ...asked({ 'Abort-Request': '999', 'Abort-Grpc-Request': '8' }) },
    post(),
  ],
  ['grpc-asked-bad', '/fault/asked', { ...GRPC, ...asked({ 'Abort-Grpc-Request': 'x' }) }, post()],
  [
    'grpc-asked-share',
    '/fault/asked',
    { ...GRPC, ...asked({ 'Abort-Request': '429', 'Abort-Request-Percentage': '0' }) },
    post(),
  ],
  ['grpc-asked-delay', '/fault/asked', asked({ 'Delay-Request': '30', 'Abort-Request': '418' }), post()],
  ['grpc-duration', '/duration/most', { ...GRPC, 'Grpc-Timeout': '100m', 'X-Echo-Delay': '1500' }, post()],
  ['grpc-duration-most', '/duration/most', { ...GRPC, 'Grpc-Timeout': '9S', 'X-Echo-Delay': '1500' }, post()],
  ['grpc-duration-sent', '/duration/most', { ...GRPC, 'Grpc-Timeout': '140000u' }, post()],
  ['grpc-duration-none', '/duration/most', { ...GRPC, 'X-Echo-Delay': '300' }, post()],
  ['grpc-duration-plain', '/duration/most', { 'Grpc-Timeout': '100m', 'X-Echo-Delay': '1500' }],
  ['grpc-duration-offset', '/duration/offset', { ...GRPC, 'Grpc-Timeout': '2S' }, post()],
  ['grpc-duration-below', '/duration/offset', { ...GRPC, 'Grpc-Timeout': '20m', 'X-Echo-Delay': '1500' }, post()],
  ['grpc-duration-bad', '/duration/offset', { ...GRPC, 'Grpc-Timeout': 'soon' }, post()],
  ['grpc-duration-never', '/duration/never', { ...GRPC, 'Grpc-Timeout': '20m', 'X-Echo-Delay': '100' }, post()],
];

const web: Spec[] = [
  ['grpc-web', '/raw', { ...WEB, ...answering([message('hello')], status('0')) }, post(message('ask'))],
  ['grpc-web-proto', '/raw', { 'Content-Type': 'application/grpc-web+proto', ...answering([], status('7')) }, post()],
  [
    'grpc-web-pieces',
    '/raw',
    { ...WEB, ...answering([message('hel').slice(0, 6), `el${message('')}`], status('0')) },
    post(message('ask')),
  ],
  ['grpc-web-text', '/raw', { ...TEXT, ...answering([message('hello')], status('0')) }, post(base64(message('ask')))],
  [
    'grpc-web-text-two',
    '/raw',
    { ...TEXT, ...answering([message('hello') + message('')], status('13', 'bad%20')) },
    post(base64(message('ask'))),
  ],
  ['grpc-web-text-asked', '/', TEXT, post(base64(message('ask')))],
  ['grpc-web-asked', '/', WEB, post(message('ask'))],
  ['grpc-web-accept', '/', { ...WEB, 'Grpc-Accept-Encoding': 'gzip' }, post(message('ask'))],
  ['grpc-web-text-size', '/', TEXT, post('AAAAA')],
  ['grpc-web-text-data', '/', TEXT, post('A!AA')],
  ['grpc-web-text-bits', '/', TEXT, post('AB==')],
  ['grpc-web-text-none', '/', TEXT, post()],
  ['grpc-web-other', '/raw', { ...WEB, ...answering(['<p>100% ~'], [], 'text/html') }, post()],
  ['grpc-web-said', '/raw', { ...WEB, ...answering([message('x')], [], 'application/grpc-web+proto') }, post()],
  ['grpc-web-head', '/', { ...WEB, ...headOnly('grpc-status=5|content-type=application/grpc') }, post()],
  ['grpc-web-dead', '/none', WEB, post()],
  ['grpc-web-fault', '/fault/14', WEB, post()],
  ['grpc-web-not', '/raw', { ...GRPC, ...answering([message('x')], status('0')) }, post()],
  ['grpc-web-json', '/', { 'Content-Type': 'application/grpc-web+json' }, post('{}')],
  ['grpc-web-get', '/', WEB],
];

const more = { access_log: logs, http_protocol_options: { enable_trailers: true } };
const faultFilter = filter('fault.v3.HTTPFault');
const webFilters = [filter('grpc_web.v3.GrpcWeb'), filter('grpc_stats.v3.FilterConfig'), faultFilter];

export const grpc: Theme = {
  listeners: [
    listener('grpc-plain', manager([], [filter('grpc_stats.v3.FilterConfig'), faultFilter], more, hosts)),
    listener('grpc-web', manager([], webFilters, { ...more, access_log: [log({ code: STATUS.code })] }, hosts)),
    listener('grpc-web-logged', manager([], webFilters, more, hosts)),
    listener(
      'grpc-fault',
      manager([], [filter('fault.v3.HTTPFault', { abort: { grpc_status: 9, percentage: percent(100) } })], more, hosts),
    ),
  ],
  clusters: ({ raw }) => [
    {
      name: 'raw-trailers',
      type: 'STATIC',
      load_assignment: {
        cluster_name: 'raw-trailers',
        endpoints: [
          {
            lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: raw } } } }],
          },
        ],
      },
      typed_extension_protocol_options: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('upstreams.http.v3.HttpProtocolOptions', {
          explicit_http_config: { http_protocol_options: { enable_trailers: true } },
        }),
      },
    },
  ],
  cases: [
    ...on('grpc-plain', 'grpc.test', logged).map((one) => ({ ...one, manyLogs: true })),
    ...on('grpc-web', 'grpc.test', web).map((one) => ({ ...one, manyLogs: true })),
    ...on('grpc-web-logged', 'grpc.test', [
      ['grpc-web-log', '/raw', { ...WEB, ...answering([message('a')], status('7')) }, post(message('b'))],
    ]).map((one) => ({ ...one, manyLogs: true })),
    ...on('grpc-fault', 'grpc.test', [
      ['grpc-general', '/', GRPC, post()],
      ['grpc-general-own', '/fault/14', GRPC, post()],
    ]).map((one) => ({ ...one, manyLogs: true })),
  ],
};
