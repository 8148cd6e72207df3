/** A head that one version of HTTP accepts means the same in the other (no request smuggling). */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { HeaderMap } from '../message/header-map.ts';
import type { RequestHead } from '../message/message.ts';
import { defaultLimits, type Http1RequestHead, parseRequestHead } from './h1/head.ts';
import { requestHeadText } from './h1/request-head-text.ts';
import { ByteBuffer } from './h2/byte-buffer.ts';
import { HpackDecoder, HpackEncoder } from './h2/hpack.ts';
import { defaultHttp2Options } from './h2/options.ts';
import { RequestFields } from './h2/request-fields.ts';
import { writeRequest } from './h2/write-fields.ts';

/** Texts in which one parser could see what another does not. */
const evil = fc.constantFrom(
  ...[
    '',
    'a',
    'GET',
    '/',
    '/a',
    'a.test',
    'http',
    'x: y',
    'chunked',
    'close',
    '5',
    '0',
    'trailers',
    'websocket',
    '\r\n',
  ],
  ...[
    '\n',
    '\r',
    '\0',
    ' ',
    '\t',
    ':',
    '#',
    '?',
    '*',
    '\u00e9',
    '\u010a',
    '\u010d',
    'x\r\ny: z',
    'GET / HTTP/1.1\r\n\r\n',
  ],
);
const text = fc.array(evil, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(''));
const or = <T>(good: T, bad: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(good) }, { weight: 1, arbitrary: bad });
const name = fc.oneof(
  fc.constantFrom(
    'content-length',
    'transfer-encoding',
    'connection',
    'upgrade',
    'host',
    'te',
    'cookie',
    'x-a',
    'X-B',
    'keep-alive',
  ),
  text,
);
const field = fc.tuple(name, fc.oneof(fc.constantFrom('5', '0', 'a', 'chunked', 'close', 'trailers'), text));
const fields = fc.array(field, { maxLength: 4 });

/** What a head says, whatever its version. */
function meaning({ method, authority, path, headers }: RequestHead, without: readonly string[]) {
  const kept = headers.keys.map((key, i) => [key, headers.values[i]]).filter(([key]) => !without.includes(key!));
  return { method, authority, path, fields: kept };
}

it('HTTP/2 to HTTP/1.1', () => {
  let accepted = 0;
  fc.assert(
    fc.property(or('GET', text), or('/a', text), or('a.test', text), fields, (method, path, authority, more) => {
      const sink = new RequestFields(false);
      let head: RequestHead;
      try {
        sink.begin();
        for (const [key, value] of [
          [':method', method],
          [':scheme', 'http'],
          [':path', path],
          [':authority', authority],
          ...more,
        ])
          sink.onField(key!, value!, false);
        head = sink.head(false);
      } catch {
        return;
      }
      // As the router does, and for methods that HTTP/1.1 knows here.
      if (head.bodySize === undefined) head.headers.remove('content-length');
      if (!['GET', 'CONNECT'].includes(head.method)) return;
      accepted++;
      const wire = requestHeadText(head);
      // One head, and nothing behind it.
      expect(wire.indexOf('\r\n\r\n')).toBe(wire.length - 4);
      const again: Http1RequestHead = parseRequestHead(wire.slice(0, -2), defaultLimits);
      expect(meaning(again, ['transfer-encoding'])).toEqual(meaning(head, []));
      expect(again.bodySize).toBe(head.bodySize);
    }),
    { numRuns: 6000 },
  );
  expect(accepted).toBeGreaterThan(300);
});

it('HTTP/1.1 to HTTP/2', () => {
  let accepted = 0;
  // Several cookies come as one.
  const changed = ['connection', 'upgrade', 'keep-alive', 'transfer-encoding', 'te', 'cookie'];
  fc.assert(
    fc.property(or('GET', text), or('/a', text), fields, (method, path, more) => {
      const lines = [['host', 'a.test'], ...more].map(([key, value]) => `${key}: ${value}\r\n`).join('');
      let head: Http1RequestHead;
      try {
        // On the wire a character is a byte.
        const wire = Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines}`, 'latin1');
        head = parseRequestHead(wire.toString('latin1'), defaultLimits);
      } catch {
        return;
      }
      accepted++;
      const out = new ByteBuffer();
      writeRequest(new HpackEncoder(), out, { ...head, upgrade: '' }, false);
      const sink = new RequestFields(false);
      sink.begin();
      new HpackDecoder(defaultHttp2Options).decode(out.bytes, 0, out.length, sink);
      const named =
        head.headers
          .joined('connection')
          ?.split(',')
          .map((one) => one.trim().toLowerCase()) ?? [];
      expect(meaning(sink.head(false), ['te', 'cookie'])).toEqual(meaning(head, [...changed, ...named]));
    }),
    { numRuns: 6000 },
  );
  expect(accepted).toBeGreaterThan(300);
});

it('a value that no version may carry is not sent over HTTP/2, whatever configured it', () => {
  const headers = new HeaderMap();
  headers.append('x', 'a\r\ny: z');
  const head: RequestHead = {
    ...{ method: 'GET', scheme: 'http', authority: 'a', path: '/', headers },
    ...{ bodySize: 0, upgrade: '', wantsContinue: false, version: 'HTTP/1.1' },
  };
  expect(() => writeRequest(new HpackEncoder(), new ByteBuffer(), head, false)).toThrow(RangeError);
});
