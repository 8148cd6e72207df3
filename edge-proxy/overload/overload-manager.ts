/**
 * Envoy's overload manager (envoy.config.overload.v3.OverloadManager): monitors measure a pressure between 0 and 1,
 * triggers say how far each action goes and how much each load shed point refuses. Beside Envoy's monitors there is one
 * for what a JavaScript proxy dies of first: the lag of its event loop.
 */

import { durationMs } from '../../shared/xds/message.ts';
import type { OverloadManager as OverloadConfig, OverloadTrigger } from '../../shared/xds/overload.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Stat, Stats } from '../telemetry/stats.ts';
import type { Monitor } from './monitor.ts';
import { type Act, OverloadActions } from './overload-actions.ts';
import type { OverloadState } from './overload-state.ts';
import { monitorOf } from './resource-monitors.ts';

const DEFAULT_REFRESH_MS = 1000;

interface Watched {
  readonly monitor: Monitor;
  readonly percent: Stat;
  readonly failed: Stat;
  readonly skipped: Stat;
  pressure: number;
}

/** From here on it does something, from there on all it can; both the same for a plain threshold. */
interface Trigger {
  readonly watched: Watched;
  readonly from: number;
  readonly to: number;
}

interface Running {
  readonly triggers: readonly Trigger[];
  readonly act: Act;
  readonly active: Stat | undefined;
  readonly percent: Stat;
}

export class OverloadManager {
  private readonly watched = new Map<string, Watched>();
  private readonly running: readonly Running[];
  private readonly timer: ReturnType<typeof setInterval>;
  private refreshing = false;

  /**
   * @param timersChanged the times that run (idle connections …) are to be evaluated again
   * @throws Error naming the field that is not supported, or a trigger without its monitor
   */
  constructor(
    config: OverloadConfig,
    runtime: Runtime,
    state: OverloadState,
    stats: Stats,
    timersChanged: () => void = () => {},
  ) {
    const refresh = config.refreshInterval === undefined ? DEFAULT_REFRESH_MS : durationMs(config.refreshInterval);
    if (!(refresh > 0)) throw new Error('overload_manager.refresh_interval: must be above 0');
    this.watch(config, runtime, stats);
    const actions = new OverloadActions(runtime, state, timersChanged);
    this.running = [
      ...this.distinct(config.actions, 'actions').map(([action, path]) => {
        const scope = stats.scope('overload', action.name);
        return {
          act: actions.action(action, scope, path),
          triggers: this.triggersOf(action.triggers, path),
          active: scope.gauge('active'),
          percent: scope.gauge('scale_percent'),
        };
      }),
      ...this.distinct(config.loadshedPoints, 'loadshed_points').map(([point, path]) => {
        const scope = stats.scope('overload', point.name);
        return {
          act: actions.shedPoint(point.name, scope, path),
          triggers: this.triggersOf(point.triggers, path),
          active: undefined,
          percent: scope.gauge('scale_percent'),
        };
      }),
    ];
    this.timer = setInterval(() => void this.refresh(), refresh);
  }

  /** Measures and acts; called by the timer. */
  async refresh(): Promise<void> {
    if (this.refreshing) {
      for (const { skipped } of this.watched.values()) skipped.value++;
      return;
    }
    this.refreshing = true;
    try {
      for (const watched of this.watched.values()) await measure(watched);
      for (const running of this.running) act(running);
    } finally {
      this.refreshing = false;
    }
  }

  stop(): void {
    clearInterval(this.timer);
    for (const { monitor } of this.watched.values()) monitor.stop?.();
  }

  private watch(config: OverloadConfig, runtime: Runtime, stats: Stats): void {
    for (const [monitor, path] of this.distinct(config.resourceMonitors, 'resource_monitors')) {
      const made = monitorOf(monitor, runtime, path);
      if (!made) continue;
      const scope = stats.scope('overload', monitor.name);
      this.watched.set(monitor.name, {
        monitor: made,
        percent: scope.gauge('pressure'),
        failed: scope.counter('failed_updates'),
        skipped: scope.counter('skipped_updates'),
        pressure: 0,
      });
    }
  }

  /** Each with its path. @throws Error when a name is set twice */
  private distinct<T extends { readonly name: string }>(all: readonly T[] | undefined, field: string): [T, string][] {
    const names = new Set<string>();
    return (all ?? []).map((item, i) => {
      const path = `overload_manager.${field}[${i}]`;
      if (names.has(item.name)) throw new Error(`${path}.name: "${item.name}" is set twice`);
      names.add(item.name);
      return [item, path];
    });
  }

  private triggersOf(triggers: readonly OverloadTrigger[] | undefined, path: string): Trigger[] {
    if (!triggers?.length) throw new Error(`${path}.triggers: needs at least one`);
    return triggers.map(({ name, threshold, scaled }, i) => {
      const at = `${path}.triggers[${i}]`;
      const watched = this.watched.get(name);
      if (!watched) throw new Error(`${at}.name: no resource monitor is called "${name}"`);
      if ((threshold === undefined) === (scaled === undefined))
        throw new Error(`${at}: needs exactly one of threshold and scaled`);
      if (threshold) return { watched, from: threshold.value, to: threshold.value };
      const { scalingThreshold: from, saturationThreshold: to } = scaled!;
      if (!(from < to)) throw new Error(`${at}.scaled: scaling_threshold must be less than saturation_threshold`);
      return { watched, from, to };
    });
  }
}

/** The furthest of its triggers counts. */
function act({ triggers, act, active, percent }: Running): void {
  let value = 0;
  for (const { watched, from, to } of triggers) value = Math.max(value, reached(watched.pressure, from, to));
  if (active) active.value = value === 1 ? 1 : 0;
  percent.value = Math.round(value * 100);
  act(value);
}

/** As Envoy: saturated from `to` on, in proportion above `from`. */
function reached(pressure: number, from: number, to: number): number {
  if (pressure >= to) return 1;
  return pressure > from ? (pressure - from) / (to - from) : 0;
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
