/** Clients of HTTP/2 and of tunnels, on connections of their own. */

import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';

/** What the application of http2-echo.ts saw. */
export interface Seen {
  version: string;
  method: string;
  path: string;
  headers: Record<string, string>;
}

export interface Http2Answer {
  status: number;
  body: string;
}

const LIMIT_MS = 15_000;

async function withSession<T>(
  url: string,
  options: http2.SecureClientSessionOptions,
  use: (session: http2.ClientHttp2Session) => Promise<T>,
): Promise<T> {
  const session = http2.connect(url, options);
  const failed = new Promise<never>((_, reject) => {
    session.on('error', reject);
    session.setTimeout(LIMIT_MS, () => reject(new Error(`no answer within ${LIMIT_MS} ms`)));
  });
  try {
    return await Promise.race([use(session), failed]);
  } finally {
    failed.catch(() => {});
    session.destroy();
  }
}

/** One GET. @param url `http:` with prior knowledge */
export function get2(
  url: string,
  authority: string,
  path = '/',
  options: http2.SecureClientSessionOptions = {},
): Promise<Http2Answer> {
  return withSession(url, options, async (session) => {
    const stream = session.request({ ':authority': authority, ':path': path });
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    let body = '';
    for await (const chunk of stream) body += String(chunk);
    return { status: Number(headers[':status']), body };
  });
}

export interface GrpcAnswer {
  contentType: string | undefined;
  /** In the order in which they came back, each before the next was sent. */
  messages: string[];
  trailers: http2.IncomingHttpHeaders;
}

/** A bidirectional stream: each message is sent when the one before came back. */
export function chat(
  url: string,
  authority: string,
  messages: readonly string[],
  options: http2.SecureClientSessionOptions = {},
): Promise<GrpcAnswer> {
  return withSession(url, options, async (session) => {
    const headers = { ':method': 'POST', ':path': '/greet.Greeter/Chat', ':authority': authority };
    const stream = session.request({ ...headers, 'content-type': 'application/grpc', te: 'trailers' });
    const trailers = once(stream, 'trailers') as Promise<[http2.IncomingHttpHeaders]>;
    trailers.catch(() => {});
    const back: string[] = [];
    let contentType: string | undefined;
    stream.on('response', (response) => (contentType = response['content-type']));
    for (const message of messages) {
      stream.write(message);
      let text = '';
      while (text.length < message.length) text += String(((await once(stream, 'data')) as [Buffer])[0]);
      back.push(text);
    }
    stream.end();
    return { contentType, messages: back, trailers: (await trailers)[0] };
  });
}

/** A WebSocket tunnel over HTTP/1.1. @returns the status, and what came back of `text` */
export function tunnel1(
  host: string,
  port: number,
  path: string,
  headers: Record<string, string>,
  text: string,
): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const upgrade = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'x'.repeat(22),
    };
    const request = http.request({
      host,
      port,
      path,
      headers: { ...headers, ...upgrade },
      agent: false,
      timeout: LIMIT_MS,
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${LIMIT_MS} ms`)));
    request.on('error', reject);
    request.on('response', (response) => {
      resolve([response.statusCode!, '']);
      response.resume();
    });
    request.on('upgrade', (response, socket, first) => {
      let back = first.toString();
      socket.on('error', reject);
      socket.on('data', (bytes: Buffer) => {
        back += String(bytes);
        if (back.length < text.length) return;
        resolve([response.statusCode!, back]);
        socket.destroy();
      });
      socket.write(text);
    });
    request.end();
  });
}

/** A WebSocket tunnel over HTTP/2 (RFC 8441). @returns the status, and what came back of `text` */
export function tunnel2(
  url: string,
  authority: string,
  text: string,
  options: http2.SecureClientSessionOptions = {},
): Promise<[number, string]> {
  return withSession(url, options, async (session) => {
    // The client may not ask before the server has announced it.
    const [settings] = (await once(session, 'remoteSettings')) as [http2.Settings];
    if (!settings.enableConnectProtocol) return [0, 'not announced'];
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':path': '/socket',
      ':authority': authority,
      'sec-websocket-version': '13',
    });
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    if (Number(headers[':status']) !== 200) return [Number(headers[':status']), ''];
    stream.write(text);
    let back = '';
    while (back.length < text.length) back += String(((await once(stream, 'data')) as [Buffer])[0]);
    return [200, back];
  });
}

/** What comes back of bytes that are no HTTP, until the connection ends. */
export async function exchange(host: string, port: number, text: string): Promise<string> {
  const socket = net.connect(port, host);
  socket.setTimeout(LIMIT_MS, () => socket.destroy());
  socket.on('error', () => {});
  socket.write(text);
  let back = '';
  socket.on('data', (bytes) => (back += String(bytes)));
  await once(socket, 'close');
  return back;
}
