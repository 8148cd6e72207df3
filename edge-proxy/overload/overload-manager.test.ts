import { afterEach, describe, expect, it } from 'vitest';
import { OverloadManager as Schema } from '../../shared/xds/overload.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { Stats } from '../telemetry/stats.ts';
import { OverloadManager } from './overload-manager.ts';
import { OverloadState } from './overload-state.ts';
import { runtimeLimits } from './runtime-limits.ts';

let resident = 0;
let collections = 0;
const files = new Map<string, string>();
const runtime = {
  monotonicMs: () => performance.now(),
  process: { residentBytes: () => resident, collectGarbage: () => void collections++ },
  files: { read: async (path: string) => files.has(path) && new TextEncoder().encode(files.get(path)) },
} as unknown as Runtime;
const monitor = (name: string, type: string, config: object) => ({
  name,
  typed_config: { '@type': `type.googleapis.com/${type}`, ...config },
});
const HEAP = 'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig';
const FILE = 'envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig';
const CPU = 'envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig';
const LAG = 'tulle.resource_monitors.v1.EventLoopLag';
const action = (name: string, trigger: string, value: number) => ({
  name: `envoy.overload_actions.${name}`,
  triggers: [{ name: trigger, threshold: { value } }],
});

const scaled = (name: string, trigger: string, from: number, to: number, more: object = {}) => ({
  name,
  triggers: [{ name: trigger, scaled: { scaling_threshold: from, saturation_threshold: to } }],
  ...more,
});
const file = { resource_monitors: [monitor('file', FILE, { filename: '/p' })] };
const press = (value: number) => files.set('/p', String(value));
const TIMERS = 'type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig';
const reduce = (...timer_scale_factors: object[]) => ({
  ...file,
  actions: [
    scaled('envoy.overload_actions.reduce_timeouts', 'file', 0.5, 0.9, {
      typed_config: { '@type': TIMERS, timer_scale_factors },
    }),
  ],
});

