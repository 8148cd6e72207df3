/**
 * envoy.resource_monitors.cpu_utilization: the share of the processors that is busy, of the host (/proc/stat) or of the
 * container (cgroup v2), smoothed as Envoy does.
 */
import type { Runtime } from '../runtime/runtime.ts';
import type { Monitor } from './monitor.ts';

/** The weight of the newest measure. */
const DAMPING = 0.05;

interface Reading {
  /** Both in one unit, since some begin. */
  readonly work: number;
  readonly total: number;
}

abstract class CpuMonitor implements Monitor {
  protected readonly runtime: Runtime;
  private before: Reading | undefined;
  private utilization = 0;

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  protected abstract read(): Promise<Reading>;

  async measure(): Promise<number | undefined> {
    const now = await this.read();
    const { before } = this;
    this.before = now;
    if (!before) return undefined;
    const total = now.total - before.total;
    const work = now.work - before.work;
    if (total <= 0 || work < 0) throw new Error('the processor times did not advance');
    this.utilization = Math.min(1, work / total) * DAMPING + this.utilization * (1 - DAMPING);
    return this.utilization;
  }

  protected async text(path: string): Promise<string> {
    const bytes = await this.runtime.files.read(path);
    if (!bytes) throw new Error(`${path} is not there`);
    return new TextDecoder().decode(bytes);
  }
}

/** All processes of the machine; time that waits for disks counts as idle. */
export class HostCpu extends CpuMonitor {
  protected override async read(): Promise<Reading> {
    const line = /^cpu +(\d+) (\d+) (\d+) (\d+)/m.exec(await this.text('/proc/stat'));
    if (!line) throw new Error('/proc/stat has no line "cpu"');
    const [user, nice, system, idle] = line.slice(1).map(Number) as [number, number, number, number];
    const work = user + nice + system;
    return { work, total: work + idle };
  }
}

const CGROUP = '/sys/fs/cgroup';

/** This container, against what it may use. */
export class ContainerCpu extends CpuMonitor {
  protected override async read(): Promise<Reading> {
    const usage = /^usage_usec (\d+)$/m.exec(await this.text(`${CGROUP}/cpu.stat`))?.[1];
    if (usage === undefined) throw new Error('cpu.stat has no usage_usec');
    const cores = await this.cores();
    // Microseconds that all of its processors could have worked.
    return { work: Number(usage), total: this.runtime.monotonicMs() * 1000 * cores };
  }

  private async cores(): Promise<number> {
    const processors = countRanges(await this.text(`${CGROUP}/cpuset.cpus.effective`));
    const quota = /^(\d+) (\d+)/.exec(await this.text(`${CGROUP}/cpu.max`));
    return quota ? Math.min(processors, Number(quota[1]) / Number(quota[2])) : processors;
  }
}

/** How many numbers "0-3,7" names. */
function countRanges(text: string): number {
  let count = 0;
  for (const range of text.trim().split(',')) {
    const [first, last = first] = range.split('-').map(Number);
    if (first === undefined || last === undefined || !(last >= first))
      throw new Error('cpuset.cpus.effective is not a list');
    count += last - first + 1;
  }
  return count;
}
