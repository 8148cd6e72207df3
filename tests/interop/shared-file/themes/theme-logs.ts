/** Access logs: operators, filters, and a listener's own log of connections that carry HTTP. */
import { any, type Json, listener, manager, percent, prefix, say, to } from '../../harness/bootstrap-parts.ts';
import type { Spec } from '../cases.ts';
import { on } from '../cases.ts';
import type { Theme } from './themes.ts';

/** One logger; its lines say `case/name`. */
const logger = (name: string, filter: Json | undefined, fields: Json = {}) => ({
  name: 'stdout',
  ...(filter && { filter }),
  typed_config: any('access_loggers.stream.v3.StdoutAccessLog', {
    log_format: { json_format: { case: `%REQ(X-CASE)%/${name}`, ...fields } },
  }),
});
const compare = (op: string, default_value: number) => ({
  comparison: { op, value: { default_value, runtime_key: 'none' } },
});
const status = (op: string, code: number) => ({ status_code_filter: compare(op, code) });
const flags = (...names: string[]) => ({ response_flag_filter: { flags: names } });
const api = { header_filter: { header: { name: 'x-api', string_match: { prefix: 'v' } } } };

const filtered = [
  logger('ok', status('EQ', 200)),
  logger('not-ok', status('NE', 200)),
  logger('failed', status('GE', 500)),
  logger('fine', status('LE', 399)),
  logger('flagged', flags()),
  logger('no-upstream', flags('UF', 'UH')),
  logger('api', api),
  logger('post', { header_filter: { header: { name: ':method', string_match: { exact: 'POST' } } } }),
  logger('api-failed', { and_filter: { filters: [api, status('GE', 500)] } }),
  logger('api-or-failed', { or_filter: { filters: [api, status('GE', 500)] } }),
  logger('ages', { duration_filter: compare('GE', 60_000) }),
  logger('quick', { duration_filter: compare('LE', 60_000) }),
  logger('no-check', { not_health_check_filter: {} }),
  logger('all', undefined),
];

const operators = [
  logger('all', undefined, {
    type: '%RESP(CONTENT-TYPE)%',
    length: '%RESP(content-length)%',
    none: '%RESP(X-NONE)%',
    either: '%RESP(X-NONE?X-UP)%',
    short: '%RESP(X-UP):3%',
    status: '%RESP(:STATUS)%',
    server: '%RESP(SERVER)%',
    text: 'a %REQ(X-A)% b %REQ(X-NONE)% c %RESP(X-UP)% 100%%',
    nested: { list: ['%RESPONSE_CODE%', 1, true, { flags: 'f %RESPONSE_FLAGS%' }] },
    long: 'f %RESPONSE_FLAGS_LONG%',
    details: '%RESPONSE_CODE_DETAILS%',
    failure: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
    ended: '%CONNECTION_TERMINATION_DETAILS%',
    method: '%REQ(:METHOD)% %REQ(:PATH)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL% %REQ(:SCHEME)%',
    route: '%ROUTE_NAME%',
    cluster: '%UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW%',
    attempts: '%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
    upstream: '%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%',
    from: '%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%',
    client: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%',
    local: '%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%',
    peer: '%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_FINGERPRINT_256% %DOWNSTREAM_LOCAL_URI_SAN%',
    sni: '%REQUESTED_SERVER_NAME%',
    metadata: '%DYNAMIC_METADATA(envoy.filters.http.rbac:shadow_engine_result)%',
    bytes: '%BYTES_RECEIVED% %BYTES_SENT%',
    year: '%START_TIME(%Y-%m-%d)%',
    body: '%LOCAL_REPLY_BODY%',
  }),
];

/** Text that happens to be JSON, so that it can be read like the rest. */
const LINE =
  '{"case":"%REQ(X-CASE)%/NAME","none":"%REQ(X-NONE)%|%RESP(X-NONE)%","up":"%RESP(X-UP):2%","code":"%RESPONSE_CODE%' +
  ' %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%","host":"%UPSTREAM_HOST%|%ROUTE_NAME%|%REQUESTED_SERVER_NAME%","pct":"5%%"}\n';
