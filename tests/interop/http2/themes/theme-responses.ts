/** Responses of both versions of upstreams, well-formed and malformed, to clients of both. */
import { data, frame, headers, headersBegin, TYPE, trailers } from '../../../kit/http2/frames.ts';
import { type Field, literals } from '../../../kit/http2/hpack.ts';
import { answers, asks, asksPlainly, type Case, request, type Theme, writes } from '../case.ts';

const f = (name: string, value: string): Field => [name, value];
const head = (stream: number, more: readonly Field[] = [], end = false, status = '200') =>
  headers(stream, [f(':status', status), ...more], end);
type Frames = (stream: number) => readonly Uint8Array[];
type Spec = [id: string, frames: Frames, method?: string];

const withFields = (id: string, ...fields: Field[]): Spec => [id, (s) => [head(s, fields), data(s, 'ok', true)]];
const withStatus = (status: string): Spec => [
  `status-${status.replace('+', 'plus-').replace(' ', 'space-') || 'empty'}`,
  (s) => [head(s, [], false, status), data(s, 'ok', true)],
];
const interim = (s: number, status: string, ...more: Field[]) => head(s, more, false, status);
const whole = (s: number) => [head(s), data(s, 'ok', true)];
const ended = (s: number, more: readonly Field[]) => [head(s), data(s, 'ok'), trailers(s, more)];

