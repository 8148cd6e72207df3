/** What a proxy process takes at its start and keeps to its end: flags first, then its ProxyConfig, then Istio's defaults. */

import { durationMs } from '../../shared/xds/message.ts';
import type { ProxyConfigAnswer } from '../../shared/xds/proxy-config.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { ProcessFlags } from './settings.ts';

export interface ProcessSettings {
  /** Worker processes; 1: this one alone. */
  readonly workers: number;
  /** How long connections may finish at shutdown, milliseconds. */
  readonly terminationDrainMs: number;
  /** How long connections of a removed listener may stay, milliseconds. */
  readonly drainMs: number;
  /** Downstream connections of the process; undefined: no limit. */
  readonly maxConnections: number | undefined;
  /** Metrics are served compressed to clients that accept it. */
  readonly statsCompression: boolean;
}

/** What `concurrency` is held against. */
export interface Host {
  readonly cores: number;
  /** Absent: this runtime cannot run worker processes. */
  readonly startWorker?: unknown;
}

export const hostOf = (runtime: Runtime): Host => ({
  cores: runtime.process.cores(),
  startWorker: runtime.process.startWorker,
});

/** The most the flag takes, too. */
const MAX_WORKERS = 64;
const MAX_DRAIN_MS = 99_999_000;
const DEFAULT_TERMINATION_DRAIN_MS = 5000;
const DEFAULT_DRAIN_MS = 45_000;

/**
 * Without a flag and without `concurrency` there is one worker: threads of Envoy share memory, our processes do not.
 * @param log takes one line for what the mesh asks of this process and it cannot do
 */
export function processSettings(
  flags: ProcessFlags,
  config: ProxyConfigAnswer,
  host: Host,
  log: (line: string) => void = () => {},
): ProcessSettings {
  const drain = (flag: number | undefined, field: 'drainDuration' | 'terminationDrainDuration', absent: number) => {
    if (flag !== undefined) return flag * 1000;
    const given = config[field];
    const ms = given === undefined ? absent : durationMs(given);
    if (ms > MAX_DRAIN_MS) log(`proxy config: ${field} ${given}: is more than ${MAX_DRAIN_MS / 1000}s, which is taken`);
    return Math.min(ms, MAX_DRAIN_MS);
  };
  return {
    workers: flags.concurrency ?? workersOf(config.concurrency, host, log),
    terminationDrainMs: drain(flags['drain-seconds'], 'terminationDrainDuration', DEFAULT_TERMINATION_DRAIN_MS),
    drainMs: drain(flags['drain-time-seconds'], 'drainDuration', DEFAULT_DRAIN_MS),
    maxConnections: flags['max-connections'] ?? config.maxConnections,
    statsCompression: config.statsCompression ?? true,
  };
}

function workersOf(concurrency: number | undefined, { cores, startWorker }: Host, log: (line: string) => void): number {
  const wanted = concurrency === 0 ? cores : (concurrency ?? 1);
  if (wanted > 1 && !startWorker) {
    log(`proxy config: concurrency ${concurrency}: this runtime cannot run worker processes; there is one`);
    return 1;
  }
  if (wanted > MAX_WORKERS) log(`proxy config: concurrency ${concurrency}: ${MAX_WORKERS} workers are the most`);
  return Math.min(wanted, MAX_WORKERS);
}

/** A line for each setting that is not what it would be if the process were started now. */
export function restartNeeded(running: ProcessSettings, wanted: ProcessSettings): string[] {
  const names = {
    workers: ['concurrency', ''],
    drainMs: ['drainDuration', 'ms'],
    terminationDrainMs: ['terminationDrainDuration', 'ms'],
    maxConnections: ['connectionSettings.globalDownstreamConnectionLimit', ''],
    statsCompression: ['statsCompression', ''],
  } as const;
  return (['workers', 'drainMs', 'terminationDrainMs', 'maxConnections', 'statsCompression'] as const)
    .filter((key) => running[key] !== wanted[key])
    .map((key) => {
      const [name, unit] = names[key];
      const [now, before] = [wanted[key] ?? 'no limit', running[key] ?? 'no limit'];
      return `proxy config: ${name} is now ${now}${unit}; ${before}${unit} is in force until the next start`;
    });
}
