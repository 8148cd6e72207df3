/** Starting the proxy process on a runtime: shared by `tulle proxy` and `tulle run`. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { CliError } from './cli-error.ts';
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

export function startProxy(
  runtime: RuntimeName,
  args: readonly string[],
  options: SpawnOptions = { stdio: 'inherit' },
): ChildProcess {
  const [command, ...rest] = proxyCommand(runtime);
  return spawn(command, [...rest, ...args], options);
}

/** Resolves with the exit code a shell would show. */
export function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.on('error', () => resolve(127));
    child.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : signal === 'SIGTERM' ? 143 : 137)));
  });
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

/** `tulle proxy`: runs until the proxy ends, passing signals on. */
export async function runProxy(runtimeFlag: string | undefined, args: readonly string[]): Promise<number> {
  const runtime = chooseRuntime(runtimeFlag);
  process.stderr.write(`tulle: proxy on ${runtime}\n`);
  const child = startProxy(runtime, args);
  const forward = (signal: NodeJS.Signals) => child.kill(signal);
  process.on('SIGINT', forward).on('SIGTERM', forward);
  return await exitOf(child);
}
