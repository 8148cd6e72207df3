import { describe, expect, it } from 'vitest';
import { HeaderMap } from '../../message/header-map.ts';
import type { RequestHead } from '../../message/message.ts';
import { decodeBlock } from '../../testing/header-blocks.ts';
import { ByteBuffer } from './byte-buffer.ts';
import { HpackDecoder, HpackEncoder } from './hpack.ts';
import { defaultHttp2Options } from './options.ts';
import { RequestFields } from './request-fields.ts';
import { writeRequest, writeResponse, writeTrailers } from './write-fields.ts';

type Fields = readonly (readonly [string, string])[];
function map(fields: Fields): HeaderMap {
  const headers = new HeaderMap();
  for (const [name, value] of fields) headers.append(name, value);
  return headers;
}
const request = (given: Partial<RequestHead>, fields: Fields = []): RequestHead => ({
  method: 'GET',
  scheme: 'http',
  authority: 'a.test',
  path: '/p',
  headers: map(fields),
  bodySize: 0,
  upgrade: '',
  wantsContinue: false,
  version: 'HTTP/1.1',
  ...given,
});
function written(write: (encoder: HpackEncoder, out: ByteBuffer) => void): Fields {
  const out = new ByteBuffer();
  write(new HpackEncoder(), out);
  return decodeBlock(new HpackDecoder(defaultHttp2Options), out.bytes.slice(0, out.length));
}
const sent = (head: RequestHead, secure = false) => written((encoder, out) => writeRequest(encoder, out, head, secure));
const regular = (fields: Fields) => sent(request({}, fields)).slice(4);

describe('a request', () => {
  it('begins with its pseudo-header fields (RFC 9113 section 8.3)', () => {
    expect(sent(request({ method: 'POST' }, [['X-A', 'b']]))).toEqual([
      [':method', 'POST'],
      [':scheme', 'http'],
      [':authority', 'a.test'],
      [':path', '/p'],
      // Names are in lower case (section 8.2.1).
      ['x-a', 'b'],
    ]);
  });
  it('has the scheme of its connection where it names none', () => {
    expect(sent(request({ scheme: '' }), true)[1]).toEqual([':scheme', 'https']);
    expect(sent(request({ scheme: '' }), false)[1]).toEqual([':scheme', 'http']);
  });
  it('of CONNECT has neither :scheme nor :path (RFC 9113 section 8.5)', () => {
    expect(sent(request({ method: 'CONNECT', path: '', upgrade: 'connect', authority: 'a.test:1' }))).toEqual([
      [':method', 'CONNECT'],
      [':authority', 'a.test:1'],
    ]);
  });
  it('of an upgrade is an extended CONNECT (RFC 8441 section 4)', () => {
    const upgrade: Fields = [
      ['Connection', 'Upgrade'],
      ['Upgrade', 'websocket'],
      ['sec-websocket-version', '13'],
    ];
    expect(sent(request({ upgrade: 'websocket' }, upgrade))).toEqual([
      [':method', 'CONNECT'],
      [':protocol', 'websocket'],
      [':scheme', 'http'],
      [':authority', 'a.test'],
      [':path', '/p'],
      ['sec-websocket-version', '13'],
    ]);
  });
});

describe('never sent (RFC 9113 section 8.2.2)', () => {
  it.each(['Connection', 'Proxy-Connection', 'Keep-Alive', 'Transfer-Encoding', 'Upgrade', 'HTTP2-Settings', 'Host'])(
    '%s',
    (name) => {
      expect(
        regular([
          ['a', '1'],
          [name, 'x'],
          ['b', '2'],
          [name, 'y'],
        ]),
      ).toEqual([
        ['a', '1'],
        ['b', '2'],
      ]);
    },
  );
  it('what Connection names', () => {
    expect(
      regular([
        ['Connection', 'close, X-Drop ,te'],
        ['x-drop', '1'],
        ['te', 'trailers'],
        ['Connection', 'y'],
        ['y', '2'],
        ['z', '3'],
      ]),
    ).toEqual([
      ['te', 'trailers'],
      ['z', '3'],
    ]);
  });
  it.each([
    ['trailers', 'trailers'],
    ['gzip', undefined],
    ['trailers, deflate;q=0.5', 'trailers'],
    ['Trailers', 'trailers'],
    ['', undefined],
  ])('te: %s is %s', (given, expected) => {
    expect(regular([['TE', given]])).toEqual(expected === undefined ? [] : [['te', expected]]);
    expect(
      regular([
        ['TE', given],
        ['TE', 'gzip'],
      ]),
    ).toEqual(expected === undefined ? [] : [['te', expected]]);
  });
  it('CR, LF and NUL, which end the connection instead', () => {
    for (const bad of ['a\r\nb: c', '\n', '\0', '\u010a'])
      for (const head of [
        request({}, [['a', bad]]),
        request({ path: `/${bad}` }),
        request({ authority: bad }),
        request({ method: bad }),
      ])
        expect(() => sent(head)).toThrow(RangeError);
  });
});

it('a response: the 101 of an upgrade is a 200 (RFC 8441 section 5)', () => {
  const response = (status: number, fields: Fields = []) =>
    written((encoder, out) =>
      writeResponse(encoder, out, { status, headers: map(fields), bodySize: 0, upgrade: '', version: 'HTTP/1.1' }),
    );
  expect(
    response(204, [
      ['Server', 'x'],
      ['Keep-Alive', '1'],
      ['Connection', 'a'],
      ['a', 'b'],
    ]),
  ).toEqual([
    [':status', '204'],
    ['server', 'x'],
  ]);
  expect(
    response(101, [
      ['connection', 'upgrade'],
      ['upgrade', 'websocket'],
      ['sec-websocket-accept', 'x'],
    ]),
  ).toEqual([
    [':status', '200'],
    ['sec-websocket-accept', 'x'],
  ]);
  expect(response(103)).toEqual([[':status', '103']]);
  expect(response(777)).toEqual([[':status', '777']]);
});

it('trailers', () => {
  expect(
    written((encoder, out) =>
      writeTrailers(
        encoder,
        out,
        map([
          ['Grpc-Status', '0'],
          ['Connection', 'x'],
        ]),
      ),
    ),
  ).toEqual([['grpc-status', '0']]);
});

it('what no hop may index is passed on so (RFC 7541 section 6.2.3)', () => {
  const sink = new RequestFields(false);
  sink.begin();
  for (const [name, value] of [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'a'],
  ] as const)
    sink.onField(name, value, false);
  sink.onField('user-agent', 'x', true);
  sink.onField('accept', 'x', false);
  const out = new ByteBuffer();
  writeRequest(new HpackEncoder(), out, sink.head(true), false);
  const heard: unknown[] = [];
  const heads = new HpackDecoder(defaultHttp2Options);
  heads.decode(out.bytes, 0, out.length, { onField: (name, _, never) => void (never && heard.push(name)) });
  expect(heard).toEqual(['user-agent']);
});
