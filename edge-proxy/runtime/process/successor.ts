/** Starts this program once more on the sockets that this process serves: the successor of a hot restart. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { LISTEN_VARIABLE } from '../../../shared/join/capture-ports.ts';
import type { Succession, Successor } from '../runtime.ts';
import { closeUntaken, HANDED_VARIABLE } from './handed-sockets.ts';
import { heldSockets, heldUnixSockets } from './held-sockets.ts';
import { keepNonBlocking, prepareNonBlocking } from './non-blocking.ts';
import { notifyVariables } from './service-manager.ts';

/** The process id of the one that is replaced. */
const VARIABLE = 'TULLE_PREDECESSOR';
const predecessor = Number(process.env[VARIABLE]) || undefined;
delete process.env[VARIABLE];

/** Of a child process: behind the standard streams. */
const FIRST = 3;
/** UDP sockets cannot be taken by descriptor there. */
const HANDS_UDP = !('deno' in process.versions);

export const succession: Succession = {
  get predecessor() {
    return predecessor === process.ppid ? predecessor : undefined;
  },
  releasePredecessor() {
    // Its id may be another process's by now.
    if (predecessor !== undefined && predecessor === process.ppid) process.kill(predecessor, 'SIGQUIT');
  },
  onReplaced: (replaced) => void process.on('SIGQUIT', replaced),
  closeUntaken,
  start: startSuccessor,
};

/** @throws Error in one line: why it cannot be started */
function startSuccessor(named: Readonly<Record<string, number>>): Successor {
  const manager = notifyVariables();
  if (manager === undefined)
    throw new Error('no service manager follows its main process (NOTIFY_SOCKET): restart the proxy instead');
  const [unix] = heldUnixSockets();
  if (unix !== undefined)
    throw new Error(
      `it listens on the Unix domain socket ${unix}, which cannot be handed over: restart the proxy instead`,
    );
  prepareNonBlocking();
  const { descriptors, variables } = placed(named, servedDescriptors());
  const [program, ...args] = ownCommand();
  const environment = { ...process.env, ...manager, ...variables, [VARIABLE]: String(process.pid) };
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', ...descriptors], env: environment });
  keepNonBlocking(descriptors);
  return { pid: child.pid, failed: failureOf(child), kill: () => void child.kill('SIGKILL') };
}

function failureOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', ({ message }) => resolve(`it cannot be started: ${message}`));
    child.once('exit', (code, signal) => resolve(`it ended with ${code ?? signal}; its lines in the log say why`));
  });
}

function servedDescriptors(): number[] {
  return heldSockets().flatMap(({ descriptor, key }) => (key.startsWith('tcp/') || HANDS_UDP ? [descriptor] : []));
}

/**
 * The sockets as descriptors from 3 on, in the order of their numbers here: then none is replaced before it is duplicated,
 * whatever way a runtime places them.
 * @param named those that this process inherited, by name
 */
export function placed(
  named: Readonly<Record<string, number>>,
  served: readonly number[],
): { descriptors: number[]; variables: Record<string, string> } {
  const descriptors = [...new Set([...Object.values(named), ...served])].sort((a, b) => a - b);
  const now = (descriptor: number) => FIRST + descriptors.indexOf(descriptor);
  const names = Object.entries(named).map(([name, descriptor]) => `${name}=${now(descriptor)}`);
  const others = descriptors.filter((descriptor) => !Object.values(named).includes(descriptor)).map(now);
  return {
    descriptors,
    variables: {
      ...(names.length > 0 && { [LISTEN_VARIABLE]: names.join(',') }),
      ...(others.length > 0 && { [HANDED_VARIABLE]: others.join(',') }),
    },
  };
}

/** The command line by which this process was started: an upgrade has put another program in its place. */
function ownCommand(): [string, ...string[]] {
  const [program = '', ...args] = readFileSync('/proc/self/cmdline', 'utf8').split('\0').slice(0, -1);
  return [program.startsWith('/') ? program : process.execPath, ...args];
}
