import { afterEach, describe, expect, it } from 'vitest';
import { OverloadManager as Schema } from '../../shared/xds/overload.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { Stats } from '../telemetry/stats.ts';
import { OverloadManager } from './overload-manager.ts';
import { OverloadState } from './overload-state.ts';
import { runtimeLimits } from './runtime-limits.ts';

let resident = 0;
const files = new Map<string, string>();
const runtime = {
  monotonicMs: () => performance.now(),
  process: { residentBytes: () => resident },
  files: { read: async (path: string) => files.has(path) && new TextEncoder().encode(files.get(path)) },
} as unknown as Runtime;
const monitor = (name: string, type: string, config: object) => ({
  name,
  typed_config: { '@type': `type.googleapis.com/${type}`, ...config },
});
const HEAP = 'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig';
const FILE = 'envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig';
const LAG = 'tulle.resource_monitors.v1.EventLoopLag';
const action = (name: string, trigger: string, value: number) => ({
  name: `envoy.overload_actions.${name}`,
  triggers: [{ name: trigger, threshold: { value } }],
});

const managers: OverloadManager[] = [];
afterEach(() => {
  for (const manager of managers.splice(0)) manager.stop();
});
function make(config: object) {
  const state = new OverloadState();
  const stats = new Stats();
  const manager = new OverloadManager(Schema.parse({ refresh_interval: '100s', ...config }), runtime, state, stats);
  managers.push(manager);
  return { manager, state, stat: (name: string) => new Map(stats.entries()).get(name) };
}

describe('the overload manager', () => {
  it('acts on memory, each action from its own threshold on, and lets go again', async () => {
    const { manager, state, stat } = make({
      resource_monitors: [monitor('heap', HEAP, { max_heap_size_bytes: '1000' })],
      actions: [
        action('disable_http_keepalive', 'heap', 0.8),
        action('stop_accepting_requests', 'heap', 0.9),
        action('reject_incoming_connections', 'heap', 0.95),
      ],
    });
    const at = async (bytes: number) => {
      resident = bytes;
      await manager.refresh();
      return [state.disableKeepAlive, state.stopAcceptingRequests, state.rejectConnections];
    };
    expect(await at(799)).toEqual([false, false, false]);
    expect(await at(800)).toEqual([true, false, false]);
    expect(await at(920)).toEqual([true, true, false]);
    expect(stat('overload.heap.pressure')).toBe(92);
    expect(stat('overload.envoy.overload_actions.stop_accepting_requests.active')).toBe(1);
    expect(await at(2000)).toEqual([true, true, true]);
    expect(await at(10)).toEqual([false, false, false]);
  });

  it("acts on the event loop's lag, and forgets it when it is over", async () => {
    const { manager, state } = make({
      resource_monitors: [monitor('lag', LAG, { max_lag: '0.2s' })],
      actions: [action('stop_accepting_requests', 'lag', 1)],
    });
    await manager.refresh();
    expect(state.stopAcceptingRequests).toBe(false);
    const until = performance.now() + 400;
    while (performance.now() < until);
    await manager.refresh();
    expect(state.stopAcceptingRequests).toBe(true);
    // The stall is over; its timer may still be late once.
    for (let turn = 0; turn < 200 && state.stopAcceptingRequests; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      await manager.refresh();
    }
    expect(state.stopAcceptingRequests).toBe(false);
  });

  it('keeps the last pressure of a monitor that fails, and counts', async () => {
    files.set('/p', '0.9');
    const { manager, state, stat } = make({
      resource_monitors: [monitor('file', FILE, { filename: '/p' })],
      actions: [action('stop_accepting_connections', 'file', 0.5)],
    });
    await manager.refresh();
    for (const faulty of ['', '1.5', 'much', undefined]) {
      if (faulty === undefined) files.delete('/p');
      else files.set('/p', faulty);
      await manager.refresh();
      expect(state.rejectConnections).toBe(true);
    }
    expect(stat('overload.file.failed_updates')).toBe(4);
  });

  it.each([
    [{ actions: [action('shrink_heap', 'x', 1)] }, /shrink_heap" is not supported/],
    [{ actions: [action('stop_accepting_requests', 'x', 1)] }, /no resource monitor is called "x"/],
    [{ resource_monitors: [monitor('h', HEAP, { max_heap_size_bytes: 0 })] }, /must be above 0/],
    [{ refresh_interval: '0s' }, /refresh_interval/],
  ])('refuses by name: %j', (config, reason) => {
    expect(() => make(config)).toThrow(reason);
  });
});

describe('runtime limits', () => {
  it('reads nested and dotted keys, the later layer over the earlier', () => {
    const found = runtimeLimits({
      layers: [
        { name: 'a', staticLayer: { envoy: { resource_limits: { listener: { web: { connection_limit: 5 } } } } } },
        {
          name: 'b',
          staticLayer: {
            'envoy.resource_limits.listener.0.0.0.0_80.connection_limit': 7,
            'envoy.resource_limits.listener.web.connection_limit': 6,
            'overload.global_downstream_max_connections': 50,
          },
        },
      ],
    });
    expect([...found.perListener]).toEqual([
      ['web', 6],
      ['0.0.0.0_80', 7],
    ]);
    expect(found.total).toBe(50);
  });

  it('refuses what it does not know', () => {
    const layer = (staticLayer: Record<string, string | number>) => ({ layers: [{ name: 'x', staticLayer }] });
    expect(() => runtimeLimits(layer({ 're2.max_program_size.warn_level': 1 }))).toThrow(/re2.*not supported/);
    expect(() => runtimeLimits(layer({ 'overload.global_downstream_max_connections': 'many' }))).toThrow(
      /whole number/,
    );
  });
});
