/** The process's own metrics under the names of Prometheus' client libraries (instrumenting/writing_clientlibs). */
import { readdirSync, readFileSync } from 'node:fs';
import type { Metrics } from '../../shared/metrics/metrics.ts';

/** Where there is no /proc, descriptors and virtual memory are left out. */
export function processMetrics(metrics: Metrics): void {
  const cpu = metrics.counter('process_cpu_seconds_total', 'Total user and system CPU time spent in seconds.').with({});
  const resident = metrics.gauge('process_resident_memory_bytes', 'Resident memory size in bytes.').with({});
  metrics.gauge('process_start_time_seconds', 'Start time of the process since unix epoch in seconds.').with({}).value =
    Math.round((Date.now() / 1000 - process.uptime()) * 1000) / 1000;
  const limit = limitOfFiles();
  if (limit !== undefined)
    metrics.gauge('process_max_fds', 'Maximum number of open file descriptors.').with({}).value = limit;
  const files =
    openFiles() !== undefined && metrics.gauge('process_open_fds', 'Number of open file descriptors.').with({});
  const virtual =
    virtualBytes() !== undefined &&
    metrics.gauge('process_virtual_memory_bytes', 'Virtual memory size in bytes.').with({});
  metrics.onCollect(() => {
    const { user, system } = process.cpuUsage();
    cpu.value = (user + system) / 1e6;
    resident.value = process.memoryUsage.rss();
    if (files) files.value = openFiles() ?? 0;
    if (virtual) virtual.value = virtualBytes() ?? 0;
  });
}

function openFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}

function limitOfFiles(): number | undefined {
  return numberIn('/proc/self/limits', /^Max open files\s+(\d+)/m);
}

function virtualBytes(): number | undefined {
  const kib = numberIn('/proc/self/status', /^VmSize:\s+(\d+) kB/m);
  return kib === undefined ? undefined : kib * 1024;
}

function numberIn(file: string, pattern: RegExp): number | undefined {
  try {
    const found = pattern.exec(readFileSync(file, 'utf8'))?.[1];
    return found === undefined ? undefined : Number(found);
  } catch {
    return undefined;
  }
}
