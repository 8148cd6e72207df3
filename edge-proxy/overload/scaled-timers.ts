/** Times that become shorter under pressure (envoy.config.overload.v3.ScaleTimersOverloadActionConfig). */
import { durationMs } from '../../shared/xds/message.ts';
import type { ScaleTimersConfig } from '../../shared/xds/overload.ts';

/** What a time is cut down to at most. */
interface Floor {
  readonly ms: number;
  /** Of the whole time, 0 to 1. */
  readonly share: number;
}

const NOT_SCALED: Floor = { ms: 0, share: 1 };

export class ScaledTimers {
  /** How far the action has come: 0 whole times, 1 the shortest. */
  pressure = 0;
  private readonly connectionIdleFloor: Floor;
  private readonly streamIdleFloor: Floor;
  private readonly handshakeFloor: Floor;
  private readonly connectionMaxFloor: Floor;

  /** @throws Error naming the timer that is not supported, or named twice */
  constructor(config: ScaleTimersConfig, path: string) {
    const floors = new Map<string, Floor>();
    for (const [i, { timer, minTimeout, minScale }] of config.timerScaleFactors.entries()) {
      const at = `${path}.timer_scale_factors[${i}]`;
      if (!SUPPORTED.has(timer)) throw new Error(`${at}.timer: "${timer}" is not supported`);
      if (floors.has(timer)) throw new Error(`${at}.timer: "${timer}" is set twice`);
      if ((minTimeout === undefined) === (minScale === undefined))
        throw new Error(`${at}: needs exactly one of min_timeout and min_scale`);
      const percent = minScale?.value ?? 0;
      if (percent < 0 || percent > 100) throw new Error(`${at}.min_scale: must be 0 to 100`);
      floors.set(timer, { ms: minTimeout === undefined ? 0 : durationMs(minTimeout), share: percent / 100 });
    }
    const floor = (timer: string) => floors.get(timer) ?? NOT_SCALED;
    this.connectionIdleFloor = floor('HTTP_DOWNSTREAM_CONNECTION_IDLE');
    this.streamIdleFloor = floor('HTTP_DOWNSTREAM_STREAM_IDLE');
    this.handshakeFloor = floor('TRANSPORT_SOCKET_CONNECT');
    this.connectionMaxFloor = floor('HTTP_DOWNSTREAM_CONNECTION_MAX');
  }

  /** Each: milliseconds as configured (0: none) to milliseconds now. */
  connectionIdle(ms: number): number {
    return this.scaled(ms, this.connectionIdleFloor);
  }

  streamIdle(ms: number): number {
    return this.scaled(ms, this.streamIdleFloor);
  }

  handshake(ms: number): number {
    return this.scaled(ms, this.handshakeFloor);
  }

  connectionMax(ms: number): number {
    return this.scaled(ms, this.connectionMaxFloor);
  }

  /** As Envoy: between the whole time and its floor in proportion. Never 0, which would be none. */
  private scaled(ms: number, floor: Floor): number {
    if (ms <= 0 || this.pressure === 0) return ms;
    const least = Math.min(ms, floor.ms + ms * floor.share);
    return Math.max(1, Math.round(least + (ms - least) * (1 - this.pressure)));
  }
}

const SUPPORTED: ReadonlySet<string> = new Set([
  'HTTP_DOWNSTREAM_CONNECTION_IDLE',
  'HTTP_DOWNSTREAM_STREAM_IDLE',
  'TRANSPORT_SOCKET_CONNECT',
  'HTTP_DOWNSTREAM_CONNECTION_MAX',
]);
