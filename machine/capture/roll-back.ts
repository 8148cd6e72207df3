/** The timer of a trial: a process of its own, which outlives the terminal and the connection that started it. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import process from 'node:process';
import { CaptureError } from './capture-options.ts';
import { run } from './commands.ts';

/** Of a program that is one file, the name of its entry inside. */
const INSIDE_EXECUTABLE = '/$bunfs/';

/** How this program is started, without its arguments. */
export function ownCommand(): [string, ...string[]] {
  const [, script = ''] = process.argv;
  return [process.execPath, ...process.execArgv, ...(script.startsWith(INSIDE_EXECUTABLE) ? [] : [script])];
}

/** Starts `command`, which waits and rolls back. @throws CaptureError when it cannot be started */
export function startTimer(command: readonly [string, ...string[]], trialId: string): void {
  // A user's processes may be ended with the last session: a unit of systemd's is none of them.
  if (existsSync('/run/systemd/system') && run('systemd-run', unitOf(command, trialId)).ok) return;
  const [program, ...args] = command;
  const timer = spawn(program, args, { detached: true, stdio: 'ignore', cwd: '/' });
  if (timer.pid === undefined) throw new CaptureError(`capture: ${program} cannot be started`);
  timer.unref();
}

const unitOf = (command: readonly string[], trialId: string): string[] => [
  ...['--quiet', '--collect', `--unit=tulle-capture-roll-back-${trialId.slice(0, 8)}`, '--', ...command],
];
