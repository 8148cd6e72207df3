import { expect, it } from 'vitest';
import type { DownstreamInfo } from '../http/stream.ts';
import { MemoryRuntime, memoryPair } from '../http/testing.ts';
import { Stats } from '../telemetry/stats.ts';
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
  const observer = { opened() {}, closed() {} };
  const proxy = new TcpProxy(config, clusters, runtime, observer, new TcpStats(new Stats(), 't'));
  for (const draw of [0, 0.249, 0.25, 0.999]) {
    runtime.random = () => draw;
    proxy.accept(memoryPair()[0], { remoteAddress: '10.0.0.1' } as DownstreamInfo);
  }
  expect(asked).toEqual(['a', 'a', 'b', 'b']);
});
