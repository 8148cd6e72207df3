/** The upstream of every comparison: answers with what it was sent; `x-echo-*` request headers say how. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { until } from '../../kit/waiting.ts';

export interface Echo {
  readonly port: number;
  stop(): void;
}

/** @param name tells upstreams apart in their answers */
export async function startEcho(name: string): Promise<Echo> {
  const server = createServer({ maxHeaderSize: 128 * 1024 }, (request, response) => {
    let body = '';
    request.setEncoding('latin1');
    request.on('data', (text) => (body += text));
    request.on('end', () => respond(name, request, response, body));
  });
  server.keepAliveTimeout = 0;
  // Upgrades are granted, but where `x-echo-upgrade` is a status or `never`, and every CONNECT: what comes is sent back,
  // until the peer has sent "bye".
  server.on('upgrade', (request, socket, head) => {
    const refused = request.headers['x-echo-upgrade'];
    socket.on('error', () => socket.destroy());
    if (refused === 'never') return;
    if (refused !== undefined) {
      socket.end(`HTTP/1.1 ${String(refused)} Refused\r\nContent-Length: 2\r\n\r\nno`);
      return;
    }
    const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', `Upgrade: ${request.headers.upgrade}`];
    socket.write(`${lines.join('\r\n')}\r\nX-Target: ${request.url}\r\n\r\n`);
    tunnel(socket, head);
  });
  server.on('connect', (request, socket, head) => {
    socket.write(`HTTP/1.1 200 OK\r\nX-Target: ${request.url}\r\n\r\n`);
    tunnel(socket, head);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** An upstream of mirrored requests: keeps what it is sent until somebody asks for it by its X-Case. */
export interface Shadows extends Echo {
  /**
   * Takes the requests of a case out, sorted; waits for `count` of them, at most some seconds.
   * @returns what came, be it fewer
   */
  take(id: string, count: number): Promise<unknown[]>;
  /** Cases whose requests no endpoint received. */
  left(): string[];
}

export async function startShadows(): Promise<Shadows> {
  const kept = new Map<string, string[]>();
  const server = createServer({ maxHeaderSize: 128 * 1024 }, (request, response) => {
    let body = '';
    request.setEncoding('latin1');
    request.on('data', (text) => (body += text));
    const keep = () => {
      const headers = pairs(request.rawHeaders).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      const { method, url: target, rawTrailers } = request;
      const id = String(request.headers['x-case']);
      const text = JSON.stringify({ method, target, headers, body, trailers: pairs(rawTrailers) });
      kept.set(id, [...(kept.get(id) ?? []), text].sort());
      setTimeout(() => response.end(), Number(request.headers['x-shadow-delay'] ?? 0));
    };
    request.on('end', keep);
    request.on('error', () => {});
  });
  server.keepAliveTimeout = 0;
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    take: async (id, count) => {
      await until(`${count} requests of ${id}`, () => (kept.get(id)?.length ?? 0) >= count, 4000).catch(() => {});
      const found = kept.get(id) ?? [];
      kept.delete(id);
      return found.map((text) => JSON.parse(text) as unknown);
    },
    left: () => [...kept.keys()],
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Sends back what it gets, without HTTP. */
export function startBytes(): Promise<Echo> {
  return startTcp((socket) => tunnel(socket, Buffer.alloc(0)));
}

/** Answers a request without a body by exactly the bytes in its x-echo-raw (base64), then ends if x-echo-raw-end is set. */
export function startRaw(): Promise<Echo> {
  return startTcp((socket) => {
    let text = '';
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      const value = (name: string) => new RegExp(`^${name}: *(.*?)\r$`, 'im').exec(text.slice(0, end + 1))?.[1];
      socket.write(Buffer.from(value('x-echo-raw') ?? '', 'base64'));
      if (value('x-echo-raw-end')) socket.end();
      text = '';
    });
    socket.on('end', () => socket.end());
  });
}

async function startTcp(serve: (socket: Socket) => void): Promise<Echo> {
  const open = new Set<Socket>();
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket.on('close', () => open.delete(socket)));
    serve(socket);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const stop = () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, stop };
}

function tunnel(socket: Duplex, head: Buffer): void {
  let all = '';
  const onData = (bytes: Buffer) => {
    all += bytes.toString('latin1');
    socket.write(bytes);
    if (all.endsWith('bye')) socket.end();
  };
  socket.on('error', () => socket.destroy());
  if (head.length > 0) onData(head);
  socket.on('data', onData);
}

function respond(name: string, request: IncomingMessage, response: ServerResponse, body: string): void {
  const how = (key: string) => request.headers[`x-echo-${key}`] as string | undefined;
  const attempt = Number(request.headers['x-envoy-attempt-count'] ?? 1);
  const failing = attempt <= Number(how('fail') ?? 0);
  if (how('reset') && attempt <= Number(how('reset'))) {
    request.socket.destroy();
    return;
  }
  const status = failing
    ? Number(how('status') ?? 503)
    : Number(failing || !how('fail') ? (how('status') ?? 200) : 200);
  const headers = pairs(request.rawHeaders);
  headers.sort(([a], [b]) => (a! < b! ? -1 : a! > b! ? 1 : 0));
  const text = JSON.stringify({
    upstream: name,
    method: request.method,
    target: request.url,
    headers,
    body,
    trailers: pairs(request.rawTrailers),
  });
  response.sendDate = false;
  const extra = how('headers');
  const lines: [string, string][] = [['content-type', 'application/json']];
  for (const pair of extra ? extra.split('|') : []) {
    const [key, ...rest] = pair.split('=');
    lines.push([key!, rest.join('=')]);
  }
  const bodiless = status === 204 || status === 304;
  if (!how('chunked') && !bodiless) lines.push(['content-length', String(Buffer.byteLength(text))]);
  if (how('trailer')) lines.push(['trailer', 'x-end']);
  setTimeout(
    () => {
      response.writeHead(status, lines.flat());
      if (how('trailer')) response.addTrailers({ 'x-end': 'yes' });
      response.end(bodiless ? undefined : text);
    },
    Number(how('delay') ?? 0),
  );
}

function pairs(raw: readonly string[]): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i]!.toLowerCase(), raw[2 * i + 1]!]);
}