const fromTwo: Spec[] = [
  ['plain', whole],
  ['no-body', (s) => [head(s, [], true)]],
  ['empty-data', (s) => [head(s), data(s, '', true)]],
  ['pieces', (s) => [head(s), data(s, 'a'), data(s, 'b'), data(s, 'c', true)]],
  ['padded', (s) => [head(s), frame(TYPE.data, 9, s, '\x03ok\0\0\0')]],
  ['length', (s) => [head(s, [f('content-length', '2')]), data(s, 'ok', true)]],
  ['length-zero', (s) => [head(s, [f('content-length', '0')], true)]],
  ['length-long', (s) => [head(s, [f('content-length', '9')]), data(s, 'ok', true)]],
  ['length-short', (s) => [head(s, [f('content-length', '1')]), data(s, 'ok', true)]],
  ['length-bare', (s) => [head(s, [f('content-length', '9')], true)]],
  ['length-two', (s) => [head(s, [f('content-length', '2'), f('content-length', '2')]), data(s, 'ok', true)]],
  ['length-differ', (s) => [head(s, [f('content-length', '2'), f('content-length', '3')]), data(s, 'ok', true)]],
  ['length-bad', (s) => [head(s, [f('content-length', 'two')]), data(s, 'ok', true)]],
  ['length-trailers', (s) => [head(s, [f('content-length', '9')]), data(s, 'ok'), trailers(s, [f('x-end', 'yes')])]],
  ['head', (s) => [head(s, [f('content-length', '99')], true)], 'HEAD'],
  ['head-no-length', (s) => [head(s, [], true)], 'HEAD'],
  ['head-body', (s) => [head(s), data(s, 'ok', true)], 'HEAD'],
  ['head-empty-data', (s) => [head(s, [f('content-length', '2')]), data(s, '', true)], 'HEAD'],
  ['head-trailers', (s) => [head(s), trailers(s, [f('x-end', 'yes')])], 'HEAD'],
  ['204', (s) => [head(s, [], true, '204')]],
  ['204-length', (s) => [head(s, [f('content-length', '2')], true, '204')]],
  ['204-body', (s) => [head(s, [], false, '204'), data(s, 'ok', true)]],
  ['205', (s) => [head(s, [], true, '205')]],
  ['304', (s) => [head(s, [], true, '304')]],
  ['304-length', (s) => [head(s, [f('content-length', '2')], true, '304')]],
  ['304-body', (s) => [head(s, [], false, '304'), data(s, 'ok', true)]],
  ['interim-100', (s) => [interim(s, '100'), ...whole(s)]],
  ['interim-102', (s) => [interim(s, '102'), ...whole(s)]],
  ['interim-103', (s) => [interim(s, '103', f('link', '</a>; rel=preload')), ...whole(s)]],
  ['interim-two', (s) => [interim(s, '103', f('x-a', '1')), interim(s, '103', f('x-a', '2')), ...whole(s)]],
  ['interim-150', (s) => [interim(s, '150'), ...whole(s)]],
  ['interim-101', (s) => [interim(s, '101'), ...whole(s)]],
  ['interim-end', (s) => [head(s, [], true, '103')]],
  ['interim-data', (s) => [interim(s, '103'), data(s, 'early'), ...whole(s)]],
  ['interim-late', (s) => [head(s), interim(s, '103'), data(s, 'ok', true)]],
  ['interim-length', (s) => [interim(s, '103', f('content-length', '9')), ...whole(s)]],
  ['interim-connection', (s) => [interim(s, '103', f('connection', 'close')), ...whole(s)]],
  ...['99', '0', '20', '1000', 'abc', '', '+200', ' 200', '2e2', '600', '999', '299', '404', '500'].map(withStatus),
  ['status-none', (s) => [headers(s, [f('x-a', '1')]), data(s, 'ok', true)]],
  ['status-twice', (s) => [headers(s, [f(':status', '200'), f(':status', '200')]), data(s, 'ok', true)]],
  ['status-late', (s) => [headers(s, [f('x-a', '1'), f(':status', '200')]), data(s, 'ok', true)]],
  ['pseudo-path', (s) => [headers(s, [f(':status', '200'), f(':path', '/')]), data(s, 'ok', true)]],
  ['pseudo-unknown', (s) => [headers(s, [f(':status', '200'), f(':foo', '/')]), data(s, 'ok', true)]],
  ['two-heads', (s) => [head(s), head(s), data(s, 'ok', true)]],
  ['empty-head', (s) => [headers(s, []), data(s, 'ok', true)]],
  withFields('name-upper', f('X-Upper', '1')),
  withFields('name-space', f('x a', '1')),
  withFields('name-empty', f('', '1')),
  withFields('name-underscore', f('x_a', '1')),
  withFields('value-empty', f('x-a', '')),
  withFields('value-spaces', f('x-a', ' 1 ')),
  withFields('value-nul', f('x-a', 'a\0b')),
  withFields('value-crlf', f('x-a', 'a\r\nx-b: c')),
  withFields('value-obs', f('x-a', 'caf\xe9')),
  withFields('connection', f('connection', 'close')),
  withFields('keep-alive', f('keep-alive', 'timeout=5')),
  withFields('proxy-connection', f('proxy-connection', 'close')),
  withFields('transfer-encoding', f('transfer-encoding', 'chunked')),
  withFields('upgrade', f('upgrade', 'h2c')),
  withFields('te', f('te', 'trailers')),
  withFields('host', f('host', 'up.test')),
  withFields('set-cookies', f('set-cookie', 'a=1'), f('x-a', '1'), f('set-cookie', 'b=2')),
  withFields('repeated', f('x-a', '1'), f('x-b', '2'), f('x-a', '3')),
  withFields('server', f('server', 'up')),
  withFields('envoy', f('x-envoy-upstream-service-time', '5'), f('x-envoy-degraded', '1')),
  withFields('alt-svc', f('alt-svc', 'h3=":443"')),
  ['trailers', (s) => ended(s, [f('x-end', 'yes')])],
  ['trailers-two', (s) => ended(s, [f('x-end', 'yes'), f('x-end', 'no')])],
  ['trailers-empty', (s) => ended(s, [])],
  ['trailers-no-data', (s) => [head(s), trailers(s, [f('x-end', 'yes')])]],
  ['trailers-pseudo', (s) => ended(s, [f(':status', '200')])],
  ['trailers-upper', (s) => ended(s, [f('X-End', 'yes')])],
  ['trailers-connection', (s) => ended(s, [f('connection', 'close')])],
  ['trailers-te', (s) => ended(s, [f('transfer-encoding', 'chunked')])],
  ['trailers-length', (s) => ended(s, [f('content-length', '2')])],
  ['trailers-crlf', (s) => ended(s, [f('x-end', 'a\r\nb: c')])],
  ['trailers-open', (s) => [head(s), data(s, 'ok'), headers(s, [f('x-end', 'yes')]), data(s, '', true)]],
  ['trailers-after', (s) => [...ended(s, [f('x-end', 'yes')]), data(s, 'late', true)]],
  ['data-first', (s) => [data(s, 'ok', true)]],
  ['data-after', (s) => [...whole(s), data(s, 'late', true)]],
  ['head-after', (s) => [...whole(s), head(s, [], true)]],
  [
    'continued',
    (s) => [
      headersBegin(s, literals([f(':status', '200')])),
      frame(TYPE.continuation, 4, s, literals([f('x-a', '1')])),
      data(s, 'ok', true),
    ],
  ],
  ['wrong-stream', (s) => [head(s + 2, [], true)]],
  [
    'push',
    (s) => [
      frame(TYPE.pushPromise, 4, s, Buffer.concat([Buffer.from([0, 0, 0, 2]), literals(request({}))])),
      ...whole(s),
    ],
  ],
  ['bad-hpack', (s) => [frame(TYPE.headers, 4, s, '\xff\xff\xff\xff\xff')]],
  ['large-field', (s) => [head(s, [f('x-large', 'x'.repeat(9000))]), data(s, 'ok', true)]],
  [
    'many-fields',
    (s) => [
      head(
        s,
        Array.from({ length: 150 }, (_, i) => f(`x-${i}`, '1')),
      ),
      data(s, 'ok', true),
    ],
  ],
];

