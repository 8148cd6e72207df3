import { expect, it } from 'vitest';
import type { DownstreamInfo } from '../http/stream.ts';
import { MemoryRuntime, memoryPair } from '../http/testing.ts';
import { Stats } from '../telemetry/stats.ts';
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
  proxy.denied(downstream, 'rbac_access_denied_matched_policy[p]');
  expect(closed).toMatchObject([
    { kind: 'connection', flags: ['NC'], endMs: 7 },
    { kind: 'connection', terminationDetails: 'rbac_access_denied_matched_policy[p]', endMs: 7 },
  ]);
  expect(errors).toEqual([new Error('observer'), new Error('observer')]);
});
