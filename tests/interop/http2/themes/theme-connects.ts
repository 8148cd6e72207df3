/** CONNECT and extended CONNECT (RFC 8441): passed on, terminated, refused, and across versions. */
import { CODE, data, headers, reset } from '../../../kit/http2/frames.ts';
import type { Field } from '../../../kit/http2/hpack.ts';
import { listener, prefix, say, staticCluster, to } from '../../harness/bootstrap-parts.ts';
import { ALONE, http2, manager, speaking } from '../bootstrap.ts';
import {
  asks,
  asksPlainly,
  type Case,
  caseOf,
  gets,
  type Http2Case,
  request,
  type Step,
  send,
  settlesUpstream,
  type Theme,
} from '../case.ts';
import type { Http1Attempt, Http2Attempt } from '../upstreams.ts';

const f = (name: string, value: string): Field => [name, value];
const socket = (on: string, more: readonly Field[] = [], protocol = 'websocket') =>
  request({ method: 'CONNECT', path: `/${on}` }, [f(':protocol', protocol), f('sec-websocket-version', '13'), ...more]);
/** Accepts and sends back what comes, until "bye". */
const echoTwo = async (attempt: Http2Attempt): Promise<void> => {
  attempt.send(headers(attempt.stream, [f(':status', '200'), f('x-target', 'two')]));
  await attempt.peer.until('hello', () => attempt.body.includes('hello') || attempt.peer.closed);
  attempt.send(data(attempt.stream, 'back'));
  await attempt.peer.until('bye', () => attempt.body.includes('bye') || attempt.peer.closed);
  attempt.send(data(attempt.stream, '', true));
};
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Target: one\r\n\r\n';
const echoOne =
  (head: string) =>
  async (attempt: Http1Attempt): Promise<void> => {
    attempt.write(head, false);
    await until(() => attempt.body.includes('hello') || attempt.socket.destroyed);
    attempt.write('back', false);
    await until(() => attempt.body.includes('bye') || attempt.socket.destroyed);
    attempt.write('', true);
    attempt.socket.end();
  };
const until = async (check: () => boolean) => {
  for (let left = 2000; left > 0 && !check(); left--) await new Promise((again) => setTimeout(again, 5));
};
const refuseTwo = (attempt: Http2Attempt) =>
  attempt.send(headers(attempt.stream, [f(':status', '403')]), data(attempt.stream, 'no', true));
const talk: Step[] = [gets('head', 1), send(data(1, 'hello')), gets('data', 1), send(data(1, 'bye', true))];

const open = (id: string, fields: Field[], steps: Step[], more: Partial<Http2Case> = {}): Http2Case => ({
  ...{ id, listener: 'sockets' },
  steps: [send(headers(1, [...fields, caseOf(id)])), ...steps],
  ...more,
});

const sockets: Case[] = [
  open('ws-two', socket('two'), talk, { two: echoTwo }),
  open('ws-one', socket('one'), talk, { one: echoOne(SWITCHED) }),
  open('ws-two-refused', socket('two'), [], { two: refuseTwo }),
  open('ws-one-refused', socket('one'), [], {
    one: (attempt) => attempt.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'),
  }),
  open('ws-one-200', socket('one'), [], {
    one: (attempt) => attempt.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
  }),
  open('ws-off-route', socket('off'), []),
  open('ws-direct', socket('direct'), []),
  open('ws-unrouted', [...socket('none')], []),
  open('ws-other-protocol', socket('two', [], 'other'), []),
  open('ws-case', socket('two', [], 'WebSocket'), talk, { two: echoTwo }),
  open('ws-dead', socket('dead'), []),
  open('ws-no-path', request({ method: 'CONNECT', path: undefined }, [f(':protocol', 'websocket')]), [], {
    awaits: [],
  }),
  open(
    'ws-no-scheme',
    request({ method: 'CONNECT', path: '/two', scheme: undefined }, [f(':protocol', 'websocket')]),
    [],
    { awaits: [] },
  ),
  open('ws-get', request({ path: '/two' }, [f(':protocol', 'websocket')]), [], { awaits: [] }),
  open('ws-ended-head', socket('two'), [], {
    two: echoTwo,
    steps: [send(headers(1, [...socket('two'), caseOf('ws-ended-head')], true)), gets('head', 1)],
    awaits: [],
  }),
  open(
    'ws-client-resets',
    socket('two'),
    [gets('head', 1), send(data(1, 'hello')), gets('data', 1), send(reset(1, CODE.cancel)), settlesUpstream()],
    {
      two: echoTwo,
      awaits: [],
    },
  ),
  open(
    'ws-one-client-resets',
    socket('one'),
    [gets('head', 1), send(data(1, 'hello')), gets('data', 1), send(reset(1, CODE.cancel)), settlesUpstream()],
    {
      one: echoOne(SWITCHED),
      awaits: [],
    },
  ),
  open('ws-upstream-resets', socket('two'), [gets('head', 1)], {
    two: async (attempt) => {
      attempt.send(headers(attempt.stream, [f(':status', '200')]));
      await new Promise((later) => setTimeout(later, 50));
      attempt.send(reset(attempt.stream, CODE.cancel));
    },
  }),
  open('ws-early-data', socket('two'), [], {
    steps: [
      send(headers(1, [...socket('two'), caseOf('ws-early-data')]), data(1, 'hello')),
      gets('data', 1),
      send(data(1, 'bye', true)),
    ],
    two: echoTwo,
  }),
  { ...open('ws-not-allowed', socket('two'), []), listener: 'two', awaits: [] },
  {
    id: 'ws-announced',
    listener: 'sockets',
    announced: true,
    steps: [send(headers(1, request({ path: '/direct' }, [caseOf('ws-announced')]), true))],
  },
];

