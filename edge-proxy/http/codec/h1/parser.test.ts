import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodecError } from '../../message/codec-error.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { RequestHead, ResponseHead } from '../../message/message.ts';
import { fromLatin1, latin1 } from '../bytes.ts';
import { defaultLimits } from './head.ts';
import { RequestParser, ResponseParser } from './parser.ts';

interface Seen {
  line: string;
  fields: string[];
  body: string;
  trailers: string[];
  whole: boolean;
}

class Recorder {
  readonly messages: Seen[] = [];
  /** Sizes of the pieces that bodies were passed on in; their ends are not counted. */
  readonly pieces: number[] = [];
  onHead(head: RequestHead | ResponseHead, end: boolean): void {
    const line = 'method' in head ? `${head.method} ${head.authority} ${head.path}` : `${head.status} ${head.reason}`;
    this.messages.push({ line, fields: list(head.headers), body: '', trailers: [], whole: end });
  }
  onBody(bytes: Uint8Array, end: boolean): void {
    const last = this.messages.at(-1)!;
    if (bytes.length > 0) this.pieces.push(bytes.length);
    last.body += latin1(bytes, 0, bytes.length);
    last.whole = end;
  }
  onTrailers(trailers: HeaderMap): void {
    const last = this.messages.at(-1)!;
    last.trailers = list(trailers);
    last.whole = true;
  }
}

function list(headers: HeaderMap): string[] {
  return headers.names.map((name, i) => `${name}=${headers.values[i]}`);
}

/** Feeds the parts one after the other, going over message ends as a session without responses would. */
function parse(parts: readonly string[], limits = { ...defaultLimits, acceptHttp10: true }) {
  const recorder = new Recorder();
  const parser = new RequestParser(recorder, limits);
  let found: CodecError | undefined;
  try {
    for (const part of parts) {
      const bytes = fromLatin1(part);
      for (let at = 0; at < bytes.length; ) {
        if (parser.complete) parser.next();
        at = parser.execute(bytes, at);
      }
    }
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    found = error;
  }
  return { messages: recorder.messages, pieces: recorder.pieces, error: found };
}

function errorOf(text: string) {
  return parse([text]).error;
}

const host = 'Host: a\r\n';

