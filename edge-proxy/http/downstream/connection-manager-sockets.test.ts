/** The connection manager on real sockets: Node's HTTP client in front, Node's HTTP server behind. */
import { Agent, createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ClusterLoadAssignment, Cluster as ClusterSchema } from '../../../shared/xds/cluster.ts';
import { currentRuntime } from '../../runtime/index.ts';
import type { Listening } from '../../runtime/runtime.ts';
import type { Cluster } from '../../upstream/cluster.ts';
import { compileCluster } from '../../xds/cluster/compile-cluster.ts';
import type { RequestContext } from '../stream.ts';
import { ConnectionManager } from './connection-manager.ts';

const runtime = currentRuntime();
const finished: RequestContext[] = [];
const agent = new Agent({ keepAlive: true, maxSockets: 8 });
let backend: Server;
let listening: Listening;
let cluster: Cluster & { close(): void };
let manager: ConnectionManager;

beforeAll(async () => {
  backend = createServer((request, response) => {
    let size = 0;
    request.on('data', (part: Buffer) => {
      size += part.length;
    });
    request.on('end', () => {
      const answer = Number(request.headers['x-answer'] ?? 0);
      response.setHeader('x-received', String(size));
      if (answer > 0) response.end(Buffer.alloc(answer, 'y'));
      else response.end('ok');
    });
  });
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  const { port } = backend.address() as AddressInfo;
  cluster = compileCluster(
    ClusterSchema.parse({ name: 'c', type: 'EDS' }),
    ClusterLoadAssignment.parse({
      clusterName: 'c',
      endpoints: [
        { lbEndpoints: [{ endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue: port } } } }] },
      ],
    }),
    {
      tls: () => () => undefined,
      resolve: (host) => runtime.resolve(host),
      now: () => runtime.monotonicMs(),
      random: Math.random,
    },
  );
  manager = new ConnectionManager({
    config: { statPrefix: 't' },
    routes: () => ({
      name: 't',
      match: () => ({
        name: 'r',
        virtualHost: 'v',
        fault: undefined,
        includeAttemptCount: false,
        action: {
          kind: 'forward',
          pick: () => ({ cluster: 'c', editRequest() {}, editResponse() {} }),
          timeoutMs: 15_000,
          perTryMs: 0,
          perTryIdleMs: 0,
          grpc: undefined,
          streamDuration: undefined,
          highPriority: false,
          idleTimeoutMs: undefined,
          retry: undefined,
          mirrors: [],
          rewrite: () => false,
          upgrades: undefined,
        },
      }),
    }),
    filters: [],
    clusters: { get: () => cluster },
    runtime,
    observers: [{ finished: (request) => void finished.push(request) }],
    draining: () => false,
  });
  listening = await runtime.listen({ address: '127.0.0.1', port: 0 }, (connection) =>
    manager.accept(connection, {
      remoteAddress: connection.remoteAddress,
      remotePort: connection.remotePort,
      localAddress: connection.localAddress,
      localPort: connection.localPort,
      secure: false,
      serverName: '',
      peerUris: [],
      peerDns: [],
      peerSubject: '',
    }),
  );
});

afterAll(async () => {
  agent.destroy();
  manager?.drain();
  cluster?.close();
  await listening?.close();
  backend?.closeAllConnections();
  backend?.close();
});

function send(method: string, body: Buffer | undefined, answer: number, chunked = false) {
  return new Promise<{ status: number; size: number; received: number }>((resolve, reject) => {
    const headers: Record<string, string> = { 'x-answer': String(answer) };
    if (body && !chunked) headers['content-length'] = String(body.length);
    const request = httpRequest(
      { host: '127.0.0.1', port: listening.port, method, path: '/', headers, agent },
      (response) => {
        let size = 0;
        response.on('data', (part: Buffer) => {
          size += part.length;
        });
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, size, received: Number(response.headers['x-received']) }),
        );
      },
    );
    request.on('error', reject);
    if (body && chunked) request.write(body.subarray(0, body.length / 2));
    request.end(body && chunked ? body.subarray(body.length / 2) : body);
  });
}

describe('real sockets', () => {
  it.each([0, 1, 4096, 65_537, 5_000_000])('carries bodies of %d bytes both ways', async (size) => {
    const body = size > 0 ? Buffer.alloc(size, 'x') : undefined;
    const expected = { status: 200, size: size || 2, received: size };
    expect(await send(size > 0 ? 'POST' : 'GET', body, size)).toEqual(expected);
    if (body) expect(await send('POST', body, size, true)).toEqual(expected);
  });

  it('serves many requests over few connections and leaks no count', async () => {
    finished.length = 0;
    const answers = await Promise.all(Array.from({ length: 400 }, (_, i) => send('GET', undefined, i % 50)));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(finished).toHaveLength(400);
    expect(cluster.use).toMatchObject({ pending: 0, requests: 0, retries: 0 });
    expect(cluster.use.connections).toBeLessThanOrEqual(8);
    expect(cluster.endpoints()[0]?.active).toBe(0);
    expect(manager.activeRequests).toBe(0);
  });
});
