/**
 * Our request parser against Node's strict one, on generated and mutated requests: what Node refuses we refuse, and
 * what both accept is cut into the same messages.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { fromLatin1, latin1 } from './bytes.ts';
import { CodecError } from './error.ts';
import type { RequestHead } from './message.ts';
import { defaultLimits } from './message.ts';
import { RequestParser } from './parser.ts';

interface Outcome {
  messages: string[];
  refused: boolean;
}

/** What we accepted, and how many characters of the text it took. */
interface Accepted {
  messages: string[];
  length: number;
}

function ours(text: string): Accepted {
  let length = 0;
  const messages: string[] = [];
  let head: RequestHead | undefined;
  let body = '';
  const parser = new RequestParser(
    {
      onHead(found) {
        head = found;
        body = '';
      },
      onBody(bytes) {
        body += latin1(bytes, 0, bytes.length);
      },
      onMessageEnd() {
        messages.push(`${head?.method} ${head?.path} ${JSON.stringify(body)}`);
      },
    },
    { ...defaultLimits, acceptHttp10: true },
  );
  const bytes = fromLatin1(text);
  try {
    for (let at = 0; at < bytes.length; ) {
      if (parser.complete) parser.next();
      at = parser.execute(bytes, at);
      if (parser.complete) length = at;
    }
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
  }
  return { messages, length };
}

/** A socket that feeds one text and swallows what is written. */
class Feed extends Duplex {
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }
}

/** Gives the text to Node's server; ends when it was refused, or when it was read and nothing more comes. */
function nodes(server: Server, text: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const messages: string[] = [];
    const feed = new Feed();
    let refused = false;
    const onRequest = (request: IncomingMessage, response: { end(): void }) => {
      let body = '';
      request.setEncoding('latin1').on('data', (part: string) => {
        body += part;
      });
      request.on('end', () => {
        const path = request.url?.replace(/^http:\/\/[^/?]*(?=\/|\?|$)/i, '').replace(/^(?=\?|$)/, '/');
        messages.push(`${request.method} ${path} ${JSON.stringify(body)}`);
        response.end();
      });
      request.on('error', () => undefined);
    };
    const onError = () => {
      refused = true;
      feed.destroy();
    };
    server.on('request', onRequest).on('clientError', onError);
    server.emit('connection', feed);
    feed.push(text, 'latin1');
    // Node's parser runs when the stream is read: a few turns of the loop after which nothing is pending any more.
    let turns = 0;
    const settle = () => {
      if (!refused && turns++ < 6) return setImmediate(settle);
      server.off('request', onRequest).off('clientError', onError);
      feed.on('error', () => undefined).destroy();
      resolve({ messages, refused });
    };
    setImmediate(settle);
  });
}

/** A small deterministic generator: a failure can be repeated. */
function generator(seed: number) {
  let state = seed;
  const next = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const one = <T>(of: readonly T[]): T => of[next(of.length)]!;
  return { next, one };
}

type Random = ReturnType<typeof generator>;

const fields = ['X-A: 1', 'Accept: */*', 'Connection: keep-alive', 'X-Empty:', 'Cookie: a=b; c=d', 'X-High: \xe4\xff'];
const bodies = [
  '',
  'Content-Length: 0|',
  'Content-Length: 5|hello',
  'Content-Length: 7|a\r\n\r\nbc',
  'Transfer-Encoding: chunked|0\r\n\r\n',
  'Transfer-Encoding: chunked|5\r\nhello\r\n0\r\n\r\n',
  'Transfer-Encoding: chunked|A;x=y\r\n0123456789\r\n1\r\nz\r\n0\r\nT: 1\r\n\r\n',
];
const lines = ['GET / ', 'GET /p?q=1 ', 'POST /u ', 'PUT /x ', 'DELETE /d ', 'OPTIONS * ', 'GET http://h/abs '];
const splices = [
  '\r',
  '\n',
  '\r\n',
  ' ',
  '\t',
  '\0',
  ':',
  ';',
  ',',
  '0',
  '\x0b',
  '\x7f',
  '\xa0',
  '\r\n ',
  ' :',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Transfer-Encoding:\tchunked\r\n',
  'transfer-encoding: chunked, identity\r\n',
  'Content-Length: 5, 5\r\n',
  'Content-Length: +5\r\n',
  'Content-Length: 0x5\r\n',
  'Content-Length: 5 \r\n',
  'Host: other\r\n',
  '0\r\n\r\n',
  'f\r\n',
  '-',
  'ffffffffffffffff',
  'HTTP/1.0',
  'HTTP/1.1',
];

function request(random: Random): string {
  const [field = '', body = ''] = random.one(bodies).split('|');
  let text = `${random.one(lines)}HTTP/1.1\r\nHost: h\r\n`;
  for (let i = random.next(3); i > 0; i--) text += `${random.one(fields)}\r\n`;
  return `${text}${field === '' ? '' : `${field}\r\n`}\r\n${body}`;
}

function mutate(text: string, random: Random): string {
  const at = random.next(text.length + 1);
  switch (random.next(4)) {
    case 0:
      return text.slice(0, at) + random.one(splices) + text.slice(at);
    case 1:
      return text.slice(0, at) + text.slice(at + 1 + random.next(3));
    case 2:
      return text.slice(0, at) + String.fromCharCode(random.next(256)) + text.slice(at + 1);
    default: {
      // At a line start, where whole fields belong.
      const line = text.indexOf('\r\n', at);
      return line < 0 ? text : text.slice(0, line + 2) + random.one(splices) + text.slice(line + 2);
    }
  }
}

describe('against Node', () => {
  it('accepts nothing that Node refuses and frames nothing differently', async () => {
    const server = createServer({ insecureHTTPParser: false, requireHostHeader: true });
    const random = generator(20261121);
    let bothAccept = 0;
    const differences: unknown[] = [];
    for (let i = 0; i < 20_000; i++) {
      let text = request(random) + (random.next(3) === 0 ? request(random) : '');
      for (let n = random.next(3); n > 0; n--) text = mutate(text, random);
      const mine = ours(text);
      // What we refuse, or still wait for, needs no second opinion.
      if (mine.length === 0) continue;
      text = text.slice(0, mine.length);
      const theirs = await nodes(server, text);
      const same = theirs.messages.join() === mine.messages.join();
      if (theirs.refused || !same) differences.push({ text, theirs, mine: mine.messages });
      bothAccept++;
    }
    server.close();
    expect(differences.slice(0, 8)).toEqual([]);
    // The comparison must have had something to compare.
    expect(bothAccept).toBeGreaterThan(5000);
  });
});