describe('requests', () => {
  it('keeps order and spelling, looks names up in lower case', () => {
    const { messages } = parse([`GET /p?q HTTP/1.1\r\nX-B: 1\r\n${host}x-A:  2 \t\r\nX-b:\r\n\r\n`]);
    expect(messages).toEqual([
      { line: 'GET a /p?q', fields: ['X-B=1', 'x-A=2', 'X-b='], body: '', trailers: [], whole: true },
    ]);
  });

  it('reads Content-Length and chunked bodies, trailers and pipelined requests', () => {
    const { messages, error } = parse([
      `POST / HTTP/1.1\r\n${host}Content-Length: 3\r\n\r\nabc` +
        `POST / HTTP/1.1\r\n${host}Transfer-Encoding: Chunked\r\n\r\n2;x=y\r\nde\r\n1;q="v w"\r\nf\r\n0\r\nT: 1\r\nHost: evil\r\n\r\n` +
        `GET / HTTP/1.1\r\n${host}\r\n`,
    ]);
    expect(error).toBeUndefined();
    expect(messages.map((m) => [m.body, m.trailers, m.whole])).toEqual([
      ['abc', [], true],
      ['def', ['T=1'], true],
      ['', [], true],
    ]);
  });

  it('reads absolute form, asterisk form and authority form', () => {
    expect(parse([`GET http://b:8/x?y HTTP/1.1\r\n${host}\r\n`]).messages[0]?.line).toBe('GET b:8 /x?y');
    expect(parse([`GET HTTP://b?y HTTP/1.1\r\n${host}\r\n`]).messages[0]?.line).toBe('GET b /?y');
    expect(parse([`OPTIONS * HTTP/1.1\r\n${host}\r\n`]).messages[0]?.line).toBe('OPTIONS a *');
    expect(parse([`CONNECT b:443 HTTP/1.1\r\n${host}\r\n`]).messages[0]?.line).toBe('CONNECT b:443 ');
  });

  it.each([
    ['Content-Length and Transfer-Encoding', `Content-Length: 1\r\nTransfer-Encoding: chunked\r\n`],
    ['two Content-Lengths', 'Content-Length: 1\r\nContent-Length: 1\r\n'],
    ['a list of lengths', 'Content-Length: 1, 1\r\n'],
    ['a signed length', 'Content-Length: +1\r\n'],
    ['a hexadecimal length', 'Content-Length: 0x1\r\n'],
    ['an empty length', 'Content-Length:\r\n'],
    ['a length beyond exact numbers', 'Content-Length: 9999999999999999\r\n'],
    ['a space before the colon', 'X : 1\r\n'],
    ['a folded line', 'X: 1\r\n 2\r\n'],
    ['a leading space', ' X: 1\r\n'],
    ['an empty name', ': 1\r\n'],
    ['a name that is no token', 'X(: 1\r\n'],
    ['NUL', 'X: \0\r\n'],
    ['a control character', 'X: \x01\r\n'],
    ['DEL', 'X: \x7f\r\n'],
    ['bare LF', 'X: 1\nY: 2\r\n'],
    ['bare CR', 'X: 1\rY: 2\r\n'],
    ['no colon', 'X\r\n'],
    ['a second Host', 'Host: b\r\n'],
  ])('refuses %s with 400', (_, lines) => {
    expect(errorOf(`POST / HTTP/1.1\r\n${host}${lines}\r\n`)?.status).toBe(400);
  });

  it.each(['chunked, chunked', 'gzip, chunked', 'chunked, gzip', 'identity', 'xchunked', '"chunked"', ''])(
    'refuses Transfer-Encoding %j with 501',
    (coding) => {
      expect(errorOf(`POST / HTTP/1.1\r\n${host}Transfer-Encoding: ${coding}\r\n\r\n`)?.status).toBe(501);
    },
  );

  it.each(['GET /', 'GET / HTTP/2.0', 'GET / HTTP/1.2'])('asks for another version: %j', (line) => {
    expect(errorOf(`${line}\r\n${host}\r\n`)).toMatchObject({ status: 426, details: 'low_version' });
  });

  it.each([
    'GET  / HTTP/1.1',
    ' GET / HTTP/1.1',
    'GET / HTTP/1.1 ',
    'GET / http/1.1',
    'G(T / HTTP/1.1',
    'get / HTTP/1.1',
    'GET a HTTP/1.1',
    'GET /# HTTP/1.1',
    'GET /\xe4 HTTP/1.1',
    'GET /\t HTTP/1.1',
    'GET * HTTP/1.1',
    'GET ftp://a/ HTTP/1.1',
    'GET http://u@a/ HTTP/1.1',
    'GET http:// HTTP/1.1',
    'GET http://a%2eb/ HTTP/1.1',
    'GET http://a;b/ HTTP/1.1',
    'GET http://a_b/ HTTP/1.1',
    'CONNECT / HTTP/1.1',
    'CONNECT a:99999 HTTP/1.1',
  ])('refuses the request line %j', (line) => {
    expect(errorOf(`${line}\r\n${host}\r\n`)?.status).toBe(400);
  });

  it.each(['', 'a b', 'a/b', 'u@a', 'a:x', 'a,b c', '[::1', 'a:65536', 'a#'])('refuses the Host %j', (value) => {
    expect(errorOf(`GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`)?.status).toBe(400);
  });

  it.each(['a', 'a:80', '[::1]:80', 'outbound_.80._.x.y', 'xn--a.b', '10.0.0.1'])('accepts the Host %j', (value) => {
    expect(parse([`GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`]).messages[0]?.line).toBe(`GET ${value} /`);
  });

  it('names a missing Host as Envoy does', () => {
    expect(errorOf('GET / HTTP/1.1\r\n\r\n')?.details).toBe('missing_host_header');
  });

  it.each([
    'g\r\n',
    '-1\r\n',
    '1 \r\n',
    ' 1\r\n',
    '\r\n',
    '0x1\r\n',
    '1\n',
    '1;\r\n',
    '1;a=\r\n',
    '1;a="\n"\r\n',
    '1fffffffffffff\r\n',
    `1;${'a'.repeat(300)}\r\n`,
  ])('refuses the chunk line %j', (line) => {
    expect(errorOf(`POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n${line}`)?.status).toBe(400);
  });

  it('refuses chunk data that is longer than its size', () => {
    expect(errorOf(`POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n`)?.status).toBe(400);
  });

  it('keeps to its limits', () => {
    expect(errorOf(`GET / HTTP/1.1\r\n${host}${'X: 1\r\n'.repeat(100)}\r\n`)?.status).toBe(431);
    expect(errorOf(`GET / HTTP/1.1\r\n${host}X: ${'a'.repeat(61 * 1024)}`)?.status).toBe(431);
    expect(errorOf(`GET /${'a'.repeat(33 * 1024)} HTTP/1.1\r\n${host}\r\n`)?.status).toBe(414);
    expect(errorOf('\r\n'.repeat(3))?.status).toBe(400);
  });

  it('answers HTTP/1.0 only when configured', () => {
    const text = `GET / HTTP/1.0\r\n${host}\r\n`;
    expect(parse([text], defaultLimits).error).toMatchObject({ status: 426, details: 'low_version' });
    expect(parse([text]).error).toBeUndefined();
    expect(errorOf(`POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n`)?.status).toBe(400);
  });

  it('sees a bare line feed before the head ends', () => {
    expect(errorOf('GET / HTTP/1.1\nHost: a\n\n')?.status).toBe(400);
  });
});

