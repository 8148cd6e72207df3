/** What measures pressure: Envoy's resource monitors, and one for the lag of the event loop. */
import { durationMs } from '../../shared/xds/message.ts';
import type { OverloadManager as OverloadConfig, ResourceMonitor } from '../../shared/xds/overload.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { ContainerCpu, HostCpu } from './cpu-monitor.ts';
import type { Monitor } from './monitor.ts';

const MONITORS = 'envoy.extensions.resource_monitors.';
const CONNECTIONS = `${MONITORS}downstream_connections.v3.DownstreamConnectionsConfig`;

/** How often the event loop is asked to be on time; a stall shows within one of these. */
const LAG_PROBE_MS = 50;

const typeOf = (monitor: ResourceMonitor) =>
  monitor.typedConfig['@type'].slice(monitor.typedConfig['@type'].lastIndexOf('/') + 1);

/** The limit of open downstream connections that a config names; undefined: none. */
export function connectionTotal(config: OverloadConfig | undefined): number | undefined {
  const found = config?.resourceMonitors?.find((monitor) => typeOf(monitor) === CONNECTIONS);
  return (found?.typedConfig as { maxActiveDownstreamConnections?: number } | undefined)
    ?.maxActiveDownstreamConnections;
}

/**
 * @returns undefined: no measure but a limit, kept where connections are accepted
 * @throws Error naming the field
 */
export function monitorOf(monitor: ResourceMonitor, runtime: Runtime, path: string): Monitor | undefined {
  const config = monitor.typedConfig as Record<string, unknown>;
  switch (typeOf(monitor)) {
    case `${MONITORS}fixed_heap.v3.FixedHeapConfig`: {
      const max = config['maxHeapSizeBytes'] as number;
      if (!(max > 0)) throw new Error(`${path}.max_heap_size_bytes: must be above 0`);
      return { measure: () => runtime.process.residentBytes() / max };
    }
    case `${MONITORS}injected_resource.v3.InjectedResourceConfig`:
      return { measure: () => injected(runtime, config['filename'] as string) };
    case `${MONITORS}cpu_utilization.v3.CpuUtilizationConfig`:
      return config['mode'] === 'CONTAINER' ? new ContainerCpu(runtime) : new HostCpu(runtime);
    case 'tulle.resource_monitors.v1.EventLoopLag':
      return new LoopLag(runtime, durationMs(config['maxLag'] as string));
    case CONNECTIONS:
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
    // A stall that still continues counts as far as it has come.
    const lag = Math.max(this.worst, this.runtime.monotonicMs() - this.last - LAG_PROBE_MS);
    this.worst = 0;
    return Math.max(0, lag) / this.maxMs;
  }

  stop(): void {
    clearInterval(this.timer);
  }
}
