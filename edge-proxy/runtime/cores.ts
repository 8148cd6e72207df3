/** How many cores this process may use: those the system lets it run on, within the CPU quota of its control groups. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

const ROOT = '/sys/fs/cgroup';

/** At least 1. Quotas are read from cgroup v2 (docs.kernel.org, cgroup-v2, cpu.max); of part of a core there is one. */
export function cores(read: (path: string) => string | undefined = text, available = availableParallelism()): number {
  const own = /^0::(\/.*)$/m.exec(read('/proc/self/cgroup') ?? '')?.[1];
  let least = available;
  // A group is bound by the quotas of those it is in, too.
  for (let path = own; path !== undefined; path = parent(path)) {
    const [, quota, period] = /^(\d+) (\d+)\s*$/.exec(read(`${ROOT}${path === '/' ? '' : path}/cpu.max`) ?? '') ?? [];
    if (quota !== undefined && Number(period) > 0) least = Math.min(least, Math.ceil(Number(quota) / Number(period)));
  }
  return Math.max(1, least);
}

const parent = (path: string): string | undefined =>
  path === '/' ? undefined : path.slice(0, path.lastIndexOf('/')) || '/';

function text(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
