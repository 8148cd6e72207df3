/** The pool with connections that carry several streams, and with clusters that follow the client's protocol. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { UpstreamConnection, UpstreamConnectionOwner, UpstreamProtocol } from '../http/codec/codecs.ts';
import { http1 } from '../http/codec/h1/upstream-connection.ts';
import type { ResponseHead } from '../http/message/message.ts';
import type { ResponseSink, StreamReset, UpstreamStream } from '../http/message/stream.ts';
import { makeCluster } from '../http/testing/manager.ts';
import { MemoryRuntime } from '../http/testing/memory-network.ts';
import type { Connection } from '../runtime/runtime.ts';
import type { Cluster } from './cluster.ts';
import { type StreamClient, type StreamKind, UpstreamPool } from './upstream-pool.ts';

/** A connection whose number of streams the test decides. */
class Multiplexed implements UpstreamConnection {
  maxStreams: number;
  streams = 0;
  drained = false;
  closed = false;
  readonly sinks: ResponseSink[] = [];
  readonly connection: Connection;
  private readonly owner: UpstreamConnectionOwner;

  constructor(connection: Connection, owner: UpstreamConnectionOwner, maxStreams: number) {
    this.connection = connection;
    this.owner = owner;
    this.maxStreams = maxStreams;
  }

  open(sink: ResponseSink): UpstreamStream {
    this.streams++;
    this.sinks.push(sink);
    const ignore = () => undefined;
    const writes = { head: ignore, data: () => true, trailers: ignore, reset: () => this.endStream() };
    return { ...writes, pause: ignore, resume: ignore, addresses: this.connection };
  }

  /** The oldest stream ends. */
  endStream(): void {
    this.sinks.shift();
    this.streams--;
    if (this.drained && this.streams === 0) this.destroy();
    else this.owner.onCapacity();
  }

  /** SETTINGS_MAX_CONCURRENT_STREAMS, or with 0 a GOAWAY. */
  allow(maxStreams: number): void {
    this.maxStreams = maxStreams;
    this.owner.onCapacity();
  }

  drain(): void {
    this.drained = true;
    this.maxStreams = 0;
    if (this.streams === 0) this.destroy();
  }

  destroy(): void {
    if (this.closed) return;
    this.closed = true;
    this.connection.destroy();
    this.owner.onClosed();
  }
}

class Client implements StreamClient {
  stream: UpstreamStream | undefined;
  reset: StreamReset | undefined;

  onStream(stream: UpstreamStream): void {
    this.stream = stream;
  }
  onHead(_head: ResponseHead): void {}
  onInterim(): void {}
  onData(): void {}
  onTrailers(): void {}
  onWritable(): void {}
  onReset(reset: StreamReset): void {
    this.reset = reset;
  }
  onInternalError(): void {}
}

let runtime: MemoryRuntime;
let pool: UpstreamPool;
let connections: Multiplexed[];

const settled = () => new Promise((done) => setImmediate(done));

beforeEach(async () => {
  runtime = new MemoryRuntime();
  pool = new UpstreamPool(runtime);
  connections = [];
  await runtime.listen({ address: '10.0.0.9', port: 1 }, () => undefined);
});

afterEach(() => {
  vi.useRealTimers();
});

/** @param opensWith streams that a new connection carries @param expected what the protocol expects of one */
function multiplexed(opensWith: number, expected = 100): UpstreamProtocol {
  return {
    name: 'http2',
    expectedStreams: expected,
    connect(connection, owner) {
      const made = new Multiplexed(connection, owner, opensWith);
      connections.push(made);
      return made;
    },
  };
}

function clusterOf(protocol: UpstreamProtocol, over: Partial<Cluster> = {}): Cluster {
  const limits = { maxConnections: 100, maxPendingRequests: 100, maxRequests: 1000, maxRetries: 3 };
  return { ...makeCluster([1]), protocols: { forHttp1: http1, forHttp2: protocol }, limits, ...over };
}

function open(cluster: Cluster, count: number, kind: StreamKind = 'HTTP/2'): Client[] {
  const [endpoint] = cluster.endpoints();
  return Array.from({ length: count }, () => {
    const client = new Client();
    pool.open(cluster, endpoint!, client, kind);
    return client;
  });
}

const served = (clients: Client[]) => clients.filter(({ stream }) => stream !== undefined).length;

it('dials once for as many requests as a connection is expected to carry', async () => {
  const cluster = clusterOf(multiplexed(100));
  const clients = open(cluster, 100);
  expect(runtime.dialled).toHaveLength(1);
  expect(open(cluster, 1)[0]!.reset?.reason).toBe('overflow');
  await settled();
  expect(served(clients)).toBe(100);
  expect(connections[0]!.streams).toBe(100);
});

it('dials again where a connection carries fewer streams than were expected, and expects no more of the next', async () => {
  const cluster = clusterOf(multiplexed(2));
  const clients = open(cluster, 5);
  expect(runtime.dialled).toHaveLength(1);
  await settled();
  expect(served(clients)).toBe(5);
  expect(connections.map(({ streams }) => streams)).toEqual([2, 2, 1]);
  open(cluster, 1);
  expect(runtime.dialled).toHaveLength(3);
});

