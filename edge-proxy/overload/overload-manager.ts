/**
 * Envoy's overload manager (envoy.config.overload.v3.OverloadManager): monitors measure a pressure between 0 and 1,
 * triggers switch actions on and off. Beside Envoy's monitors there is one for what a JavaScript proxy dies of first:
 * the lag of its event loop.
 */

import { durationMs } from '../../shared/xds/message.ts';
import type { OverloadManager as OverloadConfig, ResourceMonitor } from '../../shared/xds/overload.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Stat, Stats } from '../telemetry/stats.ts';
import type { OverloadState } from './overload-state.ts';

const FIXED_HEAP = 'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig';
const INJECTED = 'envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig';
const CONNECTIONS = 'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig';
const LOOP_LAG = 'tulle.resource_monitors.v1.EventLoopLag';

const DEFAULT_REFRESH_MS = 1000;
/** How often the event loop is asked to be on time; a stall shows within one of these. */
const LAG_PROBE_MS = 50;

type Action = 'stopAcceptingRequests' | 'disableKeepAlive' | 'rejectConnections';
/** Envoy stops accepting, or accepts and closes: a JavaScript runtime can only do the second. */
const ACTIONS: Readonly<Record<string, Action>> = {
  'envoy.overload_actions.stop_accepting_requests': 'stopAcceptingRequests',
  'envoy.overload_actions.disable_http_keepalive': 'disableKeepAlive',
  'envoy.overload_actions.stop_accepting_connections': 'rejectConnections',
  'envoy.overload_actions.reject_incoming_connections': 'rejectConnections',
};

interface Monitor {
  /** Pressure, 0 to 1 and above; undefined: not known now, the last one stands. */
  measure(): number | undefined | Promise<number | undefined>;
  stop?(): void;
}

interface Watched {
  readonly monitor: Monitor;
  readonly percent: Stat;
  readonly failed: Stat;
  pressure: number;
}

interface RunningAction {
  readonly name: string;
  readonly action: Action;
  readonly triggers: readonly { readonly monitor: string; readonly at: number }[];
  readonly gauge: Stat;
}

const typeOf = (monitor: ResourceMonitor) =>
  monitor.typedConfig['@type'].slice(monitor.typedConfig['@type'].lastIndexOf('/') + 1);

/** The limit of open downstream connections that a config names; undefined: none. */
export function connectionTotal(config: OverloadConfig | undefined): number | undefined {
  const found = config?.resourceMonitors?.find((monitor) => typeOf(monitor) === CONNECTIONS);
  return (found?.typedConfig as { maxActiveDownstreamConnections?: number } | undefined)
    ?.maxActiveDownstreamConnections;
}

export class OverloadManager {
  private readonly watched = new Map<string, Watched>();
  private readonly actions: readonly RunningAction[];
  private readonly state: OverloadState;
  private readonly timer: ReturnType<typeof setInterval>;
  private refreshing = false;

  /** @throws Error naming the field that is not supported, or a trigger without its monitor */
  constructor(config: OverloadConfig, runtime: Runtime, state: OverloadState, stats: Stats) {
    this.state = state;
    for (const [i, monitor] of (config.resourceMonitors ?? []).entries()) {
      const made = monitorOf(monitor, runtime, `overload_manager.resource_monitors[${i}]`);
      if (!made) continue;
      const scope = stats.scope('overload', monitor.name);
      this.watched.set(monitor.name, {
        monitor: made,
        percent: scope.gauge('pressure'),
        failed: scope.counter('failed_updates'),
        pressure: 0,
      });
    }
    this.actions = (config.actions ?? []).map((action, i) => {
      const path = `overload_manager.actions[${i}]`;
      const known = ACTIONS[action.name];
      if (!known) throw new Error(`${path}.name: "${action.name}" is not supported`);
      if (action.typedConfig) throw new Error(`${path}.typed_config: is not supported`);
      const triggers = (action.triggers ?? []).map((trigger, at) => {
        if (!this.watched.has(trigger.name))
          throw new Error(`${path}.triggers[${at}].name: no resource monitor is called "${trigger.name}"`);
        const limit = trigger.threshold?.value ?? trigger.scaled?.saturationThreshold;
        if (limit === undefined) throw new Error(`${path}.triggers[${at}]: needs threshold or scaled`);
        return { monitor: trigger.name, at: limit };
      });
      if (triggers.length === 0) throw new Error(`${path}.triggers: needs at least one`);
      return {
        name: action.name,
        action: known,
        triggers,
        gauge: stats.scope('overload', action.name).gauge('active'),
      };
    });
    const refresh = config.refreshInterval === undefined ? DEFAULT_REFRESH_MS : durationMs(config.refreshInterval);
    if (!(refresh > 0)) throw new Error('overload_manager.refresh_interval: must be above 0');
    this.timer = setInterval(() => void this.refresh(), refresh);
  }

