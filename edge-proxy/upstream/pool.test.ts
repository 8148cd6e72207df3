import { expect, it } from 'vitest';
import { MemoryRuntime, Wire } from '../http/testing.ts';
import type { Cluster, Endpoint } from './cluster.ts';
import type { StreamOwner, UpstreamStream } from './pool.ts';
import { ConnectionPools } from './pool.ts';

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

class Owner implements StreamOwner {
  stream: UpstreamStream | undefined;
  reset: string | undefined;
  ended = false;
  private wake: () => void = () => undefined;

  onReady(stream: UpstreamStream): void {
    this.stream = stream;
    this.wake();
  }
  onResponseHead(): void {}
  onInterim(): void {}
  onResponseBody(): void {}
  onResponseEnd(): void {
    this.ended = true;
    this.wake();
  }
  onResponseFlush(): void {}
  onRequestDrain(): void {}
  onReset(reason: string): void {
    this.reset = reason;
    this.wake();
  }
  async until(condition: (owner: Owner) => boolean): Promise<void> {
    while (!condition(this)) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
  get(): void {
    this.stream!.sendHead('GET', 'GET / HTTP/1.1\r\nhost: h\r\n\r\n', false);
    this.stream!.sendEnd(undefined);
    this.stream!.flush();
  }
}

const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

async function setup() {
  const runtime = new MemoryRuntime();
  const wires: Wire[] = [];
  await runtime.listen({ address: '10.0.0.9', port: 1 }, (connection) => void wires.push(new Wire(connection)));
  return { runtime, wires, pools: new ConnectionPools(runtime) };
}

it('queues at the connection limit, overflows at the pending limit, hands a free connection on', async () => {
  const { runtime, wires, pools } = await setup();
  const host = endpoint(1);
  const cluster = makeCluster([host]);
  const owners = [new Owner(), new Owner(), new Owner(), new Owner()];
  pools.acquire(cluster, host, owners[0]!);
  await owners[0]!.until((owner) => owner.stream !== undefined);
  for (const owner of owners.slice(1)) pools.acquire(cluster, host, owner);
  expect(owners[3]!.reset).toBe('overflow');
  expect(cluster.use).toMatchObject({ connections: 1, pending: 2 });
  owners[0]!.get();
  await wires[0]!.saw('\r\n\r\n');
  wires[0]!.send(answer);
  await owners[1]!.until((owner) => owner.stream !== undefined);
  expect(owners[0]!.ended).toBe(true);
  expect(runtime.dialled).toHaveLength(1);
  expect(cluster.use.pending).toBe(1);
});

it('dials anew when the TLS context has changed or the secret is missing gives no plaintext', async () => {
  const { runtime, pools } = await setup();
  let context: { kind: 'client' } | undefined = { kind: 'client' };
  const host = endpoint(1, () => {
    if (!context) throw new Error('secret "default" has not arrived');
    return context;
  });
  const cluster = makeCluster([host], { limits: { ...makeCluster([]).limits, maxConnections: 5 } });
  const first = new Owner();
  pools.acquire(cluster, host, first);
  await first.until((owner) => owner.stream !== undefined);
  context = { kind: 'client' };
  const second = new Owner();
  pools.acquire(cluster, host, second);
  await second.until((owner) => owner.stream !== undefined);
  expect(runtime.dialled).toHaveLength(2);
  context = undefined;
  const third = new Owner();
  pools.acquire(cluster, host, third);
  expect(third.reset).toBe('remote_connection_failure');
  expect(runtime.dialled).toHaveLength(2);
});

it('closes idle connections to endpoints that left the cluster, and after the last request allowed', async () => {
  const { wires, pools } = await setup();
  const host = endpoint(1);
  const cluster = makeCluster([host]);
  const owner = new Owner();
  pools.acquire(cluster, host, owner);
  await owner.until((o) => o.stream !== undefined);
  owner.get();
  await wires[0]!.saw('\r\n\r\n');
  wires[0]!.send(answer);
  await owner.until((o) => o.ended);
  expect(wires[0]!.closed).toBe(false);
  const other = endpoint(2);
  pools.acquire(makeCluster([other], { use: cluster.use }), other, new Owner());
  await wires[0]!.until(() => wires[0]!.closed);
  expect(wires[0]!.closed).toBe(true);
});

it('gives up a dial after the connect timeout', async () => {
  const { runtime, pools } = await setup();
  const host = endpoint(1);
  const cluster = makeCluster([host]);
  // A dial that never answers.
  runtime.connect = (() => ({ destroy() {} })) as never;
  const owner = new Owner();
  pools.acquire(cluster, host, owner);
  await owner.until((o) => o.reset !== undefined);
  expect(owner.reset).toBe('connection_timeout');
  expect(cluster.use).toMatchObject({ connections: 0, pending: 0 });
});
