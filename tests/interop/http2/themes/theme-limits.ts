/** Limits: sizes of heads and trailers, streams, windows, times; what is announced of them. */
import {
  continuation,
  data,
  headers,
  headersBegin,
  SETTING,
  settings,
  windowUpdate,
} from '../../../kit/http2/frames.ts';
import { type Field, literals } from '../../../kit/http2/hpack.ts';
import { listener, prefix, say, staticCluster, to } from '../../harness/bootstrap-parts.ts';
import { ALONE, http2, LENIENT, manager, speaking } from '../bootstrap.ts';
import {
  arrives,
  asks,
  asksPlainly,
  type Case,
  carries,
  caseOf,
  closes,
  ends,
  gets,
  type Http2Case,
  ok,
  poll,
  request,
  send,
  type Theme,
} from '../case.ts';
import type { Http1Attempt, Http2Attempt } from '../upstreams.ts';

const f = (name: string, value: string): Field => [name, value];
const many = (count: number, length = 1) => Array.from({ length: count }, (_, i) => f(`x-${i}`, 'x'.repeat(length)));
const get = (id: string, stream = 1, more: readonly Field[] = [], path = '/') =>
  headers(stream, request({ path }, [caseOf(id), ...more]), true);

const heads: Case[] = ['small', 'small-lenient', 'few', 'few-lenient'].flatMap((on) => [
  asks(`large-below-${on}`, on, { fields: request({}, many(5, 100)) }),
  asks(`large-field-${on}`, on, { fields: request({}, [f('x-large', 'x'.repeat(1500))]) }),
  asks(`large-many-${on}`, on, { fields: request({}, many(30)) }),
  asks(`large-cookies-${on}`, on, {
    fields: request(
      {},
      Array.from({ length: 30 }, () => f('cookie', 'a=1')),
    ),
  }),
  asks(`large-path-${on}`, on, { fields: request({ path: `/${'x'.repeat(1500)}` }) }),
  asks(`large-trailers-${on}`, on, { fields: request({ method: 'POST' }), body: 'a', trailers: many(30, 60) }),
  asks(`large-direct-${on}`, on, { fields: request({ path: '/direct' }, many(9, 50)) }),
]);
const larger: Case[] = [
  asks('large-9000', 'two', { fields: request({}, [f('x-large', 'x'.repeat(9000))]) }),
  asks('large-100-fields', 'two', { fields: request({}, many(80)) }),
  asks('large-110-fields', 'two', { fields: request({}, many(110)) }),
  asks('large-40-cookies', 'two', {
    fields: request(
      {},
      Array.from({ length: 40 }, (_, i) => f('cookie', `a${i}=1`)),
    ),
  }),
  asks('large-120-cookies', 'two', {
    fields: request(
      {},
      Array.from({ length: 120 }, (_, i) => f('cookie', `a${i}=1`)),
    ),
  }),
];
/** Of responses: a cluster's own limits, which are Envoy's defaults. */
const answered: Case[] = [
  ['fields-90', many(90)],
  ['fields-110', many(110)],
  ['bytes-50k', many(50, 1000)],
].map(([name, more]) =>
  asks(
    `large-response-${name as string}`,
    'two',
    { fields: request({}) },
    {
      two: async (attempt) => {
        await attempt.whole();
        const pieces = chunks(literals(more as Field[]), 16_000);
        attempt.send(
          headersBegin(attempt.stream, literals([f(':status', '200')]), true),
          ...pieces.map((piece, i) => continuation(attempt.stream, piece, i === pieces.length - 1)),
        );
      },
    },
  ),
);
function chunks(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

const streams: Http2Case[] = [
  {
    ...{ id: 'streams-third', listener: 'streams-2', awaits: [5] },
    two: () => {},
    steps: [
      send(get('streams-third')),
      send(get('streams-third', 3)),
      arrives(2),
      // Until its SETTINGS are acknowledged a proxy may let more in.
      async ({ client }) => client.settled(),
      send(get('streams-third', 5)),
    ],
  },
  {
    ...{ id: 'streams-again', listener: 'streams-2', awaits: [1, 3, 5] },
    steps: [send(get('streams-again')), ends(1), send(get('streams-again', 3)), ends(3), send(get('streams-again', 5))],
  },
];
const announced = (id: string, on: string, path = '/'): Http2Case => ({
  ...{ id, listener: on, announced: true },
  steps: [send(get(id, 1, [], path))],
});
const announcements: Http2Case[] = [
  announced('announced-default', 'two'),
  announced('announced-streams', 'streams-2'),
  announced('announced-windows', 'windows'),
  announced('announced-small', 'small'),
  announced('announced-table', 'table'),
];

const windows: Case[] = [
  {
    ...{ id: 'window-client-small', listener: 'two', settings: [[SETTING.window, 3]] },
    two: async (attempt: Http2Attempt) => {
      await attempt.whole();
      attempt.send(headers(attempt.stream, [f(':status', '200')]), data(attempt.stream, 'abcdefgh', true));
    },
    steps: [send(get('window-client-small')), gets('data', 1), send(windowUpdate(1, 2), windowUpdate(1, 100))],
  },
  {
    ...{ id: 'window-client-zero', listener: 'two', settings: [[SETTING.window, 0]] },
    steps: [send(get('window-client-zero')), gets('head', 1), send(windowUpdate(1, 100))],
  },
  {
    ...{ id: 'window-client-settings', listener: 'two', settings: [[SETTING.window, 0]] },
    steps: [send(get('window-client-settings')), gets('head', 1), send(settings([[SETTING.window, 100]]))],
  },
  {
    ...{ id: 'window-other-stream', listener: 'two', settings: [[SETTING.window, 1]], awaits: [3] },
    steps: [
      send(get('window-other-stream')),
      gets('head', 1),
      send(get('window-other-stream', 3)),
      send(windowUpdate(3, 100)),
    ],
  },
  {
    ...{ id: 'window-zero-local-reply', listener: 'two', settings: [[SETTING.window, 0]] },
    steps: [send(get('window-zero-local-reply', 1, [], '/direct')), gets('head', 1), send(windowUpdate(1, 100))],
  },
];

/** Times that a listener, a route or a connection has. */
const silent = { two: () => {}, one: () => {} };
const halfAnswer = {
  two: async (attempt: Http2Attempt) => {
    await attempt.whole();
    attempt.send(headers(attempt.stream, [f(':status', '200')]), data(attempt.stream, 'half'));
  },
  one: async (attempt: Http1Attempt) => {
    await attempt.whole();
    attempt.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf', false);
  },
};
const begun = (id: string, path: string) =>
  send(headers(1, request({ method: 'POST', path }, [caseOf(id)])), data(1, 'part'));
const times: Case[] = ['two', 'one'].flatMap((on): Http2Case[] => [
  { ...silent, id: `time-route-${on}`, listener: on, steps: [send(get(`time-route-${on}`, 1, [], '/timeout'))] },
  {
    ...halfAnswer,
    id: `time-route-body-${on}`,
    listener: on,
    steps: [send(get(`time-route-body-${on}`, 1, [], '/timeout'))],
  },
  { ...silent, id: `time-idle-${on}`, listener: on, steps: [send(get(`time-idle-${on}`, 1, [], '/idle'))] },
  {
    ...halfAnswer,
    id: `time-idle-body-${on}`,
    listener: on,
    steps: [send(get(`time-idle-body-${on}`, 1, [], '/idle'))],
  },
  { ...silent, id: `time-idle-request-${on}`, listener: on, steps: [begun(`time-idle-request-${on}`, '/idle')] },
]);
const timesOfListeners: Http2Case[] = [
  { ...silent, id: 'time-stream-idle', listener: 'idle-streams', steps: [send(get('time-stream-idle'))] },
  {
    ...silent,
    id: 'time-stream-idle-request',
    listener: 'idle-streams',
    steps: [begun('time-stream-idle-request', '/')],
  },
  { ...silent, id: 'time-request', listener: 'whole-requests', steps: [begun('time-request', '/')] },
  { ...silent, id: 'time-longest', listener: 'longest', steps: [send(get('time-longest'))] },
  { ...halfAnswer, id: 'time-longest-body', listener: 'longest', steps: [send(get('time-longest-body'))] },
  { ...silent, id: 'time-per-try', listener: 'tries', steps: [send(get('time-per-try'))] },
  {
    ...{ id: 'time-per-try-second', listener: 'tries' },
    two: async (attempt: Http2Attempt) => {
      await attempt.whole();
      if (attempt.number === 2) attempt.send(...ok(attempt.stream));
    },
    steps: [send(get('time-per-try-second'))],
  },
  {
    id: 'time-connection-idle',
    listener: 'idle-connections',
    steps: [send(get('time-connection-idle')), ends(1), closes],
  },
  { id: 'time-connection-idle-unused', listener: 'idle-connections', awaits: [], steps: [closes] },
  {
    ...{ id: 'requests-two', listener: 'two-requests', awaits: [1, 3] },
    steps: [send(get('requests-two')), ends(1), send(get('requests-two', 3)), ends(3), closes],
  },
];
const timesOfOld: Case[] = ['/timeout', '/idle'].map((path) =>
  asksPlainly(`time-h1${path.replace('/', '-')}`, 'two', [`GET ${path} HTTP/1.1`, 'Host: main.test'], silent),
);

/** Streams and connections that a cluster allows. */
const breakers: Http2Case[] = [
  {
    ...{ id: 'cluster-requests', listener: 'breakers', awaits: [3] },
    two: () => {},
    steps: [
      send(get('cluster-requests', 1, [], '/requests')),
      arrives(),
      send(get('cluster-requests', 3, [], '/requests')),
    ],
  },
  {
    // The second waits for the stream of the first.
    ...{ id: 'cluster-streams', listener: 'breakers', awaits: [1, 3] },
    two: async (attempt: Http2Attempt) => {
      await attempt.whole();
      await poll('two', () => attempt.peer.closed, 150).catch(() => {});
      attempt.send(...ok(attempt.stream));
    },
    steps: [send(get('cluster-streams', 1, [], '/streams')), send(get('cluster-streams', 3, [], '/streams'))],
  },
];

const backPressure: Case[] = [
  {
    ...{ id: 'body-large', listener: 'two' },
    steps: [
      send(headers(1, request({ method: 'POST' }, [caseOf('body-large')]))),
      send(...Array.from({ length: 4 }, () => data(1, 'x'.repeat(10_000)))),
      carries('x'.repeat(40_000)),
      send(data(1, 'end', true)),
    ],
  },
  {
    ...{ id: 'body-large-response', listener: 'two' },
    two: async (attempt: Http2Attempt) => {
      await attempt.whole();
      attempt.send(headers(attempt.stream, [f(':status', '200')]));
      for (let i = 0; i < 20; i++)
        attempt.send(data(attempt.stream, String.fromCharCode(97 + i).repeat(15_000), i === 19));
    },
    steps: [send(get('body-large-response'))],
  },
  asks('body-trailers-two', 'two', {
    fields: request({ method: 'POST' }),
    body: 'a',
    trailers: [f('x-end', 'yes'), f('x-more', '1')],
  }),
  asks('body-trailers-one', 'one', {
    fields: request({ method: 'POST' }),
    body: 'a',
    trailers: [f('x-end', 'yes'), f('x-more', '1')],
  }),
];
const chunkedToTwo: Case[] = [
  {
    ...asksPlainly('h1-trailers', 'two', ['POST / HTTP/1.1', 'Host: main.test']),
    bytes:
      'POST / HTTP/1.1\r\nHost: main.test\r\nx-case: h1-trailers\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: x-end\r\n\r\n2\r\nhi\r\n0\r\nX-End: yes\r\n\r\n',
  },
  {
    ...asksPlainly('h1-chunked', 'two', ['POST / HTTP/1.1', 'Host: main.test']),
    bytes:
      'POST / HTTP/1.1\r\nHost: main.test\r\nx-case: h1-chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
  },
  {
    ...asksPlainly('h1-length', 'two', ['POST / HTTP/1.1', 'Host: main.test']),
    bytes: 'POST / HTTP/1.1\r\nHost: main.test\r\nx-case: h1-length\r\nContent-Length: 2\r\n\r\nhi',
  },
  {
    ...asksPlainly('h1-expect', 'two', ['POST / HTTP/1.1', 'Host: main.test']),
    bytes:
      'POST / HTTP/1.1\r\nHost: main.test\r\nx-case: h1-expect\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi',
  },
  asksPlainly('h1-cookies', 'two', ['GET / HTTP/1.1', 'Host: main.test', 'Cookie: a=1; b=2', 'Cookie: c=3']),
  asksPlainly('h1-connection-named', 'two', [
    'GET / HTTP/1.1',
    'Host: main.test',
    'Connection: x-a, keep-alive',
    'X-A: 1',
    'Keep-Alive: 5',
  ]),
  asksPlainly('h1-te', 'two', ['GET / HTTP/1.1', 'Host: main.test', 'TE: trailers, gzip']),
  asksPlainly('h1-te-trailers', 'two', ['GET / HTTP/1.1', 'Host: main.test', 'Connection: TE', 'TE: trailers']),
  asksPlainly('h1-case', 'two', ['GET /A HTTP/1.1', 'HOST: Main.Test', 'X-UPPER: A', 'x_y: 1']),
  asksPlainly('h1-head', 'two', ['HEAD / HTTP/1.1', 'Host: main.test']),
  asksPlainly('h1-10', 'two', ['GET / HTTP/1.1', 'Host: main.test', 'Connection: close']),
  asksPlainly('h1-h2c', 'two', [
    'GET / HTTP/1.1',
    'Host: main.test',
    'Connection: Upgrade, HTTP2-Settings',
    'Upgrade: h2c',
    'HTTP2-Settings: AAMAAABk',
  ]),
  asksPlainly('h1-absolute', 'two', ['GET http://main.test/a HTTP/1.1', 'Host: main.test']),
  asksPlainly('h1-options', 'two', ['OPTIONS * HTTP/1.1', 'Host: main.test']),
  asksPlainly('h1-obs', 'two', ['GET / HTTP/1.1', 'Host: main.test', 'X-A: caf\xe9']),
  asksPlainly('h1-empty-value', 'two', ['GET / HTTP/1.1', 'Host: main.test', 'X-A:']),
];

const routed = [
  { ...prefix('/direct'), ...say('made here') },
  { ...prefix('/'), ...to('two') },
];
const few = { common_http_protocol_options: { max_headers_count: 20 } };
const common = (more: object) => ({ common_http_protocol_options: more });
const named = (name: string, more: object, routes: readonly object[] = routed) => listener(name, manager(routes, more));

export const limits: Theme = {
  listeners: [
    named('small', { max_request_headers_kb: 1 }),
    named('small-lenient', { max_request_headers_kb: 1, ...LENIENT }),
    named('few', few),
    named('few-lenient', { ...few, ...LENIENT }),
    named('streams-2', { http2_protocol_options: { max_concurrent_streams: 2 } }, [
      { ...prefix('/'), ...to('two-kept') },
    ]),
    named('windows', {
      http2_protocol_options: { initial_stream_window_size: 70_000, initial_connection_window_size: 100_000 },
    }),
    named('table', { http2_protocol_options: { hpack_table_size: 0 } }),
    named('idle-streams', { stream_idle_timeout: '0.3s' }),
    named('whole-requests', { request_timeout: '0.3s' }),
    named('longest', common({ max_stream_duration: '0.3s' })),
    named('idle-connections', { ...common({ idle_timeout: '0.3s' }), drain_timeout: '0.1s' }),
    named('two-requests', { ...common({ max_requests_per_connection: 2 }), drain_timeout: '0.1s' }),
    named('tries', {}, [
      {
        ...prefix('/'),
        ...to('two', {
          timeout: '5s',
          retry_policy: {
            retry_on: '5xx',
            num_retries: 1,
            per_try_timeout: '0.3s',
            retry_back_off: { base_interval: '0.005s' },
          },
        }),
      },
    ]),
    named('breakers', {}, [
      { ...prefix('/requests'), ...to('one-request') },
      { ...prefix('/streams'), ...to('one-stream') },
    ]),
  ],
  clusters: (ports) => [
    staticCluster('two-kept', ports.two, speaking(http2())),
    staticCluster('one-request', ports.two, {
      ...speaking(http2(), ALONE),
      circuit_breakers: { thresholds: [{ max_requests: 1 }] },
    }),
    staticCluster('one-stream', ports.two, speaking(http2({ max_concurrent_streams: 1 }))),
  ],
  cases: [
    ...heads,
    ...larger,
    ...answered,
    ...streams,
    ...announcements,
    ...windows,
    ...times,
    ...timesOfListeners,
    ...timesOfOld,
    ...breakers,
    ...backPressure,
    ...chunkedToTwo,
  ],
};
