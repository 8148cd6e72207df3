/** The application behind the gateway: reports what it received, or sends what is requested. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Backend {
  readonly port: number;
  /** What pages have posted to `/report`. */
  readonly reports: readonly string[];
  stop(): void;
}

/** What `/echo` answers. */
export interface Echoed {
  readonly method: string;
  readonly url: string;
  readonly host: string;
  readonly encoding: string;
  readonly bytes: number;
  readonly sha256: string;
}

const PAGE = `<!doctype html><title>peers</title><link rel="stylesheet" href="/style.css">
<body><p id="said">nothing yet</p><script type="module">
  const body = 'x'.repeat(100_000);
  const echoed = await (await fetch('/echo', { method: 'POST', body })).json();
  const socket = new WebSocket(location.origin.replace('http', 'ws') + '/ws');
  socket.onopen = () => socket.send('over the socket');
  socket.onmessage = ({ data }) => {
    document.querySelector('#said').textContent = data;
    const { color } = getComputedStyle(document.querySelector('#said'));
    const [{ nextHopProtocol }] = performance.getEntriesByType('navigation');
    const report = [echoed.bytes, document.body.innerText.trim(), color, nextHopProtocol];
    fetch('/report', { method: 'POST', body: report.join('|') });
  };
</script>`;

export async function startBackend(): Promise<Backend> {
  const reports: string[] = [];
  const server = createServer({ keepAliveTimeout: 0 }, (request, response) => void serve(request, response, reports));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    reports,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function serve(request: IncomingMessage, response: ServerResponse, reports: string[]): Promise<void> {
  const url = request.url ?? '';
  const hash = createHash('sha256');
  let bytes = 0;
  let body = '';
  for await (const part of request) {
    if (url === '/report') body += part;
    hash.update(part as Buffer);
    bytes += (part as Buffer).length;
  }
  if (url.startsWith('/large')) {
    response.setHeader('content-type', 'application/octet-stream');
    const block = Buffer.alloc(64 * 1024, 'tulle');
    for (let i = 0; i < 64; i++) if (!response.write(block)) await new Promise((on) => response.once('drain', on));
    response.end();
    return;
  }
  if (url === '/report') {
    reports.push(body);
    response.writeHead(204).end();
    return;
  }
  if (url === '/page') return void response.setHeader('content-type', 'text/html').end(PAGE);
  if (url === '/style.css')
    return void response.setHeader('content-type', 'text/css').end('body { color: rgb(1, 2, 3) }');
  if (url === '/favicon.ico') return void response.writeHead(404).end();
  const echoed: Echoed = {
    method: request.method ?? '',
    url,
    host: request.headers.host ?? '',
    encoding: request.headers['transfer-encoding'] ?? '',
    bytes,
    sha256: hash.digest('hex'),
  };
  const text = JSON.stringify(echoed);
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': text.length,
    'X-Mixed-Case': 'Kept',
  });
  response.end(text);
}
