import { describe, expect, it } from 'vitest';
import { ResponseReader } from './response-reader.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
function read(text: string, step: number, max = 1000) {
  const reader = new ResponseReader(max);
  let done = false;
  for (let at = 0; at < text.length && !done; at += step) done = reader.push(bytes(text.slice(at, at + step)));
  return { reader, done, body: new TextDecoder().decode(reader.body()) };
}

describe('ResponseReader', () => {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nt: 1\r\n\r\n';
  const fixed = 'HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}';

  it.each([1, 2, 3, 7, 1000])('reads fixed and chunked bodies in pieces of %i', (step) => {
    expect(read(chunked, step)).toMatchObject({ done: true, body: 'hello!', reader: { status: 200, reusable: true } });
    expect(read(fixed, step)).toMatchObject({ done: true, body: '{}', reader: { status: 201, reusable: false } });
  });

  it('skips interim answers, ends bodies without length at the close, and 204 at once', () => {
    expect(read(`HTTP/1.1 100 Continue\r\n\r\n${fixed}`, 9)).toMatchObject({ done: true, body: '{}' });
    const open = read('HTTP/1.1 200 OK\r\n\r\nabc', 2);
    expect(open.done).toBe(false);
    expect(open.reader.end()).toBe(true);
    expect(read('HTTP/1.1 204 No Content\r\n\r\n', 4).done).toBe(true);
  });

  it('does not take a short body for a whole one', () => {
    const short = read('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab', 50);
    expect(short.done).toBe(false);
    expect(short.reader.end()).toBe(false);
  });

  it.each([
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n'],
    ['repeated length', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n'],
    ['bad length', 'HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n'],
    ['bad chunk size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
    ['bare line feed', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\n'],
    ['unknown coding', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n'],
    ['no HTTP', 'SSH-2.0-x\r\n\r\n\r\n'],
    ['too large', 'HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n'],
    ['too large in chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfff\r\n'],
    ['space before colon', 'HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\n'],
  ])('refuses %s', (_, text) => expect(() => read(text, 1000)).toThrow());
});
