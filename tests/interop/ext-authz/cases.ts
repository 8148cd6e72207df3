/** Requests, and what the authorization service says to each. */
import type { GrpcAnswer, HttpAnswer } from '../../kit/authorizer.ts';
import type { Fields } from '../../kit/protobuf.ts';
import { type Options, request } from '../shared-file/cases.ts';

export interface AuthzCase {
  readonly id: string;
  readonly listener: string;
  /** HTTP/1.1, sent as it is; undefined: HTTP/2. */
  readonly bytes?: string;
  readonly method: string;
  readonly http2?: { readonly headers: Readonly<Record<string, string>>; readonly body?: string };
  readonly http?: HttpAnswer;
  readonly grpc?: GrpcAnswer;
  /** In `bytes`; default: 1. */
  readonly requests?: number;
  /** The access log is not compared. */
  readonly unlogged?: boolean;
}

type Rest = { headers?: Record<string, string>; target?: string } & Options;

function one(id: string, listener: string, answer: HttpAnswer | GrpcAnswer, rest: Rest = {}): AuthzCase {
  const { headers, target = '/guarded/x?q=1', ...options } = rest;
  const kind = listener.startsWith('h-') ? { http: answer as HttpAnswer } : { grpc: answer as GrpcAnswer };
  return { id, listener, bytes: request(id, target, headers, options), method: options.method ?? 'GET', ...kind };
}

function overHttp2(
  id: string,
  listener: string,
  answer: HttpAnswer | GrpcAnswer,
  headers: Record<string, string> = {},
  body?: string,
): AuthzCase {
  const kind = listener.startsWith('h-') ? { http: answer as HttpAnswer } : { grpc: answer as GrpcAnswer };
  const all = { ':path': '/guarded/x?q=1', ':authority': 'main.test', 'x-case': id, ...headers };
  return { id, listener, method: 'GET', http2: { headers: all, ...(body !== undefined && { body }) }, ...kind };
}

const OK: HttpAnswer = {};
const DENY: HttpAnswer = {
  status: 403,
  body: 'no',
  headers: [
    ['x-why', 'because'],
    ['x-other', '1'],
  ],
};
const POST = { method: 'POST' } as const;

const UPGRADE = { Connection: 'Upgrade', Upgrade: 'websocket', 'X-Echo-Upgrade': '400' };

