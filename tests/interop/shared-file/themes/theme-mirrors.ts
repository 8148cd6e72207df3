/** Mirrored requests: what is sent to the mirror's cluster, and that the answer does not wait for it. */
import {
  any,
  header,
  type Json,
  listener,
  manager,
  percent,
  prefix,
  say,
  staticCluster,
  to,
} from '../../harness/bootstrap-parts.ts';
import type { Options, Spec } from '../cases.ts';
import { on } from '../cases.ts';
import type { Theme } from './themes.ts';

const mirror = (more: Json = {}) => ({ cluster: 'shadow', ...more });
const share = (numerator: number) => ({ runtime_fraction: { default_value: percent(numerator), runtime_key: 'none' } });
const to2 = (more: Json, ...policies: Json[]) => to('echo', { request_mirror_policies: policies, ...more });
const OVERWRITE = 'OVERWRITE_IF_EXISTS_OR_ADD';

const routes = [
  { ...prefix('/m/plain'), ...to2({}, mirror()) },
  { ...prefix('/m/two'), ...to2({}, mirror(), mirror({ disable_shadow_host_suffix_append: true })) },
  { ...prefix('/m/missing'), ...to2({}, { cluster: 'missing' }, mirror()) },
  { ...prefix('/m/empty'), ...to2({}, { cluster: 'empty' }, mirror()) },
  { ...prefix('/m/dead'), ...to2({}, { cluster: 'dead' }, mirror()) },
  { ...prefix('/m/never'), ...to2({}, mirror(share(0))) },
  { ...prefix('/m/always'), ...to2({}, mirror(share(100))) },
  { ...prefix('/m/untraced'), ...to2({}, mirror({ trace_sampled: false })) },
  {
    ...prefix('/m/rewritten'),
    ...to2({ prefix_rewrite: '/new', host_rewrite_literal: 'new.test', append_x_forwarded_host: true }, mirror()),
    request_headers_to_add: [header('x-added', '%REQ(:PATH)%', OVERWRITE)],
    request_headers_to_remove: ['x-gone'],
  },
  { ...prefix('/m/auto'), route: { cluster: 'named', auto_host_rewrite: true, request_mirror_policies: [mirror()] } },
  {
    ...prefix('/m/weighted'),
    route: {
      weighted_clusters: {
        clusters: [{ name: 'echo', weight: 1, request_headers_to_add: [header('x-weighted', 'yes', OVERWRITE)] }],
      },
      request_mirror_policies: [mirror()],
    },
  },
  {
    ...prefix('/m/retried'),
    ...to2(
      { retry_policy: { retry_on: '5xx', num_retries: 2, retry_back_off: { base_interval: '0.005s' } } },
      mirror(),
    ),
  },
  { ...prefix('/m/notimeout'), ...to2({ timeout: '0s' }, mirror()) },
  { ...prefix('/m/short'), ...to2({ timeout: '0.6s' }, mirror()) },
  { ...prefix('/m/upstream-dead'), route: { cluster: 'dead', request_mirror_policies: [mirror()] } },
  { ...prefix('/m/upstream-empty'), route: { cluster: 'empty', request_mirror_policies: [mirror()] } },
  { ...prefix('/m/upstream-missing'), route: { cluster: 'missing', request_mirror_policies: [mirror()] } },
  { ...prefix('/m/said'), ...say('said') },
  { ...prefix('/m/upgrade'), ...to2({ upgrade_configs: [{ upgrade_type: 'websocket' }] }, mirror()) },
  { ...prefix('/host'), ...to('echo') },
  { ...prefix('/own'), ...to2({}, mirror({ disable_shadow_host_suffix_append: true })) },
];
const TRAILERS = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('upstreams.http.v3.HttpProtocolOptions', {
      explicit_http_config: { http_protocol_options: { enable_trailers: true } },
    }),
  },
};
const trailers = [
  {
    name: 'trailers',
    domains: ['*'],
    routes: [{ ...prefix('/'), ...to('echo-trailers', { request_mirror_policies: [{ cluster: 'shadow-trailers' }] }) }],
  },
];
const hosts = [
  {
    name: 'all',
    domains: ['*'],
    routes,
    include_request_attempt_count: true,
    request_mirror_policies: [mirror()],
  },
];
const table = {
  route_config: {
    name: 'table',
    request_mirror_policies: [mirror()],
    virtual_hosts: [
      { name: 'mine', domains: ['mine.test'], routes: [{ ...prefix('/'), ...to('echo') }] },
      {
        name: 'own',
        domains: ['own.test'],
        routes: [{ ...prefix('/'), ...to('echo') }],
        request_mirror_policies: [mirror({ disable_shadow_host_suffix_append: true })],
      },
    ],
  },
};

