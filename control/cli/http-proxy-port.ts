/** The loopback port that `tulle run` gives a sidecar for HTTP proxy requests when the user names none. */
import { randomInt } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { CliError } from './cli-error.ts';

/** Below the ports that Linux gives outgoing connections. */
const PORTS = { first: 20_000, count: 10_000 };
const TRIES = 100;

/**
 * The flags to add to `args`: none where the port is given, or the proxy is no sidecar of the mesh. The choice is kept in
 * the proxy's data folder: its cached config has the listener, which must be where the application looks after a restart.
 * @throws CliError when the data folder cannot be written
 */
export async function httpProxyFlags(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string[]> {
  const given = (flag: string) =>
    flagValue(args, `--${flag}`) ?? environment[`TULLE_${flag.toUpperCase().replaceAll('-', '_')}`];
  const isStatic = args.some((word) => word === '-c' || word === '--config' || word.startsWith('--config='));
  const data = given('data');
  const isCaptured = given('interception-mode') === 'TPROXY';
  if (isStatic || isCaptured || !data || given('http-proxy-port') || given('type') === 'router') return [];
  const path = join(data, 'http-proxy-port');
  const kept = read(path);
  if (kept !== undefined && (await isFree(kept))) return ['--http-proxy-port', String(kept)];
  const port = await freePort();
  try {
    mkdirSync(data, { recursive: true, mode: 0o700 });
    writeFileSync(path, `${port}\n`, { mode: 0o600 });
  } catch (error) {
    throw new CliError(`--data ${data}: cannot be used: ${(error as Error).message}`);
  }
  return ['--http-proxy-port', String(port)];
}

function flagValue(args: readonly string[], flag: string): string | undefined {
  const at = args.findIndex((word) => word === flag || word.startsWith(`${flag}=`));
  if (at < 0) return undefined;
  return args[at] === flag ? args[at + 1] : args[at]!.slice(flag.length + 1);
}

/** undefined without a usable stored choice: a new one is made. */
function read(path: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port > 0 && port < 65536 ? port : undefined;
}

async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = PORTS.first + randomInt(PORTS.count);
    if (await isFree(port)) return port;
  }
  throw new CliError('run: found no free port for HTTP proxy requests: name one with --http-proxy-port');
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
