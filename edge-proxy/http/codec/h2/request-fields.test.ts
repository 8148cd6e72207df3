import { describe, expect, it } from 'vitest';
import { CodecError } from '../../message/codec-error.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import { literalBlock } from '../../testing/header-blocks.ts';
import { Http2StreamError, MalformedMessage } from './error.ts';
import type { Field } from './fields.ts';
import { HpackDecoder } from './hpack.ts';
import { defaultHttp2Options } from './options.ts';
import { RequestFields } from './request-fields.ts';

const GET: Field[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/p'],
  [':authority', 'a.test'],
];
const CONNECT: Field[] = [
  [':method', 'CONNECT'],
  [':authority', 'a.test:443'],
];
const WEBSOCKET: Field[] = [
  [':method', 'CONNECT'],
  [':protocol', 'websocket'],
  [':scheme', 'https'],
  [':path', '/chat'],
  [':authority', 'a.test'],
];
/** GET with other pseudo-header fields. */
const but = (replaced: Record<string, string | undefined>): Field[] =>
  GET.flatMap(([name, value]): Field[] => {
    const now = name in replaced ? replaced[name] : value;
    return now === undefined ? [] : [[name, now]];
  });

const fieldsOf = ({ names, values }: HeaderMap) => names.map((name, i) => [name, values[i]]);
function head(fields: readonly Field[], end = true, allowConnect = true) {
  const sink = new RequestFields(allowConnect);
  sink.begin();
  for (const [name, value] of fields) sink.onField(name, value, false);
  return sink.head(end);
}
function refusal(fields: readonly Field[], end = true, allowConnect = true): string {
  try {
    head(fields, end, allowConnect);
    return 'accepted';
  } catch (error) {
    if (error instanceof Http2StreamError) return error.details;
    if (error instanceof CodecError) return `${error.status} ${error.details}`;
    throw error;
  }
}
const FIELD = 'http2.invalid.header.field';
const MESSAGE = 'http2.violation.of.messaging.rule';

it('a head with its fields in their order', () => {
  const request = head([...GET, ['b', '1'], ['a', ''], ['b', '2']]);
  expect(request).toMatchObject({
    method: 'GET',
    scheme: 'http',
    authority: 'a.test',
    path: '/p',
    bodySize: 0,
    upgrade: '',
    wantsContinue: false,
    version: 'HTTP/2',
  });
  expect(fieldsOf(request.headers)).toEqual([
    ['b', '1'],
    ['a', ''],
    ['b', '2'],
  ]);
});

it('the next request has nothing of one that was refused', () => {
  const sink = new RequestFields(true);
  sink.begin();
  for (const [name, value] of [...WEBSOCKET, ['host', 'b.test'], ['content-length', '3'], ['x', '1']] as const)
    sink.onField(name, value, true);
  expect(() => sink.onField(':path', '/', false)).toThrow(MalformedMessage);
  sink.begin();
  for (const [name, value] of GET) sink.onField(name, value, false);
  expect(sink.head(false)).toMatchObject({ method: 'GET', path: '/p', bodySize: undefined, upgrade: '' });
  expect(sink.contentLength).toBe(-1);
});

describe('names (RFC 9113 section 8.2.1)', () => {
  it.each(['A', 'aB', '', 'a b', 'a:b', 'a\0', 'a\r', 'a\n', 'a\u007f', '\u00e9', 'a{', 'a"', 'a(', ' a', 'a\t'])(
    'not %j',
    (name) => {
      expect(refusal([...GET, [name, 'v']])).toBe(FIELD);
    },
  );
  it.each(['a', "!#$%&'*+-.^_`|~09az", 'x_y'])('%s', (name) => {
    for (let times = 0; times < 2; times++) expect(refusal([...GET, [name, 'v']])).toBe('accepted');
  });
});

it('a name with an underscore refuses its stream alone, where it is configured', () => {
  const sink = new RequestFields(false, true);
  sink.begin();
  expect(() => sink.onField('x_y', 'v', false)).toThrow(
    expect.objectContaining({ code: 2, details: 'http2.unexpected_underscore' }),
  );
  expect(() => new RequestFields(false).onField('x_y', 'v', false)).not.toThrow();
});

