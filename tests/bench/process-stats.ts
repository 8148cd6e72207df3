/** What a process and its descendants have used, from Linux' /proc (proc(5)). */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ: fixed at 100 on every Linux this runs on; `getconf CLK_TCK` says the same. */
const TICKS_PER_SECOND = 100;

interface Stat {
  readonly parent: number;
  readonly cpuUs: number;
}

function stat(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the name in parentheses and may hold anything; fields are counted behind it.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    return { parent: Number(fields[1]), cpuUs: (ticks * 1e6) / TICKS_PER_SECOND };
  } catch {
    return undefined;
  }
}

/** The process and all its descendants that live now. */
export function processTree(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const found = Number.isInteger(pid) ? stat(pid) : undefined;
    if (found) parents.set(pid, found.parent);
  }
  const tree = [root];
  for (let i = 0; i < tree.length; i++) for (const [pid, parent] of parents) if (parent === tree[i]) tree.push(pid);
  return tree;
}

/** User and system time of the tree so far, microseconds. */
export function cpuOf(root: number): number {
  return processTree(root).reduce((sum, pid) => sum + (stat(pid)?.cpuUs ?? 0), 0);
}

/** Resident memory of the tree, bytes. */
export function residentOf(root: number): number {
  return processTree(root).reduce((sum, pid) => sum + residentKb(pid) * 1024, 0);
}

function residentKb(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
