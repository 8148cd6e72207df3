/** Clients of other habits: HTTP/1.0, upgrades that are ignored or left unanswered, half-closes. */
import { filter, listener, manager, percent, prefix, say, to } from '../../harness/bootstrap-parts.ts';
import { type Case, one, type Spec } from '../cases.ts';
import type { Theme } from './themes.ts';

const echoed = [
  { ...prefix('/direct'), ...say('made here') },
  { ...prefix('/'), ...to('echo') },
];
const old = (more: object = {}) => ({ http_protocol_options: { accept_http_10: true, ...more } });

/** HTTP/1.0, each line as given; `id` is added for the log. */
const oldCase = (on: string, id: string, lines: readonly string[], method = 'GET', body = ''): Case => ({
  id: `old-${id}`,
  listener: on,
  bytes: `${[...lines, `X-Case: old-${id}`].join('\r\n')}\r\n\r\n${body}`,
  methods: [method],
});
const HOST = 'Host: main.test';
const oldCases: Case[] = [
  oldCase('old', 'plain', ['GET /a HTTP/1.0', HOST]),
  oldCase('old', 'keep-alive', ['GET /a HTTP/1.0', HOST, 'Connection: keep-alive']),
  oldCase('old', 'keep-alive-case', ['GET /a HTTP/1.0', HOST, 'Connection: Keep-Alive']),
  oldCase('old', 'close', ['GET /a HTTP/1.0', HOST, 'Connection: close']),
  oldCase('old', 'chunked-upstream', ['GET /a HTTP/1.0', HOST, 'X-Echo-Chunked: 1']),
  oldCase('old', 'chunked-keep', ['GET /a HTTP/1.0', HOST, 'Connection: keep-alive', 'X-Echo-Chunked: 1']),
  oldCase('old', 'trailers', ['GET /a HTTP/1.0', HOST, 'X-Echo-Chunked: 1', 'X-Echo-Trailer: 1']),
  oldCase('old', 'head', ['HEAD /a HTTP/1.0', HOST, 'Connection: keep-alive'], 'HEAD'),
  oldCase('old', 'post', ['POST /a HTTP/1.0', HOST, 'Content-Length: 3'], 'POST', 'abc'),
  oldCase('old', 'post-expect', ['POST /a HTTP/1.0', HOST, 'Content-Length: 3', 'Expect: 100-continue'], 'POST', 'abc'),
  oldCase('old', 'absolute', ['GET http://main.test/a HTTP/1.0', HOST]),
  oldCase('old', 'absolute-alone', ['GET http://main.test/a HTTP/1.0']),
  oldCase('old', 'no-host', ['GET /a HTTP/1.0']),
  oldCase('old', 'direct', ['GET /direct HTTP/1.0', HOST]),
  oldCase('old', 'direct-keep', ['GET /direct HTTP/1.0', HOST, 'Connection: keep-alive']),
  oldCase('old', 'no-route', ['GET /a HTTP/1.0', 'Host: nowhere.test', 'Connection: keep-alive']),
  oldCase('old', 'upgrade', ['GET /a HTTP/1.0', HOST, 'Connection: Upgrade', 'Upgrade: websocket']),
  oldCase('old', 'connect', ['CONNECT main.test:443 HTTP/1.0', HOST], 'CONNECT'),
  oldCase('old', 'connect-no-host', ['CONNECT main.test:443 HTTP/1.0'], 'CONNECT'),
  oldCase('old', 'options', ['OPTIONS * HTTP/1.0', HOST]),
  oldCase('old', 'options-no-host', ['OPTIONS * HTTP/1.0']),
  oldCase('old', 'newer', ['GET /a HTTP/1.1', HOST]),
  oldCase('old-host', 'default-host', ['GET /a HTTP/1.0']),
  oldCase('old-host', 'default-host-absolute', ['GET http://other.test/a HTTP/1.0']),
  oldCase('old-host', 'default-host-given', ['GET /a HTTP/1.0', HOST]),
  oldCase('old-host', 'default-host-newer', ['GET /a HTTP/1.1']),
  {
    id: 'old-two',
    listener: 'old',
    bytes: ['a', 'b'].map((path) => `GET /${path} HTTP/1.0\r\n${HOST}\r\nConnection: keep-alive\r\n\r\n`).join(''),
    methods: ['GET', 'GET'],
  },
  {
    id: 'old-two-closing',
    listener: 'old',
    bytes: ['a', 'b'].map((path) => `GET /${path} HTTP/1.0\r\n${HOST}\r\n\r\n`).join(''),
    methods: ['GET', 'GET'],
  },
];