const two: Case[] = fromTwo.flatMap(([id, frames, method = 'GET']) => [
  asks(`two-${id}-h2`, 'two', { fields: request({ method }) }, { two: answers(frames) }),
  asksPlainly(`two-${id}-h1`, 'two', [`${method} / HTTP/1.1`, 'Host: main.test'], { two: answers(frames) }),
]);

type Text = [id: string, text: string, then?: 'keep' | 'end' | 'destroy', method?: string];
const OK = 'HTTP/1.1 200 OK\r\n';
const fromOne: Text[] = [
  ['length', `${OK}Content-Length: 2\r\n\r\nok`],
  ['chunked', `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
  ['chunked-extension', `${OK}Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n`],
  ['trailers', `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-End: yes\r\n\r\n`],
  ['trailers-pseudo', `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n:status: 200\r\n\r\n`],
  ['until-close', `${OK}\r\nok`, 'end'],
  ['close', `${OK}Connection: close\r\nContent-Length: 2\r\n\r\nok`],
  ['keep-alive', `${OK}Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok`],
  ['proxy-connection', `${OK}Proxy-Connection: close\r\nContent-Length: 2\r\n\r\nok`],
  ['upper-names', `${OK}X-UPPER: A\r\nContent-Length: 2\r\n\r\nok`],
  ['empty', `${OK}Content-Length: 0\r\n\r\n`],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n'],
  ['304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n'],
  ['head', `${OK}Content-Length: 5\r\n\r\n`, 'keep', 'HEAD'],
  ['head-chunked', `${OK}Transfer-Encoding: chunked\r\n\r\n`, 'keep', 'HEAD'],
  ['interim-100', `HTTP/1.1 100 Continue\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`],
  ['interim-103', `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`],
  ['interim-101', `HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n`],
  ['reason', 'HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok'],
  ['status-999', 'HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok'],
  ['http10', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['http10-until-close', 'HTTP/1.0 200 OK\r\n\r\nok', 'end'],
  ['malformed', 'nonsense\r\n\r\n'],
  ['length-differ', `${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok`],
  ['length-and-chunked', `${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
  ['value-nul', `${OK}X-A: a\0b\r\nContent-Length: 2\r\n\r\nok`],
  ['value-obs', `${OK}X-A: caf\xe9\r\nContent-Length: 2\r\n\r\nok`],
  ['set-cookies', `${OK}Set-Cookie: a=1\r\nX-A: 1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok`],
  ['te', `${OK}TE: trailers\r\nContent-Length: 2\r\n\r\nok`],
  ['trailer-field', `${OK}Trailer: x-end\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-end: yes\r\n\r\n`],
  ['chunk-bad', `${OK}Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n`],
  ['upgrade-field', `${OK}Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nok`],
  ['connection-named', `${OK}Connection: x-a\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok`],
  ['nothing', '', 'end'],
  ['reset', '', 'destroy'],
  ['cut-head', 'HTTP/1.1 200 OK\r\nCont', 'end'],
  ['cut-body', `${OK}Content-Length: 9\r\n\r\nok`, 'end'],
  ['cut-chunked', `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n`, 'end'],
];

const one: Case[] = fromOne.map(([id, text, then, method = 'GET']) =>
  asks(`one-${id}`, 'one', { fields: request({ method }) }, { one: writes(text, then) }),
);

export const responses: Theme = { cases: [...two, ...one] };
