/** What the overload manager can do: Envoy's actions and load shed points by name. */
import type { OverloadAction } from '../../shared/xds/overload.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { StatScope } from '../telemetry/stats.ts';
import type { LoadShedPoint, OverloadState } from './overload-state.ts';
import { ScaledTimers } from './scaled-timers.ts';

/** How far an action has come, 0 to 1; reported at each refresh. */
export type Act = (value: number) => void;

/** Envoy's interval between two releases of memory while it is scarce. */
const SHRINK_MS = 10_000;
/** The change of a timer's scale above which running timers are rescaled. */
const RESCALE_ABOVE = 0.01;

/** Both may be active; the further one counts. */
class Connections {
  private reject = 0;
  private stop = 0;
  private readonly state: OverloadState;

  constructor(state: OverloadState) {
    this.state = state;
  }

  set(which: 'reject' | 'stop', value: number): void {
    this[which] = value;
    this.state.rejectConnections = Math.max(this.reject, this.stop);
  }
}

export class OverloadActions {
  private readonly runtime: Runtime;
  private readonly state: OverloadState;
  private readonly connections: Connections;
  private readonly timersChanged: () => void;

  /** @param timersChanged times that are running are to be evaluated again */
  constructor(runtime: Runtime, state: OverloadState, timersChanged: () => void) {
    this.runtime = runtime;
    this.state = state;
    this.connections = new Connections(state);
    this.timersChanged = timersChanged;
  }

  /** @throws Error naming what is not supported */
  action(config: OverloadAction, stats: StatScope, path: string): Act {
    const { name, typedConfig } = config;
    const short = name.replace(/^envoy\.overload_actions\./, '');
    if (short === 'reduce_timeouts') return this.reduceTimeouts(config, path);
    if (typedConfig) throw new Error(`${path}.typed_config: "${name}" takes none`);
    const { state, connections } = this;
    switch (short) {
      case 'stop_accepting_requests':
        return (value) => (state.stopAcceptingRequests = value);
      case 'disable_http_keepalive':
        return (value) => (state.disableKeepAlive = value);
      case 'reject_incoming_connections':
        return (value) => connections.set('reject', value);
      // Envoy leaves them in the kernel's queue, which a JavaScript runtime cannot; and, as in Envoy, it is all or none.
      case 'stop_accepting_connections':
        return (value) => connections.set('stop', value < 1 ? 0 : 1);
      case 'shrink_heap':
        return this.shrinkHeap(stats, path);
      default:
        throw new Error(`${path}.name: "${name}" is not supported`);
    }
  }

  /** @throws Error naming what is not supported */
  shedPoint(name: string, stats: StatScope, path: string): Act {
    const { state } = this;
    const points: Readonly<Record<string, LoadShedPoint>> = {
      'envoy.load_shed_points.tcp_listener_accept': state.accept,
      'envoy.load_shed_points.hcm_ondata_creating_codec': state.firstBytes,
      'envoy.load_shed_points.http_connection_manager_decode_headers': state.decodeHeaders,
    };
    const point = Object.hasOwn(points, name) ? points[name] : undefined;
    if (!point) throw new Error(`${path}.name: "${name}" is not supported`);
    point.shed = stats.counter('shed_load_count');
    return (value) => (point.share = value);
  }

  private reduceTimeouts({ typedConfig }: OverloadAction, path: string): Act {
    if (!typedConfig) throw new Error(`${path}.typed_config: reduce_timeouts needs ScaleTimersOverloadActionConfig`);
    const timers = new ScaledTimers(typedConfig, `${path}.typed_config`);
    this.state.timers = timers;
    return (value) => {
      const before = timers.pressure;
      timers.pressure = value;
      // Only shorter times cannot wait until they are set the next time.
      if (value > before + RESCALE_ABOVE || (value === 1 && before < 1)) this.timersChanged();
    };
  }

  private shrinkHeap(stats: StatScope, path: string): Act {
    const { collectGarbage } = this.runtime.process;
    if (!collectGarbage)
      throw new Error(`${path}.name: shrink_heap is not supported: this runtime exposes no collection`);
    const count = stats.counter('shrink_count');
    let last = Number.NEGATIVE_INFINITY;
    return (value) => {
      const now = this.runtime.monotonicMs();
      if (value < 1 || now - last < SHRINK_MS) return;
      last = now;
      collectGarbage();
      count.value++;
    };
  }
}
