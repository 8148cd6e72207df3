import { expect, it } from 'vitest';
import type { UpstreamProtocol } from '../http/codec/codecs.ts';
import { http1 } from '../http/codec/h1/upstream-connection.ts';
import { HeaderMap } from '../http/message/header-map.ts';
import type { RequestHead, ResponseHead } from '../http/message/message.ts';
import type { StreamReset, UpstreamStream } from '../http/message/stream.ts';
import { MemoryRuntime, Wire } from '../http/testing/memory-network.ts';
import type { Cluster, Endpoint } from './cluster.ts';
import { type StreamClient, UpstreamPool } from './upstream-pool.ts';

function endpoint(port: number, tls: Endpoint['tls'] = () => undefined): Endpoint {
  const id = `10.0.0.9:${port}`;
  return {
    id,
    address: '10.0.0.9',
    port,
    hostname: '',
    weight: 1,
    priority: 0,
    locality: '',
    tls,
    metadata: undefined,
    active: 0,
  };
}

function makeCluster(endpoints: Endpoint[], over: Partial<Cluster> = {}): Cluster {
  return {
    name: 'c',
    protocols: { forHttp1: http1, forHttp2: http1 },
    connectTimeoutMs: 20,
    limits: { maxConnections: 1, maxPendingRequests: 2, maxRequests: 10, maxRetries: 3 },
    maxRequestsPerConnection: 0,
    idleTimeoutMs: 0,
    destination: undefined,
    use: { connections: 0, pending: 0, requests: 0, retries: 0 },
    pick: () => endpoints[0],
    report() {},
    endpoints: () => endpoints,
    ...over,
  };
}

const head: RequestHead = {
  method: 'GET',
  scheme: '',
  authority: 'h',
  path: '/',
  headers: new HeaderMap(),
  bodySize: 0,
  upgrade: '',
  wantsContinue: false,
  version: 'HTTP/1.1',
};

const bothAs = (protocol: UpstreamProtocol) => ({ forHttp1: protocol, forHttp2: protocol });

class Client implements StreamClient {
  stream: UpstreamStream | undefined;
  reset: StreamReset | undefined;
  ended = false;
  private wake: () => void = () => undefined;