  /** Measures and acts; called by the timer. */
  async refresh(): Promise<void> {
    if (this.refreshing) return;
    this.refreshing = true;
    try {
      for (const watched of this.watched.values()) await measure(watched);
      this.act();
    } finally {
      this.refreshing = false;
    }
  }

  stop(): void {
    clearInterval(this.timer);
    for (const { monitor } of this.watched.values()) monitor.stop?.();
  }

  private act(): void {
    const on: Record<Action, boolean> = {
      stopAcceptingRequests: false,
      disableKeepAlive: false,
      rejectConnections: false,
    };
    for (const { action, triggers, gauge } of this.actions) {
      // As Envoy: a threshold is reached from its value on.
      const active = triggers.some(({ monitor, at }) => this.watched.get(monitor)!.pressure >= at);
      gauge.value = active ? 1 : 0;
      if (active) on[action] = true;
    }
    Object.assign(this.state, on);
  }
}

async function measure(watched: Watched): Promise<void> {
  try {
    const pressure = await watched.monitor.measure();
    if (pressure === undefined) return;
    watched.pressure = pressure;
    watched.percent.value = Math.round(pressure * 100);
  } catch {
    // The last pressure stands: a monitor that fails must neither open nor close the door.
    watched.failed.value++;
  }
}

function monitorOf(monitor: ResourceMonitor, runtime: Runtime, path: string): Monitor | undefined {
  const config = monitor.typedConfig as Record<string, unknown>;
  switch (typeOf(monitor)) {
    case FIXED_HEAP: {
      const max = config['maxHeapSizeBytes'] as number;
      if (!(max > 0)) throw new Error(`${path}.max_heap_size_bytes: must be above 0`);
      return { measure: () => runtime.process.residentBytes() / max };
    }
    case INJECTED:
      return { measure: () => injected(runtime, config['filename'] as string) };
    case LOOP_LAG:
      return new LoopLag(runtime, durationMs(config['maxLag'] as string));
    case CONNECTIONS:
      // A limit, kept where connections are accepted.
      return undefined;
    default:
      throw new Error(`${path}: "${typeOf(monitor)}" is not supported`);
  }
}

/** A file that holds the pressure: for drills and tests, as in Envoy. */
async function injected(runtime: Runtime, filename: string): Promise<number | undefined> {
  const bytes = await runtime.files.read(filename);
  const pressure = Number(new TextDecoder().decode(bytes ?? new Uint8Array(0)).trim() || Number.NaN);
  if (!(pressure >= 0 && pressure <= 1)) throw new Error('not a pressure between 0 and 1');
  return pressure;
}

/** The longest delay of a timer since it was last asked. */
class LoopLag implements Monitor {
  private readonly runtime: Runtime;
  private readonly maxMs: number;
  private readonly timer: ReturnType<typeof setInterval>;
  private last: number;
  private worst = 0;

  constructor(runtime: Runtime, maxMs: number) {
    if (!(maxMs > 0)) throw new Error('max_lag: must be above 0');
    this.runtime = runtime;
    this.maxMs = maxMs;
    this.last = runtime.monotonicMs();
    this.timer = setInterval(() => {
      const now = runtime.monotonicMs();
      this.worst = Math.max(this.worst, now - this.last - LAG_PROBE_MS);
      this.last = now;
    }, LAG_PROBE_MS);
  }

  measure(): number {
    // A stall that still goes on counts as far as it has come.
    const lag = Math.max(this.worst, this.runtime.monotonicMs() - this.last - LAG_PROBE_MS);
    this.worst = 0;
    return Math.max(0, lag) / this.maxMs;
  }

  stop(): void {
    clearInterval(this.timer);
  }
}