describe('values (RFC 9113 section 8.2.1, RFC 9110 section 5.5)', () => {
  it.each(['\0', 'a\0b', 'a\rb', 'a\nb', 'a\r\nb: c', ' a', 'a ', '\ta', 'a\t', ' ', 'a\u0001', 'a\u001f', 'a\u007f'])(
    'not %j',
    (value) => {
      expect(refusal([...GET, ['a', value]])).toBe(FIELD);
      expect(refusal([...GET, ['cookie', value]])).toBe(FIELD);
    },
  );
  it.each(['', 'a b', 'a\tb', '\u00e9', '\u00ff', '\u0080', '"'])('%j', (value) => {
    expect(refusal([...GET, ['a', value]])).toBe('accepted');
  });
});

it('a blank at the end of a value ends its stream alone, whatever the options say', () => {
  const error = (value: string) => {
    try {
      return head([...GET, ['a', value]]);
    } catch (thrown) {
      return thrown;
    }
  };
  expect(error('a ')).not.toBeInstanceOf(MalformedMessage);
  expect(error('a\n')).toBeInstanceOf(MalformedMessage);
});

describe('fields of connections (RFC 9113 section 8.2.2)', () => {
  it.each(['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade'])('not %s', (name) => {
    for (const value of ['', 'chunked', 'close', 'te', 'websocket'])
      expect(refusal([...GET, [name, value]])).toBe(FIELD);
  });
  it('te is "trailers" alone', () => {
    expect(fieldsOf(head([...GET, ['te', 'trailers']]).headers)).toEqual([['te', 'trailers']]);
    expect(refusal([...GET, ['te', 'Trailers'], ['te', 'trailers']])).toBe('accepted');
    for (const value of ['', 'gzip', 'trailers, gzip', 'trailers;q=1'])
      expect(refusal([...GET, ['te', value]])).toBe(FIELD);
  });
});

describe('pseudo-header fields (RFC 9113 section 8.3)', () => {
  it('precede all others', () => {
    expect(refusal([...GET.slice(0, 3), ['a', 'b'], GET[3]!])).toBe(FIELD);
    expect(refusal([...GET.slice(0, 3), ['cookie', 'b'], GET[3]!])).toBe(FIELD);
    expect(refusal([...GET.slice(0, 3), ['host', 'a.test'], GET[3]!])).toBe(FIELD);
  });
  it.each(GET)('%s comes once', (name, value) => {
    expect(refusal([...GET, [name, value]])).toBe(FIELD);
  });
  it.each([':status', ':foo', ':', ':Path', ':method '])('%j is none of a request', (name) => {
    expect(refusal([...GET, [name, '200']])).toBe(FIELD);
  });
  it.each([':method', ':scheme', ':path'])('%s must be there (section 8.3.1)', (name) => {
    expect(refusal(but({ [name]: undefined }))).toBe(MESSAGE);
    expect(refusal(but({ [name]: '' }))).toBe(FIELD);
  });
  it('no field at all', () => expect(refusal([])).toBe(MESSAGE));
  it.each(['G T', 'GET\r\n', 'G:T', '\u00e9'])(':method %j', (method) => {
    expect(refusal(but({ ':method': method }))).toBe(FIELD);
  });
  it('any token is a method, as its case is', () => {
    for (const method of ['PURGE', 'get', 'X-1']) expect(head(but({ ':method': method })).method).toBe(method);
  });
  it('the scheme is that of the connection where it is neither http nor https', () => {
    const scheme = (given: string) => head(but({ ':scheme': given })).scheme;
    expect(['http', 'https', 'HTTPS', 'ftp', 'a+b-c.1'].map(scheme)).toEqual(['http', 'https', 'https', '', '']);
    for (const bad of ['1http', 'a b', 'http:', '\u00e9']) expect(refusal(but({ ':scheme': bad }))).toBe(FIELD);
  });
});