function parseResponse(parts: readonly string[], method = 'GET') {
  const recorder = new Recorder();
  const parser = new ResponseParser(recorder, defaultLimits);
  parser.expect(method);
  for (const part of parts) parser.execute(fromLatin1(part), 0);
  return { parser, messages: recorder.messages };
}

describe('responses', () => {
  it.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
    ['GET', 'HTTP/1.1 204 \r\n\r\n'],
    ['GET', 'HTTP/1.1 304\r\nContent-Length: 5\r\n\r\n'],
    ['GET', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ])('has no body: %s %j', (method, text) => {
    expect(parseResponse([text], method).messages[0]).toMatchObject({ body: '', whole: true });
  });

  it('reads a body until the connection closes', () => {
    const { parser, messages } = parseResponse(['HTTP/1.1 200 OK\r\n\r\nab', 'c']);
    expect(messages[0]).toMatchObject({ body: 'abc', whole: false });
    parser.finish();
    expect(messages[0]?.whole).toBe(true);
  });

  it.each([
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n',
    'HTTP/1.1 2000 OK\r\n\r\n',
    'HTTP/2 200\r\n\r\n',
    'HTTP/1.1 200 OK\nX: 1\n\n',
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 101 x\r\nContent-Length: 3\r\n\r\n',
  ])('refuses %j', (text) => expect(() => parseResponse([text])).toThrow(CodecError));

  it('gives all that follows a 101 to the tunnel', () => {
    expect(
      parseResponse(['HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nraw\r\n']).messages[0]?.body,
    ).toBe('raw\r\n');
  });
});

/** Splits `text` at the given places. */
function split(text: string, cuts: readonly number[]): string[] {
  const places = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, i) => text.slice(from, places[i] ?? text.length)).filter((part) => part !== '');
}

const message = fc.constantFrom(
  `GET /a HTTP/1.1\r\n${host}X: 1\r\n\r\n`,
  `\r\nGET /b HTTP/1.1\r\n${host}\r\n`,
  `POST /c HTTP/1.1\r\n${host}Content-Length: 10\r\n\r\n0123\r\n\r\n89`,
  `POST /d HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\na;x\r\n0123\r\n\r\n89\r\n3\r\nabc\r\n0\r\n\r\n`,
  `POST /e HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: 1\r\nB: 2\r\n\r\n`,
  `GET /f HTTP/1.1\r\n${host}X : 1\r\n\r\n`,
  `GET /g HTTP/1.1\n${host}\r\n`,
  `POST /h HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n`,
  `GET /${'i'.repeat(3000)} HTTP/1.1\r\n${host}\r\n`,
);

