/** Worker processes with a channel of JSON messages: child_process.fork, which Node, Bun and Deno all have. */
import { fork } from 'node:child_process';
import process from 'node:process';
import { keepNonBlocking } from './process/non-blocking.ts';
import { outputVariable } from './process/output.ts';
import { streamsBeyond } from './process/withheld-descriptors.ts';
import { logVariables } from './process-log.ts';
import type { Channel, WorkerProcess } from './runtime.ts';

const MARK = 'TULLE_WORKER_PROCESS';

/**
 * Starts this program again as a worker: same runtime, same file, no arguments.
 * @param descriptors which it inherits, under the same numbers
 */
export function startWorker(descriptors: readonly number[]): WorkerProcess {
  const child = fork(process.argv[1]!, [], {
    env: { ...process.env, ...logVariables(), ...outputVariable(), [MARK]: '1' },
    stdio: ['ignore', 'inherit', 'inherit', ...placed(descriptors), 'ipc'],
  });
  // Another worker accepts on them already.
  keepNonBlocking(descriptors);
  child.on('error', () => child.kill('SIGKILL'));
  let over = false;
  return {
    send(message) {
      if (child.connected) child.send(message as object, () => {});
    },
    onMessage: (take) => void child.on('message', take),
    onClose(take) {
      child.on('exit', () => {
        if (over) return;
        over = true;
        take();
      });
    },
    kill: () => void child.kill('SIGKILL'),
  };
}

/** Each at the index of its number. The channel comes after them: on Deno it would replace a descriptor of its number. */
function placed(descriptors: readonly number[]): ('pipe' | 'ignore' | number)[] {
  const withheld = streamsBeyond([]);
  const count = Math.max(withheld.length, ...descriptors.map((descriptor) => descriptor - 2));
  return Array.from({ length: count }, (_, index) =>
    descriptors.includes(index + 3) ? index + 3 : (withheld[index] ?? 'ignore'),
  );
}

/** The channel to the parent, in a worker; undefined in any other process. */
export function parentChannel(): Channel | undefined {
  if (process.env[MARK] !== '1' || !process.send) return undefined;
  return {
    send: (message) => void process.send!(message),
    onMessage: (take) => void process.on('message', take),
    onClose: (take) => void process.on('disconnect', take),
  };
}