  onStream(stream: UpstreamStream): void {
    this.stream = stream;
    this.wake();
  }
  onHead(_head: ResponseHead, end: boolean): void {
    if (end) this.onTrailers();
  }
  onInterim(): void {}
  onData(_bytes: Uint8Array, end: boolean): void {
    if (end) this.onTrailers();
  }
  onTrailers(): void {
    this.ended = true;
    this.wake();
  }
  onWritable(): void {}
  onReset(reset: StreamReset): void {
    this.reset = reset;
    this.wake();
  }
  onInternalError(): void {}
  async until(condition: (client: Client) => boolean): Promise<void> {
    while (!condition(this)) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
  get(): void {
    this.stream!.head(head, true);
  }
}

const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

async function setup() {
  const runtime = new MemoryRuntime();
  const wires: Wire[] = [];
  await runtime.listen({ address: '10.0.0.9', port: 1 }, (connection) => void wires.push(new Wire(connection)));
  return { runtime, wires, pool: new UpstreamPool(runtime) };
}

it('queues at the connection limit, overflows at the pending limit, hands a free connection on', async () => {
  const { runtime, wires, pool } = await setup();
  const host = endpoint(1);
  const cluster = makeCluster([host]);
  const clients = [new Client(), new Client(), new Client(), new Client()];
  pool.open(cluster, host, clients[0]!, 'HTTP/1.1');
  await clients[0]!.until((client) => client.stream !== undefined);
  for (const client of clients.slice(1)) pool.open(cluster, host, client, 'HTTP/1.1');
  expect(clients[3]!.reset?.reason).toBe('overflow');
  expect(cluster.use).toMatchObject({ connections: 1, pending: 2 });
  clients[0]!.get();
  await wires[0]!.saw('\r\n\r\n');
  wires[0]!.send(answer);
  await clients[1]!.until((client) => client.stream !== undefined);
  expect(clients[0]!.ended).toBe(true);
  expect(runtime.dialled).toHaveLength(1);
  expect(cluster.use.pending).toBe(1);
});

it('dials again when the TLS context has changed', async () => {
  const { runtime, pool } = await setup();
  let context: { kind: 'client' } = { kind: 'client' };
  const host = endpoint(1, () => context);
  const cluster = makeCluster([host], { limits: { ...makeCluster([]).limits, maxConnections: 5 } });
  const first = new Client();
  pool.open(cluster, host, first, 'HTTP/1.1');
  await first.until((client) => client.stream !== undefined);
  context = { kind: 'client' };
  const second = new Client();
  pool.open(cluster, host, second, 'HTTP/1.1');
  await second.until((client) => client.stream !== undefined);
  expect(runtime.dialled).toHaveLength(2);
});

it('closes idle connections to endpoints that left the cluster, and after the last request allowed', async () => {
  const { wires, pool } = await setup();
  const host = endpoint(1);
  const cluster = makeCluster([host]);
  const client = new Client();
  pool.open(cluster, host, client, 'HTTP/1.1');
  await client.until((o) => o.stream !== undefined);
  client.get();
  await wires[0]!.saw('\r\n\r\n');
  wires[0]!.send(answer);
  await client.until((o) => o.ended);
  expect(wires[0]!.closed).toBe(false);
  const other = endpoint(2);
  pool.open(makeCluster([other], { use: cluster.use }), other, new Client(), 'HTTP/1.1');
  await wires[0]!.until(() => wires[0]!.closed);
  expect(wires[0]!.closed).toBe(true);
});

it('gives up a dial after the connect timeout', async () => {
  const { runtime, pool } = await setup();
  const host = endpoint(1);
  const cluster = makeCluster([host]);
  // A dial that never answers.
  runtime.connect = (() => ({ destroy() {} })) as never;
  const client = new Client();
  pool.open(cluster, host, client, 'HTTP/1.1');
  await client.until((o) => o.reset !== undefined);
  expect(client.reset?.reason).toBe('connection_timeout');
  expect(cluster.use).toMatchObject({ connections: 0, pending: 0 });
});

it('tells what was sent, and on which kind of connection, so that a retry can be judged', async () => {
  const { wires, pool } = await setup();
  const host = endpoint(1);
  const cluster = makeCluster([host]);
  const first = new Client();
  pool.open(cluster, host, first, 'HTTP/1.1');
  await first.until((client) => client.stream !== undefined);
  first.get();
  await wires[0]!.saw('\r\n\r\n');
  wires[0]!.send(answer);
  await first.until((client) => client.ended);
  const second = new Client();
  pool.open(cluster, host, second, 'HTTP/1.1');
  second.stream!.head({ ...head, method: 'POST', bodySize: 9 }, false);
  second.stream!.data(new Uint8Array(3), false);
  await wires[0]!.saw('POST');
  wires[0]!.connection.destroy();
  await second.until((client) => client.reset !== undefined);
  expect(second.reset).toEqual({ reason: 'connection_termination', detail: '', sent: 'body', reusedConnection: true });
});

it('a stream that is over does nothing to the one that has its connection now', async () => {
  const { wires, pool } = await setup();
  const host = endpoint(1);
  const cluster = makeCluster([host]);
  const clients = [new Client(), new Client()];
  for (const client of clients) pool.open(cluster, host, client, 'HTTP/1.1');
  await clients[0]!.until((client) => client.stream !== undefined);
  clients[0]!.get();
  await wires[0]!.saw('\r\n\r\n');
  wires[0]!.send(answer);
  await clients[1]!.until((client) => client.stream !== undefined);
  clients[0]!.stream!.data(new Uint8Array(1), true);
  clients[0]!.stream!.reset('local_reset');
  clients[1]!.get();
  await wires[0]!.until(() => wires[0]!.text.split('GET').length === 3);
  wires[0]!.send(answer);
  await clients[1]!.until((client) => client.ended);
  expect(wires).toHaveLength(1);
});

it('speaks the protocol of the cluster, on new connections where an update changes it', async () => {
  const { runtime, wires, pool } = await setup();
  const connected: string[] = [];
  const named = (name: string): UpstreamProtocol => ({
    name: 'http1',
    expectedStreams: 1,
    connect: (connection, owner) => {
      connected.push(name);
      return http1.connect(connection, owner);
    },
  });
  const host = endpoint(1);
  const first = makeCluster([host], { protocols: bothAs(named('first')) });
  const get = async (cluster: Cluster, wire: number) => {
    const client = new Client();
    pool.open(cluster, host, client, 'HTTP/1.1');
    await client.until(() => client.stream !== undefined);
    client.get();
    await wires[wire]!.saw('\r\n\r\n');
    wires[wire]!.send(answer);
    await client.until(() => client.ended);
  };
  await get(first, 0);
  await get({ ...first, maxRequestsPerConnection: 9 }, 0);
  expect(connected).toEqual(['first']);
  await get({ ...first, protocols: bothAs(named('second')) }, 1);
  expect(connected).toEqual(['first', 'second']);
  expect(runtime.dialled).toHaveLength(2);
  await wires[0]!.until(() => wires[0]!.ended);
});