const managers: OverloadManager[] = [];
afterEach(() => {
  for (const manager of managers.splice(0)) manager.stop();
});
let rescaled = 0;
function make(config: object) {
  const state = new OverloadState(Math.random);
  const stats = new Stats();
  const manager = new OverloadManager(
    Schema.parse({ refresh_interval: '100s', ...config }),
    runtime,
    state,
    stats,
    () => {
      rescaled++;
    },
  );
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
      return [state.disableKeepAlive, state.stopAcceptingRequests, state.rejectConnections].map((share) => share === 1);
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
    expect(state.stopAcceptingRequests).toBe(0);
    const until = performance.now() + 400;
    while (performance.now() < until);
    await manager.refresh();
    expect(state.stopAcceptingRequests).toBe(1);
    // The stall is over; its timer may still be late once.
    for (let turn = 0; turn < 200 && state.stopAcceptingRequests > 0; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      await manager.refresh();
    }
    expect(state.stopAcceptingRequests).toBe(0);
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
      expect(state.rejectConnections).toBe(1);
    }
    expect(stat('overload.file.failed_updates')).toBe(4);
  });

  it('goes as far as the pressure between two thresholds, the furthest trigger deciding', async () => {
    const { manager, state, stat } = make({
      ...file,
      actions: [
        scaled('envoy.overload_actions.stop_accepting_requests', 'file', 0.5, 0.9),
        scaled('envoy.overload_actions.disable_http_keepalive', 'file', 0.2, 0.4),
        scaled('envoy.overload_actions.reject_incoming_connections', 'file', 0.6, 0.8),
        scaled('envoy.overload_actions.stop_accepting_connections', 'file', 0.8, 0.9),
      ],
      loadshed_points: [
        scaled('envoy.load_shed_points.http_connection_manager_decode_headers', 'file', 0.7, 0.9),
        scaled('envoy.load_shed_points.tcp_listener_accept', 'file', 0.8, 0.9),
      ],
    });
    const at = async (value: number) => {
      press(value);
      await manager.refresh();
      const { stopAcceptingRequests, disableKeepAlive, rejectConnections, decodeHeaders, accept } = state;
      return [stopAcceptingRequests, disableKeepAlive, rejectConnections, decodeHeaders.share, accept.share].map(
        (share) => Math.round(share * 100),
      );
    };
    expect(await at(0.5)).toEqual([0, 100, 0, 0, 0]);
    expect(await at(0.3)).toEqual([0, 50, 0, 0, 0]);
    expect(await at(0.7)).toEqual([50, 100, 50, 0, 0]);
    expect(stat('overload.envoy.overload_actions.stop_accepting_requests.scale_percent')).toBe(50);
    expect(stat('overload.envoy.overload_actions.stop_accepting_requests.active')).toBe(0);
    // Accepting ends all at once or not at all.
    expect(await at(0.85)).toEqual([87, 100, 100, 75, 50]);
    expect(await at(0.9)).toEqual([100, 100, 100, 100, 100]);
    expect(stat('overload.envoy.overload_actions.stop_accepting_requests.active')).toBe(1);
    expect(stat('overload.envoy.load_shed_points.tcp_listener_accept.scale_percent')).toBe(100);
    expect(state.refusesConnection() && state.refusesRequest()).toBe(true);
    expect(stat('overload.envoy.load_shed_points.tcp_listener_accept.shed_load_count')).toBe(1);
  });

  it('refuses the share it says', async () => {
    const { manager, state } = make({
      ...file,
      actions: [scaled('envoy.overload_actions.stop_accepting_requests', 'file', 0.5, 0.9)],
    });
    press(0.6);
    await manager.refresh();
    let refused = 0;
    for (let i = 0; i < 20_000; i++) if (state.refusesRequest()) refused++;
    // A quarter; twelve standard deviations to either side.
    expect(Math.abs(refused - 5000)).toBeLessThan(740);
  });

  it('shortens times in proportion, down to their floor, and tells those that run', async () => {
    const { manager, state } = make(
      reduce(
        { timer: 'HTTP_DOWNSTREAM_CONNECTION_IDLE', min_timeout: '2s' },
        { timer: 'HTTP_DOWNSTREAM_STREAM_IDLE', min_scale: { value: 10 } },
        { timer: 'TRANSPORT_SOCKET_CONNECT', min_scale: { value: 50 } },
      ),
    );
    const timers = state.timers!;
    const at = async (value: number) => {
      press(value);
      await manager.refresh();
      return [timers.connectionIdle(10_000), timers.streamIdle(1000), timers.handshake(100), timers.connectionMax(70)];
    };
    rescaled = 0;
    expect(await at(0.4)).toEqual([10_000, 1000, 100, 70]);
    expect(rescaled).toBe(0);
    expect(await at(0.7)).toEqual([6000, 550, 75, 70]);
    expect(await at(1)).toEqual([2000, 100, 50, 70]);
    expect(rescaled).toBe(2);
    expect(timers.connectionIdle(500)).toBe(500);
    expect(timers.connectionIdle(0)).toBe(0);
    expect(await at(0.1)).toEqual([10_000, 1000, 100, 70]);
    expect(rescaled).toBe(2);
  });

  it('collects garbage once it must, and not at every refresh', async () => {
    const { manager, stat } = make({ ...file, actions: [action('shrink_heap', 'file', 0.9)] });
    collections = 0;
    for (const value of [0.8, 0.95, 0.95, 0.95]) {
      press(value);
      await manager.refresh();
    }
    expect(collections).toBe(1);
    expect(stat('overload.envoy.overload_actions.shrink_heap.shrink_count')).toBe(1);
  });

  it('measures the processors of the host and of the container, smoothed', async () => {
    const { manager, stat } = make({
      resource_monitors: [monitor('host', CPU, {}), monitor('container', CPU, { mode: 'CONTAINER' })],
    });
    files.set('/proc/stat', 'cpu  100 0 100 800 5 0 0 0 0 0\ncpu0 1 1 1 1\n');
    await manager.refresh();
    files.set('/proc/stat', 'cpu  1000 50 150 800 5 0 0 0 0 0\ncpu0 1 1 1 1\n');
    await manager.refresh();
    // Busy all the time: the newest measure weighs a twentieth.
    expect(stat('overload.host.pressure')).toBe(5);
    expect(stat('overload.container.failed_updates')).toBe(2);
    files.set('/sys/fs/cgroup/cpuset.cpus.effective', '0-2,5\n');
    files.set('/sys/fs/cgroup/cpu.max', 'max 100000\n');
    files.set('/sys/fs/cgroup/cpu.stat', 'usage_usec 1000\nuser_usec 1\n');
    await manager.refresh();
    // More than anyone can have used by now.
    files.set('/sys/fs/cgroup/cpu.stat', 'usage_usec 900000000000\nuser_usec 1\n');
    await manager.refresh();
    expect(stat('overload.container.pressure')).toBe(5);
    expect(stat('overload.container.failed_updates')).toBe(2);
  });

  it.each([
    [{ ...file, actions: [action('reset_high_memory_stream', 'file', 1)] }, /reset_high_memory_stream" is not supp/],
    [{ ...file, actions: [action('reduce_timeouts', 'file', 1)] }, /needs ScaleTimersOverloadActionConfig/],
    [reduce({ timer: 'HTTP_DOWNSTREAM_STREAM_FLUSH', min_timeout: '1s' }), /STREAM_FLUSH" is not supported/],
    [reduce({ timer: 'TRANSPORT_SOCKET_CONNECT' }), /exactly one of min_timeout and min_scale/],
    [
      { ...file, loadshed_points: [scaled('envoy.load_shed_points.http1_server_abort_dispatch', 'file', 0, 1)] },
      /loadshed_points\[0\].name: .* is not supported/,
    ],
    [{ ...file, actions: [scaled('envoy.overload_actions.shrink_heap', 'file', 0.9, 0.9)] }, /must be less than/],
    [{ ...file, actions: [action('shrink_heap', 'file', 1), action('shrink_heap', 'file', 1)] }, /stands twice/],
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
