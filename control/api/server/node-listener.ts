/**
 * From node:http(s) and node:http2 to fetch: bodies stream both ways with backpressure, and a client that disconnects aborts
 * `request.signal`, which ends a watch or a long-poll.
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { ApiEnv } from '../caller.ts';
import { type PushSource, takeSource } from '../push-body.ts';

export type FetchHandler = (request: Request, env: ApiEnv['Bindings']) => Response | Promise<Response>;

/**
 * A listener for `http.createServer` or `https.createServer`.
 * @param bindings the caller's identity from the socket; called once per request. When it throws, the request is refused.
 * @param stop aborts the signals of all requests in progress, as if their clients had disconnected
 */
export function nodeListener(
  fetch: FetchHandler,
  bindings: (message: IncomingMessage) => ApiEnv['Bindings'],
  stop?: AbortSignal,
): RequestListener {
  const open = new Set<AbortController>();
  stop?.addEventListener('abort', () => {
    for (const gone of open) gone.abort();
  });
  return (message, reply) => {
    const gone = new AbortController();
    open.add(gone);
    reply.once('close', () => {
      open.delete(gone);
      if (!reply.writableFinished) gone.abort();
    });
    void answer(fetch, bindings, message, reply, gone).catch(() => reply.destroy());
  };
}

/** Requests whose client waits for `100 Continue` before it sends the body. */
const expecting = new WeakMap<IncomingMessage, ServerResponse>();

/** Serves with a listener; `100 Continue` is sent when a body is first read, so not to a caller that is refused. */
export function serveFetch(server: Server, listener: RequestListener): void {
  server.on('request', listener);
  server.on('checkContinue', (message: IncomingMessage, reply: ServerResponse) => {
    expecting.set(message, reply);
    listener(message, reply);
  });
}

/** Trailers of an answer, sent after its body (HTTP/2). */
const trailersOf = new WeakMap<ServerResponse, Readonly<Record<string, string>>>();

async function answer(
  fetch: FetchHandler,
  bindings: (message: IncomingMessage) => ApiEnv['Bindings'],
  message: IncomingMessage,
  reply: ServerResponse,
  gone: AbortController,
): Promise<void> {
  reply.on('error', () => gone.abort());
  // Before the first wait: the client may disconnect in it.
  const closed = new Promise<void>((resolve) => reply.once('close', () => resolve()));
  const request = toRequest(message, gone.signal);
  if (!request) return plain(reply, 400, 'bad request');
  let response: Response;
  try {
    const onClosed = (listener: () => void) => void closed.then(listener);
    const setTrailers = (fields: Readonly<Record<string, string>>) => void trailersOf.set(reply, fields);
    response = await fetch(request, {
      ...bindings(message),
      headerLines: () => linesOf(message),
      onClosed,
      ...(isHttp2(message) && { setTrailers }),
    });
  } catch {
    // The application logs its errors; clients get no details.
    return plain(reply, 500, 'internal error');
  }
  await send(response, message, reply, gone.signal);
}

function plain(reply: ServerResponse, status: number, text: string): void {
  if (reply.destroyed) return;
  // HTTP/2 has no such field: an end of one request is none of the connection.
  const close = reply.req !== undefined && isHttp2(reply.req) ? {} : { connection: 'close' };
  reply.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
    ...close,
  });
  reply.end(`${text}\n`);
}

const isHttp2 = ({ httpVersionMajor }: IncomingMessage): boolean => httpVersionMajor === 2;

/** Ends an answer whose body is sent, with its trailers. */
function endReply(reply: ServerResponse, last?: Uint8Array): void {
  const trailers = trailersOf.get(reply);
  if (trailers) reply.addTrailers(trailers);
  if (last) reply.end(last);
  else reply.end();
}

/** undefined: not a request that fetch can express (bad Host, not origin-form, CONNECT or TRACE). */
function toRequest(message: IncomingMessage, signal: AbortSignal): Request | undefined {
  const target = message.url ?? '';
  if (!target.startsWith('/')) return undefined;
  const scheme = isHttp2(message) || (message.socket as Partial<TLSSocket>).encrypted ? 'https' : 'http';
  const method = message.method ?? 'GET';
  const body = method === 'GET' || method === 'HEAD' ? undefined : bodyOf(message);
  try {
    const base = new URL(`${scheme}://${message.headers.host ?? message.headers[':authority'] ?? 'localhost'}`);
    if (base.pathname !== '/' || base.search || base.hash || base.username || base.password) return undefined;
    const init: RequestInit & { duplex: 'half' } = { method, headers: headersOf(message), signal, duplex: 'half' };
    if (body) init.body = body;
    return new Request(base.origin + target, init);
  } catch {
    return undefined;
  }
}

function headersOf(message: IncomingMessage): Headers {
  const headers = new Headers();
  const raw = message.rawHeaders;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    // Pseudo-header fields are no header fields.
    if (!name.startsWith(':')) headers.append(name, raw[at + 1] ?? '');
  }
  return headers;
}

function linesOf({ rawHeaders }: IncomingMessage): [string, string][] {
  const lines: [string, string][] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2)
    if (!rawHeaders[at]!.startsWith(':')) lines.push([rawHeaders[at]!.toLowerCase(), rawHeaders[at + 1]!]);
  return lines;
}

