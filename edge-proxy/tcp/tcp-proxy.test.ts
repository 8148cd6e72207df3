import { expect, it, vi } from 'vitest';
import type { DownstreamInfo } from '../http/request/request-context.ts';
import { makeCluster } from '../http/testing/manager.ts';
import { MemoryRuntime, memoryPair, Wire } from '../http/testing/memory-network.ts';
import { Stats } from '../telemetry/stats.ts';
import type { Cluster, ClusterSet } from '../upstream/cluster.ts';
import { Fetches } from '../upstream/fetches.ts';
import { type ConnectionRecord, compileConnectionObservers } from './connection-record.ts';
import { TcpProxy } from './tcp-proxy.ts';
import { TcpStats } from './tcp-stats.ts';

it('weights share connections as written, by the chance that the runtime gives', () => {
  const runtime = new MemoryRuntime();
  const asked: string[] = [];
  const clusters = { get: (name: string) => void asked.push(name) };
  const weightedClusters = {
    clusters: [
      { name: 'a', weight: 1 },
      { name: 'zero', weight: 0 },
      { name: 'b', weight: 3 },
    ],
  };
  const config = { statPrefix: 't', weightedClusters };
  const proxy = new TcpProxy(
    config,
    clusters,
    runtime,
    compileConnectionObservers([], () => {}),
    new TcpStats(new Stats(), 't'),
  );
  for (const draw of [0, 0.249, 0.25, 0.999]) {
    runtime.random = () => draw;
    proxy.accept(memoryPair()[0], { remoteAddress: '10.0.0.1' } as DownstreamInfo);
  }
  expect(asked).toEqual(['a', 'a', 'b', 'b']);
});

it('tells its observers of every connection once, with when it ended; one that fails is reported', () => {
  const runtime = new MemoryRuntime();
  runtime.monotonicMs = () => 7;
  const closed: ConnectionRecord[] = [];
  const errors: unknown[] = [];
  const failing = {
    closed: () => {
      throw new Error('observer');
    },
  };
  const events = compileConnectionObservers([failing, { closed: (one) => void closed.push(one) }], (error) =>
    errors.push(error),
  );
  expect(events.opened).toBeUndefined();
  const config = { statPrefix: 't', cluster: 'gone' };
  const proxy = new TcpProxy(config, { get: () => undefined }, runtime, events, new TcpStats(new Stats(), 't'));
  const downstream = { remoteAddress: '10.0.0.1' } as DownstreamInfo;
  proxy.accept(memoryPair()[0], downstream);
  proxy.denied(downstream, { details: 'rbac_access_denied_matched_policy[p]' });
  expect(closed).toMatchObject([
    { kind: 'connection', flags: ['NC'], endMs: 7 },
    { kind: 'connection', terminationDetails: 'rbac_access_denied_matched_policy[p]', endMs: 7 },
  ]);
  expect(errors).toEqual([new Error('observer'), new Error('observer')]);
});

it('holds a connection while its cluster is fetched, and sends on what came meanwhile', async () => {
  const runtime = new MemoryRuntime();
  const closed: ConnectionRecord[] = [];
  const events = compileConnectionObservers([{ closed: (one) => void closed.push(one) }], () => {});
  const fetches = new Fetches(runtime, { waitMs: 60_000, maxWaiting: 10 });
  let cluster: Cluster | undefined;
  let known = true;
  const clusters: ClusterSet = {
    get: () => cluster,
    fetch: (name) => (known ? fetches.join('clusters', name) : undefined),
  };
  const proxy = new TcpProxy(
    { statPrefix: 't', cluster: 'c' },
    clusters,
    runtime,
    events,
    new TcpStats(new Stats(), 't'),
  );
  const upstreams: Wire[] = [];
  await runtime.listen({ address: '10.0.0.9', port: 1 }, (connection) => void upstreams.push(new Wire(connection)));
  const connect = () => {
    const [client, server] = memoryPair();
    proxy.accept(server, { remoteAddress: '10.0.0.1' } as DownstreamInfo, new TextEncoder().encode('first '));
    return new Wire(client);
  };
  const settled = () => new Promise((done) => setImmediate(done));
  const waits = connect();
  const leaves = connect();
  await settled();
  waits.send('second');
  leaves.connection.destroy();
  await settled();
  expect([proxy.waiting.size, closed.map(({ flags }) => flags)]).toEqual([1, [['DC']]]);
  cluster = makeCluster([1]);
  fetches.settle('clusters', 'c', 'changed');
  await settled();
  await upstreams[0]!.saw('first second');
  expect([upstreams.length, proxy.waiting.size]).toEqual([1, 0]);
  proxy.closeAll();

  cluster = undefined;
  connect();
  fetches.settle('clusters', 'c', 'refused');
  await settled();
  expect(closed.at(-1)).toMatchObject({ flags: ['NC'], terminationDetails: 'on_demand_fetch_refused' });
  known = false;
  connect();
  await settled();
  expect(closed.at(-1)!.flags).toEqual(['NC']);
  expect(closed).toHaveLength(4);
  // A listener that drains ends those that wait, too.
  known = true;
  fetches.settle('clusters', 'c', 'changed');
  connect();
  proxy.closeAll();
  expect([proxy.waiting.size, closed.length]).toEqual([0, 5]);
  fetches.close();
});

it('closes a client that leaves what both sides have ended with, after the idle time', async () => {
  const runtime = new MemoryRuntime();
  const closed: ConnectionRecord[] = [];
  const cluster = makeCluster([1]);
  const proxy = new TcpProxy(
    { statPrefix: 't', cluster: 'c', idleTimeout: '0.1s' },
    { get: () => cluster },
    runtime,
    compileConnectionObservers([{ closed: (one) => void closed.push(one) }], () => {}),
    new TcpStats(new Stats(), 't'),
  );
  const upstreams: Wire[] = [];
  await runtime.listen({ address: '10.0.0.9', port: 1 }, (connection) => void upstreams.push(new Wire(connection)));
  const [client, server] = memoryPair();
  proxy.accept(server, { remoteAddress: '10.0.0.1' } as DownstreamInfo);
  client.pause();
  client.end();
  await vi.waitFor(() => expect(upstreams[0]?.ended).toBe(true));
  upstreams[0]!.send('answer');
  upstreams[0]!.connection.end();
  await vi.waitFor(() => expect(server.closed).toBe(true), { timeout: 20_000 });
  expect(closed.map(({ flags }) => flags)).toEqual([[]]);
  expect([proxy.tunnels.size, cluster.use.connections]).toEqual([0, 0]);
});