const httpCases: AuthzCase[] = [
  one('h-allow', 'h-plain', OK, { headers: { 'X-Pre-A': '1', 'X-Other': '2', Authorization: 'Bearer t' } }),
  one('h-allow-post', 'h-plain', OK, { ...POST, body: 'not shown' }),
  one('h-allow-twice', 'h-plain', OK, { headers: { 'X-Twice': 'a', 'x-twice': 'b' } }),
  one('h-deny', 'h-plain', DENY),
  one('h-deny-cookies', 'h-plain', {
    status: 401,
    headers: [
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
      ['www-authenticate', 'Basic'],
    ],
  }),
  one('h-deny-redirect', 'h-plain', { status: 302, headers: [['location', 'https://login.test/?a=b']] }),
  one('h-deny-201', 'h-plain', { status: 201, body: 'made' }),
  one('h-deny-204', 'h-plain', { status: 204 }),
  one('h-deny-head', 'h-plain', DENY, { method: 'HEAD' }),
  one('h-deny-grpc', 'h-plain', DENY, { ...POST, headers: { 'content-type': 'application/grpc' }, body: '' }),
  one('h-deny-type', 'h-default', {
    status: 403,
    body: '{}',
    headers: [
      ['content-type', 'application/json'],
      ['x-any', '1'],
    ],
  }),
  one('h-deny-404', 'h-default', { status: 404, body: '' }),
  one('h-error-500', 'h-plain', { status: 500, body: 'broken' }),
  one('h-error-503', 'h-closed', { status: 503 }),
  one('h-error-open', 'h-open', { status: 500 }),
  one('h-error-reset', 'h-plain', { reset: true }),
  one('h-timeout', 'h-closed', { delayMs: 3000 }),
  one('h-timeout-open', 'h-open', { delayMs: 3000 }),
  one('h-unreachable', 'h-dead', OK),
  one('h-unreachable-open', 'h-dead-open', OK),
  one('h-unreachable-quiet', 'h-dead-quiet', OK),
  one('h-no-cluster', 'h-missing', OK),
  one(
    'h-up',
    'h-plain',
    {
      headers: [
        ['x-user', 'ann'],
        ['x-up-a', '1'],
        ['x-down', '2'],
      ],
    },
    { headers: { 'X-User': 'forged' } },
  ),
  one(
    'h-up-twice',
    'h-plain',
    {
      headers: [
        ['x-twice', 'c'],
        ['x-twice', 'd'],
      ],
    },
    { headers: { 'X-Twice': 'a' } },
  ),
  one('h-up-more', 'h-plain', { headers: [['x-more', '2']] }, { headers: { 'X-More': '1' } }),
  one('h-up-more-absent', 'h-plain', { headers: [['x-more', '2']] }),
  one('h-down', 'h-plain', {
    headers: [
      ['set-cookie', 's=1'],
      ['x-ok', 'y'],
      ['x-no', 'n'],
    ],
  }),
  one('h-down-said', 'h-plain', { headers: [['x-ok', 'y']] }, { target: '/say' }),
  one(
    'h-remove',
    'h-plain',
    { headers: [['x-envoy-auth-headers-to-remove', 'x-gone, X-GONE2']] },
    { headers: { 'X-Gone': '1', 'X-Gone2': '2' } },
  ),
  one('h-added-headers', 'h-added', OK, { headers: { 'X-Add': 'client', 'X-Twice': 'client' } }),
  one('h-override-path', 'h-override', OK),
  one('h-route-changes', 'h-route', { headers: [['x-up-route', 'second']] }),
  one('h-route-same', 'h-plain', { headers: [['x-up-route', 'second']] }),
  one('h-off', 'h-plain', DENY, { target: '/off' }),
  one('h-disallowed', 'h-disallow', OK, {
    headers: { 'X-Pre-Secret': '1', 'X-Pre-A': '2', Authorization: 'Bearer t' },
  }),
  one('h-short-body', 'h-short', { status: 403, body: 'longer than four' }),
  one('h-body-small', 'h-body', OK, { ...POST, body: 'sixteen or less' }),
  one('h-body-large', 'h-body', OK, { ...POST, body: 'this is certainly more than sixteen' }),
  one('h-body-none', 'h-body', OK, { ...POST, body: '' }),
  one('h-body-chunked', 'h-body', OK, {
    ...POST,
    headers: { 'Transfer-Encoding': 'chunked' },
    body: '5\r\nhello\r\n0\r\n\r\n',
  }),
  one('h-body-denied', 'h-body', DENY, { ...POST, body: 'denied' }),
  one('h-body-trailers', 'h-body', OK, {
    ...POST,
    headers: { 'Transfer-Encoding': 'chunked' },
    body: '2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n',
  }),
  one('h-partial-large', 'h-partial', OK, { ...POST, body: 'this is certainly more than sixteen' }),
  one('h-partial-small', 'h-partial', OK, { ...POST, body: 'small' }),
  one('h-bodiless', 'h-body', OK, { ...POST, target: '/bodiless', body: 'this is certainly more than sixteen' }),
  one('h-longer', 'h-body', OK, { ...POST, target: '/longer', body: 'this is certainly more than sixteen' }),
  one('h-own-mark', 'h-body', OK, { ...POST, headers: { 'x-envoy-auth-partial-body': 'true' }, body: 'x' }),
  one('h-options', 'h-plain', OK, { method: 'OPTIONS' }),
  one('h-upgrade', 'h-body', OK, { headers: UPGRADE }),
  one('h-upgrade-denied', 'h-body', DENY, { headers: UPGRADE }),
  {
    id: 'h-upgrade-then-another',
    listener: 'h-body',
    method: 'GET',
    // What the upstream answers to an Upgrade that it refuses must not become the answer to the request behind.
    bytes: `${request('h-upgrade-then-another', '/guarded/x', UPGRADE)}${request('h-upgrade-then-another', '/say')}`,
    http: OK,
    requests: 2,
    unlogged: true,
  },
  one('h-continue', 'h-body', OK, { ...POST, headers: { Expect: '100-continue' }, body: 'hello' }),
  overHttp2('h2-allow', 'h-plain', OK),
  overHttp2('h2-deny', 'h-plain', DENY),
  overHttp2(
    'h2-deny-grpc',
    'h-plain',
    DENY,
    { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' },
    'x',
  ),
  overHttp2(
    'h2-error-grpc',
    'h-closed',
    { status: 500 },
    { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' },
    'x',
  ),
  overHttp2('h2-body', 'h-body', OK, { ':method': 'POST' }, 'hello'),
];

const said = (response: Fields, more: GrpcAnswer = {}): GrpcAnswer => ({ response, ...more });
const NO = { code: 7 };
const option = (key: string, value: string, more: Fields = {}): Fields => ({ header: { key, value }, ...more });
const headersIn = (...headers: Fields[]): GrpcAnswer => said({ okResponse: { headers } });
const responseHeaders = (...all: Fields[]): GrpcAnswer => said({ okResponse: { responseHeadersToAdd: all } });
const denied = (fields: Fields, more: Fields = {}): GrpcAnswer => said({ status: NO, deniedResponse: fields, ...more });
const append = (value: boolean): Fields => ({ append: { value } });
const action = (appendAction: number): Fields => ({ appendAction });

const grpcCases: AuthzCase[] = [
  one('g-allow', 'g-plain', {}, { headers: { 'X-A': '1' } }),
  one('g-allow-post', 'g-plain', {}, { ...POST, body: 'not shown' }),
  one('g-allow-twice', 'g-plain', {}, { headers: { 'X-Twice': 'a', 'x-twice': 'b' } }),
  one('g-allow-bytes', 'g-plain', {}, { headers: { 'X-Bytes': 'a\xe9\xc3\xa9\xff' } }),
  one('g-allow-service', 'g-plain', {}, { headers: { 'x-envoy-downstream-service-cluster': 'web' } }),
  one('g-deny', 'g-plain', said({ status: NO })),
  one('g-deny-code', 'g-plain', said({ status: { code: 16 } })),
  one('g-deny-status', 'g-plain', denied({ status: { code: 401 }, body: 'who?' })),
  one(
    'g-deny-headers',
    'g-plain',
    denied({ headers: [option('x-why', 'a'), option('x-why', 'b'), option('content-type', 'text/html')], body: '<p>' }),
  ),
  one(
    'g-deny-append',
    'g-plain',
    denied({
      headers: [
        option('x-w', 'a', append(true)),
        option('x-w', 'b', append(true)),
        option('x-s', 'a', append(false)),
        option('x-s', 'b', append(false)),
      ],
    }),
  ),
  one('g-deny-grpc', 'g-plain', denied({ status: { code: 403 }, body: 'not you' }), {
    ...POST,
    headers: { 'content-type': 'application/grpc' },
    body: '',
  }),
  one('g-deny-ignored', 'g-plain', said({ deniedResponse: { status: { code: 418 } } })),
  one(
    'g-error-response',
    'g-plain',
    said({ status: NO, errorResponse: { status: { code: 503 }, body: 'later', headers: [option('x-why', 'e')] } }),
  ),
  one('g-error-status', 'g-plain', { grpcStatus: 13 }),
  one('g-error-closed', 'g-closed', { grpcStatus: 14 }),
  one('g-error-open', 'g-open', { grpcStatus: 14 }),
  one('g-error-reset', 'g-plain', { reset: true }),
  one('g-error-bytes', 'g-plain', { bytes: Buffer.from([0x0a, 0xff, 0x01]) }),
  one('g-timeout', 'g-closed', { delayMs: 3000 }),
  one('g-timeout-open', 'g-open', { delayMs: 3000 }),
  one('g-unreachable', 'g-dead', {}),
  one('g-up', 'g-plain', headersIn(option('x-user', 'ann')), { headers: { 'X-User': 'forged' } }),
  one('g-up-absent', 'g-plain', headersIn(option('x-user', 'ann'))),
  one('g-up-append', 'g-plain', headersIn(option('x-user', 'ann', append(true))), { headers: { 'X-User': 'old' } }),
  one('g-up-append-absent', 'g-plain', headersIn(option('x-user', 'ann', append(true)))),
  one('g-up-set', 'g-plain', headersIn(option('x-user', 'ann', append(false))), { headers: { 'X-User': 'old' } }),
  one('g-up-action-1', 'g-plain', headersIn(option('x-user', 'ann', action(1)), option('x-new', 'n', action(1))), {
    headers: { 'X-User': 'old' },
  }),
  one('g-up-action-2', 'g-plain', headersIn(option('x-user', 'ann', action(2)), option('x-new', 'n', action(2))), {
    headers: { 'X-User': 'old' },
  }),
  one('g-up-action-3', 'g-plain', headersIn(option('x-user', 'ann', action(3)), option('x-new', 'n', action(3))), {
    headers: { 'X-User': 'old' },
  }),
  one(
    'g-up-order',
    'g-plain',
    headersIn(option('x-o', 'a', action(2)), option('x-o', 'b'), option('x-o', 'c', append(true))),
  ),
  one('g-up-path', 'g-plain', headersIn(option(':path', '/other?z', append(false)))),
  one('g-up-host', 'g-plain', headersIn(option('host', 'other.test', append(false)))),
  one('g-remove', 'g-plain', said({ okResponse: { headersToRemove: ['X-Gone', 'host', ':path', 'absent'] } }), {
    headers: { 'X-Gone': '1' },
  }),
  one(
    'g-query-set',
    'g-plain',
    said({
      okResponse: {
        queryParametersToSet: [
          { key: 'q', value: '2' },
          { key: 'b', value: 'c' },
        ],
      },
    }),
    { target: '/guarded?z=1&q=1&a=1' },
  ),
  one('g-query-remove', 'g-plain', said({ okResponse: { queryParametersToRemove: ['q'] } }), {
    target: '/guarded?z=1&q=1&a=1',
  }),
  one('g-query-only', 'g-plain', said({ okResponse: { queryParametersToRemove: ['q'] } }), { target: '/guarded?q=1' }),
  one('g-down', 'g-plain', responseHeaders(option('x-ok', 'y'), option('x-ok', 'z'))),
  one(
    'g-down-actions',
    'g-plain',
    responseHeaders(
      option('content-type', 'a', action(1)),
      option('x-new', 'n', action(1)),
      option('server', 's', action(3)),
      option('x-absent', 'm', action(3)),
      option('x-up', 'u', action(2)),
    ),
  ),
  one(
    'g-down-append',
    'g-plain',
    responseHeaders(option('x-ok', 'y', append(true)), option('x-ok', 'z', append(true))),
  ),
  one('g-route-changes', 'g-route', headersIn(option('x-up-route', 'second', append(false)))),
  one('g-route-host', 'g-route', headersIn(option(':authority', 'second.test', append(false)))),
  one('g-route-same', 'g-plain', headersIn(option('x-up-route', 'second', append(false)))),
  one('g-extended', 'g-plain', {}, { target: '/extended' }),
  one('g-off', 'g-plain', said({ status: NO }), { target: '/off' }),
  one('g-shown', 'g-headers', {}, { headers: { 'X-Pre-A': '1', 'X-Pre-Secret': '2', 'X-Other': '3' } }),
  one('g-raw-headers', 'g-raw', {}, { headers: { 'X-Twice': 'a', 'x-twice': 'b', 'X-Bytes': '\xe9' } }),
  one('g-body-small', 'g-body', {}, { ...POST, body: 'small \xc3\xa9 \xe9' }),
  one('g-body-large', 'g-body', {}, { ...POST, body: 'this is certainly more than sixteen' }),
  one('g-body-bytes', 'g-bytes', {}, { ...POST, body: 'small \xe9' }),
  one('g-partial-large', 'g-partial', {}, { ...POST, body: 'this is certainly more than sixteen' }),
  one('g-bodiless', 'g-body', {}, { ...POST, target: '/bodiless', body: 'this is certainly more than sixteen' }),
  one('g-valid-name', 'g-valid', headersIn(option('x bad', 'v', append(false)))),
  one('g-valid-value', 'g-valid', headersIn(option('x-v', 'a\r\nb: c', append(false)))),
  one('g-valid-denied', 'g-valid', denied({ headers: [option('x-v', 'a\nb', append(false))] })),
  one('g-valid-action', 'g-valid', headersIn(option('x-v', 'a', action(9)))),
  one('g-valid-query', 'g-valid', said({ okResponse: { queryParametersToSet: [{ key: 'a', value: 'b c' }] } })),
  one('g-meta-in', 'g-meta', {}),
  one('g-meta-none', 'g-meta', {}, { target: '/free' }),
  one('g-meta-matched', 'g-matched', said({ status: NO })),
  one('g-meta-free', 'g-matched', said({ status: NO }), { target: '/free' }),
  one('g-meta-other', 'g-unmatched', said({ status: NO })),
  one('g-disabled-denied', 'g-denied', {}),
  one('g-metadata-out', 'g-ingest', said({ dynamicMetadata: { fields: { a: { string: 'b' } } } })),
  {
    id: 'g-connect',
    listener: 'g-plain',
    method: 'CONNECT',
    bytes: 'CONNECT tunnel.test:443 HTTP/1.1\r\nHost: tunnel.test:443\r\nX-Case: g-connect\r\n\r\nbye',
    grpc: {},
    // How the tunnel ends is not what it is about.
    unlogged: true,
  },
  {
    id: 'g-connect-denied',
    listener: 'g-plain',
    method: 'GET',
    bytes: 'CONNECT tunnel.test:443 HTTP/1.1\r\nHost: tunnel.test:443\r\nX-Case: g-connect-denied\r\n\r\n',
    grpc: said({ status: NO }),
  },
  overHttp2('g2-allow', 'g-plain', {}),
  overHttp2('g2-deny', 'g-plain', denied({ status: { code: 401 }, body: 'who?' })),
  overHttp2(
    'g2-deny-grpc',
    'g-plain',
    denied({ status: { code: 401 }, body: 'who?' }),
    { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' },
    'x',
  ),
];

export const CASES: readonly AuthzCase[] = [...httpCases, ...grpcCases];
