/** Messages that are well-formed, nearly so, or not at all: pieces put together by a grammar, then mutated. */
import type { Random } from './random.ts';

export type Side = 'request' | 'response';

/** One or more messages on a connection, as Latin-1 text. */
export interface Sample {
  readonly side: Side;
  /** Of the requests that responses answer. */
  readonly method: string;
  readonly text: string;
}

const names = ['X-A', 'Accept', 'cookie', 'X-Empty', 'x_under', 'User-Agent', 'TE', 'Via', 'X-!#$%&*+.^`|~', 'Trailer'];
const values = ['1', '*/*', 'a=b; c=d', '', ' padded\t', '\xe4\xff', '"quo;ted\\""', 'a, b', 'x: y', 'trailers', '\t'];
const connections = [
  'close',
  'keep-alive',
  'Close',
  'upgrade',
  'keep-alive, close',
  'X-A',
  'close,',
  ' , close',
  'closed',
];
const methods = [
  'GET',
  'POST',
  'PUT',
  'HEAD',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'CONNECT',
  'PURGE',
  'M-SEARCH',
  'get',
  'FOO',
];
const targets = [
  '/',
  '/p?q=1',
  '*',
  'http://h/abs',
  'HTTP://h',
  'https://h:8/?x',
  'h:443',
  '/a#b',
  '/%zz',
  '//x',
  '/\xe9',
];
const versions = [
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/2.0',
  'http/1.1',
  'HTTP/1.01',
];
const statuses = [
  '200 OK',
  '200',
  '200 ',
  '204 No Content',
  '304 x',
  '100 Continue',
  '101 x',
  '103 Early Hints',
  '500 \xe9',
  '199 x',
  '999 x',
  '20 x',
  '2000 x',
];
const codings = [
  'chunked',
  'Chunked',
  'gzip, chunked',
  'chunked, identity',
  'identity',
  'chunked\x0b',
  'chunked, chunked',
  'xchunked',
  '',
];
const lengths = ['0', '1', '5', '05', '5, 5', '+5', '-1', '0x5', '5 5', '18446744073709551616', '', '1e1', '5\t'];
const sizes = [
  '0',
  '1',
  '5',
  'A',
  '00a',
  '5;x=y',
  '5;x="q;\\""',
  '5 ',
  ' 5',
  '5;',
  '0x5',
  'g',
  'ffffffffffffffffff',
  '-1',
  '5\t;x',
  '5;x=\x01',
];
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
  '\r\r\n',
  '-',
  '0\r\n\r\n',
  'f\r\n',
];
const lines = [
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Transfer-Encoding:\tchunked\r\n',
  'transfer-encoding: chunked, identity\r\n',
  'Content-Length: 5, 5\r\n',
  'Content-Length: +5\r\n',
  'Content-Length: 5 \r\n',
  'Content-Length\t: 5\r\n',
  'Host: other\r\n',
  'Host : h\r\n',
  ' folded\r\n',
  '\r\n',
  'Transfer-Encoding : chunked\r\n',
  'Connection: close\r\n',
  'Connection: keep-alive\r\n',
  'Connection: upgrade\r\nUpgrade: x\r\n',
  'Upgrade: h2c\r\n',
  'Expect: 100-continue\r\n',
];

function rarely(random: Random): boolean {
  return random.next(8) === 0;
}

function chunks(random: Random): string {
  let out = '';
  for (let i = random.next(3); i > 0; i--) {
    const size = rarely(random) ? random.one(sizes) : String(random.next(6) + 1);
    const bytes = Number.parseInt(size, 16) || 0;
    const data = random.next(16) === 0 ? 'oddsized' : '\r\nG0bytes\xff\r\n'.repeat(2).slice(0, Math.min(bytes, 20));
    out += `${size}\r\n${data}\r\n`;
  }
  out += rarely(random) ? '00\r\n' : '0\r\n';
  for (let i = rarely(random) ? random.next(3) : 0; i > 0; i--)
    out += `${random.one(names)}: ${random.one(values)}\r\n`;
  return `${out}\r\n`;
}

