/**
 * The proxy inherits listening sockets. Node closes them where it is replaced (process.execve), so the shell that `tulle` begins
 * as asks for a script instead, keeps the descriptors, and becomes the proxy itself.
 */
import { writeSync } from 'node:fs';
import process from 'node:process';
import { LISTEN_VARIABLE } from '../../../shared/join/capture-ports.ts';
import { CliError } from '../cli-error.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Set by the shell that will run what is printed. */
const ASKS = 'TULLE_LAUNCH_SCRIPT';

export const wantsScript = (environment: Environment): boolean => environment[ASKS] === '1';

/** A program for a shell to become. */
export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  readonly environment: Environment;
  /** Goes into a pipe, so that no other process sees it; absent: there is none. */
  readonly token?: { readonly text: string; readonly descriptor: number } | undefined;
}

/** @throws CliError where sockets would be lost: this process was not started by the shell */
export function refuseLostSockets(environment: Environment): void {
  const given = [LISTEN_VARIABLE, 'LISTEN_FDS'].find((name) => environment[name]);
  const others = given === 'LISTEN_FDS' && (environment['LISTEN_PID'] ?? String(process.pid)) !== String(process.pid);
  if (given === undefined || others) return;
  throw new CliError(
    `${given}: Node would close the inherited sockets when it becomes the proxy; start it with the command "tulle" (control/cli/tulle)`,
  );
}

/** A descriptor of one digit for the token, which none of the sockets has. */
export function tokenDescriptor(environment: Environment): number {
  const own = environment[LISTEN_VARIABLE] ?? '';
  const count = own === '' ? Number(environment['LISTEN_FDS'] ?? 0) : 0;
  const isFree = (descriptor: number) => descriptor >= 3 + count && !own.includes(`=${descriptor}`);
  const found = [9, 8, 7, 6, 5, 4, 3].find(isFree);
  if (found === undefined) throw new CliError(`${LISTEN_VARIABLE}: leaves no descriptor for the join token`);
  return found;
}

/** @param before the environment of the shell */
export function launchScript({ program, args, environment, token }: Launch, before: Environment): string {
  const removed = Object.keys(before).filter((name) => name !== ASKS && environment[name] === undefined);
  const lines = removed.filter((name) => /^\w+$/.test(name)).map((name) => `unset ${name}`);
  const command = `exec ${[program, ...args].map(quoted).join(' ')}`;
  if (token === undefined) lines.push(command);
  else lines.push(`${command} ${token.descriptor}<<'END'`, token.text, 'END');
  return `${lines.join('\n')}\n`;
}

/** Ends this process: the shell continues. */
export function printScript(launch: Launch): never {
  writeSync(1, launchScript(launch, process.env));
  process.exit(0);
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