it('opens no stream above what the peer allows, and serves those that wait as streams end', async () => {
  const cluster = clusterOf(multiplexed(2), {
    limits: { ...clusterOf(http1).limits, maxConnections: 1 },
  });
  const clients = open(cluster, 4);
  await settled();
  expect([served(clients), cluster.use.pending]).toEqual([2, 2]);
  const [connection] = connections;
  connection!.allow(3);
  expect(served(clients)).toBe(3);
  connection!.endStream();
  expect([served(clients), connection!.streams, cluster.use.pending]).toEqual([4, 3, 0]);
});

it('dials another connection after a GOAWAY; streams under way complete', async () => {
  const cluster = clusterOf(multiplexed(10));
  open(cluster, 1);
  await settled();
  connections[0]!.allow(0);
  const [next] = open(cluster, 1);
  await settled();
  expect(connections.map(({ streams }) => streams)).toEqual([1, 1]);
  expect(next!.stream).toBeDefined();
  expect(connections[0]!.closed).toBe(false);
});

it('a peer that closes what it accepts is not dialled in a loop: the requests that waited for it fail', async () => {
  const cluster = clusterOf(multiplexed(0));
  const clients = open(cluster, 3);
  await settled();
  expect(runtime.dialled).toHaveLength(1);
  connections[0]!.destroy();
  await settled();
  expect(clients.map(({ reset }) => reset?.reason)).toEqual(Array(3).fill('remote_connection_failure'));
  expect(runtime.dialled).toHaveLength(1);
  expect(cluster.use).toMatchObject({ connections: 0, pending: 0 });
});

it('requests of a connection that waits for settings start when these have come', async () => {
  const cluster = clusterOf(multiplexed(0));
  const clients = open(cluster, 3);
  await settled();
  connections[0]!.allow(10);
  expect(served(clients)).toBe(3);
  expect(runtime.dialled).toHaveLength(1);
});

it('fails all the requests that a dial was to carry', async () => {
  const cluster = clusterOf(multiplexed(10), { endpoints: () => makeCluster([66]).endpoints() });
  const clients = open(cluster, 3);
  await settled();
  expect(clients.map(({ reset }) => reset?.reason)).toEqual(Array(3).fill('remote_connection_failure'));
  expect(runtime.dialled).toHaveLength(1);
  expect(cluster.use).toMatchObject({ connections: 0, pending: 0 });
});

it('a connection takes maxRequestsPerConnection requests, and as many more connections are dialled as these need', async () => {
  const cluster = clusterOf(multiplexed(100), { maxRequestsPerConnection: 2 });
  const clients = open(cluster, 5);
  expect(runtime.dialled).toHaveLength(3);
  await settled();
  expect(served(clients)).toBe(5);
  expect(connections.map(({ streams, drained }) => [streams, drained])).toEqual([
    [2, true],
    [2, true],
    [1, false],
  ]);
});

it('a connection that is idle too long closes, one with a stream does not', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  let now = 0;
  runtime.monotonicMs = () => now;
  const pass = (ms: number) => {
    now += ms;
    vi.advanceTimersByTime(ms);
  };
  const cluster = clusterOf(multiplexed(10), { idleTimeoutMs: 100 });
  open(cluster, 2);
  await settled();
  connections[0]!.endStream();
  pass(1000);
  expect(connections[0]!.closed).toBe(false);
  connections[0]!.endStream();
  pass(99);
  expect(connections[0]!.closed).toBe(false);
  pass(101);
  expect(connections[0]!.closed).toBe(true);
  expect(cluster.use.connections).toBe(0);
});

it('an old connection takes no further stream, and another is dialled', async () => {
  let now = 0;
  runtime.monotonicMs = () => now;
  const cluster = clusterOf(multiplexed(10), { maxConnectionMs: 1000 });
  open(cluster, 1);
  await settled();
  now = 1000;
  const [next] = open(cluster, 1);
  await settled();
  expect(next!.stream).toBeDefined();
  expect(connections.map(({ streams, drained }) => [streams, drained])).toEqual([
    [1, true],
    [1, false],
  ]);
});

it('follows the version of each request, with connections of their own', async () => {
  const cluster = clusterOf(multiplexed(10));
  const [old, first] = open(cluster, 1, 'HTTP/1.0').concat(open(cluster, 1, 'HTTP/1.1'));
  const [second] = open(cluster, 1);
  await settled();
  expect([old!.stream, first!.stream, second!.stream].map((stream) => stream !== undefined)).toEqual([
    true,
    true,
    true,
  ]);
  expect(connections).toHaveLength(1);
  expect(runtime.dialled).toHaveLength(3);
});

it('asks the endpoint for the TLS of the protocol that is spoken', () => {
  const asked: string[] = [];
  const [endpoint] = makeCluster([1]).endpoints();
  const secured = { ...endpoint!, tls: (purpose: string) => void asked.push(purpose) };
  const cluster = clusterOf(multiplexed(10), { endpoints: () => [secured] });
  for (const kind of ['HTTP/1.1', 'HTTP/2', 'raw'] as const) open(cluster, 1, kind);
  expect(asked).toEqual(['http1', 'http2', 'raw']);
});

it('an update that changes the protocol of HTTP/2 leaves the connections of HTTP/1.1', async () => {
  const cluster = clusterOf(multiplexed(10));
  open(cluster, 1);
  open(cluster, 1, 'HTTP/1.1');
  await settled();
  const next = { ...cluster, protocols: { forHttp1: http1, forHttp2: multiplexed(10) } };
  connections[0]!.endStream();
  open(next, 1);
  await settled();
  expect(connections.map(({ closed }) => closed)).toEqual([true, false]);
  expect(cluster.use.connections).toBe(2);
});