describe(':path (RFC 9113 section 8.3.1)', () => {
  it.each(['/a b', '/\t', '/\0', '/\r\nx: y', '/\u007f', '/\u00e9', ' /'])('%j is malformed', (path) => {
    expect(refusal(but({ ':path': path }))).toBe(FIELD);
  });
  it.each(['p', '?a', 'http://a.test/', 'a/b', '#'])('%j is no path', (path) => {
    expect(refusal(but({ ':path': path }))).toBe(MESSAGE);
  });
  it('* is of OPTIONS alone', () => {
    expect(head(but({ ':path': '*', ':method': 'OPTIONS' })).path).toBe('*');
    expect(refusal(but({ ':path': '*' }))).toBe(MESSAGE);
  });
  it('a fragment is answered as of HTTP/1.1', () => {
    expect(refusal(but({ ':path': '/a#b' }))).toBe('400 path_normalization_failed');
  });
});

describe('the authority (RFC 9113 section 8.3.1)', () => {
  const authority = (fields: readonly Field[]) => head(fields).authority;
  const none = but({ ':authority': undefined });
  it('is :authority, else host, which is no field of the head', () => {
    expect(authority([...none, ['host', 'h.test:80']])).toBe('h.test:80');
    expect(authority([...GET, ['host', 'h.test']])).toBe('a.test');
    expect(head([...GET, ['host', 'h.test']]).headers.size).toBe(0);
  });
  it('must be there', () => expect(refusal(none)).toBe(MESSAGE));
  it('several hosts are refused', () => {
    for (const fields of [GET, none]) expect(refusal([...fields, ['host', 'a.test'], ['host', 'a.test']])).toBe(FIELD);
  });
  it.each(['', 'user@a.test', 'a b', 'a/b', 'a.test\r\nx: y', 'a,b:c', '\u00e9', 'a.test:99999', 'a"b', 'a#b', 'a?b'])(
    'not %j',
    (bad) => {
      expect(refusal(but({ ':authority': bad }))).toBe(FIELD);
      expect(refusal([...none, ['host', bad]])).toBe(FIELD);
      expect(refusal([...GET, ['host', bad]])).toBe(FIELD);
    },
  );
});

describe('content-length (RFC 9113 section 8.1.1)', () => {
  it.each(['', '-1', '+1', '1.0', '1,1', '0x1', '1234567890123456', 'a'])('not %j', (value) => {
    expect(refusal([...GET, ['content-length', value]], false)).toBe(FIELD);
  });
  it('comes once', () => {
    for (const second of ['3', '4', '0'])
      expect(refusal([...GET, ['content-length', '3'], ['content-length', second]], false)).toBe(FIELD);
    expect(refusal([...GET, ['content-length', '0'], ['content-length', '0']])).toBe(FIELD);
  });
  it('announces a body that must come', () => {
    expect(refusal([...GET, ['content-length', '1']], true)).toBe(MESSAGE);
    expect(head([...GET, ['content-length', '0']], true).bodySize).toBe(0);
    expect(head([...GET, ['content-length', '005']], false).bodySize).toBe(5);
    expect(head(GET, false).bodySize).toBeUndefined();
    // Only its end says that nothing comes.
    expect(head([...GET, ['content-length', '0']], false).bodySize).toBeUndefined();
  });
  it('is known to the stream, which counts the body', () => {
    const sink = new RequestFields(false);
    sink.begin();
    for (const [name, value] of [...GET, ['content-length', '7']] as const) sink.onField(name, value, false);
    expect(sink.contentLength).toBe(7);
  });
});