const textual = (name: string, omit_empty_values: boolean) => ({
  name: 'file',
  typed_config: any('access_loggers.file.v3.FileAccessLog', {
    path: '/dev/stdout',
    log_format: { text_format_source: { inline_string: LINE.replace('NAME', name) }, omit_empty_values },
  }),
});
const sparse = {
  name: 'stdout',
  typed_config: any('access_loggers.stream.v3.StdoutAccessLog', {
    log_format: {
      omit_empty_values: true,
      json_format: {
        case: '%REQ(X-CASE)%/sparse',
        none: '%REQ(X-NONE)%',
        mixed: 'a%REQ(X-NONE)%b',
        nested: { none: '%RESP(X-NONE)%', code: '%RESPONSE_CODE%' },
        list: ['%REQ(X-NONE)%', '%REQ(:METHOD)%'],
        hollow: { none: '%RESP(X-NONE)%', deep: { none: '%RESP(X-NONE)%' } },
        'hollow-list': ['%RESP(X-NONE)%'],
        literal: '',
        host: '%UPSTREAM_HOST%',
      },
    },
  }),
};
const texts = [textual('dashes', false), textual('empty', true), sparse, logger('all', undefined)];

const routes = [
  { ...prefix('/dead'), ...to('dead') },
  { ...prefix('/empty'), ...to('empty') },
  { ...prefix('/said'), ...say('said', 418), name: 'said' },
  { ...prefix('/rewritten'), ...to('echo', { prefix_rewrite: '/new' }), name: 'rewritten' },
  {
    ...prefix('/retried'),
    ...to('echo', { retry_policy: { retry_on: '5xx', num_retries: 2, retry_back_off: { base_interval: '0.005s' } } }),
  },
  {
    ...prefix('/delayed'),
    ...to('echo'),
    typed_per_filter_config: {
      'envoy.filters.http.fault': any('filters.http.fault.v3.HTTPFault', {
        delay: { fixed_delay: '0.15s', percentage: percent(100) },
      }),
    },
  },
  { ...prefix('/'), ...to('echo') },
];
const hosts = [{ name: 'all', domains: ['*'], routes, include_request_attempt_count: true }];
const fault = { name: 'envoy.filters.http.fault', typed_config: any('filters.http.fault.v3.HTTPFault') };

const requests = (id: string): Spec[] => [
  [`${id}`, '/a?b', { 'X-A': 'alpha', 'X-Echo-Headers': 'x-up=upstream' }],
  [`${id}-api`, '/a', { 'X-Api': 'v1' }],
  [`${id}-api-not`, '/a', { 'X-Api': 'x' }],
  [`${id}-api-failed`, '/a', { 'X-Api': 'v1', 'X-Echo-Status': '503' }],
  [`${id}-404`, '/a', { 'X-Echo-Status': '404' }],
  [`${id}-dead`, '/dead'],
  [`${id}-empty`, '/empty'],
  [`${id}-said`, '/said'],
  [`${id}-post`, '/rewritten/x', {}, { method: 'POST', body: 'hello' }],
  [`${id}-retried`, '/retried', { 'X-Echo-Fail': '1' }],
  [`${id}-spent`, '/retried', { 'X-Echo-Fail': '9' }],
  [`${id}-delayed`, '/delayed'],
  [`${id}-reset`, '/a', { 'X-Echo-Reset': '1' }],
];
const manyLogs = (one: ReturnType<typeof on>[number]) => ({ ...one, manyLogs: true });

export const logs: Theme = {
  listeners: [
    listener('logs-filtered', manager([], [fault], { access_log: filtered }, hosts)),
    listener('logs-texts', manager([], [fault], { access_log: texts }, hosts)),
    listener('logs-operators', manager([], [fault], { access_log: operators }, hosts)),
  ],
  cases: [
    ...on('logs-filtered', 'logs.test', requests('log-filter')).map(manyLogs),
    ...on('logs-texts', 'logs.test', requests('log-text')).map(manyLogs),
    ...on('logs-operators', 'logs.test', requests('log-operator')).map(manyLogs),
  ],
};
