/**
 * From node:http(s) to fetch: bodies stream both ways with backpressure, and a client that goes away aborts
 * `request.signal`, which is what frees a watch or a long-poll.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { ApiEnv } from '../caller.ts';

export type FetchHandler = (request: Request, env: ApiEnv['Bindings']) => Response | Promise<Response>;

/**
 * A listener for `http.createServer` or `https.createServer`.
 * @param bindings what the socket tells of the caller; asked once per request. When it throws, the request is refused.
 */
export function nodeListener(
  fetch: FetchHandler,
  bindings: (message: IncomingMessage) => ApiEnv['Bindings'],
): RequestListener {
  return (message, reply) => {
    void answer(fetch, bindings, message, reply).catch(() => reply.destroy());
  };
}

async function answer(
  fetch: FetchHandler,
  bindings: (message: IncomingMessage) => ApiEnv['Bindings'],
  message: IncomingMessage,
  reply: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  reply.once('close', () => {
    if (!reply.writableFinished) gone.abort();
  });
  reply.on('error', () => gone.abort());
  const request = toRequest(message, gone.signal);
  if (!request) return plain(reply, 400, 'bad request');
  let response: Response;
  try {
    response = await fetch(request, bindings(message));
  } catch {
    // What went wrong is the application's to log; a stranger learns nothing from it.
    return plain(reply, 500, 'internal error');
  }
  await send(response, message, reply, gone.signal);
}

function plain(reply: ServerResponse, status: number, text: string): void {
  if (reply.destroyed) return;
  reply.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
  reply.end(`${text}\n`);
}

/** undefined: not a request that fetch can express (bad Host, not origin-form, CONNECT or TRACE). */
function toRequest(message: IncomingMessage, signal: AbortSignal): Request | undefined {
  const target = message.url ?? '';
  if (!target.startsWith('/')) return undefined;
  const scheme = (message.socket as Partial<TLSSocket>).encrypted ? 'https' : 'http';
  const method = message.method ?? 'GET';
  const body = method === 'GET' || method === 'HEAD' ? undefined : bodyOf(message);
  try {
    const base = new URL(`${scheme}://${message.headers.host ?? 'localhost'}`);
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
  for (let at = 0; at + 1 < raw.length; at += 2) headers.append(raw[at] ?? '', raw[at + 1] ?? '');
  return headers;
}

/** The body as a web stream that reads from the socket only as fast as it is itself read. */
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
        message.once('close', () => finish(message.complete ? undefined : new Error('the client went away')));
        message.pause();
      },
      pull() {
        message.resume();
      },
      cancel() {
        ended = true;
        // The rest is dropped, so that the response is not stuck behind it.
        message.resume();
      },
    },
    { highWaterMark: 1 },
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
  // A body nobody read must not be taken for the next request.
  if (!message.complete && hasBody(message)) reply.setHeader('connection', 'close');
  reply.writeHead(response.status);
  if (!response.body || message.method === 'HEAD') {
    await response.body?.cancel().catch(() => {});
    reply.end();
    return;
  }
  reply.flushHeaders();
  await pipe(response.body, reply, gone);
}

const hasBody = (message: IncomingMessage) =>
  message.headers['transfer-encoding'] !== undefined || Number(message.headers['content-length'] ?? 0) > 0;

async function pipe(body: ReadableStream<Uint8Array>, reply: ServerResponse, gone: AbortSignal): Promise<void> {
  const reader = body.getReader();
  const stop = () => void reader.cancel().catch(() => {});
  if (gone.aborted) return stop();
  gone.addEventListener('abort', stop, { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || gone.aborted) break;
      if (!reply.write(value)) await drained(reply, gone);
    }
    if (!gone.aborted) reply.end();
  } catch {
    // The head is out: cutting the connection is the only way to say that the body is not whole.
    reply.destroy();
  } finally {
    gone.removeEventListener('abort', stop);
  }
}

function drained(reply: ServerResponse, gone: AbortSignal): Promise<void> {
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