/** The body as a web stream with backpressure to the socket. Nothing is taken from the socket for it before its first read. */
function bodyOf(message: IncomingMessage): ReadableStream<Uint8Array> {
  let ended = false;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        message.on('data', (chunk: Uint8Array) => {
          if (ended) return;
          controller.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
          if ((controller.desiredSize ?? 0) <= 0) message.pause();
        });
        const finish = (error?: Error) => {
          if (ended) return;
          ended = true;
          if (error) controller.error(error);
          else controller.close();
        };
        message.once('end', () => finish());
        message.once('error', finish);
        message.once('close', () => finish(message.complete ? undefined : new Error('the client disconnected')));
        message.pause();
      },
      pull() {
        expecting.get(message)?.writeContinue();
        expecting.delete(message);
        message.resume();
      },
      cancel() {
        ended = true;
        // Discards the rest, so that it does not block the response.
        message.resume();
      },
    },
    { highWaterMark: 0 },
  );
}

async function send(
  response: Response,
  message: IncomingMessage,
  reply: ServerResponse,
  gone: AbortSignal,
): Promise<void> {
  if (reply.destroyed) return void (await response.body?.cancel().catch(() => {}));
  const cookies = response.headers.getSetCookie();
  for (const [name, value] of response.headers) if (name !== 'set-cookie') reply.setHeader(name, value);
  if (cookies.length > 0) reply.setHeader('set-cookie', cookies);
  // An unread body must not be parsed as the next request.
  if (!isHttp2(message) && !message.complete && hasBody(message)) reply.setHeader('connection', 'close');
  reply.statusCode = response.status;
  if (!response.body || message.method === 'HEAD') {
    await response.body?.cancel().catch(() => {});
    return endReply(reply);
  }
  const source = takeSource(response.body);
  await (source ? push(source, reply, gone) : sendBody(response.body.getReader(), reply, gone));
}

/** Each chunk is written at once and framed here: node:http's own framing makes three writes. */
async function push({ chunks, cancel }: PushSource, reply: ServerResponse, gone: AbortSignal): Promise<void> {
  // The request's own signal follows `gone` only until the request is garbage-collected.
  if (gone.aborted) return cancel();
  gone.addEventListener('abort', cancel, { once: true });
  reply.flushHeaders();
  try {
    for await (const chunk of chunks) {
      if (gone.aborted) return;
      // Without a socket the response to an earlier request on the connection is still in flight.
      const socket = reply.chunkedEncoding ? reply.socket : null;
      const writable = socket ? socket.write(frame(chunk)) : reply.write(chunk);
      if (!writable) await drained(socket ?? reply, gone);
    }
    if (!gone.aborted) endReply(reply);
  } catch {
    reply.destroy();
  } finally {
    gone.removeEventListener('abort', cancel);
  }
}

/** A chunk of the chunked transfer coding (RFC 9112 section 7.1). */
function frame(chunk: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${chunk.byteLength.toString(16)}\r\n`, 'latin1'), chunk, CRLF]);
}
const CRLF = Buffer.from('\r\n', 'latin1');

type Reader = ReadableStreamDefaultReader<Uint8Array>;
type Chunk = Awaited<ReturnType<Reader['read']>>;

/** Larger bodies are always streamed. Bytes. */
const AT_ONCE = 64 * 1024;

/** A complete body is written together with the head; otherwise the head is written at once. */
async function sendBody(reader: Reader, reply: ServerResponse, gone: AbortSignal): Promise<void> {
  const stop = () => void reader.cancel().catch(() => {});
  if (gone.aborted) return stop();
  gone.addEventListener('abort', stop, { once: true });
  try {
    const chunks: Uint8Array[] = [];
    let size = 0;
    const turn = endOfTurn();
    let next = reader.read();
    while (size < AT_ONCE) {
      const found = await Promise.race([next, turn]);
      if (!found) break;
      if (gone.aborted) return;
      if (found.done) return endReply(reply, chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
      chunks.push(found.value);
      size += found.value.byteLength;
      next = reader.read();
    }
    await stream(chunks, next, reader, reply, gone);
  } catch {
    // The head may already be sent: closing the connection is the only way to signal an incomplete body.
    reply.destroy();
  } finally {
    gone.removeEventListener('abort', stop);
  }
}

/** Resolves after everything that is ready in this turn of the event loop has run. */
const endOfTurn = (): Promise<undefined> => new Promise((resolve) => setImmediate(() => resolve(undefined)));

/** @param first what was read already @param next the read under way */
async function stream(
  first: readonly Uint8Array[],
  next: Promise<Chunk>,
  reader: Reader,
  reply: ServerResponse,
  gone: AbortSignal,
): Promise<void> {
  reply.flushHeaders();
  let writable = true;
  for (const chunk of first) writable = reply.write(chunk);
  for (let reading = next; !gone.aborted; reading = reader.read()) {
    if (!writable) await drained(reply, gone);
    const { done, value } = await reading;
    if (gone.aborted) return;
    if (done) return endReply(reply);
    writable = reply.write(value);
  }
}

const hasBody = (message: IncomingMessage) =>
  message.headers['transfer-encoding'] !== undefined || Number(message.headers['content-length'] ?? 0) > 0;

function drained(reply: Writable, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      reply.off('drain', done);
      gone.removeEventListener('abort', done);
      resolve();
    };
    if (gone.aborted) return resolve();
    reply.on('drain', done);
    gone.addEventListener('abort', done);
  });
}
