/** `tulle proxy` and `tulle run`: this process becomes the proxy, so that a sidecar is one process. */
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { LISTEN_VARIABLE } from '../../shared/join/capture-ports.ts';
import { CliError } from './cli-error.ts';
import { httpProxyFlags } from './http-proxy-port.ts';
import { takeJoinToken } from './join-token.ts';
import { printScript, tokenDescriptor, wantsScript } from './launch/launch-script.ts';
import { bunBinary, denoBinary, program, proxyCommand, type RuntimeName, runtimeCommand } from './runtimes.mjs';

/** The requested runtime, or the best one found: Bun, then Node, then Deno. @throws CliError when absent */
export function chooseRuntime(asked: string | undefined): RuntimeName {
  if (!canBecome()) return ownRuntime(asked);
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

/** How the `tulle` command is started on that runtime, without its arguments; undefined where it is not installed. */
export function ownCommandOn(runtime: 'bun' | 'deno'): readonly string[] | undefined {
  const there = runtime === 'bun' ? bunBinary() : denoBinary();
  return there ? runtimeCommand(runtime, program('./main')) : undefined;
}

/** Prints the proxy's flags. */
export function becomeProxyHelp(): Promise<void> {
  const runtime = chooseRuntime(undefined);
  if (!canBecome()) return runHere(['--help']);
  const [binary, ...rest] = proxyCommand(runtime);
  return replaceProcess(binary, [binary, ...rest, '--help'], process.env);
}

/** `tulle proxy`. */
export function becomeProxy(runtimeFlag: string | undefined, args: readonly string[]): Promise<void> {
  return become('proxy', chooseRuntime(runtimeFlag), args, []);
}

/** `tulle run`: the proxy starts `command` once it is ready, passes signals on and ends with its exit code. */
export async function becomeSidecar(
  runtimeFlag: string | undefined,
  args: readonly string[],
  command: readonly string[],
): Promise<void> {
  if (command.length === 0) throw new CliError('run: names no command; write "tulle run [flags] -- COMMAND"');
  const runtime = chooseRuntime(runtimeFlag);
  if (args.includes('--netns')) {
    const own = args.filter((word) => word !== '--netns');
    return becomeOutside(runtime, own, command);
  }
  const port = await httpProxyFlags(args, process.env);
  return become('sidecar', runtime, [...args, ...port], ['--', ...command]);
}

/** `tulle envoy`: the proxy process joins, renews and follows discovery, and has Envoy run the traffic. */
export async function becomeEnvoy(
  runtimeFlag: string | undefined,
  flags: readonly string[],
  envoyArgs: readonly string[],
): Promise<void> {
  const isNamed = flags.some((word) => word === '--envoy-path' || word.startsWith('--envoy-path='));
  const path = isNamed || process.env['TULLE_ENVOY_PATH'] ? [] : ['--envoy-path', 'envoy'];
  return become(
    'agent of Envoy',
    chooseRuntime(runtimeFlag),
    [...flags, ...path],
    envoyArgs.length > 0 ? ['--', ...envoyArgs] : [],
  );
}

/** Of the new program: the descriptor from which it reads the join token. */
const TOKEN_FILE = '/dev/fd/3';
/** Moves the token from the environment of a shell into a pipe, and becomes its arguments. */
const WITH_TOKEN = `token=$TULLE_JOIN_TOKEN; unset TULLE_JOIN_TOKEN
exec "$@" 3<<END
$token
END
`;

/** `tulle run --netns`: the proxy of this namespace, on sockets of another one in which `command` runs. */
async function becomeOutside(
  runtime: RuntimeName,
  flags: readonly string[],
  command: readonly string[],
): Promise<never> {
  if (wantsScript(process.env)) throw new CliError('run: --netns does not go with a launch script');
  const { namespaceFor } = await import('./machine/namespace.ts');
  const { commandInside } = await import('../../machine/netns/launch.ts');
  const { becomeWithSockets } = await import('../../machine/netns/take-sockets.ts');
  const { token, args, environment } = takeJoinToken(flags, process.env);
  const namespace = await namespaceFor(args);
  process.stderr.write(`tulle: sidecar on ${runtime}, its command in a network namespace\n`);
  const inside = ['--', ...commandInside(namespace.pid, command)];
  const first = isExecutable ? [process.execPath, 'run'] : proxyCommand(runtime);
  const [binary = '', ...start] = first;
  const words = [...start, ...args, '--interception-mode', 'TPROXY'];
  if (token === undefined)
    return becomeWithSockets({ ...namespace, command: [binary, ...words, ...inside], environment });
  const shell = ['-c', WITH_TOKEN, 'sh', binary, ...words, '--join-token-file', TOKEN_FILE, ...inside];
  const withToken = { ...environment, TULLE_JOIN_TOKEN: token };
  return becomeWithSockets({ ...namespace, command: ['/bin/sh', ...shell], environment: withToken });
}

async function become(
  what: string,
  runtime: RuntimeName,
  flags: readonly string[],
  command: readonly string[],
): Promise<void> {
  const { token, args, environment } = takeJoinToken(flags, process.env);
  const isScript = wantsScript(process.env);
  process.stderr.write(`tulle: ${what} on ${runtime}\n`);
  if (!canBecome()) {
    // The proxy takes it out of the environment before it starts anything.
    if (token !== undefined) process.env['TULLE_JOIN_TOKEN'] = token;
    return runHere([...args, ...command]);
  }
  const [binary, ...first] = proxyCommand(runtime);
  if (isScript) {
    const descriptor = token === undefined ? undefined : tokenDescriptor(process.env);
    const file = descriptor === undefined ? [] : ['--join-token-file', `/dev/fd/${descriptor}`];
    return printScript({
      program: binary,
      args: [...first, ...args, ...file, ...command],
      environment,
      token: descriptor === undefined ? undefined : { text: token!, descriptor },
    });
  }
  const words = [binary, ...first, ...args];
  if (token === undefined) return replaceProcess(binary, [...words, ...command], environment);
  const shell = ['sh', '-c', WITH_TOKEN, 'sh', ...words, '--join-token-file', TOKEN_FILE, ...command];
  return replaceProcess('/bin/sh', shell, { ...environment, TULLE_JOIN_TOKEN: token });
}

/**
 * Where this process does not become the proxy's, it runs the proxy itself: on Deno, which cannot replace a process, on Bun and
 * Node where sockets are inherited, which both close when they replace themselves, and in the single executable. The shell that
 * asks for a script keeps the sockets, and becomes the proxy's process.
 */
const canBecome = (): boolean =>
  wantsScript(process.env) ||
  (process.execve !== undefined && !isExecutable && !(process.env['LISTEN_FDS'] || process.env[LISTEN_VARIABLE]));
let isExecutable = false;
/** Whether this is the single executable, of which the proxy is a part. */
export const bringsProxy = (): boolean => isExecutable;

/** @throws CliError where another one is requested */
function ownRuntime(asked: string | undefined): RuntimeName {
  const own = process.versions['bun'] !== undefined ? 'bun' : process.versions['deno'] !== undefined ? 'deno' : 'node';
  if (asked === undefined || asked === own) return own;
  throw new CliError(
    `--runtime ${asked}: this command runs on ${own}, which cannot start another one; leave the flag out`,
  );
}

/** How the proxy's program is loaded into this process; the single executable brings it along. */
let loadProxy = (): Promise<unknown> => import(pathToFileURL(program('../../edge-proxy/main')).href);

/** @param load imports `edge-proxy/main`, which runs the proxy with the arguments of this process */
export function setProxyProgram(load: () => Promise<unknown>): void {
  isExecutable = true;
  loadProxy = load;
}

/** Resolves once the proxy has started; it ends the process. */
async function runHere(args: readonly string[]): Promise<void> {
  process.argv.splice(2, process.argv.length, ...args);
  // Those of a command: a proxy outlives the readers of its output.
  process.removeAllListeners('uncaughtException');
  for (const output of [process.stdout, process.stderr]) output.removeAllListeners('error');
  await loadProxy();
}

function replaceProcess(
  binary: string,
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): never {
  if (wantsScript(process.env)) return printScript({ program: binary, args: words.slice(1), environment });
  if (!process.execve) throw new CliError(`needs a Node with process.execve (24 or newer), found ${process.version}`);
  return process.execve(binary, words, environment);
}
