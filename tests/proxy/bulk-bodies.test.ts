/** Bodies of very different sizes, one after the other on the same connections: memory that is read into again must not show. */
import { createHash } from 'node:crypto';
import http from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { cluster, hcm, listener } from './bootstrap.ts';

const SIZES = [70_000, 300, 65_536, 100, 20_000, 200_000, 1500, 64, 131_072];
const REQUESTS = 180;
const CONNECTIONS = 8;

/** Every request's own bytes, which differ along their length. */
function bytesOf(seed: string, size: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(size / 32) }, (_, i) =>
    createHash('sha256').update(`${seed} ${i}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, size);
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

async function bodyOf(stream: http.IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

describe.each(RUNTIMES)('bodies on %s', (runtime) => {
  const folder = temporaryFolder();
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const app = http.createServer(UPSTREAM, async (request, response) => {
    const received = await bodyOf(request);
    response.setHeader('x-received', digest(received));
    response.end(bytesOf(`response ${request.url}`, Number(request.headers['x-size'])));
  });
  let proxy: ProxyProcess;
  let port: number;

  beforeAll(async () => {
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), {
      static_resources: {
        listeners: [listener('http', [hcm('app')])],
        clusters: [cluster('app', await listening(app))],
      },
    });
    await proxy.ready();
    port = proxy.ports['http']!;
  });
  afterAll(async () => {
    agent.destroy();
    await proxy?.stop('SIGKILL');
    app.closeAllConnections();
    app.close();
    folder.dispose();
  });

  const post = (path: string, size: number, sent: Buffer) =>
    new Promise<http.IncomingMessage>((resolve, reject) => {
      const headers = { 'x-size': size, 'content-length': sent.length };
      http
        .request({ host: '127.0.0.1', port, path, method: 'POST', agent, headers }, resolve)
        .on('error', reject)
        .end(sent);
    });

  it('arrive whole and unmixed, both ways', async () => {
    let next = 0;
    const client = async () => {
      for (let i = next++; i < REQUESTS; i = next++) {
        const size = SIZES[i % SIZES.length]!;
        const sent = bytesOf(`request ${i}`, SIZES[(i * 5 + 3) % SIZES.length]!);
        const response = await post(`/${i}`, size, sent);
        expect(response.statusCode).toBe(200);
        expect(response.headers['x-received'], `request ${i}`).toBe(digest(sent));
        expect(digest(await bodyOf(response)), `response ${i}`).toBe(digest(bytesOf(`response /${i}`, size)));
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, client));
  });
});
