/** How many writes connections make: one for each batch of bytes that was read. */
import { expect, it } from 'vitest';
import type { Cluster, Endpoint } from '../../upstream/cluster.ts';
import { http1 } from '../codec/h1/upstream-connection.ts';
import type { HttpFilter } from '../filters/hooks.ts';
import type { DownstreamInfo } from '../request/request-context.ts';
import type { RouteEntry } from '../routing/route-table.ts';
import { type MemoryConnection, MemoryRuntime, memoryPair, Wire } from '../testing/memory-network.ts';
import { ConnectionManager } from './connection-manager.ts';

const downstream = {
  remoteAddress: '10.1.1.1',
  peerUris: [],
  peerDns: [],
  peerSubject: '',
} as unknown as DownstreamInfo;

const direct: RouteEntry = {
  name: 'r',
  virtualHost: 'v',
  includeAttemptCount: false,
  action: { kind: 'direct', status: 200, body: 'direct body', editResponse() {} },
};

const endpoint = {
  id: '10.0.0.9:1',
  address: '10.0.0.9',
  port: 1,
  hostname: '',
  tls: () => undefined,
  active: 0,
} as unknown as Endpoint;

const cluster = {
  name: 'c',
  protocols: { forHttp1: http1, forHttp2: http1 },
  connectTimeoutMs: 1000,
  limits: { maxConnections: 10, maxPendingRequests: 10, maxRequests: 10, maxRetries: 3 },
  maxRequestsPerConnection: 0,
  idleTimeoutMs: 0,
  use: { connections: 0, pending: 0, requests: 0, retries: 0 },
  pick: () => endpoint,
  report() {},
  endpoints: () => [endpoint],
} as unknown as Cluster;

const forward: RouteEntry = {
  ...direct,
  action: {
    kind: 'forward',
    pick: () => ({ cluster: 'c', editRequest() {}, editResponse() {} }),
    timeoutMs: 0,
    perAttemptMs: 0,
    perAttemptIdleMs: 0,
    grpc: undefined,
    streamDuration: undefined,
    highPriority: false,
    idleTimeoutMs: undefined,
    retry: undefined,
    mirrors: [],
    rewrite: () => false,
    upgrades: undefined,
  },
};

/** Counts the writes of one end of a connection. */
function counted(connection: MemoryConnection): { writes: number } {
  const count = { writes: 0 };
  // A memory connection's writeBoth calls the other two.
  let inside = false;
  for (const name of ['write', 'writeLatin1', 'writeBoth'] as const) {
    const original = connection[name].bind(connection) as (...args: unknown[]) => boolean;
    const write = (...args: unknown[]) => {
      if (inside) return original(...args);
      count.writes++;
      inside = true;
      const room = original(...args);
      inside = false;
      return room;
    };
    Object.assign(connection, { [name]: write });
  }
  return count;
}

function setup(route: RouteEntry, filters: HttpFilter[] = []) {
  const runtime = new MemoryRuntime();
  const manager = new ConnectionManager({
    config: { statPrefix: 't', generateRequestId: false },
    routes: () => ({ name: 't', match: () => route }),
    filters,
    clusters: { get: () => cluster },
    runtime,
    observers: [],
    draining: () => false,
  });
  const [near, far] = memoryPair();
  const client = new Wire(near);
  const sent = counted(far);
  manager.accept(far, downstream);
  return { runtime, client, sent };
}

const get = 'GET / HTTP/1.1\r\nHost: h\r\n\r\n';
const times = (text: string, part: string) => text.split(part).length - 1;

it('answers a batch of pipelined requests in one write, bodies included', async () => {
  const { client, sent } = setup(direct);
  client.send(get.repeat(5));
  await client.until(() => times(client.text, 'direct body') === 5);
  expect(sent.writes).toBe(1);
});

it('writes what a promise leads to without being asked, in one write', async () => {
  const { client, sent } = setup(direct, [{ name: 'later', onRequestHead: () => Promise.resolve(undefined) }]);
  client.send(get);
  await client.until(() => client.text.includes('direct body'));
  expect(sent.writes).toBe(1);
});

it('passes head and body on in one write, either way', async () => {
  const { runtime, client, sent } = setup(forward);
  let upstream: { writes: number } | undefined;
  const connect = runtime.connect.bind(runtime);
  runtime.connect = (...args) => {
    const connection = connect(...args) as MemoryConnection;
    upstream = counted(connection);
    return connection;
  };
  const accepted = new Promise<Wire>((resolve) => {
    void runtime.listen({ address: '10.0.0.9', port: 1 }, (connection) => resolve(new Wire(connection)));
  });
  const post = 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody';
  client.send(get);
  const server = await accepted;
  await server.saw('\r\n\r\n');
  server.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi');
  await client.saw('hi');
  expect([upstream!.writes, sent.writes]).toEqual([1, 1]);
  client.send(post);
  await server.saw('body');
  server.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n0\r\n\r\n');
  await client.saw('0\r\n\r\n');
  expect([upstream!.writes, sent.writes]).toEqual([2, 2]);
});

it('passes a hundred thousand chunks of one byte on as few, either way', async () => {
  const { runtime, client, sent } = setup(forward);
  let upstream: { writes: number } | undefined;
  const connect = runtime.connect.bind(runtime);
  runtime.connect = (...args) => {
    const connection = connect(...args) as MemoryConnection;
    upstream = counted(connection);
    return connection;
  };
  const accepted = new Promise<Wire>((resolve) => {
    void runtime.listen({ address: '10.0.0.9', port: 1 }, (connection) => resolve(new Wire(connection)));
  });
  const count = 100_000;
  const chunks = `${'1\r\nx\r\n'.repeat(count)}0\r\n\r\n`;
  const few = count / 10_000 + 2;
  const received = (text: string) => text.slice(text.indexOf('\r\n\r\n') + 4);
  client.send(`POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`);
  const server = await accepted;
  await server.saw('0\r\n\r\n');
  expect(times(received(server.text), 'x')).toBe(count);
  expect(times(received(server.text), '\r\n') / 2).toBeLessThan(few);
  server.send(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`);
  await client.saw('0\r\n\r\n');
  expect(times(received(client.text), 'x')).toBe(count);
  expect(times(received(client.text), '\r\n') / 2).toBeLessThan(few);
  // A piece that is joined goes out by itself, with its framing.
  expect(upstream!.writes).toBeLessThan(few);
  expect(sent.writes).toBeLessThan(few);
});
