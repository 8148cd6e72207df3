/** `tulle proxy` and `tulle run`: this process becomes the proxy, so that a sidecar is one process. */
import process from 'node:process';
import { CliError } from './cli-error.ts';
import { httpProxyFlags } from './http-proxy-port.ts';
import { takeJoinToken } from './join-token.ts';
import { printScript, refuseLostSockets, tokenDescriptor, wantsScript } from './launch-script.ts';
import { bunBinary, denoBinary, proxyCommand, type RuntimeName } from './runtimes.mjs';

/** The requested runtime, or the best one found: Bun, then Node, then Deno. @throws CliError when absent */
export function chooseRuntime(asked: string | undefined): RuntimeName {
  if (asked === undefined) return bunBinary() ? 'bun' : 'node';
  if (asked === 'node' || (asked === 'bun' && bunBinary()) || (asked === 'deno' && denoBinary()))
    return asked as RuntimeName;
  if (asked === 'bun' || asked === 'deno')
    throw new CliError(`--runtime ${asked}: is not installed; run "npm ci" in the checkout, or use --runtime node`);
  throw new CliError(`--runtime ${asked}: must be one of bun, node, deno`);
}

/** Takes `--runtime NAME` out of flags that otherwise belong to the proxy. @throws CliError when the name is missing */
export function splitRuntime(flags: readonly string[]): { runtime: string | undefined; rest: string[] } {
  let runtime: string | undefined;
  const rest: string[] = [];
  for (let i = 0; i < flags.length; i++) {
    const flag = flags[i]!;
    if (flag.startsWith('--runtime=')) runtime = flag.slice('--runtime='.length);
    else if (flag === '--runtime') {
      runtime = flags[++i];
      if (runtime === undefined) throw new CliError('--runtime: names none; must be one of bun, node, deno');
    } else rest.push(flag);
  }
  return { runtime, rest };
}

/** Prints the proxy's flags. Returns only by throwing. */
export function becomeProxyHelp(): never {
  const [program, ...rest] = proxyCommand(chooseRuntime(undefined));
  return replaceProcess(program, [program, ...rest, '--help'], process.env);
}

/** `tulle proxy`. Returns only by throwing. */
export function becomeProxy(runtimeFlag: string | undefined, args: readonly string[]): never {
  return become('proxy', chooseRuntime(runtimeFlag), args, []);
}

/**
 * `tulle run`: the proxy starts `command` once it is ready, passes signals on and ends with its exit code. Returns only by
 * throwing.
 */
export async function becomeSidecar(
  runtimeFlag: string | undefined,
  args: readonly string[],
  command: readonly string[],
): Promise<never> {
  if (command.length === 0) throw new CliError('run: names no command; write "tulle run [flags] -- COMMAND"');
  const runtime = chooseRuntime(runtimeFlag);
  const port = await httpProxyFlags(args, process.env);
  return become('sidecar', runtime, [...args, ...port], ['--', ...command]);
}

/** Of the new program: the descriptor from which it reads the join token. */
const TOKEN_FILE = '/dev/fd/3';
/** Moves the token from the environment of a shell into a pipe, and becomes its arguments. */
const WITH_TOKEN = `token=$TULLE_JOIN_TOKEN; unset TULLE_JOIN_TOKEN
exec "$@" 3<<END
$token
END
`;

function become(what: string, runtime: RuntimeName, flags: readonly string[], command: readonly string[]): never {
  const { token, args, environment } = takeJoinToken(flags, process.env);
  const [program, ...first] = proxyCommand(runtime);
  const words = [program, ...first, ...args];
  const isScript = wantsScript(process.env);
  if (!isScript) refuseLostSockets(process.env);
  process.stderr.write(`tulle: ${what} on ${runtime}\n`);
  if (isScript) {
    const descriptor = token === undefined ? undefined : tokenDescriptor(process.env);
    const file = descriptor === undefined ? [] : ['--join-token-file', `/dev/fd/${descriptor}`];
    return printScript({
      program,
      args: [...first, ...args, ...file, ...command],
      environment,
      token: descriptor === undefined ? undefined : { text: token!, descriptor },
    });
  }
  if (token === undefined) return replaceProcess(program, [...words, ...command], environment);
  const shell = ['sh', '-c', WITH_TOKEN, 'sh', ...words, '--join-token-file', TOKEN_FILE, ...command];
  return replaceProcess('/bin/sh', shell, { ...environment, TULLE_JOIN_TOKEN: token });
}

function replaceProcess(
  program: string,
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): never {
  if (wantsScript(process.env)) return printScript({ program, args: words.slice(1), environment });
  if (!process.execve) throw new CliError(`needs a Node with process.execve (24 or newer), found ${process.version}`);
  return process.execve(program, words, environment);
}