describe('cookie (RFC 9113 section 8.2.3)', () => {
  it('crumbs are one field, where the first was', () => {
    const request = head([...GET, ['cookie', 'a=1'], ['b', 'c'], ['cookie', ''], ['cookie', 'd=2'], ['cookie', 'e']]);
    expect(fieldsOf(request.headers)).toEqual([
      ['cookie', 'a=1; d=2; e'],
      ['b', 'c'],
    ]);
    expect(head([...GET, ['cookie', ''], ['cookie', 'a']]).headers.get('cookie')).toBe('a');
  });

  it.each([
    ['number', { ...defaultHttp2Options, maxFields: 10 }, Array<Field>(7).fill(['cookie', 'a=b'])],
    ['bytes', { ...defaultHttp2Options, maxHeadBytes: 1000 }, Array<Field>(25).fill(['cookie', ''])],
  ])('each crumb counts: %s', (_, limits, crumbs) => {
    const block = literalBlock([...GET, ...crumbs]);
    const sink = new RequestFields(false);
    sink.begin();
    expect(() => new HpackDecoder(limits).decode(block, 0, block.length, sink)).toThrow(/too (many|large)/);
  });
});

describe('CONNECT (RFC 9113 section 8.5)', () => {
  it('has a target alone', () => {
    expect(head(CONNECT, false)).toMatchObject({
      method: 'CONNECT',
      authority: 'a.test:443',
      path: '',
      upgrade: 'connect',
      bodySize: 0,
    });
    expect(refusal([...CONNECT, [':path', '/']], false)).toBe(MESSAGE);
    expect(refusal([...CONNECT, [':scheme', 'http']], false)).toBe(MESSAGE);
    expect(refusal(CONNECT.slice(0, 1), false)).toBe(MESSAGE);
  });
});

describe('extended CONNECT (RFC 8441)', () => {
  it('is an upgrade of HTTP/1.1', () => {
    const request = head([...WEBSOCKET, ['sec-websocket-version', '13']], false);
    expect(request).toMatchObject({ method: 'GET', scheme: 'https', path: '/chat', upgrade: 'websocket', bodySize: 0 });
    expect(request.headers.get('upgrade')).toBe('websocket');
    expect(request.headers.get('connection')).toBe('upgrade');
    // Which an upstream of HTTP/1.1 requires.
    expect(request.headers.get('sec-websocket-key')).toMatch(/^[A-Za-z0-9+/]{22}==$/);
    expect(head([...WEBSOCKET, ['sec-websocket-key', 'k']], false).headers.joined('sec-websocket-key')).toBe('k');
  });
  it('of "bytestream" is CONNECT', () => {
    const fields = WEBSOCKET.map(([name, value]): Field => [name, name === ':protocol' ? 'bytestream' : value]);
    expect(head(fields, false)).toMatchObject({ method: 'CONNECT', path: '', upgrade: 'connect' });
  });
  it('is refused where it was not announced (section 3)', () => {
    expect(refusal(WEBSOCKET, false, false)).toBe(FIELD);
  });
  it(':protocol is of CONNECT alone, with :scheme and :path (section 4)', () => {
    expect(refusal([...GET, [':protocol', 'websocket']])).toBe(MESSAGE);
    for (const missing of [':scheme', ':path', ':authority'])
      expect(
        refusal(
          WEBSOCKET.filter(([name]) => name !== missing),
          false,
        ),
      ).toBe(MESSAGE);
    for (const bad of ['', 'a b', 'a\r\n'])
      expect(
        refusal(
          [
            [':method', 'CONNECT'],
            [':protocol', bad],
          ],
          false,
        ),
      ).toBe(FIELD);
  });
});

it('expect: 100-continue is of a request with a body', () => {
  expect(head([...GET, ['expect', '100-Continue']], false).wantsContinue).toBe(true);
  expect(head([...GET, ['expect', '100-continue']], true).wantsContinue).toBe(false);
  expect(head([...GET, ['expect', 'other']], false).wantsContinue).toBe(false);
});

it('keeps which fields no hop may index', () => {
  const sink = new RequestFields(false);
  sink.begin();
  for (const [name, value] of GET) sink.onField(name, value, false);
  sink.onField('a', '1', true);
  sink.onField('b', '2', false);
  sink.onField('cookie', '3', true);
  const { headers } = sink.head(true);
  expect(headers.neverIndexed).toEqual(['a', 'cookie']);
  expect(headers.copy().neverIndexed).toEqual(['a', 'cookie']);
});