/** The framing fields and the body they announce; now and then they do not fit. */
function framed(random: Random): [fields: string, body: string] {
  switch (random.next(rarely(random) ? 8 : 4)) {
    case 0:
      return ['', ''];
    case 1: {
      const size = random.next(12);
      return [`Content-Length: ${size}\r\n`, 'G /\r\n\r\n01234'.slice(0, size)];
    }
    case 2:
    case 3:
      return ['Transfer-Encoding: chunked\r\n', chunks(random)];
    case 4:
      return [`Content-Length: ${random.one(lengths)}\r\n`, 'hello'];
    case 5:
      return [`Transfer-Encoding: ${random.one(codings)}\r\n`, chunks(random)];
    case 6:
      return [`Content-Length: 5\r\nTransfer-Encoding: ${random.one(codings)}\r\n`, chunks(random)];
    default:
      return ['Content-Length: 5\r\nContent-Length: 5\r\n', 'hello'];
  }
}

function fields(random: Random): string {
  let out = '';
  for (let i = random.next(4); i > 0; i--) {
    const colon = random.one([': ', ':', ':  ', ':\t', ': ', ': ']);
    out += `${random.one(names)}${colon}${random.one(values)}\r\n`;
  }
  if (random.next(4) === 0) out += `Connection: ${random.one(connections)}\r\n`;
  if (random.next(16) === 0) out += 'Upgrade: websocket\r\n';
  if (random.next(64) === 0) out += 'X-Many: 1\r\n'.repeat(random.next(60));
  return out;
}

function message(side: Side, random: Random): string {
  const [framing, body] = framed(random);
  const odd = rarely(random);
  const version = odd ? random.one(versions) : 'HTTP/1.1';
  const host = rarely(random)
    ? random.one(['', 'Host: h:80\r\n', 'host:h\r\n', 'Host: \r\n', 'Host: a b\r\n'])
    : 'Host: h\r\n';
  const start =
    side === 'request'
      ? `${odd ? random.one(methods) : 'POST'} ${rarely(random) ? random.one(targets) : '/p?q'} ${version}\r\n${host}`
      : `${version} ${random.next(3) === 0 ? random.one(statuses) : '200 OK'}\r\n`;
  // Framing fields precede, follow or mix with the other fields.
  const more = fields(random);
  return random.next(2) === 0 ? `${start}${framing}${more}\r\n${body}` : `${start}${more}${framing}\r\n${body}`;
}

function mutate(text: string, random: Random): string {
  const at = random.next(text.length + 1);
  switch (random.next(6)) {
    case 0:
      return text.slice(0, at) + random.one(splices) + text.slice(at);
    case 1:
      return text.slice(0, at) + text.slice(at + 1 + random.next(3));
    case 2:
      return text.slice(0, at) + String.fromCharCode(random.next(256)) + text.slice(at + 1);
    case 3:
      return text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ (1 << random.next(8))) + text.slice(at + 1);
    case 4: {
      // A piece of the text once more, somewhere else.
      const to = random.next(text.length + 1);
      return text.slice(0, to) + text.slice(at, at + random.next(24)) + text.slice(to);
    }
    default: {
      // At the start of a line, where whole fields belong.
      const line = text.indexOf('\r\n', at);
      return line < 0 ? text : text.slice(0, line + 2) + random.one(lines) + text.slice(line + 2);
    }
  }
}

/** The same `random` state gives the same sample. */
export function sample(random: Random): Sample {
  const side: Side = random.next(2) === 0 ? 'request' : 'response';
  let text = '';
  for (let i = random.next(2); i >= 0; i--) text += message(side, random);
  for (let i = random.next(4); i > 0; i--) text = mutate(text, random);
  // XOR past the end gives no character above U+00FF, but guard the promise of the type.
  text = text.replace(/[^\0-\xff]/g, '?');
  const method = side === 'request' || random.next(4) > 0 ? 'GET' : random.one(['HEAD', 'CONNECT']);
  return { side, method, text };
}
