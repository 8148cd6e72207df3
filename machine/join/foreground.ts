/** The proxy in the foreground, with the application where there is one: the proxy starts first and ends last. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import process from 'node:process';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Running {
  /** Rejects when the program ends by itself before `stop`. */
  readonly failed: Promise<never>;
  /** Its exit code, as a shell has it. */
  readonly ended: Promise<number>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts a program on the standard streams of this process. */
export function start([program, ...args]: readonly string[], environment?: NodeJS.ProcessEnv): Running {
  const child: ChildProcess = spawn(program!, args, { stdio: 'inherit', ...(environment && { env: environment }) });
  const ended = new Promise<number>((resolve) => {
    child.once('error', () => resolve(127));
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
  });
  const failed = ended.then((code): never => {
    throw new Error(`${program} ended with ${code}; its lines above say why`);
  });
  // The program may end when the join does not wait for it any more.
  failed.catch(() => {});
  let over = false;
  void ended.then(() => {
    over = true;
  });
  const kill = (signal: NodeJS.Signals) => {
    if (!over && child.pid !== undefined) process.kill(child.pid, signal);
  };
  process.once('exit', () => kill('SIGTERM'));
  return { failed, ended, kill };
}

/**
 * Runs until the application ends, or without one until a signal comes or the proxy ends.
 * @param application the program and its arguments; empty: none
 * @param environment the application's
 * @returns the exit code: the application's, else the proxy's
 */
export async function untilEnd(
  proxy: Running,
  application: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const app = application.length > 0 ? start(application, environment) : undefined;
  for (const signal of SIGNALS)
    process.on(signal, () => {
      (app ?? proxy).kill(signal === 'SIGHUP' && !app ? 'SIGTERM' : signal);
    });
  if (!app) return proxy.ended;
  const code = await Promise.race([app.ended, proxy.ended.then(() => app.ended)]);
  proxy.kill('SIGTERM');
  await proxy.ended;
  return code;
}