const post = (body: string, more: Options = {}): Options => ({ method: 'POST', body, ...more });
const chunked = { 'Transfer-Encoding': 'chunked' };
const once: Spec[] = [
  ['mirror-plain', '/m/plain/a?b=c'],
  ['mirror-port', '/m/plain', {}, { host: 'mirrored.test:8080' }],
  ['mirror-ipv4', '/m/plain', {}, { host: '127.0.0.1:8080' }],
  ['mirror-ipv6', '/m/plain', {}, { host: '[::1]' }],
  ['mirror-ipv6-port', '/m/plain', {}, { host: '[::1]:8080' }],
  ['mirror-head', '/m/plain', {}, { method: 'HEAD' }],
  ['mirror-options', '/m/plain', {}, { method: 'OPTIONS' }],
  ['mirror-put-none', '/m/plain', {}, { method: 'PUT' }],
  ['mirror-post', '/m/plain', { 'Content-Type': 'text/plain' }, post('hello')],
  ['mirror-post-empty', '/m/plain', {}, post('')],
  ['mirror-chunked', '/m/plain', chunked, post('3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n')],
  ['mirror-chunked-empty', '/m/plain', chunked, post('0\r\n\r\n')],
  ['mirror-long', '/m/plain', {}, post('x'.repeat(100_000))],
  ['mirror-forwarded', '/m/plain', { 'X-Forwarded-For': '1.1.1.1', 'X-Forwarded-Proto': 'https' }],
  ['mirror-given-id', '/m/plain', { 'X-Request-Id': '00000001-aaaa-9bbb-8ccc-dddddddddddd' }],
  ['mirror-grpc', '/m/plain', { 'Content-Type': 'application/grpc', TE: 'trailers', 'grpc-timeout': '1S' }, post('')],
  ['mirror-expect', '/m/plain', { Expect: '100-continue' }, post('waited')],
  ['mirror-missing', '/m/missing'],
  ['mirror-empty', '/m/empty'],
  ['mirror-dead', '/m/dead'],
  ['mirror-always', '/m/always'],
  ['mirror-untraced', '/m/untraced'],
  ['mirror-rewritten', '/m/rewritten/x', { 'X-Gone': '1', 'X-Forwarded-Host': 'first.test' }],
  ['mirror-auto-host', '/m/auto'],
  ['mirror-weighted', '/m/weighted'],
  ['mirror-retried', '/m/retried', { 'X-Echo-Fail': '2' }],
  ['mirror-retried-body', '/m/retried', { 'X-Echo-Fail': '2' }, post('again')],
  ['mirror-no-timeout', '/m/notimeout'],
  ['mirror-upstream-late', '/m/short', { 'X-Echo-Delay': '1000' }],
  ['mirror-slow', '/m/short', { 'X-Shadow-Delay': '1000' }],
  ['mirror-upstream-status', '/m/plain', { 'X-Echo-Status': '404' }],
  ['mirror-of-host', '/host/x'],
  ['mirror-own', '/own/x'],
];
const none: Spec[] = [
  ['mirror-never', '/m/never'],
  ['mirror-said', '/m/said'],
  ['mirror-upstream-empty', '/m/upstream-empty'],
  ['mirror-upstream-missing', '/m/upstream-missing'],
];
const expecting = (mirrored: number) => (one: ReturnType<typeof on>[number]) => ({ ...one, mirrored });

export const mirrors: Theme = {
  listeners: [
    listener('mirrors', manager([], [], {}, hosts)),
    listener('mirrors-table', manager([], [], table)),
    listener('mirrors-trailers', manager([], [], { http_protocol_options: { enable_trailers: true } }, trailers)),
  ],
  clusters: ({ shadow, echo }) => [
    staticCluster('shadow', shadow),
    staticCluster('shadow-trailers', shadow, TRAILERS),
    staticCluster('echo-trailers', echo, TRAILERS),
  ],
  cases: [
    ...on('mirrors', 'mirrored.test', once).map(expecting(1)),
    ...on('mirrors', 'mirrored.test', [['mirror-two', '/m/two', {}, post('twice')]]).map(expecting(2)),
    ...on('mirrors', 'mirrored.test', none).map(expecting(0)),
    ...on('mirrors', 'mirrored.test', [['mirror-upstream-dead', '/m/upstream-dead']]).map(expecting(1)),
    ...on('mirrors-table', 'mine.test', [['mirror-of-table', '/a']]).map(expecting(1)),
    ...on('mirrors-table', 'own.test', [['mirror-of-host-not-table', '/a']]).map(expecting(1)),
    ...on('mirrors-trailers', 'mirrored.test', [
      ['mirror-trailers', '/m/plain', chunked, post('3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n')],
    ]).map(expecting(1)),
  ],
};