const chunkedPost = `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`;
const inChunks = (sizes: readonly number[]) =>
  sizes
    .map((size, i) => `${size.toString(16)}${i % 3 === 0 ? ';x="y"' : ''}\r\n${'abc'[i % 3]!.repeat(size)}\r\n`)
    .join('');

describe('small chunks', () => {
  it('are passed on as one for each read, in pieces of at most 16 KiB', () => {
    const text = `${chunkedPost}${'1\r\nx\r\n'.repeat(40_000)}0\r\n\r\n`;
    const { messages, pieces, error } = parse([text]);
    expect(error).toBeUndefined();
    expect(messages[0]).toMatchObject({ body: 'x'.repeat(40_000), whole: true });
    expect(pieces).toEqual([16_384, 16_384, 7232]);
    const cut = 10_001;
    expect(parse([text.slice(0, cut), text.slice(cut)]).pieces).toHaveLength(4);
  });

  it('come before what is wrong behind them', () => {
    const { messages, error } = parse([`${chunkedPost}1\r\nx\r\n2\r\nyz\r\nno size\r\n`]);
    expect(error?.status).toBe(400);
    expect(messages[0]).toMatchObject({ body: 'xyz', whole: false });
  });

  it('stay in order among large ones, with trailers, however they are cut', () => {
    const size = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(4095, 4096, 9000, 17_000));
    fc.assert(
      fc.property(fc.array(size, { maxLength: 30 }), fc.array(fc.nat(200_000), { maxLength: 8 }), (sizes, cuts) => {
        const text = `${chunkedPost}${inChunks(sizes)}0\r\nT: 1\r\n\r\n`;
        const body = sizes.map((length, i) => 'abc'[i % 3]!.repeat(length)).join('');
        const parts = split(text, cuts);
        const { messages, pieces, error } = parse(parts);
        expect(error).toBeUndefined();
        expect(messages).toMatchObject([{ body, trailers: ['T=1'], whole: true }]);
        // Each large chunk is passed on alone, and parts what is joined.
        const large = sizes.filter((length) => length > 20).length;
        const joinedPieces = Math.ceil(body.length / 12_000);
        expect(pieces.length).toBeLessThanOrEqual(2 * large + joinedPieces + 2 * parts.length);
      }),
      { numRuns: 300 },
    );
  });

  it('have sizes of up to twelve digits, and only digits', () => {
    for (const line of ['00000002', '000000000002', '2;a', '2']) {
      expect(parse([`${chunkedPost}${line}\r\nab\r\n0\r\n\r\n`]).messages[0]!.body).toBe('ab');
      expect(parse([...`${chunkedPost}${line}\r\nab\r\n0\r\n\r\n`]).messages[0]!.body).toBe('ab');
    }
    for (const line of ['', ' 2', '2 ', '0x2', '-2', '+2', 'g', '2\t', '0000000000002', '2\r'])
      expect(parse([`${chunkedPost}${line}\r\nab\r\n0\r\n\r\n`]).error?.status).toBe(400);
  });
});

describe('any split of the same bytes', () => {
  it('parses identically', () => {
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat(8000), { maxLength: 12 }),
        (messages, cuts) => {
          const text = messages.join('');
          const whole = parse([text]);
          const parts = parse(split(text, cuts));
          expect(parts.messages).toEqual(whole.messages);
          expect(parts.error?.status).toBe(whole.error?.status);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('parses identically byte by byte', () => {
    fc.assert(
      fc.property(message, (text) => {
        expect(parse([...text]).messages).toEqual(parse([text]).messages);
      }),
      { numRuns: 30 },
    );
  });
});