const lines = [
  'GET /two HTTP/1.1',
  'Host: main.test',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version: 13',
];
const fromOld: Case[] = [
  {
    ...asksPlainly('ws-from-h1', 'sockets', lines, { two: echoTwo, methods: ['UPGRADE'] }),
    bytes: `${lines.join('\r\n')}\r\nx-case: ws-from-h1\r\n\r\nhellobye`,
  },
  asksPlainly('ws-from-h1-refused', 'sockets', lines, { two: refuseTwo }),
  asksPlainly('ws-from-h1-200-ended', 'sockets', lines, {
    two: (attempt) => attempt.send(headers(attempt.stream, [f(':status', '200')], true)),
    methods: ['UPGRADE'],
  }),
  {
    ...asksPlainly('ws-from-h1-to-plain-h2', 'sockets', lines, { two: echoTwo, methods: ['UPGRADE'] }),
    bytes: `${[lines[0]!.replace('/two', '/plain'), ...lines.slice(1)].join('\r\n')}\r\nx-case: ws-from-h1-to-plain-h2\r\n\r\nhellobye`,
  },
];

const connect = (authority: string, more: readonly Field[] = []) =>
  request({ method: 'CONNECT', scheme: undefined, path: undefined, authority }, more);
const connects: Case[] = [
  open('connect-two', connect('two.test:443'), talk, { two: echoTwo }),
  open('connect-one', connect('one.test:443'), talk, { one: echoOne('HTTP/1.1 200 OK\r\nX-Target: one\r\n\r\n') }),
  open(
    'connect-terminated',
    connect('raw.test:443'),
    [
      gets('head', 1),
      send(data(1, 'GET /hello HTTP/1.1\r\nx-case: connect-terminated\r\n\r\n')),
      gets('data', 1),
      send(data(1, '', true)),
    ],
    {
      one: (attempt) => {
        attempt.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
        attempt.socket.end();
      },
    },
  ),
  open('connect-refused', connect('no.test:443'), []),
  open('connect-unrouted', connect('unserved.test:443'), []),
  open('connect-upstream-refuses', connect('two.test:443'), [], { two: refuseTwo }),
  open('connect-with-path', request({ method: 'CONNECT', authority: 'two.test:443' }), [], { awaits: [] }),
  open('connect-with-scheme', request({ method: 'CONNECT', authority: 'two.test:443', path: undefined }), [], {
    awaits: [],
  }),
  open(
    'connect-no-authority',
    request({ method: 'CONNECT', authority: undefined, path: undefined, scheme: undefined }),
    [],
    { awaits: [] },
  ),
  open('connect-no-port', connect('two.test'), [], { two: refuseTwo }),
  open('connect-length', connect('two.test:443', [f('content-length', '5')]), [], { two: refuseTwo }),
  open(
    'connect-resets',
    connect('two.test:443'),
    [gets('head', 1), send(data(1, 'hello')), gets('data', 1), send(reset(1, CODE.connect)), settlesUpstream()],
    {
      two: echoTwo,
      awaits: [],
    },
  ),
  asks('connect-not', 'sockets', { fields: request({ path: '/direct' }) }),
];

const granting = (cluster: string) => to(cluster, { upgrade_configs: [{ upgrade_type: 'CONNECT' }] });
const matcher = (authority: string) => ({
  match: { connect_matcher: {}, headers: [{ name: ':authority', string_match: { prefix: authority } }] },
});
const routes = [
  { ...matcher('two.test'), ...granting('tunnels') },
  { ...matcher('one.test'), ...granting('one') },
  {
    ...matcher('raw.test'),
    ...to('one', { upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] }),
  },
  { ...matcher('no.test'), ...say('no', 403) },
  { ...prefix('/two'), ...to('tunnels') },
  { ...prefix('/plain'), ...to('two') },
  { ...prefix('/one'), ...to('one') },
  { ...prefix('/dead'), ...to('dead') },
  { ...prefix('/direct'), ...say('made here') },
  { ...prefix('/off'), ...to('tunnels', { upgrade_configs: [{ upgrade_type: 'websocket', enabled: false }] }) },
];

export const connectTheme: Theme = {
  listeners: [
    listener(
      'sockets',
      manager(routes, {
        upgrade_configs: [{ upgrade_type: 'websocket' }, { upgrade_type: 'CONNECT' }],
        http2_protocol_options: { allow_connect: true },
      }),
    ),
  ],
  clusters: (ports) => [staticCluster('tunnels', ports.two, speaking(http2({ allow_connect: true }), ALONE))],
  cases: [...sockets, ...fromOld, ...connects],
};
