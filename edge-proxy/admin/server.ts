/**
 * Serves the admin endpoints over HTTP/1.1 on the runtime's sockets with the proxy's own codec, so that it is the same
 * everywhere. One request per connection: who asks here are probes and people.
 */

import { defaultLimits } from '../http/codec/h1/head.ts';
import { RequestParser } from '../http/codec/h1/parser.ts';
import type { RequestHead } from '../http/message/message.ts';
import type { Connection, Listening, Runtime } from '../runtime/runtime.ts';
import type { Admin } from './admin.ts';
import { acceptsGzip, gzip } from './compression.ts';

const MAX_CONNECTIONS = 64;
/** From accept to the whole request, and again for the client to take the answer once it is there. */
const PATIENCE_MS = 10_000;
const MAX_BODY_BYTES = 64 * 1024;

/**
 * @param statsCompression metrics are compressed for clients that accept it
 * @throws ListenError when the address cannot be bound
 */
export function serveAdmin(
  runtime: Runtime,
  address: string,
  port: number,
  admin: Admin,
  statsCompression: boolean,
): Promise<Listening> {
  let open = 0;
  return runtime.listen({ address, port }, (connection) => {
    if (open >= MAX_CONNECTIONS) return connection.destroy();
    open++;
    converse(connection, { admin, statsCompression }, () => open--);
  });
}

interface Served {
  readonly admin: Admin;
  readonly statsCompression: boolean;
}

function converse(connection: Connection, served: Served, closed: () => void): void {
  let body = 0;
  let head: RequestHead | undefined;
  let timer = setTimeout(() => connection.destroy(), PATIENCE_MS);
  let isOpen = true;
  const answer = () => {
    clearTimeout(timer);
    void respond(connection, served, head!).then(() => {
      if (isOpen) timer = setTimeout(() => connection.destroy(), PATIENCE_MS);
    });
  };
  const parser = new RequestParser(
    {
      onHead(received, end) {
        head = received;
        if (end) answer();
      },
      onBody(bytes, end) {
        if ((body += bytes.length) > MAX_BODY_BYTES) connection.destroy();
        else if (end) answer();
      },
      onTrailers: answer,
    },
    { ...defaultLimits, acceptHttp10: true, defaultHost: 'admin' },
  );
  connection.handler = {
    onData(bytes) {
      if (parser.complete) return; // one request per connection: what follows is not read
      try {
        parser.execute(bytes, 0);
      } catch {
        send(connection, 400, 'text/plain', 'bad request\n', false);
      }
    },
    onDrain() {},
    onEnd() {
      if (!parser.complete) connection.destroy();
    },
    onClose() {
      isOpen = false;
      clearTimeout(timer);
      closed();
    },
  };
}

async function respond(connection: Connection, { admin, statsCompression }: Served, head: RequestHead): Promise<void> {
  try {
    // HEAD is answered as GET without the body.
    const method = head.method === 'HEAD' ? 'GET' : head.method;
    const path = head.path.split('?', 1)[0]!;
    if (!isLoopback(connection.remoteAddress) && !PUBLIC.has(path)) {
      send(connection, 403, 'text/plain', 'only for clients on this machine\n', false);
      return;
    }
    // A web page that the user of this machine looks at may not act here.
    if (head.headers.get('origin') !== undefined || head.headers.get('sec-fetch-site') !== undefined) {
      send(connection, 403, 'text/plain', 'not for browsers\n', false);
      return;
    }
    const response = await admin(new Request(`http://admin${head.path}`, { method }));
    const type = response.headers.get('content-type') ?? 'text/plain';
    const text = await response.text();
    const compresses = statsCompression && COMPRESSED.has(path);
    const compressed = compresses && response.status === 200 && acceptsGzip(head.headers.joined('accept-encoding'));
    send(connection, response.status, type, compressed ? await gzip(text) : text, head.method === 'HEAD', [
      ...(compresses ? ['vary: accept-encoding\r\n'] : []),
      ...(compressed ? ['content-encoding: gzip\r\n'] : []),
    ]);
  } catch {
    // Methods such as TRACE, paths that are no URL: what cannot become a Request is not for this server.
    send(connection, 400, 'text/plain', 'bad request\n', false);
  }
}

/** What probes and scrapers of other machines may read when the admin address is not loopback. */
const PUBLIC = new Set(['/ready', '/healthz/ready', '/live', '/metrics', '/stats/prometheus']);

/** What scrapers read. */
const COMPRESSED = new Set(['/metrics', '/stats', '/stats/prometheus']);

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.');

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** @param fields further lines of the head */
function send(
  connection: Connection,
  status: number,
  type: string,
  body: string | Uint8Array,
  headOnly: boolean,
  fields: readonly string[] = [],
): void {
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
  const head =
    `HTTP/1.1 ${status} ${REASONS[status] ?? 'Unknown'}\r\ncontent-type: ${type}\r\ncontent-length: ${bytes.length}\r\n` +
    `${fields.join('')}x-content-type-options: nosniff\r\nconnection: close\r\n\r\n`;
  connection.writeLatin1(head);
  if (!headOnly) connection.write(bytes);
  connection.end();
}
