/** A client that sends exactly the bytes it is given and reads HTTP/1.1 responses. */
import { connect } from 'node:net';

export interface RawResponse {
  readonly status: number;
  /** Lower-case name, value; sorted by name, repeated names in their order. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

/** What came back on one connection. */
export interface Answer {
  readonly responses: readonly RawResponse[];
  /** closed: the proxy ended the connection; open: it was still open after the last expected response. */
  readonly end: 'closed' | 'open';
}

const LIMIT_MS = 20_000;

/**
 * @param methods of the requests sent, in order: a response to HEAD has no body, one to UPGRADE (a 101) or CONNECT (a
 * 2xx) is followed by a tunnel up to the end of the connection. Other 1xx responses do not count.
 * @param halfCloses the client ends its side behind the last byte
 */
export function exchange(port: number, bytes: string, methods: readonly string[], halfCloses = false): Promise<Answer> {
  return new Promise((done, fail) => {
    const socket = connect(port, '127.0.0.1');
    let received = '';
    const finish = (closed: boolean) => {
      const { responses, finals } = parse(received, methods, closed);
      if (!closed && finals < methods.length) return;
      clearTimeout(timer);
      socket.destroy();
      done({ responses, end: closed ? 'closed' : 'open' });
    };
    const timer = setTimeout(() => {
      socket.destroy();
      fail(new Error(`no whole answer within ${LIMIT_MS} ms; got ${JSON.stringify(received)}`));
    }, LIMIT_MS);
    socket.setEncoding('latin1');
    socket.on('connect', () => {
      socket.write(bytes, 'latin1');
      if (halfCloses) socket.end();
    });
    socket.on('data', (text) => {
      received += text;
      finish(false);
    });
    socket.on('error', () => finish(true));
    socket.on('close', () => finish(true));
  });
}

function parse(text: string, methods: readonly string[], closed: boolean) {
  const responses: RawResponse[] = [];
  let finals = 0;
  let rest = text;
  while (rest !== '' && finals < methods.length) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) break;
    const [line, ...fields] = rest.slice(0, end).split('\r\n');
    const status = Number(line!.split(' ')[1]);
    const headers = fields.map((field) => {
      const colon = field.indexOf(':');
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()] as const;
    });
    const found = body(rest.slice(end + 4), status, methods[finals]!, headers, closed);
    if (!found) break;
    rest = rest.slice(end + 4 + found.used);
    if (status >= 200 || (status === 101 && methods[finals] === 'UPGRADE')) finals++;
    responses.push({ status, headers: headers.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)), body: found.body });
  }
  return { responses, finals };
}

/** @returns undefined while the body is not complete; trailers are appended to a chunked body */
function body(
  text: string,
  status: number,
  method: string,
  headers: readonly (readonly [string, string])[],
  closed: boolean,
): { body: string; used: number } | undefined {
  const value = (name: string) => headers.find(([key]) => key === name)?.[1];
  const tunnel = (method === 'UPGRADE' && status === 101) || (method === 'CONNECT' && status < 300 && status >= 200);
  if (tunnel) return closed ? { body: text, used: text.length } : undefined;
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return { body: '', used: 0 };
  if (value('transfer-encoding') === 'chunked') return chunked(text);
  const length = value('content-length');
  if (length === undefined) return closed ? { body: text, used: text.length } : undefined;
  return text.length >= Number(length) ? { body: text.slice(0, Number(length)), used: Number(length) } : undefined;
}

function chunked(text: string): { body: string; used: number } | undefined {
  let at = 0;
  let out = '';
  for (;;) {
    const line = text.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = Number.parseInt(text.slice(at, line), 16);
    at = line + 2;
    if (size === 0) break;
    if (text.length < at + size + 2) return undefined;
    out += text.slice(at, at + size);
    at += size + 2;
  }
  if (text.startsWith('\r\n', at)) return { body: out, used: at + 2 };
  const end = text.indexOf('\r\n\r\n', at);
  return end < 0 ? undefined : { body: `${out}\n[trailers]\n${text.slice(at, end)}`, used: end + 4 };
}
