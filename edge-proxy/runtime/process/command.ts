/** Short-lived commands of the proxy, each with its own process group. */
import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import type { CommandEnd, RunningCommand } from '../runtime.ts';
import { streamsBeyond } from './withheld-descriptors.ts';

/** Of the standard output and error together, what is kept; the rest is read and dropped. */
const KEPT_OUTPUT_BYTES = 1024;
/** Output may still be in the pipes when the command has ended; a process that it left behind may hold them open. */
const LAST_OUTPUT_MS = 100;

/**
 * Starts a program without a shell, with this process's environment and no standard input.
 * @param withheld descriptors that this process inherited, and the program does not
 */
export function startCommand(
  [program, ...args]: readonly [string, ...string[]],
  withheld: readonly number[],
): RunningCommand {
  let child: ChildProcess;
  try {
    child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe', ...streamsBeyond(withheld)] });
  } catch (error) {
    // Where others emit the error, Bun throws it.
    return { kill() {}, ended: Promise.resolve(notStarted(program, error as Error)) };
  }
  for (const unused of child.stdio.slice(3) as ({ destroy(): void } | null)[]) unused?.destroy();
  let over = false;
  const kill = () => {
    if (over || child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended, and its event is on the way.
    }
  };
  process.once('exit', kill);
  const output = keepOutput(child);
  const ended = new Promise<CommandEnd>((resolve) => {
    const finish = (end: Omit<CommandEnd, 'output'>) => {
      over = true;
      process.removeListener('exit', kill);
      for (const stream of [child.stdout, child.stderr]) stream?.destroy();
      resolve({ ...end, output: output() });
    };
    child.once('error', (error) => finish(notStarted(program, error)));
    child.once('exit', (code, signal) => {
      over = true;
      const end = { code: code ?? undefined, error: code === null ? `the command was ended by ${signal}` : undefined };
      const timer = setTimeout(() => finish(end), LAST_OUTPUT_MS);
      child.once('close', () => {
        clearTimeout(timer);
        finish(end);
      });
    });
  });
  return { kill, ended };
}

/** @returns what was kept so far */
function keepOutput(child: ChildProcess): () => string {
  const kept = new Uint8Array(KEPT_OUTPUT_BYTES);
  let length = 0;
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (bytes: Uint8Array) => {
      const part = bytes.subarray(0, KEPT_OUTPUT_BYTES - length);
      kept.set(part, length);
      length += part.length;
    });
  return () => new TextDecoder().decode(kept.subarray(0, length)).trim();
}

const notStarted = (program: string, { message }: Error): CommandEnd => ({
  code: undefined,
  error: `the command cannot be started: ${program}: ${message}`,
  output: '',
});
