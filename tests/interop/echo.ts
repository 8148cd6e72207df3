/** The upstream of every comparison: answers with what it was sent; `x-echo-*` request headers say how. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

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
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
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
  // The id differs from one proxy to the other; that there is one is compared.
  const headers = pairs(request.rawHeaders).map(([key, value]) => [key, key === 'x-request-id' ? 'id' : value]);
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
