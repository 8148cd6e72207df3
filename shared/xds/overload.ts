/** envoy.config.overload.v3: limits of the whole process, in the bootstrap file. */
import type { z } from 'zod';
import {
  any,
  double,
  duration,
  enumeration,
  int64,
  list,
  message,
  messageRequiring,
  nonEmpty,
  struct,
} from './message.ts';

export const ResourceMonitor = messageRequiring(
  {
    name: nonEmpty(),
    typedConfig: any({
      'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig': messageRequiring(
        { maxHeapSizeBytes: int64() },
        ['maxHeapSizeBytes'],
      ),
      'envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig': messageRequiring(
        { filename: nonEmpty() },
        ['filename'],
      ),
      'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig': messageRequiring(
        { maxActiveDownstreamConnections: int64() },
        ['maxActiveDownstreamConnections'],
      ),
      'envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig': message({
        mode: enumeration(['HOST', 'CONTAINER']),
      }),
      /** Tulle's own: the pressure is the event loop's lag against `maxLag`. */
      'tulle.resource_monitors.v1.EventLoopLag': messageRequiring({ maxLag: duration() }, ['maxLag']),
    }),
  },
  ['name', 'typedConfig'],
);
export type ResourceMonitor = z.infer<typeof ResourceMonitor>;

const Trigger = messageRequiring(
  {
    name: nonEmpty(),
    threshold: messageRequiring({ value: double() }, ['value']),
    scaled: messageRequiring({ scalingThreshold: double(), saturationThreshold: double() }, [
      'scalingThreshold',
      'saturationThreshold',
    ]),
  },
  ['name'],
);
export type OverloadTrigger = z.infer<typeof Trigger>;

/** envoy.config.overload.v3.ScaleTimersOverloadActionConfig */
const ScaleTimers = messageRequiring(
  {
    timerScaleFactors: list(
      messageRequiring(
        {
          timer: enumeration([
            'UNSPECIFIED',
            'HTTP_DOWNSTREAM_CONNECTION_IDLE',
            'HTTP_DOWNSTREAM_STREAM_IDLE',
            'TRANSPORT_SOCKET_CONNECT',
            'HTTP_DOWNSTREAM_CONNECTION_MAX',
            'HTTP_DOWNSTREAM_STREAM_FLUSH',
          ]),
          minTimeout: duration(),
          minScale: messageRequiring({ value: double() }, ['value']),
        },
        ['timer'],
      ),
    ),
  },
  ['timerScaleFactors'],
);
export type ScaleTimersConfig = z.infer<typeof ScaleTimers>;

const Action = messageRequiring(
  {
    name: nonEmpty(),
    triggers: list(Trigger),
    typedConfig: any({ 'envoy.config.overload.v3.ScaleTimersOverloadActionConfig': ScaleTimers }),
  },
  ['name'],
);
export type OverloadAction = z.infer<typeof Action>;

export const OverloadManager = message({
  refreshInterval: duration(),
  resourceMonitors: list(ResourceMonitor),
  actions: list(Action),
  loadshedPoints: list(messageRequiring({ name: nonEmpty(), triggers: list(Trigger) }, ['name'])),
});
export type OverloadManager = z.infer<typeof OverloadManager>;

/** envoy.config.bootstrap.v3.LayeredRuntime: static layers alone. */
export const LayeredRuntime = message({
  layers: list(messageRequiring({ name: nonEmpty(), staticLayer: struct() }, ['name'])),
});
export type LayeredRuntime = z.infer<typeof LayeredRuntime>;
