/** The application of `tulle run`, a child process on this process's own standard streams. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { constants } from 'node:os';
import process from 'node:process';
import type { Application, ApplicationEnd, EndSignal } from '../runtime.ts';
import { openPorts } from './open-ports.ts';

/** As shells have them. */
const EXIT = { notExecutable: 126, notFound: 127, signal: 128 };

/**
 * While this process lives, its end ends the application, unless SIGKILL ends it.
 * @param withheld descriptors that this process inherited, and the application does not
 */
export function startApplication(
  [program, ...args]: readonly [string, ...string[]],
  environment: Readonly<Record<string, string | undefined>>,
  withheld: readonly number[],
): Application {
  let child: ChildProcess;
  try {
    child = spawn(program, args, { stdio: leavesOpen ? streamsWithout(withheld) : 'inherit', env: environment });
  } catch (error) {
    // Where others emit the error, Bun throws it.
    const ended = Promise.resolve(notStarted(program, error as NodeJS.ErrnoException));
    return { pid: undefined, kill() {}, openPorts: async () => [], ended };
  }
  for (const unused of child.stdio.slice(3) as ({ destroy(): void } | null)[]) unused?.destroy();
  let over = false;
  const kill = (signal: EndSignal) => {
    // Deno reports a child that `child.kill` signalled as ended by the signal, whatever its exit code was.
    if (over || child.pid === undefined) return;
    try {
      process.kill(child.pid, signal);
    } catch {
      // It has ended, and its event is on the way.
    }
  };
  const endWithParent = () => kill('SIGTERM');
  process.once('exit', endWithParent);
  const ended = new Promise<ApplicationEnd>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => resolve(notStarted(program, error)));
    child.once('exit', (code, signal) =>
      resolve({ code: code ?? EXIT.signal + (signal ? constants.signals[signal] : 0), error: undefined }),
    );
  });
  child.once('exit', () => {
    over = true;
    process.removeListener('exit', endWithParent);
  });
  return { pid: child.pid, kill, openPorts: async () => (child.pid === undefined ? [] : openPorts(child.pid)), ended };
}

/** Node and Bun close in a child what it is not given; in a child of Deno inherited descriptors stay open. */
const leavesOpen = 'deno' in process.versions;

/** The standard streams, and a pipe in the place of each of these: nothing else replaces a descriptor. */
function streamsWithout(descriptors: readonly number[]): StdioOptions {
  const count = Math.max(0, ...descriptors.map((descriptor) => descriptor - 2));
  const further = Array.from({ length: count }, (_, index) => (descriptors.includes(index + 3) ? 'pipe' : 'ignore'));
  return ['inherit', 'inherit', 'inherit', ...(further as ('pipe' | 'ignore')[])];
}

function notStarted(program: string, error: NodeJS.ErrnoException): ApplicationEnd {
  const code = error.code === 'EACCES' ? EXIT.notExecutable : EXIT.notFound;
  return { code, error: `cannot start ${program}: ${error.message}` };
}
