/** The application of `tulle run`, a child process on this process's own standard streams. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { constants } from 'node:os';
import process from 'node:process';
import type { Application, ApplicationEnd, EndSignal } from '../runtime.ts';
import { openPorts } from './open-ports.ts';
import { streamsBeyond } from './withheld-descriptors.ts';

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
    const stdio: StdioOptions = ['inherit', 'inherit', 'inherit', ...streamsBeyond(withheld)];
    child = spawn(program, args, { stdio, env: environment });
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

function notStarted(program: string, error: NodeJS.ErrnoException): ApplicationEnd {
  const code = error.code === 'EACCES' ? EXIT.notExecutable : EXIT.notFound;
  return { code, error: `cannot start ${program}: ${error.message}` };
}
