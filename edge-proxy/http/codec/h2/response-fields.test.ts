import { describe, expect, it } from 'vitest';
import { Http2StreamError } from './error.ts';
import type { Field } from './fields.ts';
import { ResponseFields } from './response-fields.ts';
import { TrailerFields } from './trailer-fields.ts';

const get = { method: 'GET', upgrade: '' };
function head(fields: readonly Field[], end = true, request = get) {
  const sink = new ResponseFields();
  sink.begin();
  for (const [name, value] of fields) sink.onField(name, value, false);
  return sink.head(request, end);
}
function trailers(fields: readonly Field[]) {
  const sink = new TrailerFields();
  for (const [name, value] of fields) sink.onField(name, value, false);
  return sink.trailers.keys.map((key, i) => [key, sink.trailers.values[i]]);
}
function refusal(run: () => unknown): string {
  try {
    run();
    return 'accepted';
  } catch (error) {
    if (error instanceof Http2StreamError) return error.details;
    throw error;
  }
}
const FIELD = 'http2.invalid.header.field';
const MESSAGE = 'http2.violation.of.messaging.rule';
const OK: Field = [':status', '200'];

describe('a response (RFC 9113 section 8.3.2)', () => {
  it('has its fields in their order', () => {
    const response = head([OK, ['b', '1'], ['a', ''], ['set-cookie', 'c'], ['set-cookie', 'd']], false);
    expect(response).toMatchObject({ status: 200, bodySize: undefined, upgrade: '', version: 'HTTP/2' });
    expect(response.headers.names).toEqual(['b', 'a', 'set-cookie', 'set-cookie']);
  });
  it('has one :status of three digits, before its fields', () => {
    expect(refusal(() => head([['a', 'b']]))).toBe(MESSAGE);
    expect(refusal(() => head([]))).toBe(MESSAGE);
    expect(refusal(() => head([OK, OK]))).toBe(FIELD);
    expect(refusal(() => head([['a', 'b'], OK]))).toBe(FIELD);
    for (const bad of ['', '20', '2000', '020', '0', '2x0', ' 200', '-20'])
      expect(refusal(() => head([[':status', bad]]))).toBe(FIELD);
  });
  it('has no other pseudo-header field', () => {
    for (const name of [':path', ':method', ':foo', ':']) expect(refusal(() => head([OK, [name, 'a']]))).toBe(FIELD);
  });
  it('does not switch protocols (section 8.6)', () => {
    expect(refusal(() => head([[':status', '101']], false))).toBe(MESSAGE);
  });
  it('is not the last with 1xx, which does not end the stream (section 8.1)', () => {
    expect(head([[':status', '103']], false)).toMatchObject({ status: 103, bodySize: 0 });
    expect(refusal(() => head([[':status', '100']], true))).toBe(MESSAGE);
  });
  it.each([
    ['A', 'b'],
    ['a', 'b\r\nc: d'],
    ['a', ' b'],
    ['connection', 'close'],
    ['transfer-encoding', 'chunked'],
    ['upgrade', 'websocket'],
    ['te', 'gzip'],
    ['content-length', 'x'],
  ])('does not have %s: %j (section 8.2)', (name, value) => {
    expect(refusal(() => head([OK, [name, value]], false))).toBe(FIELD);
  });
});

describe('the body of a response', () => {
  const size = (status: number, length: string | undefined, end: boolean, request = get) =>
    head(
      [[':status', String(status)], ...(length === undefined ? [] : [['content-length', length] as const])],
      end,
      request,
    ).bodySize;
  it('is as long as content-length says', () => {
    expect(size(200, '5', false)).toBe(5);
    expect(size(200, undefined, false)).toBeUndefined();
    expect(size(200, undefined, true)).toBe(0);
    expect(refusal(() => size(200, '5', true))).toBe(MESSAGE);
  });
  it('has no length with 1xx and 204 (RFC 9110 section 8.6)', () => {
    for (const end of [false, true]) expect(refusal(() => size(204, '5', end))).toBe(MESSAGE);
    expect(refusal(() => size(103, '5', false))).toBe(MESSAGE);
    expect([size(204, '0', false), size(103, '0', false)]).toEqual([0, 0]);
  });
  it('is absent for HEAD, 304 and 204', () => {
    expect([
      size(200, '5', true, { method: 'HEAD', upgrade: '' }),
      size(304, '5', true),
      size(204, undefined, false),
    ]).toEqual([0, 0, 0]);
  });
});

describe('an upgrade (RFC 8441 section 5)', () => {
  const websocket = { method: 'GET', upgrade: 'websocket' };
  it('is accepted with any 2xx, which is the 101 of HTTP/1.1', () => {
    const response = head([OK, ['content-length', '5'], ['sec-websocket-protocol', 'x']], false, websocket);
    expect(response).toMatchObject({ status: 101, upgrade: 'websocket', bodySize: undefined });
    expect(response.headers.keys).toEqual(['sec-websocket-protocol', 'upgrade', 'connection']);
  });
  it('is refused with another status', () => {
    expect(head([[':status', '403']], true, websocket)).toMatchObject({ status: 403, upgrade: '', bodySize: 0 });
  });
  it('of CONNECT is a tunnel', () => {
    expect(head([OK], false, { method: 'CONNECT', upgrade: 'connect' })).toMatchObject({
      status: 200,
      bodySize: undefined,
    });
  });
});

describe('trailers (RFC 9113 section 8.1)', () => {
  it('in their order', () => {
    expect(
      trailers([
        ['grpc-status', '0'],
        ['grpc-message', ''],
      ]),
    ).toEqual([
      ['grpc-status', '0'],
      ['grpc-message', ''],
    ]);
  });
  it.each([':status', ':path', ':foo'])('never %s', (name) => {
    expect(refusal(() => trailers([[name, '200']]))).toBe(FIELD);
  });
  it.each([
    ['A', 'b'],
    ['a', 'b\n'],
    ['connection', 'close'],
    ['transfer-encoding', 'chunked'],
  ])('never %s: %j', (name, value) => {
    expect(refusal(() => trailers([[name, value]]))).toBe(FIELD);
  });
  it('never a content-length', () => {
    expect(refusal(() => trailers([['content-length', '3']]))).toBe(MESSAGE);
  });
  it('what only a head may have is dropped, as of HTTP/1.1', () => {
    expect(
      trailers([
        ['authorization', 'a'],
        ['host', 'b'],
        ['te', 'trailers'],
        ['cookie', 'c'],
        ['x', 'd'],
      ]),
    ).toEqual([['x', 'd']]);
  });
});
