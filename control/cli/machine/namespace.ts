/** `tulle run --netns`: the namespace of the command. The hidden commands run inside of it. */
import process from 'node:process';
import type { Command } from 'commander';
import { ownCommand } from '../../../machine/capture/roll-back.ts';
import { execWithSockets, socketsOfHost } from '../../../machine/capture/transparent-sockets.ts';
import { holdNamespace } from '../../../machine/netns/holder.ts';
import { setUpNamespace } from '../../../machine/netns/inside.ts';
import { makeNamespace, type Namespace } from '../../../machine/netns/launch.ts';
import { canTake } from '../../../machine/netns/take-sockets.ts';
import { NAMESPACE_SOCKETS } from '../../../shared/join/capture-ports.ts';
import { CliError } from '../cli-error.ts';
import type { OnRuntime } from './capture.ts';

export function registerNamespaceCommands(program: Command, onRuntime: OnRuntime): void {
  const namespace = program.command('namespace', { hidden: true });
  namespace
    .command('set-up')
    .argument('<parent>')
    .action((parent: string) => {
      setUpNamespace();
      return makeSockets(parent, onRuntime);
    });
  namespace
    .command('sockets')
    .argument('<parent>')
    .action((parent: string) => makeSockets(parent, onRuntime));
  namespace
    .command('hold')
    .argument('<parent>')
    .action((parent: string) => holdNamespace(Number(parent)));
}

/** Becomes the holder, on the runtime that makes the sockets. */
async function makeSockets(parent: string, onRuntime: OnRuntime): Promise<void> {
  const again = async (runtime: 'bun' | 'deno') => {
    const command = await onRuntime(runtime);
    return command && [...command, 'namespace', 'sockets', parent];
  };
  const runtimes = { bun: await again('bun'), deno: await again('deno') };
  const [program, ...args] = ownCommand();
  const command = [program, ...args, 'namespace', 'hold', parent] as const;
  await execWithSockets(
    { sockets: socketsOfHost(undefined, NAMESPACE_SOCKETS), user: undefined, command },
    { runtimes },
  );
}

/** Flags that a proxy outside of the command's namespace cannot have, and why. */
const REFUSED: Readonly<Record<string, string>> = {
  '--interception-mode': 'is TPROXY with --netns; leave it out',
  '--app-port':
    'does not go with --netns: no connection comes into the namespace; use "tulle run" without --netns to serve',
  '--group':
    'does not go with --netns: no connection comes into the namespace; use "tulle run" without --netns to serve',
  '--dns-port': 'does not go with --netns: queries of the namespace are always answered there',
};

/** @throws CliError naming the flag; CaptureError with the remedy */
export async function namespaceFor(flags: readonly string[]): Promise<Namespace> {
  for (const flag of flags) {
    const name = flag.split('=')[0]!;
    if (Object.hasOwn(REFUSED, name)) throw new CliError(`run: ${name} ${REFUSED[name]}`);
  }
  for (const [flag, reason] of Object.entries(REFUSED)) {
    const variable = `TULLE_${flag.slice(2).toUpperCase().replaceAll('-', '_')}`;
    if (process.env[variable]) throw new CliError(`run: ${variable} ${reason}`);
  }
  if (process.platform !== 'linux') throw new CliError('run --netns: needs Linux');
  if (!canTake()) throw new CliError('run --netns: needs python3, perl, Bun or Deno; install one');
  return makeNamespace([...ownCommand(), 'namespace', 'set-up']);
}
