/** Processes of a benchmark: started pinned to a core, all ended by `stopAll`. */
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { bunBinary, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { Program, works } from '../kit/process.ts';

/** Where things run: proxies on the first core, load and upstreams on the second. */
export const PROXY_CORE = 0;
export const LOAD_CORE = 1;

/** A program on the PATH or in sbin, where Debian puts servers; undefined when absent. */
export function installed(program: string): string | undefined {
  for (const folder of [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']) {
    if (folder === '') continue;
    if (works('test', ['-x', `${folder}/${program}`])) return `${folder}/${program}`;
  }
  return undefined;
}

const taskset = availableParallelism() >= 2 ? installed('taskset') : undefined;

/** False: proxy and load share what cores there are, and figures say less. */
export const PINNED = taskset !== undefined;

export function pinned(core: number, command: readonly string[]): string[] {
  return taskset ? [taskset, '-c', String(core), ...command] : [...command];
}

/** Our own TypeScript programs run on Bun, which costs the load core least, else on Node. */
export function ownProgram(script: string): string[] {
  return runtimeCommand(bunBinary() ? 'bun' : 'node', script);
}

const running = new Set<Program>();

export function start(name: string, core: number, command: readonly string[]): Program {
  const part = new Program(name, pinned(core, command));
  running.add(part);
  void part.exited.then(() => running.delete(part));
  return part;
}

export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((part) => part.stop()));
}

/** A port that was free a moment ago, for programs that cannot say which one the kernel gave them. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject).listen(0, '127.0.0.1', resolve);
  await promise;
  const { port } = server.address() as { port: number };
  await new Promise((closed) => server.close(closed));
  return port;
}
