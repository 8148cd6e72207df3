/** A real Envoy as the other side of a comparison. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program, runSync, works } from './process.ts';
import type { RunningProxy } from './proxy.ts';
import { until } from './waiting.ts';

/** Where Envoy is: `TULLE_ENVOY` (CI sets it), else `envoy` on the PATH; undefined with a printed reason. */
export const ENVOY: string | undefined = findEnvoy();

function findEnvoy(): string | undefined {
  const named = process.env['TULLE_ENVOY'];
  if (named !== undefined && named !== '') {
    if (existsSync(named)) return named;
    console.warn(`skipped: TULLE_ENVOY names ${named}, which does not exist`);
    return undefined;
  }
  if (works('envoy')) return 'envoy';
  console.warn('skipped: no Envoy (set TULLE_ENVOY, or put envoy on the PATH)');
  return undefined;
}

/** Envoy's verdict on a bootstrap; unknown fields are faults. @returns '' when it accepts */
export function envoyErrors(file: string): string {
  const { code, out, error } = runSync(ENVOY!, ['--mode', 'validate', '-c', file, '-l', 'error']);
  return code === 0 ? '' : `${out}${error}`;
}

/**
 * Starts Envoy on a bootstrap; ready when this returns.
 * @param folder for its scratch files
 * @param run the command that runs it on another host, whose admin address has to be reachable
 */
export async function startEnvoy(
  bootstrap: object,
  folder: string,
  name = 'envoy',
  run: (command: readonly string[]) => string[] = (command) => [...command],
): Promise<RunningProxy> {
  const file = join(folder, `${name}.json`);
  const admin = join(folder, `${name}.admin`);
  writeFileSync(file, JSON.stringify(bootstrap));
  const command = [
    ...[ENVOY!, '-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'],
    ...['--admin-address-path', admin, '--file-flush-interval-msec', '20', '--drain-time-s', '1'],
  ];
  const envoy = new Program(name, run(command));
  const ready = await until(`${name} is ready`, async () => {
    if (envoy.ended) return 'ended' as const;
    const at = readFileSync(admin, 'utf8').trim();
    if ((await fetch(`http://${at}/ready`)).status !== 200) return undefined;
    const listeners = (await (await fetch(`http://${at}/listeners?format=json`)).json()) as EnvoyListeners;
    const ports = Object.fromEntries(
      // A unix socket has no port.
      (listeners.listener_statuses ?? []).map((one) => [one.name, one.local_address.socket_address?.port_value ?? 0]),
    );
    return { ports, adminPort: Number(at.slice(at.lastIndexOf(':') + 1)) };
  }).catch(async (error: unknown) => {
    // No other process uses it.
    await envoy.stop();
    throw error;
  });
  if (ready === 'ended') throw envoy.failure('ended');
  return Object.assign(envoy, ready);
}

interface EnvoyListeners {
  listener_statuses?: { name: string; local_address: { socket_address?: { port_value: number } } }[];
}
