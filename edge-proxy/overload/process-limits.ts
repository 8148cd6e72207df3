/** Limits of the whole process: from a bootstrap file in Envoy's form, or from the flags of a mesh proxy. */
import type { Bootstrap } from '../../shared/xds/bootstrap.ts';
import type { OverloadManager as OverloadConfig } from '../../shared/xds/overload.ts';
import type { MeshSettings, StaticSettings } from '../settings/settings.ts';
import { FETCH_LIMITS, type FetchLimits } from '../upstream/fetches.ts';
import type { ConnectionLimits } from './admission.ts';
import { connectionTotal } from './resource-monitors.ts';
import { runtimeLimits } from './runtime-limits.ts';

export interface ProcessLimits {
  readonly connections: ConnectionLimits;
  readonly overload: OverloadConfig | undefined;
  /** How long connections of a removed listener may stay, milliseconds. */
  readonly drainMs: number;
  readonly closeOnExpiry: boolean;
  /** Of hosts that are fetched on demand; default: FETCH_LIMITS. */
  readonly fetches?: FetchLimits | undefined;
}

/** @throws Error naming a runtime key that is not supported */
export function bootstrapLimits(bootstrap: Bootstrap, settings: StaticSettings, drainMs: number): ProcessLimits {
  const { perListener, total } = runtimeLimits(bootstrap.layeredRuntime);
  return {
    connections: { perListener, total: connectionTotal(bootstrap.overloadManager) ?? total },
    overload: bootstrap.overloadManager,
    drainMs,
    closeOnExpiry: settings['close-on-expiry'],
  };
}

const MEMORY = 'envoy.resource_monitors.fixed_heap';
const LAG = 'tulle.resource_monitors.event_loop_lag';

/** First answers close their connections, then new requests are refused, then new connections. */
export function meshLimits(settings: MeshSettings, drainMs: number): ProcessLimits {
  const { 'max-memory-mb': memory, 'max-loop-lag-ms': lag, 'max-connections': total } = settings;
  const monitors: unknown[] = [];
  if (memory !== undefined)
    monitors.push({
      name: MEMORY,
      typedConfig: {
        '@type': 'type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig',
        maxHeapSizeBytes: memory * 1024 * 1024,
      },
    });
  if (lag !== undefined)
    monitors.push({
      name: LAG,
      typedConfig: { '@type': 'type.googleapis.com/tulle.resource_monitors.v1.EventLoopLag', maxLag: `${lag / 1000}s` },
    });
  const watched = [...(memory === undefined ? [] : [MEMORY]), ...(lag === undefined ? [] : [LAG])];
  const action = (name: string, value: number) => ({
    name: `envoy.overload_actions.${name}`,
    triggers: watched.map((monitor) => ({ name: monitor, threshold: { value } })),
  });
  return {
    connections: { perListener: new Map(), total },
    overload:
      watched.length === 0
        ? undefined
        : {
            refreshInterval: '0.25s',
            resourceMonitors: monitors as NonNullable<OverloadConfig['resourceMonitors']>,
            actions: [
              action('disable_http_keepalive', 0.9),
              action('stop_accepting_requests', 0.95),
              action('stop_accepting_connections', 0.98),
            ],
          },
    drainMs,
    closeOnExpiry: settings['close-on-expiry'],
    fetches: { ...FETCH_LIMITS, waitMs: settings['host-wait-ms'] },
  };
}
