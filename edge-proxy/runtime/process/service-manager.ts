/**
 * Tells the service manager that this process is ready (sd_notify(3)): units ordered after it start then. No runtime sends
 * datagrams to UNIX sockets, so systemd's own helper does.
 */
import { spawn } from 'node:child_process';
import process from 'node:process';

const VARIABLE = 'NOTIFY_SOCKET';
const socket = process.env[VARIABLE];
// Not for workers, nor for the application.
delete process.env[VARIABLE];

/** With which another process reports in the place of this one; undefined: no service manager waits. */
export const notifyVariables = (): Record<string, string> | undefined => (socket ? { [VARIABLE]: socket } : undefined);

/**
 * Names this process as the main one, too: it may have taken over from another. Does nothing where no service manager waits.
 * @returns why it failed, in one line; undefined: it was reported
 */
export function notifyReady(): Promise<string | undefined> {
  if (!socket) return Promise.resolve(undefined);
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const failed = (reason: string) =>
    resolve(`${VARIABLE}: readiness cannot be reported to the service manager: ${reason}`);
  try {
    const child = spawn('systemd-notify', ['--ready', `--pid=${process.pid}`], {
      env: { ...process.env, [VARIABLE]: socket },
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    child.once('error', (error) => failed(error.message));
    child.once('exit', (code) => (code === 0 ? resolve(undefined) : failed(`systemd-notify ended with ${code}`)));
  } catch (error) {
    // Where others emit the error, Bun throws it.
    failed((error as Error).message);
  }
  return promise;
}
