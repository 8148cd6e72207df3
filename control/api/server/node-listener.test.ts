import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { pushBody } from '../push-body.ts';
import { type FetchHandler, nodeListener } from './node-listener.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(handler: FetchHandler): Promise<number> {
  server = createServer(nodeListener(handler, (message) => ({ remoteAddress: message.socket.remoteAddress ?? '' })));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function raw(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.end(text);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  return answer;
}

describe('nodeListener', () => {
  it('passes method, URL, headers, body and bindings, and returns status, headers and body', async () => {
    const port = await serve(async (req, env) => {
      const url = new URL(req.url);
      const headers = new Headers({ 'x-path': url.pathname + url.search, 'x-remote': env.remoteAddress ?? '' });
      headers.append('set-cookie', 'a=1');
      headers.append('set-cookie', 'b=2');
      return new Response(`${req.method} ${await req.text()} ${req.headers.get('x-in')}`, { status: 201, headers });
    });
    const answer = await fetch(`http://127.0.0.1:${port}/a%2Fb?c=d`, {
      method: 'PUT',
      body: 'hello',
      headers: { 'x-in': 'yes' },
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('x-path')).toBe('/a%2Fb?c=d');
    expect(answer.headers.get('x-remote')).toBe('127.0.0.1');
    expect(answer.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
    expect(await answer.text()).toBe('PUT hello yes');
  });

  it('reports the end of the exchange, also where the client has disconnected before it was asked for', async () => {
    const ends: string[] = [];
    const left = Promise.withResolvers<void>();
    const port = await serve(async (req, { onClosed }) => {
      if (req.url.endsWith('/late')) {
        await new Promise((aborted) => req.signal.addEventListener('abort', aborted));
        await new Promise(setImmediate);
        onClosed!(() => left.resolve());
        return new Response('unread');
      }
      onClosed!(() => void ends.push('whole'));
      return new Response('answer');
    });
    await raw(port, 'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    await expect.poll(() => ends).toEqual(['whole']);
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /late HTTP/1.1\r\nhost: x\r\n\r\n', () => socket.destroy());
    await left.promise;
  });

  it('reads header lines as they were sent', async () => {
    const port = await serve((_, { headerLines }) =>
      Response.json(headerLines!().filter(([name]) => name.startsWith('x-'))),
    );
    const answer = await raw(port, 'GET / HTTP/1.1\r\nhost: x\r\nX-A: 1, 2\r\nx-a: 3\r\nconnection: close\r\n\r\n');
    expect(answer).toContain('[["x-a","1, 2"],["x-a","3"]]');
  });

  it('sends a complete body with its length, and starts a streamed body at once', async () => {
    const more = Promise.withResolvers<void>();
    const encode = (text: string) => new TextEncoder().encode(text);
    const port = await serve((req) => {
      if (req.url.endsWith('/json')) return Response.json({ a: 'ü' });
      if (req.url.endsWith('/empty')) return new Response('');
      if (req.url.endsWith('/large')) return new Response('x'.repeat(1_000_000));
      return new Response(
        new ReadableStream<Uint8Array>({
          async start(controller) {
            controller.enqueue(encode('first '));
            await more.promise;
            controller.enqueue(encode('second'));
            controller.close();
          },
        }),
      );
    });
    const get = (path: string) => raw(port, `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect(await get('/json')).toMatch(/content-length: 10\r\n[^{]*{"a":"ü"}$/i);
    expect(await get('/empty')).toMatch(/content-length: 0\r\n/i);
    expect(await get('/large')).toContain('x'.repeat(65_536));
    const answer = await fetch(`http://127.0.0.1:${port}/slow`);
    expect(answer.headers.get('transfer-encoding')).toBe('chunked');
    const reader = answer.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('first ');
    more.resolve();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('second');
    expect((await reader.read()).done).toBe(true);
  });

  it('streams both ways: the response begins before the request has ended', async () => {
    const port = await serve((req) => new Response(req.body, { status: 200 }));
    const call = request({ port, host: '127.0.0.1', method: 'POST', headers: { 'transfer-encoding': 'chunked' } });
    call.write('first');
    const [answer] = (await once(call, 'response')) as [IncomingMessage];
    const chunks = answer[Symbol.asyncIterator]();
    expect(String((await chunks.next()).value)).toBe('first');
    call.end('second');
    expect(String((await chunks.next()).value)).toBe('second');
    expect((await chunks.next()).done).toBe(true);
  });

  it('aborts the signal and cancels the body when the client disconnects', async () => {
    const aborted = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<void>();
    const port = await serve((req) => {
      req.signal.addEventListener('abort', () => aborted.resolve());
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode('x')),
        cancel: () => cancelled.resolve(),
      });
      return new Response(body);
    });
    const call = request({ port, host: '127.0.0.1', agent: false });
    call.on('error', () => {});
    call.end();
    const [answer] = (await once(call, 'response')) as [IncomingMessage];
    await once(answer, 'data');
    answer.on('error', () => {});
    call.destroy();
    await aborted.promise;
    await cancelled.promise;
  });

  it('pushes chunks as they come, ends them when the client disconnects, and takes the next request after the last one', async () => {
    const cancelled = Promise.withResolvers<void>();
    const stop = Promise.withResolvers<void>();
    async function* chunks(forEver: boolean) {
      for (const piece of ['one\n', 'two\n']) yield new TextEncoder().encode(piece);
      if (forEver) await stop.promise;
    }
    const cancel = () => {
      stop.resolve();
      cancelled.resolve();
    };
    const port = await serve((req) => new Response(pushBody({ chunks: chunks(req.url.endsWith('/watch')), cancel })));
    const text = await raw(
      port,
      'GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
    );
    expect(text.split('HTTP/1.1 200 OK')).toHaveLength(3);
    expect(text.split('4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n')).toHaveLength(3);
    const call = request({ port, host: '127.0.0.1', agent: false, path: '/watch' }).on('error', () => {});
    call.end();
    const [answer] = (await once(call, 'response')) as [IncomingMessage];
    let seen = '';
    for await (const chunk of answer.on('error', () => {})) if ((seen += chunk) === 'one\ntwo\n') break;
    call.destroy();
    await cancelled.promise;
  });

  it('stops pulling when the client does not read', async () => {
    let pulled = 0;
    const port = await serve(() => {
      const chunk = new Uint8Array(65536);
      return new Response(
        new ReadableStream<Uint8Array>({
          pull(controller) {
            if (pulled++ === 1000) controller.close();
            else controller.enqueue(chunk);
          },
        }),
      );
    });
    const socket = connect(port, '127.0.0.1');
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    // Quiet for twenty turns of the event loop with I/O in between: the producer has stopped.
    let last = -1;
    for (let quiet = 0; quiet < 20; ) {
      await fetch(`http://127.0.0.1:${port}/`, { method: 'HEAD' }).then((answer) => answer.text());
      quiet = pulled - last > 2 ? 0 : quiet + 1;
      last = pulled;
    }
    expect(pulled).toBeLessThan(900);
    let size = 0;
    for await (const chunk of socket) size += (chunk as Buffer).length;
    expect(size).toBeGreaterThan(0);
  });

  it('answers 500 without details when the application throws, and 400 to an invalid request', async () => {
    const port = await serve(() => {
      throw new Error('secret detail');
    });
    const answer = await fetch(`http://127.0.0.1:${port}/`);
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain('secret');
    expect(await raw(port, 'GET http://x/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')).toMatch(/^HTTP\/1.1 400/);
    expect(await raw(port, 'GET / HTTP/1.1\r\nhost: a/b\r\nconnection: close\r\n\r\n')).toMatch(/^HTTP\/1.1 400/);
    expect(await raw(port, 'TRACE / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')).toMatch(/^HTTP\/1.1 400/);
  });
});
