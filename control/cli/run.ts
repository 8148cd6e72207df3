/** `tulle run [--] COMMAND`: sidecar first, application once the proxy is ready, proxy stopped last. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { CliError } from './cli-error.ts';
import { httpProxyFlags } from './http-proxy-port.ts';
import { chooseRuntime, exitOf, startProxy } from './proxy.ts';

/** The line `--announce` makes a proxy print once it is ready. */
export interface Announcement {
  ready: true;
  adminPort: number;
  httpProxyPort?: number;
  /** Where the sidecar listens for calls to other services, on their ports. */
  outboundAddress?: string;
}

/** Waits for the proxy's announcement. @throws CliError when the proxy ends first */
export async function announced(proxy: ChildProcess): Promise<Announcement> {
  const lines = createInterface({ input: proxy.stdout! });
  return await new Promise<Announcement>((resolve, reject) => {
    proxy.once('exit', (code) => reject(new CliError(`the proxy ended before it was ready (exit code ${code})`)));
    lines.on('line', (line) => {
      const announcement = readAnnouncement(line);
      if (announcement) resolve(announcement);
      else process.stdout.write(`${line}\n`);
    });
  });
}

function readAnnouncement(line: string): Announcement | undefined {
  if (!line.startsWith('{"ready":')) return undefined;
  try {
    return JSON.parse(line) as Announcement;
  } catch {
    return undefined;
  }
}

/** @returns the application's exit code */
export async function runWithSidecar(
  runtimeFlag: string | undefined,
  proxyArgs: readonly string[],
  command: readonly string[],
): Promise<number> {
  const [program, ...args] = command;
  if (program === undefined) throw new CliError('run: names no command; write "tulle run [flags] -- COMMAND"');
  const runtime = chooseRuntime(runtimeFlag);
  const http = await httpProxyFlags(proxyArgs, process.env);
  process.stderr.write(`tulle: sidecar on ${runtime}\n`);
  const proxy = startProxy(runtime, [...proxyArgs, ...http, '--announce'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  // Unless this process is killed with SIGKILL, its sidecar stops with it and frees its ports.
  process.once('exit', () => proxy.kill('SIGTERM'));
  // A closed log of the sidecar must not stop the application.
  process.stdout.removeAllListeners('error').on('error', () => {});
  let app: ChildProcess | undefined;
  const forward = (signal: NodeJS.Signals) => (app ? app.kill(signal) : proxy.kill(signal));
  process.on('SIGINT', forward).on('SIGTERM', forward).on('SIGHUP', forward);

  const { httpProxyPort, outboundAddress } = await announced(proxy);
  const environment = { ...process.env };
  if (outboundAddress) environment['TULLE_OUTBOUND_ADDRESS'] = outboundAddress;
  if (httpProxyPort) {
    environment['http_proxy'] = environment['HTTP_PROXY'] = `http://127.0.0.1:${httpProxyPort}`;
    environment['no_proxy'] ??= 'localhost,127.0.0.1,::1';
  }
  app = spawn(program, args, { stdio: 'inherit', env: environment });
  app.once('error', (error) => process.stderr.write(`tulle: cannot start ${program}: ${error.message}\n`));
  proxy.once('exit', () => app?.kill('SIGTERM'));
  const code = await exitOf(app);
  // The application has ended: the sidecar sends its last responses, then stops.
  const proxyEnd = proxy.exitCode === null && proxy.signalCode === null ? exitOf(proxy) : Promise.resolve(0);
  proxy.kill('SIGTERM');
  await proxyEnd;
  return code;
}