const ignoring = {
  upgrade_configs: [{ upgrade_type: 'websocket' }],
  http_protocol_options: {
    ignore_http_11_upgrade: [{ prefix: 'TLS/' }, { exact: 'nothing', ignore_case: true }],
  },
};
/** Not as an upgrade: the plain response ends what is awaited. */
const offer = (id: string, upgrade: string, more: Record<string, string> = {}): Case => ({
  ...one('ignoring')([`ignored-${id}`, '/a', { Connection: 'Upgrade', Upgrade: upgrade, ...more }]),
  methods: ['GET'],
});
const offers: Case[] = [
  offer('tls', 'TLS/1.2'),
  offer('tls-keep', 'TLS/1.2', { Connection: 'keep-alive, Upgrade' }),
  offer('tls-case', 'tls/1.2'),
  offer('any-case', 'NOTHING'),
  offer('two', 'TLS/1.2, TLS/1.3'),
  offer('unknown', 'other'),
  offer('list-unknown', 'TLS/1.2,other'),
  offer('h2c', 'h2c'),
  offer('h2c-settings', 'h2c', { Connection: 'Upgrade, HTTP2-Settings', 'HTTP2-Settings': 'AAMAAABk' }),
  offer('no-connection', 'TLS/1.2', { Connection: 'close' }),
  {
    ...offer('websocket', 'websocket'),
    bytes: `${offer('websocket', 'websocket').bytes}bye`,
    methods: ['UPGRADE'],
    unlogged: true,
  },
  {
    ...offer('list', 'TLS/1.2, websocket'),
    bytes: `${offer('list', 'TLS/1.2, websocket').bytes}bye`,
    methods: ['UPGRADE'],
    unlogged: true,
  },
  {
    ...offer('body', 'TLS/1.2'),
    bytes: `POST /a HTTP/1.1\r\n${HOST}\r\nX-Case: ignored-body\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2\r\nContent-Length: 2\r\n\r\nhi`,
    methods: ['POST'],
  },
];

const retried = { retry_on: '5xx,reset', num_retries: 1, retry_back_off: { base_interval: '0.001s' } };
const unanswered = [
  { ...prefix('/timeout'), ...to('echo', { timeout: '0.2s' }) },
  { ...prefix('/try'), ...to('echo', { timeout: '5s', retry_policy: { ...retried, per_try_timeout: '0.2s' } }) },
  { ...prefix('/retry'), ...to('echo', { retry_policy: retried }) },
  { ...prefix('/dead'), ...to('dead', { retry_policy: retried }) },
];
const upgrade = (id: string, path: string, more: Record<string, string> = {}, methods = ['GET']): Case => ({
  ...one('unanswered')([`unanswered-${id}`, path, { Connection: 'Upgrade', Upgrade: 'websocket', ...more }]),
  methods,
});
const upgrades: Case[] = [
  upgrade('timeout', '/timeout', { 'X-Echo-Upgrade': 'never' }),
  upgrade('try', '/try', { 'X-Echo-Upgrade': 'never' }),
  upgrade('retry', '/retry', { 'X-Echo-Upgrade': '503' }),
  upgrade('refused', '/timeout', { 'X-Echo-Upgrade': '403' }),
  upgrade('dead', '/dead'),
];

const waiting = [
  {
    ...prefix('/delay'),
    ...to('echo'),
    typed_per_filter_config: {
      'envoy.filters.http.fault': {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
        delay: { fixed_delay: '0.3s', percentage: percent(100) },
      },
    },
  },
  { ...prefix('/'), ...to('echo') },
];
const leaves = ([id, target, headers, options]: Spec): Case => ({
  ...one('leaving')([`leaves-${id}`, target, headers, options]),
  halfCloses: true,
});
const leaving: Case[] = [
  leaves(['upstream', '/a', { 'X-Echo-Delay': '300' }]),
  leaves(['filter', '/delay']),
  leaves(['post', '/a', { 'X-Echo-Delay': '300' }, { method: 'POST', body: 'whole' }]),
  leaves(['close', '/a', { Connection: 'close', 'X-Echo-Delay': '300' }]),
];

export const clients: Theme = {
  listeners: [
    listener('old', manager(echoed, [], old())),
    listener('old-host', manager(echoed, [], old({ default_host_for_http_10: 'main.test' }))),
    listener('ignoring', manager(echoed, [], ignoring)),
    listener('unanswered', manager(unanswered, [], { upgrade_configs: [{ upgrade_type: 'websocket' }] })),
    listener('leaving', manager(waiting, [filter('fault.v3.HTTPFault')])),
  ],
  cases: [...oldCases, ...offers, ...upgrades, ...leaving],
};
